"""Pauses, seeks, hour, date and premium of each log row; none of them influences an outcome."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skip_pipeline.schema import MAX_SESSION_LENGTH
from skip_pipeline.world import constants
from skip_pipeline.world.apportion import cumulative, draw_categories
from skip_pipeline.world.arrays import BoolArray, DateArray, FloatArray, IntArray
from skip_pipeline.world.listeners import Listeners
from skip_pipeline.world.sessions import Behaviour


@dataclass(frozen=True)
class Playback:
    """Arrays (sessions, 20); positions after a session's end are not used.

    Attributes:
        no_pause, short_pause, long_pause: bool; all false at the first position.
        seeks_forward, seeks_back: int64 counts.
        hour: int64, local hour 0 to 23 in which the track starts.
        date: datetime64[D] on which the track starts.
        premium: bool; the listener's, except in the few sessions in which the subscription ends.
    """

    no_pause: BoolArray
    short_pause: BoolArray
    long_pause: BoolArray
    seeks_forward: IntArray
    seeks_back: IntArray
    hour: IntArray
    date: DateArray
    premium: BoolArray


def draw_playback(
    rng: np.random.Generator,
    behaviour: Behaviour,
    listeners: Listeners,
    *,
    duration: FloatArray,
    lengths: IntArray,
    day: DateArray,
) -> Playback:
    """Draw playback for given reactions.

    Args:
        rng: source of every chance event.
        behaviour: reactions, (sessions, 20).
        listeners: traits, one a session.
        duration: float64 (sessions, 20), seconds of the track at each position.
        lengths: int64 (sessions,).
        day: datetime64[D] (sessions,), the day whose log a session belongs to.
    """
    no_pause, short_pause, long_pause = _draw_pauses(rng, behaviour)
    minute = _minutes(rng, listeners.minute, behaviour.outcome, long_pause, duration)
    after_midnight = (minute // 1440).astype(np.int64)
    last = np.take_along_axis(after_midnight, lengths[:, None] - 1, axis=1)
    return Playback(
        no_pause=no_pause,
        short_pause=short_pause,
        long_pause=long_pause,
        seeks_forward=_draw_seeks(rng, behaviour, _FORWARD),
        seeks_back=_draw_seeks(rng, behaviour, _BACK),
        hour=(minute % 1440 // 60).astype(np.int64),
        date=draw_last_dates(rng, day)[:, None] - (last - after_midnight),
        premium=_draw_premium(rng, listeners.premium, lengths),
    )


def _draw_pauses(rng: np.random.Generator, behaviour: Behaviour) -> tuple[BoolArray, BoolArray, BoolArray]:
    start, shape = behaviour.start, behaviour.start.shape
    later = np.arange(shape[1]) > 0  # (20,)
    no_pause = (rng.random(shape) < _NO_PAUSE[start, behaviour.outcome, behaviour.context]) & later
    paused = ~no_pause & later
    both = paused & (rng.random(shape) < _SHORT_IN_PAUSE[start, behaviour.outcome])
    short_alone = paused & ~both & (rng.random(shape) < constants.SHORT_ALONE)
    return no_pause, both | short_alone, paused & ~short_alone


@dataclass(frozen=True)
class _Seeks:
    """Chance of at least one seek by start and end, (9, 7), and the distribution of their number."""

    chance: FloatArray
    few: tuple[float, ...]
    tail: float
    most: int


def _draw_seeks(rng: np.random.Generator, behaviour: Behaviour, law: _Seeks) -> IntArray:
    seeking = rng.random(behaviour.start.shape) < law.chance[behaviour.start, behaviour.end]
    count = int(seeking.sum())
    few = 1 + np.searchsorted(np.cumsum(law.few), rng.random(count), side="right")
    # 1 - random lies in (0, 1], so the power stays finite.
    least = len(law.few) + 1
    many = np.minimum(least * (1.0 - rng.random(count)) ** (-1.0 / law.tail), law.most)
    seeks = np.zeros(seeking.shape, dtype=np.int64)
    seeks[seeking] = np.where(few < least, few, many)
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


def draw_last_dates(rng: np.random.Generator, day: DateArray) -> DateArray:
    """Date on which each session ends, (sessions,): near its log's day, or the date of a wrong clock."""
    sessions = len(day)
    offset = _DAYS_LATE[draw_categories(rng, np.broadcast_to(_LATE_SHARES, (sessions, len(_LATE_SHARES))))]
    junk = rng.random(sessions) < sum(constants.JUNK_YEARS.values())
    year = _JUNK_YEARS[draw_categories(rng, np.broadcast_to(_JUNK_SHARES, (sessions, len(_JUNK_SHARES))))]
    anywhere = year.astype("datetime64[D]") + rng.integers(0, 365, sessions)
    return np.where(junk, anywhere, day - offset)


def _draw_premium(rng: np.random.Generator, premium: BoolArray, lengths: IntArray) -> BoolArray:
    lapsing = rng.random(len(lengths)) < constants.LAPSING_SHARE
    left = 1 + rng.integers(0, constants.LAPSED_TRACKS, len(lengths))
    lapse = np.where(lapsing, lengths - left, MAX_SESSION_LENGTH)
    return (premium | lapsing)[:, None] & (np.arange(MAX_SESSION_LENGTH) < lapse[:, None])


def _no_pause() -> FloatArray:
    """Chance of no pause by start, outcome and context, (9, 5, 6)."""
    by_start = np.array(constants.NO_PAUSE_BY_START)
    odds = (by_start / (1.0 - by_start))[:, None, None]
    odds = odds * np.array(constants.NO_PAUSE_BY_OUTCOME)[:, None] * np.array(constants.NO_PAUSE_BY_CONTEXT)
    return np.asarray(odds / (1.0 + odds), dtype=np.float64)


def _short_in_pause() -> FloatArray:
    """Chance that a pause sets the short flag too, by start and outcome, (9, 5)."""
    by_start = np.array(constants.SHORT_IN_PAUSE_BY_START)
    odds = (by_start / (1.0 - by_start))[:, None] * np.array(constants.SHORT_IN_PAUSE_BY_OUTCOME)
    return np.asarray(odds / (1.0 + odds), dtype=np.float64)


def _late_shares() -> FloatArray:
    """Shares of sessions by date, derived from the shares of rows."""
    shares = np.array(list(constants.DATES.values()), dtype=np.float64)
    shares[:2] += (constants.OVER_MIDNIGHT, -constants.OVER_MIDNIGHT)
    return shares


_NO_PAUSE = _no_pause()
_FORWARD = _Seeks(
    np.minimum(np.outer(constants.SEEK_FORWARD_BY_START, constants.SEEK_FORWARD_BY_END), 1.0),
    constants.SEEKS_FORWARD,
    constants.SEEK_FORWARD_TAIL,
    constants.SEEK_FORWARD_MOST,
)
_BACK = _Seeks(
    np.minimum(np.outer(constants.SEEK_BACK_BY_START, constants.SEEK_BACK_BY_END), 1.0),
    constants.SEEKS_BACK,
    constants.SEEK_BACK_TAIL,
    constants.SEEK_BACK_MOST,
)
_SHORT_IN_PAUSE = _short_in_pause()
_DAYS_LATE = np.datetime64(constants.FIRST_DATE) - np.array(list(constants.DATES), dtype="datetime64[D]")
_LATE_SHARES = cumulative(_late_shares())
_JUNK_YEARS = np.array([str(year) for year in constants.JUNK_YEARS], dtype="datetime64[Y]")
_JUNK_SHARES = cumulative(np.array(list(constants.JUNK_YEARS.values())))
