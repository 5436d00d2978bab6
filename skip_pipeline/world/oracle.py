"""The best possible predictions, which are known for synthetic listeners only.

Two probabilities that a session's last track is played to its end:

- given the state: patience and taste are known. Exact: the logistic function of attention, summed
  over all starts and contexts that the last track may have.
- given the past: the hidden traits are inferred from the log of the earlier tracks; the parameters of the
  world are known, with the styles, kinds and appeals of all tracks. Patience and taste are jointly normal
  before the first track. Each outcome gives an interval of attention plus logistic noise. A normal factor
  stands for each outcome, found by expectation propagation (Minka, "Expectation propagation for approximate
  Bayesian inference", 2001; moments by Gauss-Hermite quadrature). Given outcomes, starts and contexts, no
  other part of the log depends on the hidden traits. A test compares the approximation with importance
  sampling. Two inputs are not in the log: what the world knows of its tracks and listeners, which a model has
  to learn, and the premium of sessions whose subscription ends (2 of 10,000).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skip_pipeline.world import constants, sessions
from skip_pipeline.world.arrays import FloatArray, IntArray
from skip_pipeline.world.listeners import Listeners
from skip_pipeline.world.sessions import Behaviour, Setting

_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(constants.QUADRATURE_NODES)
_NODE_WEIGHTS = _NODE_WEIGHTS / _NODE_WEIGHTS.sum()


@dataclass(frozen=True)
class LastTrack:
    """Starts and contexts (ways) that the last track of each session may have, and their attention."""

    expected: FloatArray  # (sessions,), attention before the track starts, as Behaviour.expected
    weight: FloatArray  # (ways, sessions), probability of each start and context given the track before
    lift: FloatArray  # (ways, sessions), attention due to start and context
    context: IntArray  # (ways, sessions)

    @classmethod
    def after(cls, behaviour: Behaviour, setting: Setting) -> LastTrack:
        """Derive them from the track before the last; sessions have at least two tracks."""
        rows, before = np.arange(len(setting.lengths)), setting.lengths - 2
        end, context = behaviour.end[rows, before], behaviour.context[rows, before]
        starts = sessions.START_AFTER_END[end].T  # (9, sessions)
        starts = starts / starts.sum(axis=0)
        contexts = sessions.CONTEXT_AFTER_SWITCH[setting.circle].T  # (6, sessions)
        weights, lifts, where = [], [], []
        for start, by_context in enumerate(sessions.SWITCH):
            switch = by_context[context]
            ways = [(np.full(len(context), new), switch * share) for new, share in enumerate(contexts)]
            for here, share in [*ways, (context, 1.0 - switch)]:
                weights.append(starts[start] * share)
                brought = 0.0 if here is context else constants.SWITCH_LIFT
                lifts.append(sessions.START_LIFT[start] + sessions.CONTEXT_LIFT[here] + brought)
                where.append(here)
        expected = behaviour.expected[rows, before + 1]
        return cls(expected, np.stack(weights), np.stack(lifts), np.stack(where))


def given_state(last: LastTrack, listeners: Listeners, setting: Setting) -> FloatArray:
    """Probability that each last track is played, given the hidden state: (sessions,)."""
    rows, end = np.arange(len(setting.lengths)), setting.lengths - 1
    hidden = listeners.patience + setting.liking[rows, end]
    shuffled = listeners.shuffling < sessions.SHUFFLE[sessions.premium_of(setting.circle), last.context]
    attention = last.expected + hidden + last.lift + constants.SHUFFLE_LIFT * shuffled
    return np.asarray((last.weight * _logistic(attention)).sum(axis=0), dtype=np.float64)


def given_past(last: LastTrack, behaviour: Behaviour, contrasts: FloatArray, setting: Setting) -> FloatArray:
    """Probability that each last track is played, given the log before it: (sessions,).

    ``contrasts`` is (sessions, 20, 10), see ``listeners.contrast``; of ``setting``, only lengths and circles
    are used, and of ``behaviour`` nothing of the last track.
    """
    mean, covariance = belief(behaviour, contrasts, setting.lengths - 1)
    count = len(setting.lengths)
    rows = np.arange(count)
    direction = _direction(contrasts[rows, setting.lengths - 1])
    expected = last.expected + (direction * mean).sum(axis=0)
    deviation = np.sqrt((direction * (covariance * direction).sum(axis=1)).sum(axis=0))
    lift = last.lift + constants.SHUFFLE_LIFT * _chance_of_shuffle(behaviour, setting)[rows, last.context]
    total = np.zeros(count)
    for node, share in zip(_NODES, _NODE_WEIGHTS, strict=True):
        total += share * (last.weight * _logistic(expected + node * deviation + lift)).sum(axis=0)
    return total


def belief(behaviour: Behaviour, contrasts: FloatArray, seen: IntArray) -> tuple[FloatArray, FloatArray]:
    """What the first tracks of each session tell about its hidden traits: a normal distribution.

    Args:
        contrasts: (sessions, 20, 10), see ``listeners.contrast``.
        seen: (sessions,), number of tracks whose reactions are known.

    Returns:
        Mean (11, sessions) and covariance (11, 11, sessions) of patience and taste.
    """
    count = len(seen)
    spread = np.concatenate([[constants.PATIENCE_SPREAD], constants.TASTE_SPREAD])
    mean = np.repeat(np.concatenate([[0.0], constants.COMMON_TASTE])[:, None], count, axis=1)
    covariance = np.repeat(np.diag(spread**2)[:, :, None], count, axis=2)
    # What each outcome tells about attention: a normal factor, by its precision and precision times mean.
    precision, pull = np.zeros((2, int(seen.max()), count))
    for _ in range(constants.SWEEPS):
        for position in range(len(precision)):
            direction = _direction(contrasts[:, position])
            along = (covariance * direction).sum(axis=1)
            attention, variance = (direction * mean).sum(axis=0), (direction * along).sum(axis=0)
            other_variance = 1.0 / (1.0 / variance - precision[position])  # all but this outcome
            other = other_variance * (attention / variance - pull[position])
            new, new_variance = _moments(*_seen(behaviour, position), other, other_variance)
            more = 1.0 / new_variance - 1.0 / other_variance - precision[position]
            further = new / new_variance - other / other_variance - pull[position]
            more, further = np.where(position < seen, [more, further], 0.0)
            precision[position] += more
            pull[position] += further
            share = along / (1.0 + more * variance)
            mean = mean + share * (further - more * attention)
            covariance = covariance - along[:, None] * (share * more)
    return mean, covariance


def _direction(contrast: FloatArray) -> FloatArray:
    """Derivative of attention by the hidden traits (patience, taste), (11, sessions)."""
    return np.concatenate([np.ones((1, len(contrast))), contrast.T])


def _seen(behaviour: Behaviour, position: int) -> tuple[FloatArray, FloatArray]:
    """Ends of the interval of hidden attention plus logistic noise that an outcome implies: (sessions,)."""
    start, context = behaviour.start[:, position], behaviour.context[:, position]
    expected = behaviour.expected[:, position] + sessions.START_LIFT[start]
    expected += sessions.CONTEXT_LIFT[context] + constants.SHUFFLE_LIFT * behaviour.shuffled[:, position]
    expected += constants.SWITCH_LIFT * behaviour.switched[:, position]
    outcome, depth = behaviour.outcome[:, position], sessions.DEPTH[start, context]
    if position == 0:
        depth = depth * constants.OPENING_DEPTH
    low, high = sessions.BOUNDS[start, outcome], sessions.BOUNDS[start, outcome + 1]
    return low * depth - expected, high * depth - expected


def _moments(
    low: FloatArray, high: FloatArray, mean: FloatArray, variance: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Mean and variance of hidden attention, normal before, once an outcome is known: both (sessions,)."""
    points = mean + np.sqrt(variance) * _NODES[:, None]  # (nodes, sessions)
    likelihood = _logistic(high - points) - _logistic(low - points)
    weight = likelihood * _NODE_WEIGHTS[:, None]
    weight /= weight.sum(axis=0)
    new_mean = (weight * points).sum(axis=0)
    return new_mean, (weight * (points - new_mean) ** 2).sum(axis=0)


def _chance_of_shuffle(behaviour: Behaviour, setting: Setting) -> FloatArray:
    """Chance that shuffle is on in each context, given where it was on and off: (sessions, 6)."""
    low, high = range_of_shuffling(behaviour, setting, setting.lengths - 1)
    shares = sessions.SHUFFLE[sessions.premium_of(setting.circle)]  # (sessions, contexts)
    return np.asarray(np.clip((shares - low) / (high - low), 0.0, 1.0), dtype=np.float64)


def range_of_shuffling(
    behaviour: Behaviour, setting: Setting, seen: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Ends of the range in which ``Listeners.shuffling`` is uniform, given the first tracks: (sessions, 1).

    They are the largest share of the contexts without shuffle and the smallest of those with it.
    """
    earlier = np.arange(behaviour.context.shape[1]) < seen[:, None]
    shares = sessions.SHUFFLE[sessions.premium_of(setting.circle)]  # (sessions, contexts)
    share = np.take_along_axis(shares, behaviour.context, axis=1)
    high = np.where(earlier & behaviour.shuffled, share, 1.0).min(axis=1)[:, None]
    low = np.where(earlier & ~behaviour.shuffled, share, 0.0).max(axis=1)[:, None]
    return low, high


def _logistic(value: FloatArray) -> FloatArray:
    return np.asarray(1.0 / (1.0 + np.exp(-value)), dtype=np.float64)
