"""A Bayesian regression per session, inside a network: the listener's patience and taste before each track.

The model is that of ``networks.tastes``: how well a track is received, beyond what was expected, is the
listener's patience, plus the listener's taste for the track, plus noise. Patience and the weights of taste
have normal priors of mean 0, so their posterior means are a ridge regression over the tracks so far. It is
solved for all targets of all sessions at once, by sums, products and quotients alone, so that gradients reach
the keys and the ONNX export needs no solver.

Shapes: B sessions, T = 19 steps, T + 1 targets (target t is the track at step t, the last target is the
predicted track), K = 4 directions of taste, U = K + 1 unknowns.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from keras import ops

_TINY: Final = 1e-9  # keeps 0 / 0 at 0 before a session's first track, where the moment is 0


class Belief(NamedTuple):
    """Posterior means before each target, in standard deviations of the noise: (B, T + 1, 1) each."""

    patience: Any  # how much better than expected the listener receives any track
    taste: Any  # how much better the listener receives the target for its features


def late(steps: Any) -> Any:
    """The step before each target, zeros before the first: (B, T, C) to (B, T + 1, C)."""
    return ops.pad(steps, [[0, 0], [1, 0], [0, 0]])


def before(steps: Any) -> Any:
    """Sum over all steps before each target, along the last axis: (…, T) to (…, T + 1).

    A matrix product with zeros and ones is several times as fast as a cumulative sum.
    """
    length, rank = steps.shape[-1], len(steps.shape)
    earlier = np.triu(np.ones((length, length + 1), np.float32), 1)  # (T, T + 1), 1 where step < target
    return ops.matmul(steps, earlier.reshape((1,) * (rank - 2) + earlier.shape))  # equal ranks: no reshaping


def believe(patience_key: Any, keys: Any, received: Any, weight: Any, real: Any) -> Belief:
    """Posterior means of patience and taste before each target, from the steps before it alone.

    A track's features are its keys minus the mean key of the session's tracks up to and including the target.
    That mean changes from target to target, so the equations are built from running sums of keys and of
    products of keys.

    Args:
        patience_key: (B, T + 1, 1), prior standard deviation of patience, the same everywhere.
        keys: (B, T + 1, K), each track's coordinates in K directions of taste, in units of noise; the weight
            of each direction has prior variance 1.
        received: (B, T, 1), how well each step's track was received, beyond expectation; 0 in padding.
        weight: (B, T, 1), weight of each step in the regression; 0 in padding.
        real: (B, T, 1), 1 for a track, 0 for padding.
    """
    # Unknowns come first, sessions and steps last, because processors are fastest on long rows.
    steps = received.shape[1]
    design = ops.transpose(ops.concatenate([patience_key, keys], axis=2), (2, 0, 1))  # (U, B, T + 1)
    received, weight, real = (ops.transpose(each, (2, 0, 1)) for each in (received, weight, real))
    heard = design[:, :, :steps]  # (U, B, T)
    weighted = weight * heard  # (U, B, T)
    gram = before(_outer(weighted, heard))  # (U, U, B, T + 1), sums of weight * key * key'
    stacked = [weighted, received * weighted, real * heard, weight, received * weight, real]
    sums = before(ops.concatenate(stacked, axis=0))  # (3 U + 3, B, T + 1)
    unknowns = design.shape[0]
    sum_weighted, sum_received, sum_heard = (  # (U, B, T + 1) each
        sums[start : start + unknowns, :, :] for start in range(0, 3 * unknowns, unknowns)
    )
    total_weight, total_received, tracks = (  # (1, B, T + 1) each
        sums[row : row + 1, :, :] for row in range(3 * unknowns, 3 * unknowns + 3)
    )
    mean = (sum_heard + design) / (tracks + 1.0)  # (U, B, T + 1), of the steps before and the target
    mean = ops.pad(mean[1:, :, :], [[1, 0], [0, 0], [0, 0]])  # patience is not a difference from a mean
    # Sums over steps of w (k - m)(k - m)', with w k k' in gram, are gram - (w k) m' - m (w k - w m)'.
    gram = gram - _outer(sum_weighted, mean) - _outer(mean, sum_weighted - total_weight * mean)
    solution = _solve(gram, sum_received - total_received * mean)  # (U, B, T + 1)
    terms = solution * (design - mean)  # (U, B, T + 1)
    patience, taste = terms[:1, :, :], ops.sum(terms[1:, :, :], axis=0, keepdims=True)  # (1, B, T + 1) each
    return Belief(ops.transpose(patience, (1, 2, 0)), ops.transpose(taste, (1, 2, 0)))


def _outer(one: Any, other: Any) -> Any:
    """Products of all pairs of unknowns: (U, …) and (U, …) to (U, U, …)."""
    return ops.expand_dims(one, 1) * ops.expand_dims(other, 0)


def _solve(gram: Any, moment: Any) -> Any:
    """Solution x of (gram + 1) x = moment, by conjugate gradients (Hestenes and Stiefel, 1952).

    But for rounding, U iterations give the exact solution. One more removes the rounding: without it,
    probabilities differ by 1e-5 when float32 is added in another order, with it by 1e-6.

    Args:
        gram: (U, U, …), positive semidefinite.
        moment: (U, …).
    """
    direction = residual = moment
    squared = _dot(residual, residual)
    solution = moment * 0.0
    for _ in range(moment.shape[0] + 1):
        image = direction + ops.sum(gram * ops.expand_dims(direction, 0), axis=1)  # (U, …)
        stride = squared / (_dot(direction, image) + _TINY)  # (1, …)
        solution = solution + stride * direction
        residual = residual - stride * image
        previous, squared = squared, _dot(residual, residual)
        direction = residual + squared / (previous + _TINY) * direction
    return solution


def _dot(one: Any, other: Any) -> Any:
    """Scalar products: (U, …) and (U, …) to (1, …)."""
    return ops.sum(one * other, axis=0, keepdims=True)
