"""Bootstrap percentile intervals of statistics of the test sessions (Efron, 1979).

Sessions are drawn with replacement, as many as there are, and the statistic is computed again from each
draw. Statistics of several models that are computed from the same draws are paired.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from skip_pipeline.errors import ContractError
from skip_pipeline.settings import BOOTSTRAP_RESAMPLES, BOOTSTRAP_SEED, CONFIDENCE

_CELLS_AT_ONCE: Final = 2_000_000  # resamples times sessions that are drawn together; 16 MB an array


@dataclass(frozen=True)
class Estimate:
    """A statistic of the test sessions with the ends of its ``CONFIDENCE`` percentile interval."""

    value: float
    low: float
    high: float

    def __format__(self, form: str) -> str:
        """Value and interval, each in the form of a number.

        >>> f"{Estimate(0.5, 0.4, 0.6):.2f}"
        '0.50 (0.40 to 0.60)'
        """
        return f"{self.value:{form}} ({self.low:{form}} to {self.high:{form}})"

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside the interval, so that a difference is significant."""
        return self.low > 0 or self.high < 0


def resampled(
    sessions: int, statistic: Callable[[np.ndarray], np.ndarray], resamples: int = BOOTSTRAP_RESAMPLES
) -> np.ndarray:
    """Compute m statistics of each resample: float64 (resamples, m). Equal n give equal resamples.

    Args:
        sessions: n, at least 1.
        statistic: maps float64 (k, n), how often each session is in each of k resamples, to (k, m). A
            statistic that is undefined for a resample is NaN.
        resamples: number of draws, made in blocks, so that memory grows neither with it nor with n.
    """
    random = np.random.default_rng(BOOTSTRAP_SEED)
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
    """Put intervals around m statistics (m,), from those of resamples (resamples, m); NaN is left out."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(resampled_values, [tail, 1 - tail], axis=0)
    return tuple(Estimate(float(v), float(a), float(b)) for v, a, b in zip(values, low, high, strict=True))


def ratio_with_error(numerators: np.ndarray, denominators: np.ndarray) -> tuple[float, float]:
    """Ratio of two sums over n sessions, and its standard error by linearization (Cochran, 1977, 6.4).

    Args:
        numerators: (n,); the error of one session is infinite.
        denominators: (n,), whose sum is not 0; ones for a mean over sessions.

    >>> ratio_with_error(np.array([1.0, 2.0, 3.0, 4.0]), np.ones(4))
    (2.5, 0.6454972243679028)
    """
    n, total = len(numerators), denominators.sum()
    value = float(numerators.sum() / total)
    if n == 1:
        return value, float("inf")
    residuals = numerators - value * denominators
    return value, float(np.sqrt(n / (n - 1) * (residuals**2).sum()) / total)


def estimate_means(columns: np.ndarray) -> tuple[Estimate, ...]:
    """Mean and interval of each column: (n, m), a row per session, to m estimates."""
    n = len(columns)
    return estimates(columns.mean(axis=0), resampled(n, lambda counts: counts @ columns / n))


def estimate_ratios(numerators: np.ndarray, denominators: np.ndarray) -> tuple[Estimate, ...]:
    """Ratio and interval of sums over sessions: two (n, m), a row per session, to m estimates.

    A mean over rows of which a session may have several is such a ratio: their sum over their number.

    Raises:
        ContractError: the denominators of a column add up to 0.
    """
    if empty := int(np.count_nonzero(denominators.sum(axis=0) == 0)):
        raise ContractError(f"{empty} of {denominators.shape[1]} ratios are of no row; leave these out")

    def ratios(counts: np.ndarray) -> np.ndarray:
        drawn = counts @ denominators
        found = np.full(drawn.shape, np.nan)
        return np.asarray(np.divide(counts @ numerators, drawn, out=found, where=drawn != 0))

    n = len(numerators)
    return estimates(ratios(np.ones((1, n)))[0], resampled(n, ratios))
