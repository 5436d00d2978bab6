"""Constants of listening behaviour: published statistics, and numbers tuned to them.

"Published" means statistics of the mini set (167,880 rows, 10,000 sessions) of the Spotify sequential skip
prediction data (Brost, Mehrotra and Jehan, 2019); ``benchmarks/world_figures/published.json`` holds them with
their sources. "Tuned" means that worlds of the default size have the published statistic that the note names:
shares and factors by proportional fitting, logits by stochastic approximation, over several seeds at once.
``python -m benchmarks.world_figures`` shows the result. Constants of tracks are in ``track_constants.py``.
"""

from datetime import date
from typing import Final

# --- How a world is drawn -----------------------------------------------------------------------------

BLOCK_SESSIONS: Final = 2_000
"""Sessions drawn at once; their arrays fit the processor's cache. The number must not change: each block has
its own streams of random numbers."""

BLOCKS_IN_RUN: Final = 5
"""Blocks that one thread draws in a row, at least. Smaller shards are written together, so that at most one
block in five is drawn twice. It changes no byte."""

MOST_THREADS: Final = 8  # more would wait for the disk; each needs about 30 MB
MOST_SESSIONS: Final = 1_000_000_000  # eight times the full data
MOST_TRACKS: Final = 100_000_000  # 27 times the full data; needs about 70 GB of memory
MOST_DAYS: Final = 36_525  # a century
ORACLE_ROW_GROUP: Final = 100_000  # sessions in a row group of the oracle: 5 MB

SWEEPS: Final = 2
"""Times that the oracle goes through the outcomes of a session. Beside importance sampling, the chances given
the past differ by 0.009 (root mean square) with one, 0.005 with two and as much with three."""

QUADRATURE_NODES: Final = 21
"""For integrals over a normal belief in the oracle. With 31 nodes no probability changes by more than 0.001;
with 9 nodes one in twenty changes by more than 0.0005 and some by 0.02."""

# --- Sessions: who, how long, when ------------------------------------------------------------------

SESSIONS_BY_LENGTH: Final = {
    10: 819, 11: 752, 12: 646, 13: 547, 14: 459, 15: 435, 16: 339, 17: 320, 18: 303, 19: 314, 20: 5066,
}  # fmt: skip
"""Published, exact: 10,000 sessions, 167,880 rows. Longer sessions were cut to 20, half of all."""

PREMIUM_SHARE: Final = 1.0 - 1970 / 10_000  # published: 8,028 sessions all premium, 1,970 all free, 2 mixed
LAPSING_SHARE: Final = 2 / 10_000
LAPSED_TRACKS: Final = 3
"""Sessions whose premium ends within them, and the most tracks that follow: published 2 of 10,000, premium on
0.85 and 0.947 of their rows (17 of 20, 18 of 19)."""

HOURS: Final = tuple(
    rows / 167_880
    for rows in (
        5694, 4127, 2964, 2284, 1563, 1303, 1733, 2366, 3397, 5555, 7483, 8320,
        9696, 10687, 11590, 11443, 11636, 10897, 10319, 9487, 9366, 9918, 8822, 7230,
    )
)  # fmt: skip
"""Published share of rows in each local hour."""

FIRST_DATE: Final = date(2018, 7, 15)  # day of the published mini set's file, the first of the archive

DATES: Final = {
    day: rows / 167_880
    for day, rows in {
        "2018-07-15": 119_639, "2018-07-14": 46_807, "2018-07-13": 519, "2018-07-12": 250,
        "2018-07-11": 170, "2018-07-10": 144, "2018-07-05": 52, "2018-07-07": 51, "2018-07-06": 40,
        "2018-07-09": 40, "2018-07-16": 25, "2018-07-04": 25, "2018-06-05": 20, "2018-05-12": 20,
        "2018-06-29": 20, "2018-06-30": 20, "2018-06-19": 20, "2018-05-18": 18,
    }.items()
}  # fmt: skip
"""Published share of rows on each date. The set is the file of one day, so the dates give the distribution of
days between a session's end and its file's day; a session over midnight belongs to the later date."""

OVER_MIDNIGHT: Final = 0.004
"""Share of rows that lie on the day before their session's day, because the session passes midnight (net of
late sessions that pass into the day itself). Tuned to the published dates."""

MINUTES_INTO_SESSION: Final = 20.0  # a session starts this much before the hour of its rows: a mean

JUNK_YEARS: Final = {
    year: percent / 100
    for year, percent in {
        1969: 0.0001104, 1970: 0.0001409, 1972: 8e-07, 1999: 4.8e-06, 2000: 1.04e-05, 2008: 1.6e-06,
        2009: 2e-05, 2010: 5.12e-05, 2011: 1.6e-05, 2012: 1.12e-05, 2013: 2.16e-05, 2014: 4.48e-05,
        2015: 0.0001785, 2016: 0.0002105, 2017: 0.00111, 2019: 1.04e-05, 2031: 8e-07, 2032: 8e-06,
    }.items()
}  # fmt: skip
"""Published shares of sessions of the full set with a wrong clock; the day of the year is unknown."""

# --- Context ----------------------------------------------------------------------------------------
# In the order of the vocabulary: catalog, charts, editorial, personalized, radio, user collection.

CONTEXT_AT_START: Final = (0.2524, 0.0135, 0.2077, 0.019, 0.1102, 0.3972)
"""Tuned to the published share of first rows in each context (catalogue 0.251, radio 0.110). Listeners switch
from the catalogue and radio to their own collection more often than back."""

CONTEXT_AFTER_SWITCH: Final = (0.5091, 0.0059, 0.1446, 0.0096, 0.1974, 0.1334)
"""Tuned to the published share of rows with a switch in each context. The new context may have the same type,
such as another playlist of the user."""

PREMIUM_BY_CONTEXT: Final = (0.8261, 0.8724, 0.7916, 0.9014, 0.8716, 0.779)  # tuned to the published ones

BROWSING_OF_FREE: Final = -0.6
BROWSING_BY_HOUR: Final = (0.0,) * 5 + (0.27,) * 5 + (0.0,) * 10 + (-0.15,) * 4
"""Shifts of the first browsed axis without premium (published correlations of premium with bounciness, -0.13,
and the first acoustic vector, 0.17) and by the hour of a session's rows (published means of danceability:
0.654 early in the morning, 0.678 late in the evening, 0.669 over all)."""

BROWSING_OF_SHUFFLING: Final = 0.7
"""Shift of the first browsed axis between listeners who shuffle everything and nothing: published
correlations of shuffle with release year, -0.09, and with beat strength, -0.08."""

BROWSING_OF_CATALOGUE: Final = (0.25, -0.4)
"""Shift of both browsed axes where a session starts in the catalogue: published correlations with
danceability, -0.09, and with the second acoustic vector, -0.09."""

SHUFFLE_BY_CONTEXT: Final = (0.2415, 0.3857, 0.3561, 0.4081, 0.0, 0.4039)
"""Share of shuffled rows by context, tuned to the published shares; radio has no shuffle."""

SHUFFLE_OF_FREE: Final = 0.65
SHUFFLE_OF_PREMIUM: Final = 1.08
"""Factors on that share without and with premium: published correlation of shuffle and premium, 0.11."""

# --- How tracks start and end -------------------------------------------------------------------------
# Starts: appload, backbtn, clickrow, endplay, fwdbtn, playbtn, remote, trackdone, trackerror.
# Ends: backbtn, clickrow, endplay, fwdbtn, logout, remote, trackdone.

FIRST_START: Final = (1395, 444, 2627, 10, 2549, 96, 38, 2798, 8)
"""Published rows at the first position by start: those of each start with no pause flag, which only first
positions have."""

START_AFTER_END: Final = (
    (0.0008, 0.9852, 0.006, 0.0, 0.007, 0.0, 0.0, 0.001, 0.0),
    (0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    (0.0129, 0.005, 0.9617, 0.0006, 0.006, 0.0021, 0.0013, 0.0101, 0.0003),
    (0.0008, 0.001, 0.004, 0.0, 0.9914, 0.0, 0.0, 0.002, 0.0008),
    (0.2359, 0.0221, 0.5, 0.0, 0.0556, 0.0229, 0.0078, 0.1556, 0.0),
    (0.0158, 0.0223, 0.336, 0.0023, 0.1344, 0.0078, 0.2596, 0.2218, 0.0),
    (0.0021, 0.001, 0.008, 0.0, 0.003, 0.0002, 0.0001, 0.9852, 0.0004),
)
"""Rows: end of the track before; columns: start of the next. Tuned to the published counts of starts. A start
mostly repeats the end before it (173 of 189 printed transitions); a click follows ``endplay``."""

SWITCH_BY_START: Final = (0.1084, 0.0002, 0.3757, 0.0051, 0.0007, 0.1842, 0.0992, 0.0014, 0.0369)
"""Tuned to the published shares of ``context_switch`` by start."""

SWITCH_FROM_CONTEXT: Final = (1.31, 0.2953, 0.9366, 0.8698, 2.059, 0.3513)
"""Factor on that share by the context before. Tuned to the difference between the published shares of first
rows and of all rows in each context (catalogue: 0.251 and 0.228)."""

SKIP_END_BY_START: Final = (
    (0.1201, 0.0, 0.5513, 0.3279, 0.0004, 0.0002, 0.0),
    (0.7514, 0.0, 0.0659, 0.1799, 0.0002, 0.001, 0.0016),
    (0.01, 0.0007, 0.8353, 0.1442, 0.0002, 0.0038, 0.0058),
    (0.1926, 0.0, 0.0, 0.6422, 0.0, 0.1652, 0.0),
    (0.0752, 0.0, 0.0975, 0.8236, 0.0002, 0.0004, 0.0032),
    (0.0, 0.0, 0.645, 0.342, 0.0006, 0.0124, 0.0),
    (0.0783, 0.0, 0.5527, 0.156, 0.0014, 0.2051, 0.0065),
    (0.1783, 0.0, 0.2307, 0.583, 0.0002, 0.0029, 0.0049),
    (0.0937, 0.0, 0.1027, 0.5771, 0.0, 0.0, 0.2266),
)
"""Rows: start of a skipped track; columns: its end. Tuned to the published shares of ends by start, which
include played tracks."""

END_WEIGHT_BY_OUTCOME: Final = (
    (1.066, 0.9569, 0.7471, 1.044, 7.892, 0.8771, 0.4784),
    (0.9843, 0.9679, 0.7558, 1.055, 7.983, 0.8874, 0.484),
    (0.3759, 0.0, 1.321, 1.113, 0.0464, 0.3971, 1.82),
)
"""Rows: outcomes skip_1, skip_2, skip_3; columns: ends. Factors on the table above, tuned to the published
skip_2 rates by end (back 0.90, forward 0.81, endplay 0.58, logout 0.29)."""

END_WEIGHT_BY_CONTEXT: Final = (
    (1.218, 1.0, 1.669, 0.8824, 1.0, 1.0, 1.0),
    (0.6901, 1.0, 0.4465, 1.23, 1.0, 1.0, 1.0),
    (0.7494, 1.0, 0.512, 1.183, 1.0, 1.0, 1.0),
    (0.8167, 1.0, 0.6807, 1.108, 1.0, 1.0, 1.0),
    (0.5281, 1.0, 0.3468, 1.344, 1.0, 1.0, 1.0),
    (1.136, 1.0, 0.6639, 1.055, 1.0, 1.0, 1.0),
)
"""Rows: contexts; columns: ends. Factors on the tables above, tuned to the published starts by context: more
tracks end by a click in contexts where listeners choose each track."""

END_WEIGHT_SHUFFLED: Final = (0.4795, 1.0, 0.4588, 1.298, 3.153, 2.184, 1.0)
END_WEIGHT_FREE: Final = (1.123, 1.0, 0.7131, 1.031, 1.425, 0.4, 1.0)
"""The same with and without shuffle and for listeners without premium, tuned to the published shares of
shuffle and premium by start."""

END_UNFLAGGED: Final = (0.017, 0.0, 0.24, 0.045, 0.14, 0.036, 0.522)
"""Ends of rows without a skip flag. Derived from the published counts of ``trackdone`` and ``logout`` minus
those of played and skipped rows."""

END_RESUMED: Final = (0.005, 0.0, 0.04, 0.02, 0.006, 0.01, 0.919)
"""The same for tracks with other starts (``appload``, ``endplay``, ``playbtn``, ``remote``, ``trackerror``):
tuned to the published ends of tracks after ``appload``."""

RESUMED_STARTS: Final = (0, 3, 5, 6, 8)  # those starts

END_PLAYED: Final = (0.00095, 0.0, 0.0040, 0.0033, 0.00013, 0.00002, 0.9916)
"""Published: 55,412 of 55,884 played rows end with ``trackdone``."""

# --- Pauses, seeks, time -----------------------------------------------------------------------------

NO_PAUSE_BY_START: Final = (0.5194, 0.9401, 0.8694, 0.0109, 0.9456, 0.6454, 0.7912, 0.5537, 0.8467)
"""Chance of no pause by start, after the first position, where no flag is set; tuned to published shares."""

SHORT_IN_PAUSE_BY_START: Final = (0.2647, 0.5582, 0.629, 0.9122, 0.6836, 0.0419, 0.3805, 0.9553, 0.4959)
"""Share of pauses that also set the short flag, tuned to the published shares; all pauses but ``SHORT_ALONE``
set the long flag."""

NO_PAUSE_BY_OUTCOME: Final = (0.5917, 0.5917, 0.3672, 0.3672, 3.548)
NO_PAUSE_BY_CONTEXT: Final = (1.201, 1.067, 0.8587, 0.8754, 0.5807, 1.162)
SHORT_IN_PAUSE_BY_OUTCOME: Final = (4.237, 4.237, 0.8925, 0.8925, 0.1117)
"""Factors on the odds of no pause and of the short flag, tuned to the published skip_2 and not_skipped rates
by pause (not_skipped 0.354 without, 0.189 with a short and 0.237 with a long one) and pauses by context."""

SHORT_ALONE: Final = 0.011
"""Share of pauses with the short flag alone, among those that do not set both: published 24,617 short rows
minus 0.1463 of all rows."""

SEEK_FORWARD_BY_START: Final = (0.744, 0.033, 0.053, 0.95, 0.018, 0.087, 0.78, 0.0066, 0.033)
SEEK_FORWARD_BY_END: Final = (0.536, 0.01, 1.126, 1.2, 0.331, 0.854, 0.798)
SEEK_BACK_BY_START: Final = (0.244, 0.0144, 0.0917, 0.0954, 0.0184, 0.0288, 0.123, 0.0511, 0.0312)
SEEK_BACK_BY_END: Final = (8.23, 0.006, 0.354, 0.285, 0.516, 0.479, 0.561)
"""Chance of at least one seek in a track: a factor by its start times a factor by its end. Proportional
fitting to the published 4,664 and 5,175 rows and to the correlations of seeks with starts and ends: forward
seeks with ``appload`` (0.42), backward seeks with the back button (0.25)."""

SEEKS_FORWARD: Final = (0.765, 0.175, 0.0385)
SEEKS_BACK: Final = (0.848, 0.096, 0.0193)
"""Shares of one, two and three seeks in such a row; the others have four or more. Tuned to the published
means 0.0389 and 0.0463 and the quantiles: 99.9% of all rows have at most 3 forward and 4 back."""

SEEK_FORWARD_TAIL: Final = 1.7
SEEK_BACK_TAIL: Final = 1.445
"""Given four or more seeks, the chance of at least k is ``(k / 4) ** -tail``: published standard deviations
0.37 and 0.61, and 25 and 30 distinct values."""

SEEK_FORWARD_MOST: Final = 60  # published maximum
SEEK_BACK_MOST: Final = 151  # published maximum

LISTENED_SHARE: Final = (0.03, 0.10, 0.40, 0.85, 1.0)
"""Part of a track that is heard, by outcome; it moves the clock only. The flags are published as skipped
"very briefly", "briefly" and "mostly played"; the numbers are a judgement."""

PAUSE_MINUTES: Final = 2.0  # mean of a long pause, exponential; a judgement that moves the hour of day only

# --- Outcomes -------------------------------------------------------------------------------------------
# Outcomes in the order of the flags: skip_1, skip_2, skip_3, none, played. The unit is the logit. Tuned
# together, by least squares on the published figures that the constants name, at the default size.

ATTENTION: Final = -2.845  # in mid-session if all else is average; tuned to the 0.333 share of played rows

CUTS: Final = (-1.894, -1.082, -0.145, 0.0)
"""Inner bounds of the outcomes on the scale of attention. A track is played above the last bound, so the
logistic function of attention is the chance of being played. Tuned to the published shares of the flags."""

DEPTH_BY_START: Final = (2.3996, 0.7078, 1.5257, 3.7242, 0.9062, 2.0153, 3.8398, 1.8239, 2.5042)
DEPTH_BY_CONTEXT: Final = (1.0335, 1.0403, 1.0299, 1.3501, 1.0181, 0.9469)
"""Factors on ``CUTS``: how far a skipped track is heard. The chance of being played does not depend on them.
Tuned to the published skip_2 rates by start and context and the 0.73 agreement of neighbouring tracks."""

UNFLAGGED_BY_START: Final = (5.594, 0.9219, 0.8067, 7.6947, 0.6901, 4.4988, 4.7877, 0.8121, 2.4786)
"""Factor on the third of ``CUTS`` by start: how often a track is heard almost to its end. Tuned to the
published ends by start: after ``appload``, 0.42 of the tracks end with ``trackdone`` and 0.18 are played."""

PATIENCE_SPREAD: Final = 1.0  # between listeners; tuned with TASTE_SPREAD

COMMON_TASTE: Final = (-0.05, -0.06, -0.06, 0.07, -0.07, 0.02, 0.0, 0.0, 0.0, 0.0)
"""Mean taste, attention per unit of each style and kind: least squares on the published correlations of
skip_2 with the track features, none of which exceeds 0.03. Listeners as a whole prefer no kind."""

TASTE_SPREAD: Final = (0.57, 0.35, 0.15, 0.1, 0.12, 0.1, 1.58, 1.58, 1.58, 1.58)
"""Standard deviation of taste between listeners, for six styles and four kinds. A session has two playlists,
so twenty tracks suffice to infer which of the two kinds the listener prefers. Tuned together with
``PATIENCE_SPREAD``, ``CHANGE_OF_PLAYLIST``, ``MOOD_MEMORY`` and ``MOOD_RESPONSE`` to the published
autocorrelation of skip_2 at lags 1 to 15, to the published scores of the last action repeated on the
challenge's task (MAA 0.537, first prediction 0.742), and to a best possible score above those of the best
published models (0.651 and 0.81). The taste for styles is small, because acoustic distances gained published
boosted trees 0.0005 MAA only."""

TRACK_APPEAL: Final = 0.36
"""Standard deviation of the appeal of a track that its features do not tell, the same for all listeners. The
best possible MAA is 0.003 higher for it; published boosted trees gained 0.0025 from rates of tracks."""

MOOD_MEMORY: Final = 0.755
"""Part of the mood that remains at the next track; tuned with ``TASTE_SPREAD``."""

MOOD_RESPONSE: Final = (-0.2161, -0.2346, -0.1235, -0.0371, 0.3766)
"""Change of the mood by outcome; tuned with ``TASTE_SPREAD``."""

OPENING_DEPTH: Final = 1.196
"""Factor on ``DEPTH_BY_START`` for a session's first track, which is heard further: of the published rows
without a pause flag, nearly all of them first rows, 0.34 are played and 0.38 have skip_2."""

OPENING_LIFT: Final = (0.272, -0.147)
"""Additional attention to the first two tracks: published skip_2 rates 0.377 and 0.476. The further increase
to 0.530 at the fourth track follows from the mood, which starts at 0 and decreases."""

LEAVING_DEPTH: Final = 1.313
LEAVING_LIFT: Final = 2.485
"""Factor on ``DEPTH_BY_START`` and additional attention for last tracks of sessions of fewer than 20 tracks;
tuned to the skip_2 rate, 0.404, and the share of played rows, 0.450, that are published for last tracks."""

START_LIFT: Final = (-0.1159, 1.5946, 2.2129, -0.3785, 0.5363, 0.0, -0.9962, 2.2169, 0.2047)
CONTEXT_LIFT: Final = (-0.0059, -0.114, 0.1458, 0.1805, -0.0993, -0.0464)
"""Attention by start (a clicked track was chosen), tuned to the published shares by start; and by context,
to the published shares of played rows, 0.371 in the catalogue to 0.300 in charts."""

SHUFFLE_LIFT: Final = -0.093  # tuned to the published shares of played rows, 0.311 and 0.343 without
SWITCH_LIFT: Final = 0.5216  # tuned to the published share of played rows after a switch of context, 0.414
PREMIUM_LIFT: Final = 0.057  # tuned to the published skip_2 rates: 0.513 with premium, 0.534 without

APPEAL_OF_MIXTURE: Final = 0.35
APPEAL_OF_ERA: Final = 0.25
"""Attention to a track that is the same for all listeners: to mellow sound with a strong beat, and to tracks
of the usual era. Not linear, because no published correlation of skip_2 with a track feature exceeds 0.03;
bounded, because the published skip_2 rate of a track with 915 plays, 0.475, is near the 0.517 of all rows."""

HOUR_LIFT: Final = (
    0.003, -0.1038, -0.257, -0.1382, -0.1989, 0.1941, 0.316, 0.0348, 0.1951, 0.2244, 0.1411, -0.0407,
    -0.0026, 0.0713, 0.0005, 0.1011, -0.0112, -0.1248, -0.0124, 0.0051, -0.0811, 0.0132, -0.1081, -0.0971,
)  # fmt: skip
"""Attention by the hour of a session's rows; tuned to the published skip_2 rates by hour."""

# --- Changes on a given day ---------------------------------------------------------------------------------

DRIFTED_PATIENCE: Final = -0.45  # change of attention: about ten percentage points more skips
DRIFTED_PLAYS: Final = 0.3  # share of the plays that move when track features drift
DRIFT_POOL_SHARE: Final = 0.05  # share of the catalogue to which they move
DRIFTED_CONTEXT_WEIGHT: Final = (1.0, 1.0, 1.0, 1.0, 3.0, 1.0)  # factor on the chance of each context: radio
DRIFTED_CLICKS: Final = 0.5  # share of clicked tracks that start with the unknown level: 5% of all rows
UNKNOWN_START: Final = "uriopen"  # a level that the full data have and the mini set lacks

# --- Which tracks a session plays -------------------------------------------------------------------------

BROWSING_WITHIN: Final = 0.9  # spread of a session's playlists, against 1 between sessions; a judgement

CHANGE_OF_PLAYLIST: Final = 0.21
"""Chance that the next track comes from the other one of a session's two playlists; tuned with
``TASTE_SPREAD``."""
