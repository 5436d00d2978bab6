"""Arithmetic of shares: whole numbers in given proportions, random categories, evenly spread draws."""

from __future__ import annotations

import numpy as np

from skip_pipeline.world.arrays import FloatArray, IntArray


def apportion(total: int, weights: FloatArray) -> IntArray:
    """Split ``total`` in proportion to ``weights`` into whole numbers, int64, whose sum is ``total``.

    The largest remainders are rounded up; of equal remainders, the earlier.

    >>> apportion(10, np.array([1.0, 1.0, 1.0])).tolist()
    [4, 3, 3]
    """
    quotas = total * (weights / weights.sum())
    counts: IntArray = np.floor(quotas).astype(np.int64)
    missing = total - int(counts.sum())
    counts[np.argsort(counts - quotas, kind="stable")[:missing]] += 1
    return counts


def cumulative(weights: FloatArray) -> FloatArray:
    """Cumulative shares along the last axis, each row ending at exactly 1."""
    sums = np.cumsum(weights, axis=-1, dtype=np.float64)
    return np.asarray(sums / sums[..., -1:], dtype=np.float64)


def draw_categories(rng: np.random.Generator, cumulative_rows: FloatArray) -> IntArray:
    """One category for each row of cumulative shares (n, categories): int64 (n,)."""
    return choose(cumulative_rows, rng.random(len(cumulative_rows)))


def choose(cumulative_rows: FloatArray, uniform: FloatArray) -> IntArray:
    """Category into which each uniform number (n,) falls in its row (n, categories): int64 (n,)."""
    return np.asarray((uniform[:, None] >= cumulative_rows).sum(axis=1), dtype=np.int64)


def even_uniforms(rng: np.random.Generator, order: IntArray) -> FloatArray:
    """Numbers in [0, 1), float64 (n,), that are evenly spread over any stretch of ``order``, int64 (n,).

    So the shares in small groups do not depend on chance. The numbers are multiples of the golden ratio,
    modulo 1, from a random start (the additive recurrence of lowest discrepancy).
    """
    return _recurrence(rng, order, _GOLDEN)


def even_pairs(rng: np.random.Generator, order: IntArray) -> tuple[FloatArray, FloatArray]:
    """Pairs of such numbers, (n,) and (n,), evenly spread over the unit square (Roberts' R2 sequence)."""
    return _recurrence(rng, order, 1.0 / _PLASTIC), _recurrence(rng, order, 1.0 / _PLASTIC**2)


def _recurrence(rng: np.random.Generator, order: IntArray, step: float) -> FloatArray:
    numbers = np.empty(len(order))
    numbers[order] = (rng.random() + step * np.arange(len(order))) % 1.0
    return numbers


_GOLDEN = 0.6180339887498949  # (sqrt(5) - 1) / 2
_PLASTIC = 1.324717957244746  # the real root of x ** 3 = x + 1
