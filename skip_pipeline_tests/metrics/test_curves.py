"""Curves and confusion on sessions few enough to count by hand."""

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from skip_pipeline.errors import ContractError, TrainingError
from skip_pipeline.metrics.curves import (
    Confusion,
    ReliabilityBin,
    calibration_error_by_chance,
    confusion,
    expected_calibration_error,
    reliability_curve,
    roc_curve,
)

LABELS = np.array([0, 0, 1, 1], np.float32)
P = np.array([0.1, 0.6, 0.5, 0.8])


def test_confusion_counts_outcomes_by_row_and_predictions_by_column() -> None:
    assert confusion(LABELS, P) == Confusion(1, 1, 0, 2)
    assert confusion(LABELS, P).rows == ((1, 1), (0, 2))


def test_confusion_of_one_class_keeps_both_rows() -> None:
    assert confusion(np.zeros(2), np.array([0.1, 0.9])).rows == ((1, 1), (0, 0))


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


def test_reliability_bins_hold_equal_counts() -> None:
    assert reliability_curve(LABELS, P, bins=2) == (
        ReliabilityBin(sessions=2, mean_p_not_skipped=0.3, share_not_skipped=0.5),
        ReliabilityBin(sessions=2, mean_p_not_skipped=0.7, share_not_skipped=0.5),
    )


def test_equal_probabilities_share_a_bin() -> None:
    (only,) = reliability_curve(np.array([0, 1, 1, 1]), np.full(4, 0.75), bins=3)
    assert only == ReliabilityBin(sessions=4, mean_p_not_skipped=0.75, share_not_skipped=0.75)


def test_no_sessions_have_no_reliability() -> None:
    assert reliability_curve(np.empty(0), np.empty(0)) == ()


def test_confusion_follows_the_threshold() -> None:
    assert confusion(LABELS, P, threshold=0.55) == Confusion(1, 1, 1, 1)


def test_a_long_roc_curve_keeps_its_corners_and_its_area() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 20_000)
    p = random.random(20_000)
    curve = roc_curve(labels, p)

    assert len(curve.false_positive_rate) == len(curve.true_positive_rate) == 512
    assert (curve.false_positive_rate[0], curve.true_positive_rate[0]) == (0, 0)
    assert (curve.false_positive_rate[-1], curve.true_positive_rate[-1]) == (1, 1)
    assert curve.area == pytest.approx(roc_auc_score(labels, p))


@pytest.mark.parametrize("curve", [confusion, roc_curve, reliability_curve])
def test_what_is_no_probability_is_refused(curve) -> None:
    with pytest.raises(ContractError, match="1 of 4 probabilities are not in"):
        curve(LABELS, np.array([0.1, 0.2, 1.5, 0.3]))


def test_one_outcome_alone_has_no_roc_curve() -> None:
    with pytest.raises(TrainingError, match="both outcomes are needed"):
        roc_curve(np.zeros(3), np.array([0.2, 0.4, 0.6]))


def test_the_calibration_error_weighs_bins_by_their_sessions() -> None:
    bins = (ReliabilityBin(30, 0.2, 0.1), ReliabilityBin(10, 0.6, 0.9))
    assert expected_calibration_error(bins) == pytest.approx((30 * 0.1 + 10 * 0.3) / 40)
    assert expected_calibration_error(()) == 0


def test_chance_alone_makes_an_error_that_more_sessions_lower() -> None:
    few = calibration_error_by_chance((ReliabilityBin(100, 0.5, 0.4),))
    many = calibration_error_by_chance((ReliabilityBin(10_000, 0.5, 0.5),))
    assert few == pytest.approx(math.sqrt(2 / math.pi) * 0.05)
    assert many == pytest.approx(few / 10)
    assert calibration_error_by_chance(()) == 0
    # As drawn: the mean gap of a hundred thousand bins of 100 outcomes.
    drawn = np.random.default_rng(0).binomial(100, 0.5, 100_000) / 100
    assert np.abs(drawn - 0.5).mean() == pytest.approx(few, rel=0.01)
