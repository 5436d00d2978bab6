"""Resampling: draws, pairs, and the ends of intervals."""

import math

import numpy as np
import pytest

from skip_pipeline.metrics import intervals
from skip_pipeline.metrics.intervals import Estimate, estimate_means, estimates, resampled


def _counts(counts: np.ndarray) -> np.ndarray:
    return counts


def test_every_resample_draws_as_many_sessions_as_there_are() -> None:
    counts = resampled(7, _counts, resamples=50)

    assert counts.shape == (50, 7)
    assert np.all(counts.sum(axis=1) == 7)
    assert len(np.unique(counts, axis=0)) > 40
    assert counts.mean(axis=0) == pytest.approx(np.ones(7), abs=0.5)


def test_equal_numbers_of_sessions_draw_the_same_whatever_is_computed() -> None:
    counts = resampled(7, _counts, resamples=20)
    assert np.array_equal(counts[:, :1], resampled(7, lambda c: c[:, :1], resamples=20))


@pytest.mark.parametrize(("cells", "blocks"), [(22, [3] * 6 + [2]), (5, [1] * 20)])
def test_blocks_change_nothing_but_memory(
    cells: int, blocks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = resampled(7, _counts, resamples=20)
    monkeypatch.setattr(intervals, "_CELLS_AT_ONCE", cells)
    seen = []

    def watched(counts: np.ndarray) -> np.ndarray:
        seen.append(len(counts))
        return counts

    assert np.array_equal(resampled(7, watched, resamples=20), whole)
    assert seen == blocks


def test_an_interval_holds_95_percent_of_the_resampled_values_that_are_numbers() -> None:
    drawn = np.column_stack([np.arange(1001.0), np.where(np.arange(1001) < 998, np.nan, np.arange(1001))])
    whole, some = estimates(np.array([500.0, 999.0]), drawn)

    assert (whole.value, whole.low, whole.high) == pytest.approx((500, 25, 975))
    assert (some.value, some.low, some.high) == pytest.approx((999, 998.05, 999.95))


@pytest.mark.parametrize(
    ("low", "high", "significant"),
    [(0.1, 0.3, True), (-0.3, -0.1, True), (-0.1, 0.1, False), (0.0, 0.1, False), (-0.1, 0.0, False)],
)
def test_a_difference_is_significant_if_zero_is_outside(low: float, high: float, significant: bool) -> None:
    assert Estimate(0.2, low, high).excludes_zero is significant


def test_the_interval_of_a_mean_is_as_wide_as_the_central_limit_theorem_says() -> None:
    columns = np.column_stack([np.random.default_rng(0).normal(3, 2, 2000), np.full(2000, 0.25)])
    varied, constant = estimate_means(columns)

    assert varied.value == pytest.approx(columns[:, 0].mean())
    assert varied.high - varied.low == pytest.approx(2 * 1.96 * 2 / math.sqrt(2000), rel=0.1)
    assert varied.low < varied.value < varied.high
    assert (constant.low, constant.high) == pytest.approx((0.25, 0.25))
