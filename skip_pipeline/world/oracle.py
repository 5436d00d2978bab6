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
from skip_pipeline.world.arrays import BoolArray, FloatArray, IntArray
from skip_pipeline.world.listeners import Listeners
from skip_pipeline.world.sessions import Behaviour, Setting


@dataclass(frozen=True)
class LastTrack:
    """Starts and contexts that the last track of each session may have, and their effect on attention.

    Attributes:
        expected: float64 (sessions,), attention before the track starts, as ``Behaviour.expected``.
        weight: float64 (ways, sessions), probability of each start and context given the track before.
        lift: float64 (ways, sessions), attention due to start and context.
        context: int64 (ways, sessions).
    """

    expected: FloatArray
    weight: FloatArray
    lift: FloatArray
    context: IntArray

    @classmethod
    def after(cls, behaviour: Behaviour, lengths: IntArray, circle: IntArray) -> LastTrack:
        """Derive them from the track before the last; sessions have at least two tracks."""
        rows = np.arange(len(lengths))
        before = lengths - 2
        end, context = behaviour.end[rows, before], behaviour.context[rows, before]
        starts = sessions.START_AFTER_END[end].T  # (9, sessions)
        starts = starts / starts.sum(axis=0)
        contexts = sessions.CONTEXT_AFTER_SWITCH[circle].T  # (6, sessions)
        weights, lifts, where = [], [], []
        for start, by_context in enumerate(sessions.SWITCH):
            switch = by_context[context]
            for other in range(len(contexts) + 1):
                stays = other == len(contexts)
                here = context if stays else np.full(len(context), other)
                weights.append(starts[start] * ((1.0 - switch) if stays else switch * contexts[other]))
                brought = 0.0 if stays else constants.SWITCH_LIFT
                lifts.append(sessions.START_LIFT[start] + sessions.CONTEXT_LIFT[here] + brought)
                where.append(here)
        return cls(behaviour.expected[rows, lengths - 1], np.stack(weights), np.stack(lifts), np.stack(where))


def given_state(
    last: LastTrack, behaviour: Behaviour, listeners: Listeners, liking: FloatArray, lengths: IntArray
) -> FloatArray:
    """Probability that each last track is played, given the hidden state: float64 (sessions,).

    Args:
        last: starts and contexts of the last track.
        behaviour: reactions, (sessions, 20).
        listeners: traits, one per session.
        liking: float64 (sessions, 20), taste times contrast at each position.
        lengths: int64 (sessions,), each at least 2.
    """
    rows = np.arange(len(lengths))
    hidden = listeners.patience + liking[rows, lengths - 1] + behaviour.unseen_mood[rows, lengths - 1]
    premium = listeners.premium.astype(np.int64)
    shuffled = listeners.shuffling < sessions.SHUFFLE[premium, last.context]
    attention = last.expected + hidden + last.lift + constants.SHUFFLE_LIFT * shuffled
    return np.asarray((last.weight * _logistic(attention)).sum(axis=0), dtype=np.float64)


def given_past(last: LastTrack, behaviour: Behaviour, contrasts: FloatArray, setting: Setting) -> FloatArray:
    """Probability that each last track is played, given the log before it: float64 (sessions,).

    Args:
        last: starts and contexts of the last track.
        behaviour: reactions, (sessions, 20); the last one is not used.
        contrasts: float64 (sessions, 20, 6), see ``listeners.contrast``.
        setting: lengths (at least 2) and circles; the other fields are not used.
    """
    lengths = setting.lengths
    belief = _Belief.before_first(len(lengths))
    for position in range(int(lengths.max()) - 1):
        going_on = position < lengths - 1
        seen = _Seen.at(behaviour, position)
        belief = belief.having_seen(seen, contrasts[:, position], going_on)
    rows = np.arange(len(lengths))
    mean, variance = belief.attention(contrasts[rows, lengths - 1])
    shuffle = _chance_of_shuffle(behaviour, setting)  # (sessions, contexts)
    shuffled = shuffle[rows, last.context]  # (ways, sessions)
    lift = last.lift + constants.SHUFFLE_LIFT * shuffled
    total = np.zeros(len(lengths))
    for node, share in zip(_NODES, _NODE_WEIGHTS, strict=True):
        hidden = last.expected + mean + node * np.sqrt(variance)
        total += share * (last.weight * _logistic(hidden + lift)).sum(axis=0)
    return total


@dataclass(frozen=True)
class _Seen:
    """Interval of hidden attention plus logistic noise that an outcome implies: (sessions,)."""

    low: FloatArray
    high: FloatArray

    @classmethod
    def at(cls, behaviour: Behaviour, position: int) -> _Seen:
        start, context = behaviour.start[:, position], behaviour.context[:, position]
        expected = behaviour.expected[:, position] + sessions.START_LIFT[start]
        expected += sessions.CONTEXT_LIFT[context] + constants.SHUFFLE_LIFT * behaviour.shuffled[:, position]
        expected += constants.SWITCH_LIFT * behaviour.switched[:, position]
        outcome, depth = behaviour.outcome[:, position], sessions.DEPTH[start, context]
        if position == 0:
            depth = depth * constants.OPENING_DEPTH
        return cls(_BOUNDS[start, outcome] * depth - expected, _BOUNDS[start, outcome + 1] * depth - expected)


@dataclass(frozen=True)
class _Belief:
    """Normal belief about patience, taste and unseen mood of each session.

    Attributes:
        mean: float64 (8, sessions).
        covariance: float64 (8, 8, sessions).
    """

    mean: FloatArray
    covariance: FloatArray

    @classmethod
    def before_first(cls, count: int) -> _Belief:
        mean = np.concatenate([[0.0], constants.COMMON_TASTE, [0.0]])
        spread = np.concatenate([[constants.PATIENCE_SPREAD], constants.TASTE_SPREAD, [0.0]])
        return cls(
            np.repeat(mean[:, None], count, axis=1), np.repeat(np.diag(spread**2)[:, :, None], count, axis=2)
        )

    def attention(self, contrast: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean and variance of hidden attention to tracks of given contrasts (sessions, 6)."""
        direction = _direction(contrast)
        along = self._along(direction)
        return (direction * self.mean).sum(axis=0), (direction * along).sum(axis=0)

    def having_seen(self, seen: _Seen, contrast: FloatArray, going_on: BoolArray) -> _Belief:
        """Belief at the next track, after one more outcome; unchanged where sessions have ended."""
        direction = _direction(contrast)
        along = self._along(direction)
        variance = (direction * along).sum(axis=0)
        mean = (direction * self.mean).sum(axis=0)
        shift, shrink = _moments(seen, mean, variance)
        shift, shrink = np.where(going_on, shift, 0.0), np.where(going_on, shrink, 0.0)
        new_mean = self.mean + along * shift
        new_covariance = self.covariance - along[:, None] * (along * shrink)
        return _Belief(new_mean, new_covariance)._with_next_mood(going_on)

    def _along(self, direction: FloatArray) -> FloatArray:
        return np.asarray((self.covariance * direction).sum(axis=1), dtype=np.float64)

    def _with_next_mood(self, going_on: BoolArray) -> _Belief:
        memory = np.where(going_on, constants.MOOD_MEMORY, 1.0)
        mean, covariance = self.mean, self.covariance
        mean[-1] *= memory
        covariance[-1] *= memory
        covariance[:, -1] *= memory
        covariance[-1, -1] += np.where(going_on, constants.MOOD_SHOCK**2, 0.0)
        return _Belief(mean, covariance)


def _direction(contrast: FloatArray) -> FloatArray:
    """Derivative of attention by the hidden traits (patience, taste, unseen mood), (8, sessions)."""
    one = np.ones((1, len(contrast)))
    return np.concatenate([one, contrast.T, one])


def _moments(seen: _Seen, mean: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Change of a normal belief about hidden attention by an outcome, as factors of its covariance.

    Returns:
        shift: (new mean - mean) / variance, (sessions,).
        shrink: (variance - new variance) / variance squared, (sessions,).
    """
    points = mean + np.sqrt(variance) * _NODES[:, None]  # (nodes, sessions)
    likelihood = _logistic(seen.high - points) - _logistic(seen.low - points)
    weight = likelihood * _NODE_WEIGHTS[:, None]
    weight /= weight.sum(axis=0)
    new_mean = (weight * points).sum(axis=0)
    new_variance = (weight * (points - new_mean) ** 2).sum(axis=0)
    return (new_mean - mean) / variance, (variance - new_variance) / variance**2


def _chance_of_shuffle(behaviour: Behaviour, setting: Setting) -> FloatArray:
    """Chance that shuffle is on in each context, given the contexts where it was on and off: (sessions, 6).

    The hidden trait is uniform between the largest share of the contexts without shuffle and the smallest of
    those with it.
    """
    earlier = np.arange(behaviour.context.shape[1]) < setting.lengths[:, None] - 1
    shares = sessions.SHUFFLE[sessions.premium_of(setting.circle)]  # (sessions, contexts)
    share = np.take_along_axis(shares, behaviour.context, axis=1)
    high = np.where(earlier & behaviour.shuffled, share, 1.0).min(axis=1)[:, None]
    low = np.where(earlier & ~behaviour.shuffled, share, 0.0).max(axis=1)[:, None]
    return np.asarray(np.clip((shares - low) / (high - low), 0.0, 1.0), dtype=np.float64)


def _logistic(value: FloatArray) -> FloatArray:
    return np.asarray(1.0 / (1.0 + np.exp(-value)), dtype=np.float64)


_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(constants.QUADRATURE_NODES)
_NODE_WEIGHTS = _NODE_WEIGHTS / _NODE_WEIGHTS.sum()
_BOUNDS = np.pad(sessions.CUTS, ((0, 0), (1, 1)), constant_values=(-np.inf, np.inf))  # (9, 6)
