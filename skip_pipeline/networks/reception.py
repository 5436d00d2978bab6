"""How a listener received the tracks so far, and what that says of other tracks: regression and averages.

How well a track was received, beyond what was expected, is modelled as a Gaussian process plus noise
(Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, algorithm 2.1). The covariance of two
tracks is a sum of four learnt terms: the listener's attitude to all tracks, a mood that fades with the
distance of positions, tastes for the tracks' features, and the track itself where both are the same. The
averages over the tracks so far, weighted by likeness and recency, also fit tastes that are not linear.

Shapes: B sessions, T = 19 steps, P targets: the tracks of the T steps, then those that are asked for.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from keras import ops

_LEAST_VARIANCE: Final = 1e-4  # the square root's gradient is infinite at 0


class Heard(NamedTuple):
    """The tracks so far, and which targets may see them."""

    received: Any  # (B, T, 1), how well each track was received, beyond expectation; 0 in padding
    seen: Any  # (B, T, P), 1 where the step is before the target and its outcome is known
    distance: Any  # (B, T, P), the target's position less the step's


class Covariance(NamedTuple):
    """Terms of the covariance of two tracks, in units of the variance of the noise."""

    keys: Any  # (B, P, D), coordinates along D directions of taste; their weights have prior variance 1
    same: Any  # (B, T, P), 1 where target and step are the same track
    listener: Any  # (B, 1, 1), variance of what the listener brings to every track
    mood: Any  # (B, 1, 1), variance of the mood
    fading: Any  # (B, 1, 1), what the mood loses with each position, as an exponent
    own: Any  # (B, 1, 1), variance of a track's own part


def regress(heard: Heard, covariance: Covariance, noise: Any, real: Any) -> tuple[Any, Any]:
    """Posterior mean and standard deviation of each target's reception, (B, P, 1) each.

    One Cholesky factor serves every target: the factor of the first steps alone is its leading block, so a
    target that sees fewer steps has fewer terms in its sums.

    Args:
        heard: see ``Heard``; each target sees the first steps up to some number.
        covariance: see ``Covariance``.
        noise: (B, T, 1), variance of the noise of each step, about 1.
        real: (B, T, 1), 1 for a track, 0 for padding.
    """
    steps = heard.received.shape[1]
    keys = covariance.keys
    products = ops.matmul(keys[:, :steps], ops.transpose(keys, (0, 2, 1)))  # (B, T, P)
    fading = covariance.mood * ops.exp(-covariance.fading * ops.absolute(heard.distance))
    shared = (products + covariance.listener + fading + covariance.own * covariance.same) * real
    of_steps = shared[:, :, :steps] * ops.transpose(real, (0, 2, 1))
    factor = ops.cholesky(of_steps + noise * np.eye(steps, dtype=np.float32)[None])  # (B, T, T)
    right = ops.concatenate([heard.received, shared], axis=2)
    solved = ops.solve_triangular(factor, right, lower=True)  # (B, T, 1 + P)
    explained, links = solved[:, :, :1], solved[:, :, 1:] * heard.seen
    alone = covariance.listener + covariance.mood + covariance.own
    prior = alone + ops.sum(ops.square(keys), axis=-1, keepdims=True)  # (B, P, 1)
    variance = prior - _over_steps(ops.square(links))
    return _over_steps(links * explained), ops.sqrt(ops.maximum(variance, _LEAST_VARIANCE))


def average(heard: Heard, place: Any, outcome: Any, fading: Any, prior: Any) -> tuple[Any, Any, Any]:
    """Averages over the tracks that each target sees, weighted by likeness and recency, (B, P, 1) each.

    The weight of a step is exp(-squared distance of the places - fading * distance of the positions): the
    kernel regression of Nadaraya and Watson (1964).

    Args:
        heard: see ``Heard``.
        place: (B, P, E), where each track lies in a space of E dimensions.
        outcome: (B, T, 1), 1 played, -1 skipped, 0 in padding.
        fading: (B, 1, 1), positive.
        prior: (B, 1, 1), positive.

    Returns:
        The averages of reception and of outcome, each shrunk to 0 by a weight ``prior``, and
        log(1 + sum of the weights).
    """
    steps = heard.received.shape[1]
    squared = ops.sum(ops.square(place), axis=-1, keepdims=True)  # (B, P, 1)
    across = ops.transpose(place, (0, 2, 1))  # (B, E, P)
    products = ops.matmul(place[:, :steps], across)  # (B, T, P)
    apart = ops.maximum(squared[:, :steps] + ops.transpose(squared, (0, 2, 1)) - 2.0 * products, 0.0)
    weight = ops.exp(-apart - fading * ops.maximum(heard.distance, 0.0)) * heard.seen
    total = _over_steps(weight)
    means = (_over_steps(weight * values) / (total + prior) for values in (heard.received, outcome))
    return *means, ops.log(1.0 + total)


def _over_steps(values: Any) -> Any:
    """Sum over the steps, for each target: (B, T, P) to (B, P, 1)."""
    return ops.sum(values, axis=1)[:, :, None]
