"""Reactions of listeners, position by position: starts, contexts, outcomes, ends.

The state between two tracks is the mood, the context and the end of the track before. Pauses, seeks and
times, which do not influence the next outcome, are in ``playback.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from skip_pipeline.schema import LEVELS, MAX_SESSION_LENGTH
from skip_pipeline.world import constants
from skip_pipeline.world.arrays import BoolArray, FloatArray, IntArray
from skip_pipeline.world.listeners import Listeners
from skip_pipeline.world.randomness import choose, cumulative, draw_categories

SKIP_1, SKIP_2, SKIP_3, UNFLAGGED, PLAYED = range(5)
"""Outcomes of a track: the first of the nested flags that is set."""


@dataclass(frozen=True)
class Behaviour:
    """Reactions: arrays (sessions,) of one position, or (sessions, 20) with unused values after the end."""

    outcome: IntArray  # SKIP_1 to PLAYED
    start: IntArray  # index into the levels of hist_user_behavior_reason_start
    end: IntArray  # index into the levels of hist_user_behavior_reason_end
    context: IntArray  # index into the levels of context_type
    switched: BoolArray  # the context was switched before the track
    shuffled: BoolArray
    expected: FloatArray  # logit of attention before the track starts, without patience and taste


@dataclass(frozen=True)
class Setting:
    """Parts of the attention, in logits, that are fixed before a session."""

    lengths: IntArray  # (sessions,)
    liking: FloatArray  # (sessions, 20), taste times contrast of the track at each position
    lift: FloatArray  # (sessions, 20), attention due to track, hour, premium and drift
    circle: IntArray  # (sessions,), row of CONTEXT_AT_START and CONTEXT_AFTER_SWITCH: premium + 2 * drifted


@dataclass(frozen=True)
class Between:
    """What one track leaves to the next: arrays (sessions,)."""

    position: int  # of the next track, from 0
    outcome: IntArray  # of the track
    mood: FloatArray  # logit
    context: IntArray
    end: IntArray

    @classmethod
    def before(cls, position: int, behaviour: Behaviour) -> Between:
        """What the track before ``position``, at least 1, has left."""
        mood = np.zeros(len(behaviour.outcome))
        for outcome in behaviour.outcome[:, :position].T:
            mood = constants.MOOD_MEMORY * mood + _MOOD_RESPONSE[outcome]
        outcome, context, end = (
            each[:, position - 1] for each in (behaviour.outcome, behaviour.context, behaviour.end)
        )
        return cls(position, outcome, mood, context, end)


def premium_of(circle: IntArray) -> IntArray:
    """1 for sessions of premium listeners, 0 for others, from ``Setting.circle``."""
    return circle % 2


def browsing_of(listeners: Listeners, circle: IntArray) -> FloatArray:
    """Centre of the tracks that each session chooses from, (sessions, 2).

    It is the listener's ``browsing``, shifted for sessions that start in the catalogue.
    """
    in_catalogue = first_context(listeners, circle) == LEVELS["context_type"].index("catalog")
    moved = listeners.browsing.copy()
    moved[in_catalogue] += constants.BROWSING_OF_CATALOGUE
    return moved


def first_context(listeners: Listeners, circle: IntArray) -> IntArray:
    """Context of each session's first track, (sessions,)."""
    return choose(cumulative(CONTEXT_AT_START)[circle], listeners.inclination)


def listen(
    rng: np.random.Generator, listeners: Listeners, setting: Setting, after: Between | None = None
) -> Behaviour:
    """Draw the reactions in all sessions, one position of all sessions at a time.

    With ``after``, sessions go on from there; the arrays then begin with the position after it.
    """
    count, circle = len(setting.lengths), setting.circle
    if after:
        mood, context = after.mood, after.context
        start_shares = START_AFTER_END_SUMS[after.end]
    else:
        mood, context = np.zeros(count), first_context(listeners, circle)
        start_shares = np.broadcast_to(FIRST_START_SUMS, (count, len(FIRST_START_SUMS)))
    heard: list[Behaviour] = []
    for position in range(after.position if after else 0, MAX_SESSION_LENGTH):
        leaving = (setting.lengths == position + 1) & (position + 1 < MAX_SESSION_LENGTH)
        start = draw_categories(rng, start_shares)
        switched = rng.random(count) < (SWITCH[start, context] if position else FIRST_SWITCH[start])
        if position:  # a switch before the first track does not change its context
            context = context.copy()
            context[switched] = draw_categories(rng, CONTEXT_AFTER_SWITCH_SUMS[circle[switched]])
        shuffled = listeners.shuffling < SHUFFLE[premium_of(circle), context]
        lift = setting.lift[:, position] + constants.LEAVING_LIFT * leaving
        expected = constants.ATTENTION + mood + lift + _OPENING_LIFT[position]
        hidden = listeners.patience + setting.liking[:, position]
        attention = expected + hidden + START_LIFT[start] + CONTEXT_LIFT[context]
        attention += constants.SHUFFLE_LIFT * shuffled + constants.SWITCH_LIFT * switched
        depth = (attention + rng.logistic(size=count)) / DEPTH[start, context]
        depth[leaving] /= constants.LEAVING_DEPTH
        if position == 0:
            depth /= constants.OPENING_DEPTH
        outcome = (depth[:, None] >= CUTS[start]).sum(axis=1)
        habits = 2 * shuffled.astype(np.int64) + listeners.premium
        end = draw_categories(rng, ENDS[outcome, start, context, habits])
        heard.append(Behaviour(outcome, start, end, context, switched, shuffled, expected))
        mood = constants.MOOD_MEMORY * mood + _MOOD_RESPONSE[outcome]
        start_shares = START_AFTER_END_SUMS[end]
    names = [field.name for field in fields(Behaviour)]
    return Behaviour(**{name: np.stack([getattr(here, name) for here in heard], axis=1) for name in names})


def _ends() -> FloatArray:
    """Cumulative shares of ends by outcome, start, context and habits, (5, 9, 6, 4, 7)."""
    skipped = np.array(constants.END_WEIGHT_BY_OUTCOME)[:, None, :] * np.array(constants.SKIP_END_BY_START)
    others = np.array([constants.END_UNFLAGGED, constants.END_PLAYED])[:, None, :]
    others = others.repeat(len(constants.SKIP_END_BY_START), axis=1)
    others[0, list(constants.RESUMED_STARTS)] = constants.END_RESUMED
    by_start = np.concatenate([skipped, others])[:, :, None, None, :]
    contexts = np.array(constants.END_WEIGHT_BY_CONTEXT)[:, None, :]
    free, shuffled = np.array(constants.END_WEIGHT_FREE), np.array(constants.END_WEIGHT_SHUFFLED)
    habits = np.stack([free, np.ones(7), free * shuffled, shuffled])  # 2 * shuffled + premium
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
SHUFFLE = np.outer([constants.SHUFFLE_OF_FREE, constants.SHUFFLE_OF_PREMIUM], constants.SHUFFLE_BY_CONTEXT)
"""Share of sessions with shuffle on, by premium and context, (2, 6)."""
START_AFTER_END = np.array(constants.START_AFTER_END)
START_LIFT = np.array(constants.START_LIFT)
CONTEXT_LIFT = np.array(constants.CONTEXT_LIFT)
DEPTH = np.outer(constants.DEPTH_BY_START, constants.DEPTH_BY_CONTEXT)
"""By start and context, (9, 6)."""
CUTS = np.tile(constants.CUTS, (len(DEPTH), 1))
"""Inner bounds of the outcomes by start, (9, 4)."""
CUTS[:, 2] *= constants.UNFLAGGED_BY_START
BOUNDS = np.pad(CUTS, ((0, 0), (1, 1)), constant_values=(-np.inf, np.inf))
"""All bounds of the outcomes by start, (9, 6)."""
_OPENING_LIFT = np.zeros(MAX_SESSION_LENGTH)
_OPENING_LIFT[: len(constants.OPENING_LIFT)] = constants.OPENING_LIFT
_MOOD_RESPONSE = np.array(constants.MOOD_RESPONSE)
# Cumulative shares, as ``draw_categories`` takes them.
FIRST_START_SUMS = cumulative(np.array(constants.FIRST_START))
START_AFTER_END_SUMS = cumulative(START_AFTER_END)
CONTEXT_AFTER_SWITCH_SUMS = cumulative(CONTEXT_AFTER_SWITCH)
ENDS = _ends()
