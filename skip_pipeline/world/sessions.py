"""How listeners react, position by position: starts, contexts, outcomes, ends.

The state between two tracks is the mood, the context and how the track before ended. What follows from an
outcome without changing the next one (pauses, seeks, the clock) is in ``circumstances.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from skip_pipeline.schema import LEVELS, MAX_SESSION_LENGTH
from skip_pipeline.world import figures
from skip_pipeline.world.apportion import cumulative, draw_categories
from skip_pipeline.world.listeners import Listeners

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

SKIP_1, SKIP_2, SKIP_3, UNFLAGGED, PLAYED = range(5)
"""Outcomes of a track, by the first of the nested flags that is set."""


@dataclass(frozen=True)
class Behaviour:
    """What happened: arrays (sessions,) of one position, or (sessions, 20), filled as far as sessions last.

    Attributes:
        outcome: int64, ``SKIP_1`` to ``PLAYED``.
        start: int64, index into the levels of ``hist_user_behavior_reason_start``.
        end: int64, index into the levels of ``hist_user_behavior_reason_end``.
        context: int64, index into the levels of ``context_type``.
        switched: bool, the context was switched before the track.
        shuffled: bool.
        chance_played: float64, probability of ``PLAYED`` given all that led to the track.
    """

    outcome: IntArray
    start: IntArray
    end: IntArray
    context: IntArray
    switched: BoolArray
    shuffled: BoolArray
    chance_played: FloatArray


def listen(
    rng: np.random.Generator, listeners: Listeners, lengths: IntArray, liking: FloatArray
) -> Behaviour:
    """Play all sessions.

    Args:
        rng: source of every chance event.
        listeners: traits, one a session.
        lengths: int64 (sessions,).
        liking: float64 (sessions, 20), taste times style of the track at each position, logits.
    """
    past = _Past.before_first(len(lengths))
    heard: list[Behaviour] = []
    for position in range(MAX_SESSION_LENGTH):
        attention = listeners.patience + liking[:, position] + _position_lift(lengths, position)
        here = _hear(rng, past, attention, listeners.shuffling, position)
        past = _Past(_next_mood(rng, past.mood, here.outcome), here.context, here.end)
        heard.append(here)
    names = [field.name for field in fields(Behaviour)]
    return Behaviour(**{name: np.stack([getattr(here, name) for here in heard], axis=1) for name in names})


@dataclass(frozen=True)
class _Past:
    """What a track finds: float64 mood, int64 context and int64 end of the track before, each (sessions,)."""

    mood: FloatArray
    context: IntArray
    end: IntArray

    @staticmethod
    def before_first(sessions: int) -> _Past:
        nothing = np.zeros(sessions, dtype=np.int64)
        return _Past(np.zeros(sessions), nothing, nothing)


def _hear(
    rng: np.random.Generator, past: _Past, attention: FloatArray, shuffling: FloatArray, position: int
) -> Behaviour:
    """One track of every session; ``attention`` (sessions,) is what listener, track and position bring."""
    start = _draw_starts(rng, past, position)
    switched = rng.random(len(start)) < _SWITCH[start]
    context = _draw_contexts(rng, past, switched, position)
    shuffled = shuffling < _SHUFFLE[context]
    attention = attention + figures.ATTENTION + past.mood
    attention += _START_LIFT[start] + _CONTEXT_LIFT[context] + figures.SHUFFLE_LIFT * shuffled
    depth = (attention + rng.logistic(size=len(start))) / _DEPTH[start]
    outcome = np.searchsorted(_CUTS, depth, side="right")
    end = draw_categories(rng, _ENDS[outcome, start])
    chance = 1.0 / (1.0 + np.exp(-attention))
    return Behaviour(outcome, start, end, context, switched, shuffled, chance)


def _draw_starts(rng: np.random.Generator, past: _Past, position: int) -> IntArray:
    shares = np.broadcast_to(_FIRST_START, (len(past.end), len(_FIRST_START)))
    return draw_categories(rng, shares if position == 0 else _START_AFTER_END[past.end])


def _draw_contexts(rng: np.random.Generator, past: _Past, switched: BoolArray, position: int) -> IntArray:
    shares = _CONTEXT_AT_START if position == 0 else _CONTEXT_AFTER_SWITCH
    drawn = draw_categories(rng, np.broadcast_to(shares, (len(switched), len(shares))))
    return drawn if position == 0 else np.where(switched, drawn, past.context)


def _position_lift(lengths: IntArray, position: int) -> FloatArray:
    leaving = (lengths == position + 1) & (lengths < MAX_SESSION_LENGTH)
    first = figures.FIRST_LIFT if position == 0 else 0.0
    return np.asarray(first + figures.LEAVING_LIFT * leaving, dtype=np.float64)


def _next_mood(rng: np.random.Generator, mood: FloatArray, outcome: IntArray) -> FloatArray:
    shock = figures.MOOD_SHOCK * rng.standard_normal(len(mood))
    return np.asarray(figures.MOOD_MEMORY * mood + _MOOD_RESPONSE[outcome] + shock, dtype=np.float64)


def _ends() -> FloatArray:
    """Cumulative shares of ends by outcome and start, (5, 9, 7)."""
    starts = len(LEVELS["hist_user_behavior_reason_start"])
    skipped = np.array(figures.END_WEIGHT_BY_OUTCOME)[:, None, :] * np.array(figures.SKIP_END_BY_START)
    others = np.array([figures.END_UNFLAGGED, figures.END_PLAYED])[:, None, :].repeat(starts, axis=1)
    return cumulative(np.concatenate([skipped, others]))


_FIRST_START = cumulative(np.array(figures.FIRST_START))
_START_AFTER_END = cumulative(np.array(figures.START_AFTER_END))
_SWITCH = np.array(figures.SWITCH_BY_START)
_SHUFFLE = np.array(figures.SHUFFLE_BY_CONTEXT)
_CONTEXT_AT_START = cumulative(np.array(figures.CONTEXT_AT_START))
_CONTEXT_AFTER_SWITCH = cumulative(np.array(figures.CONTEXT_AFTER_SWITCH))
_START_LIFT = np.array(figures.START_LIFT)
_CONTEXT_LIFT = np.array(figures.CONTEXT_LIFT)
_MOOD_RESPONSE = np.array(figures.MOOD_RESPONSE)
_CUTS = np.array(figures.CUTS)
_DEPTH = np.array(figures.DEPTH_BY_START)
_ENDS = _ends()
