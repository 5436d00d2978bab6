"""Figures of listening behaviour that the world reproduces or was tuned with.

Constants only. "Published" means statistics printed in public notebooks on the mini set ``log_mini.csv``
(167,880 rows, 10,000 sessions) of the Spotify sequential skip prediction data (Brost, Mehrotra and Jehan,
2019). "Tuned" means chosen so that a world of the default size measures like the published set; each such
constant names the figure it serves. Figures of the tracks live in ``track_figures.py``.
"""

from __future__ import annotations

from typing import Final

# --- Sessions: who, how long, when ------------------------------------------------------------------

SESSIONS_BY_LENGTH: Final = {
    10: 819, 11: 752, 12: 646, 13: 547, 14: 459, 15: 435, 16: 339, 17: 320, 18: 303, 19: 314, 20: 5066,
}  # fmt: skip
"""Published, exact: 10,000 sessions, 167,880 rows. Longer sessions were cut to 20, hence the last count."""

PREMIUM_SHARE: Final = 0.8029
"""Published: 8,028 sessions all premium, 1,970 all free, 2 mixed; the mixed ones are left out."""

ROWS_BY_HOUR: Final = (
    5694, 4127, 2964, 2284, 1563, 1303, 1733, 2366, 3397, 5555, 7483, 8320, 9696, 10687, 11590, 11443, 11636,
    10897, 10319, 9487, 9366, 9918, 8822, 7230,
)  # fmt: skip
"""Published rows for each local hour; taken for the hours in which sessions start, which they follow by
less than an hour on average."""

ROWS_BY_DATE: Final = {
    "2018-07-15": 119639, "2018-07-14": 46807, "2018-07-13": 519, "2018-07-12": 250, "2018-07-11": 170,
    "2018-07-10": 144, "2018-07-05": 52, "2018-07-07": 51, "2018-07-06": 40, "2018-07-09": 40,
    "2018-07-16": 25, "2018-07-04": 25, "2018-06-05": 20, "2018-05-12": 20, "2018-06-29": 20,
    "2018-06-30": 20, "2018-06-19": 20, "2018-05-18": 18,
}  # fmt: skip
"""Published rows for each date; taken for the dates on which sessions end, because the set is a file of one
day: a session over midnight belongs to the later date."""

# --- Context ----------------------------------------------------------------------------------------
# In the order of the vocabulary: catalog, charts, editorial, personalized, radio, user collection.

CONTEXT_AT_START: Final = (0.150, 0.0165, 0.223, 0.0185, 0.113, 0.479)
"""Tuned to the published shares of all rows (0.228, 0.015, 0.212, 0.018, 0.126, 0.402): switches add to
the catalogue and take from the user's collection."""

CONTEXT_AFTER_SWITCH: Final = (0.467, 0.0075, 0.155, 0.011, 0.182, 0.1775)
"""Published share of rows with a switch in each context, times the context's share of rows. The new context
may be of the old one's type: another playlist of the user's, say."""

SHUFFLE_BY_CONTEXT: Final = (0.2556, 0.3954, 0.3587, 0.4428, 0.0, 0.4011)
"""Published share of shuffled rows by context; radio has no shuffle."""

# --- How tracks start and end -------------------------------------------------------------------------
# Starts: appload, backbtn, clickrow, endplay, fwdbtn, playbtn, remote, trackdone, trackerror.
# Ends: backbtn, clickrow, endplay, fwdbtn, logout, remote, trackdone.

FIRST_START: Final = (1395, 444, 2627, 10, 2549, 96, 38, 2798, 8)
"""Published rows at the first position by start: those of each start with no pause flag, which only first
positions have."""

START_AFTER_END: Final = (
    (0.001, 0.985, 0.006, 0.0, 0.007, 0.0, 0.0, 0.001, 0.0),
    (0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    (0.018, 0.005, 0.955, 0.0006, 0.006, 0.003, 0.002, 0.010, 0.0004),
    (0.001, 0.001, 0.004, 0.0, 0.991, 0.0, 0.0, 0.002, 0.001),
    (0.30, 0.02, 0.45, 0.0, 0.05, 0.03, 0.01, 0.14, 0.0),
    (0.02, 0.02, 0.30, 0.002, 0.12, 0.01, 0.33, 0.198, 0.0),
    (0.003, 0.001, 0.008, 0.0, 0.003, 0.0002, 0.0002, 0.9841, 0.0005),
)
"""Rows: how the track before ended; columns: how the next starts. Tuned to the published counts of starts;
a start mostly repeats the end before it (173 of 189 printed transitions), and a click follows ``endplay``."""

SWITCH_BY_START: Final = (0.106, 0.0002, 0.3703, 0.0001, 0.0006, 0.1788, 0.0895, 0.0013, 0.0326)
"""Published share of ``context_switch`` by start."""

SKIP_END_BY_START: Final = (
    (0.112, 0.0, 0.358, 0.515, 0.010, 0.005, 0.0),
    (0.714, 0.0, 0.045, 0.234, 0.004, 0.0014, 0.0016),
    (0.012, 0.0006, 0.712, 0.256, 0.007, 0.006, 0.0064),
    (0.17, 0.0, 0.0, 0.66, 0.0, 0.17, 0.0),
    (0.053, 0.0, 0.042, 0.899, 0.002, 0.0007, 0.0033),
    (0.0, 0.0, 0.435, 0.534, 0.010, 0.020, 0.001),
    (0.068, 0.0, 0.395, 0.260, 0.023, 0.249, 0.005),
    (0.103, 0.0, 0.170, 0.702, 0.015, 0.005, 0.005),
    (0.09, 0.0, 0.07, 0.83, 0.0, 0.0, 0.01),
)
"""Rows: how a skipped track started; columns: how it ended. Published shares of ends by start, without the
tracks that were played."""

END_WEIGHT_BY_OUTCOME: Final = (
    (1.15, 1.0, 0.68, 1.0, 0.45, 0.5, 0.5),
    (1.05, 1.0, 0.68, 1.0, 0.45, 0.5, 0.5),
    (0.3, 0.0, 1.25, 1.0, 0.7, 0.6, 1.5),
)
"""Rows: outcomes skip_1, skip_2, skip_3; columns: ends. Factors on the table above, tuned to the published
skip_2 rates by end (back 0.90, forward 0.81, endplay 0.58, logout 0.29)."""

END_UNFLAGGED: Final = (0.014, 0.0, 0.200, 0.041, 0.109, 0.032, 0.604)
"""Ends of rows with no skip flag set. Derived from the published counts: what ``trackdone`` and ``logout``
hold beside played and skipped rows."""

END_PLAYED: Final = (0.00095, 0.0, 0.0040, 0.0033, 0.00013, 0.00002, 0.9916)
"""Published: 55,412 of 55,884 played rows end with ``trackdone``."""

# --- Pauses, seeks, time -----------------------------------------------------------------------------

NO_PAUSE_BY_START: Final = (0.437, 0.918, 0.839, 0.002, 0.913, 0.579, 0.670, 0.649, 0.774)
"""Published share of ``no_pause_before_play`` by start, after the first position, where no flag is set."""

SHORT_IN_PAUSE_BY_START: Final = (0.443, 0.769, 0.703, 0.900, 0.849, 0.125, 0.531, 0.881, 0.631)
"""Published share of pauses that set the short flag too; every pause but the next share sets the long one."""

SHORT_ALONE: Final = 0.0055
"""Share of pauses that set the short flag alone: published 24,617 short rows less 0.1463 of all rows."""

SEEK_FORWARD: Final = (0.063, 0.080, 0.066, 0.066, 0.037)
SEEK_BACK: Final = (0.032, 0.056, 0.105, 0.115, 0.079)
"""Chance of at least one seek in the first track by outcome (skip_1, skip_2, skip_3, none, played). Tuned to
the published 4,664 and 5,175 rows and to the correlations of seeks with skip_2 (0.02 and -0.06)."""

SEEK_FADE: Final = 0.90
"""Factor on that chance from one position to the next: published correlations of seeks with position, -0.07
and -0.05."""

SEEK_FORWARD_TAIL: Final = 2.35
SEEK_BACK_TAIL: Final = 2.19
"""Seeks in such a row are at least k with chance ``k ** -tail``: published means 0.0389 and 0.0463, standard
deviations 0.37 and 0.61."""

SEEK_FORWARD_MOST: Final = 60
SEEK_BACK_MOST: Final = 151
"""Published maxima."""

LISTENED_SHARE: Final = (0.03, 0.10, 0.40, 0.85, 1.0)
"""Part of a track heard by outcome; moves the clock and nothing else. The flags are published as skipped
"very briefly", "briefly" and "mostly played"; the numbers are a judgement."""

PAUSE_MINUTES: Final = 2.0
"""Mean length of a long pause, exponential. A judgement; only the hour of day shows it."""

# --- Outcomes -------------------------------------------------------------------------------------------
# Outcomes in the order of the flags: skip_1, skip_2, skip_3, none, played. The unit is the logit. Tuned
# together, by least squares on the published figures that the constants name, at the default size.

ATTENTION: Final = -1.38
"""Attention to a track in mid-session, all else being average; serves the 0.333 share of played rows."""

CUTS: Final = (-2.07, -1.19, -0.145, 0.0)
"""Inner bounds of the outcomes on the scale of attention; a track is played above the last, so the logistic
function of attention is the chance to be played. Serves the published shares of the four flags."""

DEPTH_BY_START: Final = (1.85, 0.93, 1.27, 1.0, 0.61, 1.0, 1.0, 1.32, 1.0)
"""How far a track is heard before it is skipped, by start, against ``CUTS``: the finger stays on the button.
The chance to be played does not depend on it. Serves the published skip_2 rates by start and the 0.73
agreement of neighbouring tracks."""

PATIENCE_SPREAD: Final = 0.68
"""Standard deviation between listeners; serves the slow part of the autocorrelation of skips (0.15 eight
tracks apart)."""

COMMON_TASTE: Final = (-0.05, -0.06, -0.06, 0.07, -0.07, 0.02)
"""Attention that every listener pays to one unit of each style: least squares on the published correlations
of skip_2 with the track features, none of which exceeds 0.03."""

TASTE_SPREAD: Final = (1.15, 0.70, 0.30, 0.20, 0.25, 0.20)
"""Standard deviation between listeners of the liking for each style. Most of it lies in beat and in organic
against electronic sound, so that twenty tracks can show it; serves the 0.74 to 0.75 accuracy published for
networks that see history and tracks, where history alone gives less."""

HABITUATION: Final = 0.7
"""Part of the session's average liking that a listener gets used to: tracks are judged against each other.
Keeps taste from acting as patience; serves the slow part of the autocorrelation of skips."""

MOOD_MEMORY: Final = 0.36
"""Part of the mood that lasts to the next track; serves the fall of the autocorrelation of skip_2 (0.47,
0.34, 0.26, 0.22 at the first lags, corrected for pairs that cross sessions)."""

MOOD_RESPONSE: Final = (-0.70, -0.76, -0.40, -0.12, 1.22)
"""What each outcome does to the mood; serves the agreement of neighbouring tracks and the shares by start."""

MOOD_SHOCK: Final = 0.15
"""Standard deviation of what else happens to the mood between two tracks, which no log tells."""

FIRST_LIFT: Final = 0.57
"""Attention to the first track above later ones: published skip_2 rate 0.377 against 0.476 at the second.
That the rate goes on rising to 0.530 at the fourth follows from the mood, which starts at zero and wears."""

LEAVING_LIFT: Final = 1.97
"""Attention to the last track of a session that ends before it is cut: listeners leave in a track they let
play. Serves the 0.450 share of played last tracks against 0.333 of all."""

START_LIFT: Final = (-1.0, 0.3, 1.0, -0.3, 0.0, 0.0, -0.3, 0.4, -0.2)
"""Attention by start beyond the mood: a clicked track was chosen. Serves the published shares by start."""

CONTEXT_LIFT: Final = (0.15, -0.15, 0.0, -0.05, -0.15, -0.10)
"""Attention by context: published shares of played rows, 0.371 in the catalogue to 0.300 in charts."""

SHUFFLE_LIFT: Final = -0.10
"""Attention with shuffle: published share of played rows 0.311 against 0.343."""

# --- Which tracks a session plays -------------------------------------------------------------------------

BROWSING_WITHIN: Final = 0.9
"""Spread of the styles within a session against 1 between sessions: alike enough to belong together,
different enough to tell taste from patience. A judgement; nothing published bears on it."""

OFFERED_SPREAD: Final = 0.3
"""How far the plays of one track are spread around its styles when dealt out, so that no session gets all:
1 row in 100 then repeats a track of its session. A judgement."""

PLAYS_IN_BAND: Final = 4000
"""Plays matched at a time by the second browsed style: 42 bands at the default size. A judgement."""
