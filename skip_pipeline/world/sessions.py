"""Reactions of listeners, position by position: starts, contexts, outcomes, ends.

The state between two tracks is the mood, the context and the end of the track before. Pauses, seeks and
times, which do not influence the next outcome, are in ``playback.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from skip_pipeline.schema import LEVELS, MAX_SESSION_LENGTH
from skip_pipeline.world import constants
from skip_pipeline.world.apportion import choose, cumulative, draw_categories
from skip_pipeline.world.arrays import BoolArray, FloatArray, IntArray
from skip_pipeline.world.listeners import Listeners

SKIP_1, SKIP_2, SKIP_3, UNFLAGGED, PLAYED = range(5)
"""Outcomes of a track: the first of the nested flags that is set."""


@dataclass(frozen=True)
class Behaviour:
    """Reactions: arrays (sessions,) of one position, or (sessions, 20) with unused values after the end.

    Attributes:
        outcome: int64, ``SKIP_1`` to ``PLAYED``.
        start: int64, index into the levels of ``hist_user_behavior_reason_start``.
        end: int64, index into the levels of ``hist_user_behavior_reason_end``.
        context: int64, index into the levels of ``context_type``.
        switched: bool, the context was switched before the track.
        shuffled: bool.
        expected: float64, logit of attention before the track starts, without the hidden parts: patience,
            taste and ``unseen_mood``.
        unseen_mood: float64, logit, the part of the mood that does not follow from outcomes.
    """

    outcome: IntArray
    start: IntArray
    end: IntArray
    context: IntArray
    switched: BoolArray
    shuffled: BoolArray
    expected: FloatArray
    unseen_mood: FloatArray


@dataclass(frozen=True)
class Setting:
    """Parts of the attention that are fixed before a session.

    Attributes:
        lengths: int64 (sessions,).
        liking: float64 (sessions, 20), taste times contrast of the track at each position, logits.
        lift: float64 (sessions, 20), attention due to track, hour, premium and drift, logits.
        circle: int64 (sessions,), row of ``CONTEXT_AT_START`` and ``CONTEXT_AFTER_SWITCH``: premium, drift.
    """

    lengths: IntArray
    liking: FloatArray
    lift: FloatArray
    circle: IntArray


def circle_of(premium: BoolArray, drifted: BoolArray) -> IntArray:
    """Row of the tables of context shares for each session, from two arrays bool (sessions,)."""
    return premium.astype(np.int64) + 2 * drifted


def premium_of(circle: IntArray) -> IntArray:
    """1 for sessions of premium listeners, 0 for others, from ``circle_of``."""
    return circle % 2


def browsing_of(listeners: Listeners, circle: IntArray) -> FloatArray:
    """Centre of the tracks that each session chooses from, float64 (sessions, 2).

    It is the listener's ``browsing``, shifted for sessions that start in the catalogue.
    """
    in_catalogue = choose(_CONTEXT_AT_START[circle], listeners.inclination) == _CATALOGUE
    moved = listeners.browsing.copy()
    moved[in_catalogue, 1] += constants.BROWSING_OF_CATALOGUE
    return moved


def listen(rng: np.random.Generator, listeners: Listeners, setting: Setting) -> Behaviour:
    """Play all sessions, every position at once for all."""
    past = _Past.before_first(len(setting.lengths))
    heard: list[Behaviour] = []
    for position in range(MAX_SESSION_LENGTH):
        hidden = listeners.patience + setting.liking[:, position]
        leaving = (setting.lengths == position + 1) & (position + 1 < MAX_SESSION_LENGTH)
        lift = setting.lift[:, position] + constants.LEAVING_LIFT * leaving
        here = _hear(rng, past, hidden, lift, leaving, listeners, setting.circle, position)
        past = past.after(rng, here)
        heard.append(here)
    names = [field.name for field in fields(Behaviour)]
    return Behaviour(**{name: np.stack([getattr(here, name) for here in heard], axis=1) for name in names})


@dataclass(frozen=True)
class _Past:
    """State before a track, each (sessions,): both parts of the mood, context and end of the track before."""

    mood: FloatArray
    unseen_mood: FloatArray
    context: IntArray
    end: IntArray

    @staticmethod
    def before_first(sessions: int) -> _Past:
        nothing = np.zeros(sessions, dtype=np.int64)
        return _Past(np.zeros(sessions), np.zeros(sessions), nothing, nothing)

    def after(self, rng: np.random.Generator, here: Behaviour) -> _Past:
        shock = constants.MOOD_SHOCK * rng.standard_normal(len(self.mood))
        return _Past(
            constants.MOOD_MEMORY * self.mood + _MOOD_RESPONSE[here.outcome],
            constants.MOOD_MEMORY * self.unseen_mood + shock,
            here.context,
            here.end,
        )


def _hear(
    rng: np.random.Generator,
    past: _Past,
    hidden: FloatArray,
    lift: FloatArray,
    leaving: BoolArray,
    listeners: Listeners,
    circle: IntArray,
    position: int,
) -> Behaviour:
    """React to one track in every session; ``hidden`` and ``lift`` (sessions,) are parts of the attention."""
    start = _draw_starts(rng, past, position)
    switched = rng.random(len(start)) < (
        FIRST_SWITCH[start] if position == 0 else SWITCH[start, past.context]
    )
    first = choose(_CONTEXT_AT_START[circle], listeners.inclination) if position == 0 else past.context
    context = _draw_contexts(rng, first, circle, switched & (position > 0))
    shuffled = listeners.shuffling < SHUFFLE[premium_of(circle), context]
    expected = constants.ATTENTION + past.mood + lift + _OPENING_LIFT[position]
    attention = expected + past.unseen_mood + hidden + START_LIFT[start] + CONTEXT_LIFT[context]
    attention += constants.SHUFFLE_LIFT * shuffled + constants.SWITCH_LIFT * switched
    depth = (attention + rng.logistic(size=len(start))) / DEPTH[start, context]
    depth[leaving] /= constants.LEAVING_DEPTH
    if position == 0:
        depth /= constants.OPENING_DEPTH
    outcome = (depth[:, None] >= CUTS[start]).sum(axis=1)
    habits = 2 * shuffled.astype(np.int64) + listeners.premium
    end = draw_categories(rng, _ENDS[outcome, start, context, habits])
    return Behaviour(outcome, start, end, context, switched, shuffled, expected, past.unseen_mood)


def _draw_starts(rng: np.random.Generator, past: _Past, position: int) -> IntArray:
    shares = np.broadcast_to(_FIRST_START, (len(past.end), len(_FIRST_START)))
    return draw_categories(rng, shares if position == 0 else _START_AFTER_END[past.end])


def _draw_contexts(
    rng: np.random.Generator, before: IntArray, circle: IntArray, switched: BoolArray
) -> IntArray:
    context = before.copy()
    context[switched] = draw_categories(rng, _CONTEXT_AFTER_SWITCH[circle[switched]])
    return context


def _ends() -> FloatArray:
    """Cumulative shares of ends by outcome, start, context and habits, (5, 9, 6, 4, 7)."""
    starts = len(LEVELS["hist_user_behavior_reason_start"])
    skipped = np.array(constants.END_WEIGHT_BY_OUTCOME)[:, None, :] * np.array(constants.SKIP_END_BY_START)
    others = np.array([constants.END_UNFLAGGED, constants.END_PLAYED])[:, None, :].repeat(starts, axis=1)
    others[0, list(constants.RESUMED_STARTS)] = constants.END_RESUMED
    by_start = np.concatenate([skipped, others])[:, :, None, None, :]
    contexts = np.array(constants.END_WEIGHT_BY_CONTEXT)[:, None, :]
    habits = np.stack(
        [
            (np.ones(7) if premium else np.array(constants.END_WEIGHT_FREE))
            * (np.array(constants.END_WEIGHT_SHUFFLED) if shuffled else np.ones(7))
            for shuffled in (False, True)
            for premium in (False, True)
        ]
    )
    return cumulative(by_start * contexts * habits)


def _context_tables(shares: tuple[float, ...]) -> FloatArray:
    """Shares of contexts for free and premium listeners, without and with drift: (4, 6)."""
    of_all, of_premium = np.array(shares), np.array(constants.PREMIUM_BY_CONTEXT)
    free, premium = of_all * (1.0 - of_premium), of_all * of_premium
    plain = np.stack([free / free.sum(), premium / premium.sum()])
    drifted = plain * np.array(constants.DRIFTED_CONTEXT_WEIGHT)
    return np.concatenate([plain, drifted / drifted.sum(axis=1, keepdims=True)])


CONTEXT_AT_START = _context_tables(constants.CONTEXT_AT_START)
CONTEXT_AFTER_SWITCH = _context_tables(constants.CONTEXT_AFTER_SWITCH)
FIRST_SWITCH = np.array(constants.SWITCH_BY_START)
SWITCH = np.minimum(FIRST_SWITCH[:, None] * np.array(constants.SWITCH_FROM_CONTEXT), 1.0)
"""Chance of a switch by start and the context before, (9, 6)."""
SHUFFLE = (
    np.array([[constants.SHUFFLE_OF_FREE], [constants.SHUFFLE_OF_PREMIUM]]) * constants.SHUFFLE_BY_CONTEXT
)
"""Share of sessions with shuffle on, by premium and context, (2, 6)."""
START_AFTER_END = np.array(constants.START_AFTER_END)
START_LIFT = np.array(constants.START_LIFT)
CONTEXT_LIFT = np.array(constants.CONTEXT_LIFT)
DEPTH = np.array(constants.DEPTH_BY_START)[:, None] * np.array(constants.DEPTH_BY_CONTEXT)
"""By start and context, (9, 6)."""
CUTS = np.tile(constants.CUTS, (len(DEPTH), 1))
"""Inner bounds of the outcomes by start, (9, 4)."""
CUTS[:, 2] *= constants.UNFLAGGED_BY_START
_CATALOGUE = LEVELS["context_type"].index("catalog")
_OPENING_LIFT = np.zeros(MAX_SESSION_LENGTH)
_OPENING_LIFT[: len(constants.OPENING_LIFT)] = constants.OPENING_LIFT
_MOOD_RESPONSE = np.array(constants.MOOD_RESPONSE)
_FIRST_START = cumulative(np.array(constants.FIRST_START))
_START_AFTER_END = cumulative(START_AFTER_END)
_CONTEXT_AT_START = cumulative(CONTEXT_AT_START)
_CONTEXT_AFTER_SWITCH = cumulative(CONTEXT_AFTER_SWITCH)
_ENDS = _ends()
