"""What is believed of a listener before each track: a Bayesian regression per session, inside a network.

The model is that of ``networks.tastes``: how well a track is received, beyond what was expected, is the
listener's patience plus their taste for it, plus noise. Both are normal beforehand with mean 0, so what is
believed of them after some tracks is a ridge regression over these, one of five unknowns, solved here for
every target of every session at once. Only sums, products and quotients occur, so that a gradient flows
through to the keys, and the export to ONNX needs no solver.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from keras import layers, ops

_ITERATIONS: Final = 4
"""Of conjugate gradients, which would be exact after as many as there are unknowns; 4 of 5 change log-loss by
less than 0.0001."""

_TINY: Final = 1e-9  # keeps 0 / 0 at 0 before a session's first track, where there is nothing to solve


class Belief(NamedTuple):
    """What is believed before each of T + 1 targets, in standard deviations of the noise.

    Attributes:
        patience: (B, T + 1, 1), how much better than expected this listener receives any track.
        taste: (B, T + 1, 1), and the target because of what it is.
    """

    patience: Any
    taste: Any


def before(steps: Any) -> Any:
    """Sum over all steps before each target: (B, T, C) to (B, T + 1, C)."""
    return late(ops.cumsum(steps, axis=1))


def late(steps: Any) -> Any:
    """The step before each target, zeros before the first: (B, T, C) to (B, T + 1, C)."""
    return ops.pad(steps, [[0, 0], [1, 0], [0, 0]])


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
    steps, unknowns = received.shape[1], keys.shape[2] + 1
    both = layers.Concatenate(name="keys")([patience_key, keys])  # (B, T + 1, U), U = K + 1
    heard = both[:, :steps]  # (B, T, U)
    squares = layers.Reshape((steps, unknowns * unknowns), name="products_of_keys")(
        ops.expand_dims(heard, 3) * ops.expand_dims(heard, 2)
    )
    told = weight * received
    sums = before(
        layers.Concatenate(name="summed_up")(
            [weight * squares, weight * heard, told * heard, real * heard, weight, told, real]
        )
    )
    gram, rest = sums[:, :, : unknowns * unknowns], sums[:, :, unknowns * unknowns :]
    gram = layers.Reshape((steps + 1, unknowns, unknowns), name="gram")(gram)
    weighted_keys, told_keys, plain_keys = (
        rest[:, :, i * unknowns : (i + 1) * unknowns] for i in range(3)
    )  # (B, T + 1, U) each
    count, told, tracks = (rest[:, :, 3 * unknowns + i : 3 * unknowns + i + 1] for i in range(3))

    mean = (plain_keys + both) / (tracks + 1.0)  # (B, T + 1, U)
    mean = ops.pad(mean[:, :, 1:], [[0, 0], [0, 0], [1, 0]])  # patience is no difference
    # The sums of products of differences, written out: (k - m)(k - m)' = kk' - km' - mk' + mm'.
    cross = ops.expand_dims(weighted_keys, 3) * ops.expand_dims(mean, 2)
    square = ops.expand_dims(mean, 3) * ops.expand_dims(mean, 2)
    gram = gram - cross - ops.transpose(cross, (0, 1, 3, 2)) + ops.expand_dims(count, 3) * square
    belief = _solved(gram, told_keys - told * mean)
    terms = belief * (both - mean)  # (B, T + 1, U)
    return Belief(terms[:, :, :1], ops.sum(terms[:, :, 1:], axis=2, keepdims=True))


def _solved(gram: Any, moment: Any) -> Any:
    """Solution x of (gram + 1) x = moment, by conjugate gradients (Hestenes and Stiefel, 1952).

    Args:
        gram: (…, U, U), of sums of squares, so that gram + 1 is positive definite.
        moment: (…, U).
    """
    direction = left = moment
    squared = _dot(left, left)
    solution = moment * 0.0
    for iteration in range(_ITERATIONS):
        image = direction + ops.sum(gram * ops.expand_dims(direction, 2), axis=3)
        stride = squared / (_dot(direction, image) + _TINY)
        solution = solution + stride * direction
        if iteration < _ITERATIONS - 1:
            left = left - stride * image
            before_it, squared = squared, _dot(left, left)
            direction = left + squared / (before_it + _TINY) * direction
    return solution


def _dot(one: Any, other: Any) -> Any:
    return ops.sum(one * other, axis=2, keepdims=True)
