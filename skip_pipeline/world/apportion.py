"""Whole numbers in given proportions, and categories drawn by them.

Only the arithmetic of shares belongs here; the shares are in ``figures.py`` and ``track_figures.py``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def apportion(total: int, weights: FloatArray) -> IntArray:
    """Split ``total`` in proportion to ``weights``, exactly: int64 like ``weights``, of sum ``total``.

    Largest remainders are rounded up, the earlier weight first where remainders are equal.
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
    uniform = rng.random((len(cumulative_rows), 1))
    return np.asarray((uniform >= cumulative_rows).sum(axis=1), dtype=np.int64)
