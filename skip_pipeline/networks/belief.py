"""What is believed of a listener before each track: a Bayesian regression per session, inside a network.

The model is that of ``networks.tastes``: how well a track is received, beyond what was expected, is the
listener's patience plus their taste for it, plus noise. Both are normal beforehand with mean 0, so what is
believed of them after some tracks is a ridge regression over these, one of five unknowns, solved here for
every target of every session at once. Only sums, products and quotients occur, so that a gradient flows
through to the keys, and the export to ONNX needs no solver.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from keras import ops

_TINY: Final = 1e-9  # keeps 0 / 0 at 0 before a session's first track, where there is nothing to solve


class Belief(NamedTuple):
    """What is believed before each of T + 1 targets, in standard deviations of the noise.

    Attributes:
        patience: (B, T + 1, 1), how much better than expected this listener receives any track.
        taste: (B, T + 1, 1), and the target because of what it is.
    """

    patience: Any
    taste: Any


def late(steps: Any) -> Any:
    """The step before each target, zeros before the first: (B, T, C) to (B, T + 1, C)."""
    return ops.pad(steps, [[0, 0], [1, 0], [0, 0]])


def before(steps: Any) -> Any:
    """Sum over all steps before each target, along the last axis: (…, T) to (…, T + 1).

    A product with zeros and ones, which is several times as fast as a cumulative sum.
    """
    length, rank = steps.shape[-1], len(steps.shape)
    earlier = np.triu(np.ones((length, length + 1), np.float32), 1)
    return ops.matmul(steps, earlier.reshape((1,) * (rank - 2) + earlier.shape))  # of one rank: no reshaping


def believe(patience_key: Any, keys: Any, received: Any, weight: Any, real: Any) -> Belief:
    """Belief in patience and taste before each target, from the steps before it alone.

    Taste is about what sets a track apart: keys count as differences from the mean key of the session's
    tracks up to and including the target. That mean moves from target to target, so the equations are put
    together from running sums of keys and of their products.

    Args:
        patience_key: (B, T + 1, 1), standard deviation of patience, the same everywhere.
        keys: (B, T + 1, K), each track's place in K directions of taste, of which each listener has more or
            less with variance 1; in units of noise.
        received: (B, T, 1), how each step's track was received, beyond expectation; 0 in padding.
        weight: (B, T, 1), how much that tells; 0 in padding.
        real: (B, T, 1), 1 for a track, 0 for padding.
    """
    # U = K + 1 unknowns come first, sessions and steps last: long rows are what processors are fast at.
    steps = received.shape[1]
    both = _unknowns_first(ops.concatenate([patience_key, keys], axis=2))  # (U, B, T + 1)
    unknowns = both.shape[0]
    heard = both[:, :, :steps]  # (U, B, T)
    received, weight, real = (_unknowns_first(each) for each in (received, weight, real))  # (1, B, T)
    weighed = weight * heard
    gram = before(_products(weighed, heard))  # (U, U, B, T + 1)
    sums = before(
        ops.concatenate([weighed, received * weighed, real * heard, weight, received * weight, real], axis=0)
    )
    keys_weighed, keys_told, keys_heard = (
        sums[i * unknowns : (i + 1) * unknowns, :, :] for i in range(3)
    )  # (U, B, T + 1) each
    count, told, tracks = (sums[3 * unknowns + i : 3 * unknowns + i + 1, :, :] for i in range(3))

    mean = (keys_heard + both) / (tracks + 1.0)
    mean = ops.pad(mean[1:, :, :], [[1, 0], [0, 0], [0, 0]])  # patience is no difference
    # Sums of products of differences from the mean m, written out: (k - m)(k - m)' = kk' - km' - m(k - m)'.
    gram = gram - _products(keys_weighed, mean) - _products(mean, keys_weighed - count * mean)
    belief = _solved(gram, keys_told - told * mean)
    terms = belief * (both - mean)  # (U, B, T + 1)
    patience, taste = terms[:1, :, :], ops.sum(terms[1:, :, :], axis=0, keepdims=True)
    return Belief(ops.transpose(patience, (1, 2, 0)), ops.transpose(taste, (1, 2, 0)))


def _unknowns_first(array: Any) -> Any:
    return ops.transpose(array, (2, 0, 1))


def _products(one: Any, other: Any) -> Any:
    """Of all pairs: (U, …) twice to (U, U, …)."""
    return ops.expand_dims(one, 1) * ops.expand_dims(other, 0)


def _solved(gram: Any, moment: Any) -> Any:
    """Solution x of (gram + 1) x = moment, by conjugate gradients (Hestenes and Stiefel, 1952).

    They are exact after as many iterations as there are unknowns, but for rounding, which one more takes care
    of: without it, float32 in another order gives probabilities that differ by 1e-5, with it by 1e-6.

    Args:
        gram: (U, U, …), of sums of squares, so that gram + 1 is positive definite.
        moment: (U, …).
    """
    direction = left = moment
    squared = _squared(left)
    solution = moment * 0.0
    for _ in range(moment.shape[0] + 1):
        image = direction + ops.sum(gram * ops.expand_dims(direction, 0), axis=1)
        stride = squared / (ops.sum(direction * image, axis=0, keepdims=True) + _TINY)
        solution = solution + stride * direction
        left = left - stride * image
        before_it, squared = squared, _squared(left)
        direction = left + squared / (before_it + _TINY) * direction
    return solution


def _squared(vector: Any) -> Any:
    return ops.sum(vector * vector, axis=0, keepdims=True)
