"""Pauses, seeks, hour and date: what a log row tells beside the reaction, and what never changes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skip_pipeline.world import figures
from skip_pipeline.world.apportion import cumulative, draw_categories
from skip_pipeline.world.sessions import Behaviour

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Circumstances:
    """Arrays (sessions, 20), of which a session uses its length.

    Attributes:
        no_pause, short_pause, long_pause: bool; all false at the first position.
        seeks_forward, seeks_back: int64 counts.
        hour: int64, local hour 0 to 23 in which the track starts.
        date: datetime64[D] on which the track starts.
    """

    no_pause: BoolArray
    short_pause: BoolArray
    long_pause: BoolArray
    seeks_forward: IntArray
    seeks_back: IntArray
    hour: IntArray
    date: npt.NDArray[np.datetime64]


def draw_circumstances(
    rng: np.random.Generator, behaviour: Behaviour, duration: FloatArray, lengths: IntArray
) -> Circumstances:
    """Draw what goes with given reactions.

    Args:
        rng: source of every chance event.
        behaviour: reactions, (sessions, 20).
        duration: float64 (sessions, 20), seconds of the track at each position.
        lengths: int64 (sessions,).
    """
    no_pause, short_pause, long_pause = _draw_pauses(rng, behaviour.start)
    hour, date = _draw_clock(rng, behaviour.outcome, long_pause, duration, lengths)
    return Circumstances(
        no_pause=no_pause,
        short_pause=short_pause,
        long_pause=long_pause,
        seeks_forward=_draw_seeks(
            rng, behaviour.outcome, figures.SEEK_FORWARD, figures.SEEK_FORWARD_TAIL, figures.SEEK_FORWARD_MOST
        ),
        seeks_back=_draw_seeks(
            rng, behaviour.outcome, figures.SEEK_BACK, figures.SEEK_BACK_TAIL, figures.SEEK_BACK_MOST
        ),
        hour=hour,
        date=date,
    )


def _draw_pauses(rng: np.random.Generator, start: IntArray) -> tuple[BoolArray, BoolArray, BoolArray]:
    later = np.arange(start.shape[1]) > 0  # (20,)
    no_pause = (rng.random(start.shape) < np.array(figures.NO_PAUSE_BY_START)[start]) & later
    paused = ~no_pause & later
    both = paused & (rng.random(start.shape) < np.array(figures.SHORT_IN_PAUSE_BY_START)[start])
    short_alone = paused & ~both & (rng.random(start.shape) < figures.SHORT_ALONE)
    return no_pause, both | short_alone, paused & ~short_alone


def _draw_seeks(
    rng: np.random.Generator, outcome: IntArray, chances: tuple[float, ...], tail: float, most: int
) -> IntArray:
    chance = np.array(chances)[outcome] * figures.SEEK_FADE ** np.arange(outcome.shape[1])
    seeking = rng.random(outcome.shape) < chance
    # 1 - random lies in (0, 1], so the power stays finite.
    many = np.minimum((1.0 - rng.random(outcome.shape)) ** (-1.0 / tail), most).astype(np.int64)
    return np.where(seeking, many, 0)


def _draw_clock(
    rng: np.random.Generator, outcome: IntArray, paused: BoolArray, duration: FloatArray, lengths: IntArray
) -> tuple[IntArray, npt.NDArray[np.datetime64]]:
    """Hours and dates from a start in the published hours and an end on the published dates."""
    sessions = len(lengths)
    minutes = duration / 60.0 * np.array(figures.LISTENED_SHARE)[outcome]
    waited = np.where(paused, rng.exponential(figures.PAUSE_MINUTES, outcome.shape), 0.0)
    heard_before = np.cumsum(minutes, axis=1) - minutes
    hours = cumulative(np.array(figures.ROWS_BY_HOUR))
    first_minute = 60.0 * (
        draw_categories(rng, np.broadcast_to(hours, (sessions, 24))) + rng.random(sessions)
    )
    minute = first_minute[:, None] + heard_before + np.cumsum(waited, axis=1)  # since the midnight before
    day = (minute // 1440).astype(np.int64)
    dates = np.array(list(figures.ROWS_BY_DATE), dtype="datetime64[D]")
    weights = cumulative(np.array(list(figures.ROWS_BY_DATE.values())))
    last = dates[draw_categories(rng, np.broadcast_to(weights, (sessions, len(weights))))]
    days_before_last = np.take_along_axis(day, lengths[:, None] - 1, axis=1) - day
    return (minute % 1440 // 60).astype(np.int64), last[:, None] - days_before_last
