"""Curves and confusion matrix of sessions few enough to count by hand."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from skip_pipeline.errors import ContractError, TrainingError
from skip_pipeline.metrics.curves import (
    ReliabilityBin,
    calibration_error_by_chance,
    confusion_matrix,
    expected_calibration_error,
    reliability_curve,
    roc_curve,
)
from skip_pipeline_tests.builders import refusal

LABELS = np.array([0, 0, 1, 1], np.float32)
P = np.array([0.1, 0.6, 0.5, 0.8])


@pytest.mark.parametrize(
    ("threshold", "counts"), [(0.5, [[1, 1], [0, 2]]), (0.55, [[1, 1], [1, 1]]), (0.9, [[2, 0], [2, 0]])]
)
def test_confusion_counts_outcomes_by_row_and_predictions_by_column(threshold, counts) -> None:
    assert confusion_matrix(LABELS, P, threshold).tolist() == counts


def test_confusion_of_one_outcome_keeps_both_rows() -> None:
    assert confusion_matrix(np.zeros(2), np.array([0.1, 0.2])).tolist() == [[2, 0], [0, 0]]


def test_the_roc_curve_goes_from_corner_to_corner() -> None:
    curve = roc_curve(LABELS, P)

    assert list(zip(curve.false_positive_rate, curve.true_positive_rate, strict=True)) == [
        (0, 0),
        (0, 0.5),
        (0.5, 0.5),
        (0.5, 1),
        (1, 1),
    ]
    assert curve.area == 0.75


def test_a_long_roc_curve_keeps_its_corners_and_its_area() -> None:
    random = np.random.default_rng(0)
    labels, p = random.integers(0, 2, 20_000), random.random(20_000)
    curve = roc_curve(labels, p)

    assert len(curve.false_positive_rate) == len(curve.true_positive_rate) == 512
    assert (curve.false_positive_rate[0], curve.true_positive_rate[0]) == (0, 0)
    assert (curve.false_positive_rate[-1], curve.true_positive_rate[-1]) == (1, 1)
    assert curve.area == pytest.approx(roc_auc_score(labels, p))


def test_reliability_bins_hold_equal_counts_and_equal_probabilities_share_one() -> None:
    assert reliability_curve(LABELS, P, bins=2) == (
        ReliabilityBin(sessions=2, mean_p_not_skipped=0.3, share_not_skipped=0.5),
        ReliabilityBin(sessions=2, mean_p_not_skipped=0.7, share_not_skipped=0.5),
    )
    (only,) = reliability_curve(np.array([0, 1, 1, 1]), np.full(4, 0.75), bins=3)
    assert only == ReliabilityBin(sessions=4, mean_p_not_skipped=0.75, share_not_skipped=0.75)
    assert [b.sessions for b in reliability_curve(np.tile([0, 1], 500), np.arange(1000) / 1000)] == [100] * 10
    assert reliability_curve(np.empty(0), np.empty(0)) == ()


@pytest.mark.parametrize("curve", [confusion_matrix, roc_curve, reliability_curve])
def test_a_value_that_is_no_probability_is_refused(curve) -> None:
    message = refusal(ContractError, lambda: curve(LABELS, np.array([0.1, 0.2, 1.5, 0.3])))
    assert "1 of 4 probabilities" in message


def test_one_outcome_alone_has_no_roc_curve() -> None:
    assert "the scores: 0 of 3" in refusal(
        TrainingError, lambda: roc_curve(np.zeros(3), np.array([0.2, 0.4, 0.6]))
    )


def test_the_calibration_error_weighs_bins_by_their_sessions() -> None:
    bins = (ReliabilityBin(30, 0.2, 0.1), ReliabilityBin(10, 0.6, 0.9))
    assert expected_calibration_error(bins) == pytest.approx((30 * 0.1 + 10 * 0.3) / 40)
    assert expected_calibration_error(()) == calibration_error_by_chance(()) == 0


def test_the_error_by_chance_is_the_mean_distance_of_drawn_shares() -> None:
    few = calibration_error_by_chance((ReliabilityBin(100, 0.2, 0.4),))
    assert few == pytest.approx(math.sqrt(2 / math.pi) * 0.04)
    assert calibration_error_by_chance((ReliabilityBin(10_000, 0.2, 0.2),)) == pytest.approx(few / 10)
    drawn = np.random.default_rng(0).binomial(100, 0.2, 20_000) / 100
    assert np.abs(drawn - 0.2).mean() == pytest.approx(few, rel=0.02)
    both = (ReliabilityBin(100, 0.2, 0.4), ReliabilityBin(300, 0.0, 0.0))
    assert calibration_error_by_chance(both) == pytest.approx(few / 4)
