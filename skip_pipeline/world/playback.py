"""Pauses, seeks, hour, date and premium of each log row; none of them influences an outcome."""

from typing import Any

import numpy as np
import numpy.typing as npt

from skip_pipeline.schema import MAX_SESSION_LENGTH
from skip_pipeline.world import constants
from skip_pipeline.world.arrays import BoolArray, DateArray, FloatArray, IntArray
from skip_pipeline.world.listeners import Listeners
from skip_pipeline.world.randomness import cumulative, draw_categories
from skip_pipeline.world.sessions import Behaviour


def draw_playback(
    rng: np.random.Generator,
    behaviour: Behaviour,
    listeners: Listeners,
    *,
    duration: FloatArray,
    lengths: IntArray,
    day: DateArray,
) -> dict[str, npt.NDArray[Any]]:
    """Draw the columns of ``schema.SESSION_LOG`` about playback, for given reactions.

    Args:
        duration: (sessions, 20), seconds of the track at each position.
        lengths: (sessions,).
        day: (sessions,), the day whose log a session belongs to.

    Returns:
        Arrays (sessions, 20) by column; positions after a session's end are not used. Pause flags are all
        false at the first position; premium is the listener's, except where the subscription ends.
    """
    start, outcome = behaviour.start, behaviour.outcome
    later = np.arange(MAX_SESSION_LENGTH) > 0  # (20,)
    no_pause = (rng.random(start.shape) < _NO_PAUSE[start, outcome, behaviour.context]) & later
    paused = ~no_pause & later
    both = paused & (rng.random(start.shape) < _SHORT_IN_PAUSE[start, outcome])
    short_alone = paused & ~both & (rng.random(start.shape) < constants.SHORT_ALONE)
    long_pause = paused & ~short_alone
    minute = _minutes(rng, listeners.minute, outcome, long_pause, duration)
    after_midnight = (minute // 1440).astype(np.int64)
    last = np.take_along_axis(after_midnight, lengths[:, None] - 1, axis=1)
    return {
        "no_pause_before_play": no_pause,
        "short_pause_before_play": both | short_alone,
        "long_pause_before_play": long_pause,
        "hist_user_behavior_n_seekfwd": _draw_seeks(
            rng,
            np.outer(constants.SEEK_FORWARD_BY_START, constants.SEEK_FORWARD_BY_END)[start, behaviour.end],
            constants.SEEKS_FORWARD,
            constants.SEEK_FORWARD_TAIL,
            constants.SEEK_FORWARD_MOST,
        ),
        "hist_user_behavior_n_seekback": _draw_seeks(
            rng,
            np.outer(constants.SEEK_BACK_BY_START, constants.SEEK_BACK_BY_END)[start, behaviour.end],
            constants.SEEKS_BACK,
            constants.SEEK_BACK_TAIL,
            constants.SEEK_BACK_MOST,
        ),
        "hour_of_day": (minute % 1440 // 60).astype(np.int64),
        "date": _draw_last_dates(rng, day)[:, None] - (last - after_midnight),
        "premium": _draw_premium(rng, listeners.premium, lengths),
    }


def _draw_seeks(
    rng: np.random.Generator, chance: FloatArray, few: tuple[float, ...], tail: float, most: int
) -> IntArray:
    """Numbers of seeks. ``chance`` is that of at least one; ``few`` are shares of 1, 2, … of those."""
    seeking = rng.random(chance.shape) < chance
    count = int(seeking.sum())
    number = 1 + np.searchsorted(np.cumsum(few), rng.random(count), side="right")
    # 1 - random lies in (0, 1], so the power stays finite.
    least = len(few) + 1
    many = np.minimum(least * (1.0 - rng.random(count)) ** (-1.0 / tail), most)
    seeks = np.zeros(seeking.shape, dtype=np.int64)
    seeks[seeking] = np.where(number < least, number, many)
    return seeks


def _minutes(
    rng: np.random.Generator, first: FloatArray, outcome: IntArray, paused: BoolArray, duration: FloatArray
) -> FloatArray:
    """Start of each track in minutes since the midnight before the session, (sessions, 20)."""
    heard = duration / 60.0 * np.array(constants.LISTENED_SHARE)[outcome]
    waited = np.zeros(outcome.shape)
    waited[paused] = rng.exponential(constants.PAUSE_MINUTES, int(paused.sum()))
    passed = np.cumsum(heard, axis=1) - heard + np.cumsum(waited, axis=1)
    return np.asarray(first[:, None] + passed, dtype=np.float64)


def _draw_last_dates(rng: np.random.Generator, day: DateArray) -> DateArray:
    """Date on which each session ends, (sessions,): near its log's day, or the date of a wrong clock."""
    count = len(day)
    offset = _DAYS_LATE[draw_categories(rng, np.broadcast_to(_LATE_SHARES, (count, len(_LATE_SHARES))))]
    junk = rng.random(count) < sum(constants.JUNK_YEARS.values())
    year = _JUNK_YEARS[draw_categories(rng, np.broadcast_to(_JUNK_SHARES, (count, len(_JUNK_SHARES))))]
    anywhere = year.astype("datetime64[D]") + rng.integers(0, 365, count)
    return np.where(junk, anywhere, day - offset)


def _draw_premium(rng: np.random.Generator, premium: BoolArray, lengths: IntArray) -> BoolArray:
    lapsing = rng.random(len(lengths)) < constants.LAPSING_SHARE
    left = 1 + rng.integers(0, constants.LAPSED_TRACKS, len(lengths))
    lapse = np.where(lapsing, lengths - left, MAX_SESSION_LENGTH)
    return (premium | lapsing)[:, None] & (np.arange(MAX_SESSION_LENGTH) < lapse[:, None])


def _chances(by_start: tuple[float, ...], *factors: tuple[float, ...]) -> FloatArray:
    """Chances whose odds are those by start times a factor for each index of the other axes."""
    odds = np.array(by_start) / (1.0 - np.array(by_start))
    for factor in factors:
        odds = odds[..., None] * np.array(factor)
    return np.asarray(odds / (1.0 + odds), dtype=np.float64)


_NO_PAUSE = _chances(
    constants.NO_PAUSE_BY_START, constants.NO_PAUSE_BY_OUTCOME, constants.NO_PAUSE_BY_CONTEXT
)
"""Chance of no pause by start, outcome and context, (9, 5, 6)."""
_SHORT_IN_PAUSE = _chances(constants.SHORT_IN_PAUSE_BY_START, constants.SHORT_IN_PAUSE_BY_OUTCOME)
"""Chance that a pause sets the short flag too, by start and outcome, (9, 5)."""
_DAYS_LATE = np.datetime64(constants.FIRST_DATE) - np.array(list(constants.DATES), dtype="datetime64[D]")
_LATE_SHARES = cumulative(  # of sessions by date, derived from the shares of rows
    np.array(list(constants.DATES.values()))
    + np.pad([constants.OVER_MIDNIGHT, -constants.OVER_MIDNIGHT], (0, len(constants.DATES) - 2))
)
_JUNK_YEARS = np.array([str(year) for year in constants.JUNK_YEARS], dtype="datetime64[Y]")
_JUNK_SHARES = cumulative(np.array(list(constants.JUNK_YEARS.values())))
