"""How far a figure would move with other test sessions: percentile intervals by resampling them.

The bootstrap of Efron (1979): sessions are drawn with replacement, as many as there are, and the figure is
computed again from each such draw. What is computed from the same draw for several models is paired.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from skip_pipeline.settings import BOOTSTRAP_RESAMPLES, BOOTSTRAP_SEED, CONFIDENCE

_CELLS_AT_ONCE: Final = 2_000_000
"""Resamples times sessions that are drawn together; 16 MB an array."""


@dataclass(frozen=True)
class Estimate:
    """A figure of the test sessions and its percentile interval.

    Attributes:
        value: of the sessions as they are.
        low, high: ends of the interval that holds ``CONFIDENCE`` of the resampled values.
    """

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside the interval: for a difference, whether it is beyond chance."""
        return self.low > 0 or self.high < 0


def resampled(
    sessions: int,
    statistic: Callable[[np.ndarray], np.ndarray],
    *,
    resamples: int = BOOTSTRAP_RESAMPLES,
    seed: int = BOOTSTRAP_SEED,
) -> np.ndarray:
    """Figures of each resample.

    Args:
        sessions: n, at least 1.
        statistic: of m figures; takes float64 (k, n), how often each session is in each of k resamples, and
            gives (k, m). A figure that a resample does not define is NaN.
        resamples: how many; they are drawn in blocks, so that memory grows neither with them nor with n.
        seed: equal seeds and n give equal resamples, whatever the statistic.

    Returns:
        float64 (resamples, m).
    """
    random = np.random.default_rng(seed)
    at_once = max(1, _CELLS_AT_ONCE // sessions)
    blocks = []
    for start in range(0, resamples, at_once):
        k = min(at_once, resamples - start)
        drawn = random.integers(sessions, size=(k, sessions))
        drawn += np.arange(k)[:, None] * sessions
        counts = np.bincount(drawn.ravel(), minlength=k * sessions)
        blocks.append(statistic(counts.reshape(k, sessions).astype(np.float64)))
    return np.concatenate(blocks)


def estimates(values: np.ndarray, resampled_values: np.ndarray) -> tuple[Estimate, ...]:
    """Each figure with its interval.

    Args:
        values: (m,), of the sessions as they are.
        resampled_values: (resamples, m); NaN is left out, and a figure that is NaN in all has no width.
    """
    tail = (1 - CONFIDENCE) / 2
    undefined = np.isnan(resampled_values).all(axis=0)
    low, high = np.nanquantile(np.where(undefined, 0.0, resampled_values), [tail, 1 - tail], axis=0)
    low, high = (np.where(undefined, values, end) for end in (low, high))
    return tuple(Estimate(float(v), float(a), float(b)) for v, a, b in zip(values, low, high, strict=True))


def estimate_means(columns: np.ndarray) -> tuple[Estimate, ...]:
    """Mean of each column with its interval: (n, m), a row per session, to m estimates."""
    n = len(columns)
    return estimates(columns.mean(axis=0), resampled(n, lambda counts: counts @ columns / n))
