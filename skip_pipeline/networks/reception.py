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
    seen: Any  # (B, P, T), 1 where the step is before the target and its outcome is known
    distance: Any  # (B, P, T), difference of the positions of target and step


class Covariance(NamedTuple):
    """Terms of the covariance of two tracks, in units of the variance of the noise."""

    keys: Any  # (B, P, K), coordinates along K directions of taste; their weights have prior variance 1
    same: Any  # (B, P, T), 1 where target and step are the same track
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
    columns = ops.transpose(real, (0, 2, 1))  # (B, 1, T)
    keys = covariance.keys
    products = ops.matmul(keys, ops.transpose(keys[:, :steps], (0, 2, 1)))  # (B, P, T)
    fading = covariance.mood * ops.exp(-covariance.fading * ops.absolute(heard.distance))
    shared = (products + covariance.listener + fading + covariance.own * covariance.same) * columns
    of_steps = shared[:, :steps] * real + noise * np.eye(steps, dtype=np.float32)[None]
    factor = ops.cholesky(of_steps)  # (B, T, T)
    explained = ops.solve_triangular(factor, heard.received, lower=True)  # (B, T, 1)
    links = ops.solve_triangular(factor, ops.transpose(shared, (0, 2, 1)), lower=True)  # (B, T, P)
    links = ops.transpose(links, (0, 2, 1)) * heard.seen  # (B, P, T)
    alone = covariance.listener + covariance.mood + covariance.own
    prior = alone + ops.sum(ops.square(keys), axis=-1, keepdims=True)  # (B, P, 1)
    variance = prior - ops.sum(ops.square(links), axis=-1, keepdims=True)
    return ops.matmul(links, explained), ops.sqrt(ops.maximum(variance, _LEAST_VARIANCE))


def average(heard: Heard, place: Any, outcome: Any, fading: Any, prior: Any) -> Any:
    """Averages over the tracks that each target sees, weighted by likeness and recency: (B, P, 3).

    The weight of a step is exp(-squared distance of the places - fading * distance of the positions): the
    kernel regression of Nadaraya and Watson (1964). The columns are the averages of reception and of outcome,
    each shrunk to 0 by a weight ``prior``, and log(1 + sum of the weights).

    Args:
        heard: see ``Heard``.
        place: (B, P, E), where each track lies in a space of E dimensions.
        outcome: (B, T, 1), 1 played, -1 skipped, 0 in padding.
        fading: (B, 1, 1), positive.
        prior: (B, 1, 1), positive.
    """
    steps = heard.received.shape[1]
    squared = ops.sum(ops.square(place), axis=-1, keepdims=True)  # (B, P, 1)
    across = ops.transpose(squared[:, :steps], (0, 2, 1))  # (B, 1, T)
    products = ops.matmul(place, ops.transpose(place[:, :steps], (0, 2, 1)))  # (B, P, T)
    apart = ops.maximum(squared + across - 2.0 * products, 0.0)
    weight = ops.exp(-apart - fading * ops.maximum(heard.distance, 0.0)) * heard.seen
    total = ops.sum(weight, axis=-1, keepdims=True)
    values = ops.concatenate([heard.received, outcome], axis=-1)  # (B, T, 2)
    means = ops.matmul(weight, values) / (total + prior)
    return ops.concatenate([means, ops.log(1.0 + total)], axis=-1)
