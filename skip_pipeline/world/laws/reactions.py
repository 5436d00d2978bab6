"""Reactions to tracks for a given attention: outcome, start, end, context, switch, shuffle.

All but the outcome has the conditional shares of the calibrated law, which are tuned to published counts.
Neither start nor shuffle adds to the attention, so a law has to give no more than that.
"""

from typing import Final

import numpy as np

from skip_pipeline.schema import MAX_SESSION_LENGTH
from skip_pipeline.world import sessions
from skip_pipeline.world.arrays import FloatArray, IntArray
from skip_pipeline.world.laws.attention import Attention
from skip_pipeline.world.laws.law import Scene
from skip_pipeline.world.randomness import draw_categories
from skip_pipeline.world.sessions import Behaviour, Between

CALIBRATED_WIDTH: Final = 1.27
"""Factor by which the cuts of the calibrated law are wider than those of the others, because its attention
varies more."""

_SWITCH_AFTER_END = sessions.START_AFTER_END @ sessions.SWITCH
_SWITCH_AFTER_END /= sessions.START_AFTER_END.sum(axis=1, keepdims=True)
"""Chance that the context is switched before a track, by end and context of the track before, (7, 6)."""


def react(
    rng: np.random.Generator, scene: Scene, attention: Attention, after: Between | None = None
) -> Behaviour:
    """Draw the reactions in all sessions, one position of all sessions at a time.

    The outcome is where attention plus logistic noise falls between the cuts of ``constants.CUTS``, wider or
    narrower by start and context. So the logistic function of attention is the chance of being played.

    With ``after``, sessions go on from there; the arrays then begin with the position after it.
    """
    circle, listeners = scene.setting.circle, scene.listeners
    count, before = len(circle), None
    if after:
        before, context = after.outcome, after.context
        start_shares = sessions.START_AFTER_END_SUMS[after.end]
    else:
        context = sessions.first_context(listeners, circle)
        start_shares = np.broadcast_to(sessions.FIRST_START_SUMS, (count, len(sessions.FIRST_START_SUMS)))
    first = after.position if after else 0
    heard = []
    for position in range(first, MAX_SESSION_LENGTH):
        start = draw_categories(rng, start_shares)
        chance = sessions.SWITCH[start, context] if position else sessions.FIRST_SWITCH[start]
        switched = rng.random(count) < chance
        if position:  # a switch before the first track does not change its context
            other = draw_categories(rng, sessions.CONTEXT_AFTER_SWITCH_SUMS[circle])
            context = np.where(switched, other, context)
        shuffled = listeners.shuffling < sessions.SHUFFLE[sessions.premium_of(circle), context]
        level = attention.at(position, before, context) + rng.logistic(size=count)
        outcome = (level[:, None] >= _cuts(start, context)[:, 1:-1]).sum(axis=1)
        end = draw_categories(
            rng, sessions.ENDS[outcome, start, context, 2 * shuffled.astype(np.int64) + listeners.premium]
        )
        heard.append((outcome, start, end, context, switched, shuffled))
        start_shares, before = sessions.START_AFTER_END_SUMS[end], outcome
    outcome, start, end, context, switched, shuffled = (
        np.stack(column, axis=1) for column in zip(*heard, strict=True)
    )
    return Behaviour(outcome, start, end, context, switched, shuffled, attention.fixed[:, first:])


def likelihood(behaviour: Behaviour, position: int, attention: FloatArray) -> FloatArray:
    """Chance of the outcome seen at a position for each attention (…, sessions), in the same shape."""
    outcome, rows = behaviour.outcome[:, position], np.arange(len(behaviour.outcome))
    cuts = _cuts(behaviour.start[:, position], behaviour.context[:, position])
    return logistic(cuts[rows, outcome + 1] - attention) - logistic(cuts[rows, outcome] - attention)


def context_after(behaviour: Behaviour, position: IntArray, circle: IntArray) -> FloatArray:
    """Chance of each context at the track after a position (sessions,): (sessions, 6)."""
    rows = np.arange(len(position))
    context = behaviour.context[rows, position]
    switch = _SWITCH_AFTER_END[behaviour.end[rows, position], context]
    chance = switch[:, None] * sessions.CONTEXT_AFTER_SWITCH[circle]
    chance[rows, context] += 1.0 - switch
    return np.asarray(chance, dtype=np.float64)


def logistic(value: FloatArray) -> FloatArray:
    """The logistic function; 0 and 1 at the infinities."""
    return np.asarray(1.0 / (1.0 + np.exp(-value)), dtype=np.float64)


def _cuts(start: IntArray, context: IntArray) -> FloatArray:
    """Bounds of the outcomes of each session, (sessions, 6)."""
    depth = sessions.DEPTH[start, context] / CALIBRATED_WIDTH
    return np.asarray(sessions.BOUNDS[start] * depth[:, None], dtype=np.float64)
