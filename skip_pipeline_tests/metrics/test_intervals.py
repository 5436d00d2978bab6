"""Resampling sessions: what is drawn, how figures are paired, and the ends of intervals."""

import math
import warnings

import numpy as np
import pytest

from skip_pipeline.metrics import intervals as bootstrap
from skip_pipeline.metrics.intervals import Estimate, estimate_means, estimates, resampled


def _counts(counts: np.ndarray) -> np.ndarray:
    return counts


def test_every_resample_draws_as_many_sessions_as_there_are() -> None:
    counts = resampled(7, _counts, resamples=50)

    assert counts.shape == (50, 7)
    assert np.all(counts.sum(axis=1) == 7)
    assert len(np.unique(counts, axis=0)) > 40
    assert counts.mean(axis=0) == pytest.approx(np.ones(7), abs=0.5)


def test_equal_seeds_draw_the_same_whatever_is_computed() -> None:
    counts = resampled(7, _counts, resamples=20, seed=3)
    assert np.array_equal(counts[:, :1], resampled(7, lambda c: c[:, :1], resamples=20, seed=3))
    assert not np.array_equal(counts, resampled(7, _counts, resamples=20, seed=4))


def test_blocks_change_nothing_but_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = resampled(7, _counts, resamples=20)
    largest = []
    monkeypatch.setattr(bootstrap, "_CELLS_AT_ONCE", 22)  # three resamples of seven sessions

    def watched(counts: np.ndarray) -> np.ndarray:
        largest.append(len(counts))
        return counts

    assert np.array_equal(resampled(7, watched, resamples=20), whole)
    assert set(largest) == {3, 2}


def test_more_sessions_than_fit_in_a_block_go_one_resample_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "_CELLS_AT_ONCE", 5)
    assert resampled(7, _counts, resamples=3).shape == (3, 7)


def test_an_interval_holds_95_percent_of_the_resampled_values() -> None:
    drawn = np.arange(1001.0)[:, None]
    (whole,) = estimates(np.array([500.0]), drawn)
    assert (whole.value, whole.low, whole.high) == pytest.approx((500, 25, 975))


def test_values_that_are_no_numbers_are_left_out() -> None:
    drawn = np.array([[np.nan, np.nan], [1.0, np.nan], [3.0, np.nan]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        some, none = estimates(np.array([2.0, np.nan]), drawn)
    assert (some.low, some.high) == pytest.approx((1.05, 2.95))
    assert math.isnan(none.value)
    assert math.isnan(none.low)


@pytest.mark.parametrize(
    ("low", "high", "beyond"), [(0.1, 0.3, True), (-0.3, -0.1, True), (-0.1, 0.1, False), (0.0, 0.1, False)]
)
def test_a_difference_is_beyond_chance_where_zero_is_outside(low: float, high: float, beyond: bool) -> None:
    assert Estimate(0.2, low, high).excludes_zero is beyond


def test_the_interval_of_a_mean_is_as_wide_as_the_central_limit_theorem_says() -> None:
    columns = np.column_stack([np.random.default_rng(0).normal(3, 2, 2000), np.full(2000, 0.25)])
    varied, constant = estimate_means(columns)

    assert varied.value == pytest.approx(columns[:, 0].mean())
    assert varied.high - varied.low == pytest.approx(2 * 1.96 * 2 / math.sqrt(2000), rel=0.1)
    assert varied.low < varied.value < varied.high
    assert (constant.low, constant.high) == pytest.approx((0.25, 0.25))
