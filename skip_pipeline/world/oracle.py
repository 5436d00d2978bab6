"""The best possible predictions, which are known for synthetic listeners only.

Two probabilities that a session's last track is played to its end:

- given the state: patience, taste and mood are known. Exact: the logistic function of attention, summed
  over all starts and contexts that the last track may have.
- given the past: the hidden traits are inferred from the log of the earlier tracks; the parameters of the
  world and the styles of all tracks are known. Patience, taste and the unseen part of the mood are jointly
  normal before the first track. Each outcome gives an interval of attention plus logistic noise; the
  posterior is approximated by a normal distribution with the same mean and covariance (assumed density
  filtering, moments by Gauss-Hermite quadrature). Given outcomes, starts and contexts, nothing else in the
  log depends on the hidden traits. A test compares the approximation with importance sampling. Two inputs are
  not in the log: the parameters of the world, which a model has to learn, and the premium of sessions whose
  subscription ends (2 of 10,000).
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
_BOUNDS = np.pad(sessions.CUTS, ((0, 0), (1, 1)), constant_values=(-np.inf, np.inf))  # (9, 6)


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


def given_state(last: LastTrack, behaviour: Behaviour, listeners: Listeners, setting: Setting) -> FloatArray:
    """Probability that each last track is played, given the hidden state: (sessions,)."""
    rows, end = np.arange(len(setting.lengths)), setting.lengths - 1
    hidden = listeners.patience + setting.liking[rows, end] + behaviour.unseen_mood[rows, end]
    shuffled = listeners.shuffling < sessions.SHUFFLE[sessions.premium_of(setting.circle), last.context]
    attention = last.expected + hidden + last.lift + constants.SHUFFLE_LIFT * shuffled
    return np.asarray((last.weight * _logistic(attention)).sum(axis=0), dtype=np.float64)


def given_past(last: LastTrack, behaviour: Behaviour, contrasts: FloatArray, setting: Setting) -> FloatArray:
    """Probability that each last track is played, given the log before it: (sessions,).

    ``contrasts`` is (sessions, 20, 6), see ``listeners.contrast``; of ``setting``, only lengths and circles
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
        contrasts: (sessions, 20, 6), see ``listeners.contrast``.
        seen: (sessions,), number of tracks whose reactions are known.

    Returns:
        Mean (8, sessions) and covariance (8, 8, sessions) of patience, taste and the unseen mood at the next
        track.
    """
    count = len(seen)
    spread = np.concatenate([[constants.PATIENCE_SPREAD], constants.TASTE_SPREAD, [0.0]])
    mean = np.repeat(np.concatenate([[0.0], constants.COMMON_TASTE, [0.0]])[:, None], count, axis=1)
    covariance = np.repeat(np.diag(spread**2)[:, :, None], count, axis=2)
    for position in range(int(seen.max())):
        going_on = position < seen
        direction = _direction(contrasts[:, position])
        along = (covariance * direction).sum(axis=1)
        attention, variance = (direction * mean).sum(axis=0), (direction * along).sum(axis=0)
        shift, shrink = _moments(*_seen(behaviour, position), attention, variance)
        mean = mean + along * np.where(going_on, shift, 0.0)
        covariance = covariance - along[:, None] * (along * np.where(going_on, shrink, 0.0))
        memory = np.where(going_on, constants.MOOD_MEMORY, 1.0)  # to the next track
        mean[-1] *= memory
        covariance[-1] *= memory
        covariance[:, -1] *= memory
        covariance[-1, -1] += np.where(going_on, constants.MOOD_SHOCK**2, 0.0)
    return mean, covariance


def _direction(contrast: FloatArray) -> FloatArray:
    """Derivative of attention by the hidden traits (patience, taste, unseen mood), (8, sessions)."""
    one = np.ones((1, len(contrast)))
    return np.concatenate([one, contrast.T, one])


def _seen(behaviour: Behaviour, position: int) -> tuple[FloatArray, FloatArray]:
    """Ends of the interval of hidden attention plus logistic noise that an outcome implies: (sessions,)."""
    start, context = behaviour.start[:, position], behaviour.context[:, position]
    expected = behaviour.expected[:, position] + sessions.START_LIFT[start]
    expected += sessions.CONTEXT_LIFT[context] + constants.SHUFFLE_LIFT * behaviour.shuffled[:, position]
    expected += constants.SWITCH_LIFT * behaviour.switched[:, position]
    outcome, depth = behaviour.outcome[:, position], sessions.DEPTH[start, context]
    if position == 0:
        depth = depth * constants.OPENING_DEPTH
    return _BOUNDS[start, outcome] * depth - expected, _BOUNDS[start, outcome + 1] * depth - expected


def _moments(
    low: FloatArray, high: FloatArray, mean: FloatArray, variance: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Change of a normal belief about hidden attention by an outcome, as factors of its covariance.

    Returns:
        (new mean - mean) / variance, and (variance - new variance) / variance squared, both (sessions,).
    """
    points = mean + np.sqrt(variance) * _NODES[:, None]  # (nodes, sessions)
    likelihood = _logistic(high - points) - _logistic(low - points)
    weight = likelihood * _NODE_WEIGHTS[:, None]
    weight /= weight.sum(axis=0)
    new_mean = (weight * points).sum(axis=0)
    new_variance = (weight * (points - new_mean) ** 2).sum(axis=0)
    return (new_mean - mean) / variance, (variance - new_variance) / variance**2


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
