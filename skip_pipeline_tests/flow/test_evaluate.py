import math

import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.errors import ContractError, TrainingError
from skip_pipeline.flow.evaluate import (
    Confusion,
    ReliabilityBin,
    confusion,
    majority_accuracy,
    majority_class,
    need_both_outcomes,
    reliability_curve,
    repeat_last_outcome_accuracy,
    roc_curve,
    score,
)

LABELS = np.array([0, 0, 1, 1], np.float32)
P = np.array([0.1, 0.6, 0.5, 0.8])


def test_scores_are_those_worked_out_by_hand() -> None:
    scores = score(LABELS, P)

    assert scores.sessions == 4
    assert scores.accuracy == 0.75  # 0.6 for a skipped track is wrong, 0.5 counts as not skipped
    assert scores.log_loss == pytest.approx(
        -(math.log(0.9) + math.log(0.4) + math.log(0.5) + math.log(0.8)) / 4
    )
    assert scores.roc_auc == 0.75  # of four pairs, only 0.6 against 0.5 is the wrong way round
    assert scores.brier == pytest.approx((0.01 + 0.36 + 0.25 + 0.04) / 4)


def test_scores_are_plain_numbers() -> None:
    assert [type(value) for value in vars(score(LABELS, P)).values()] == [int, float, float, float, float]


def test_certainty_that_fails_costs_much_but_not_infinity() -> None:
    assert 9 < score(LABELS, np.array([1.0, 0.0, 1.0, 1.0])).log_loss < 10


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_has_no_roc_auc_and_says_so(label: int) -> None:
    one_class = np.full(3, label, np.float32)
    with pytest.raises(TrainingError, match=f"of 3 sessions, {3 * label} end .* both outcomes are needed"):
        score(one_class, np.array([0.2, 0.4, 0.6]))
    with pytest.raises(TrainingError, match="both outcomes are needed"):
        roc_curve(one_class, np.array([0.2, 0.4, 0.6]))


def test_no_sessions_have_no_score() -> None:
    with pytest.raises(TrainingError, match="of 0 sessions"):
        score(np.empty(0), np.empty(0))


@pytest.mark.parametrize("p", [np.nan, np.inf, -0.01, 1.01])
def test_what_is_no_probability_is_refused(p: float) -> None:
    with pytest.raises(ContractError, match=r"1 of 4 probabilities are not in \[0, 1\]"):
        score(LABELS, np.array([0.1, p, 0.5, 0.8]))


def test_labels_other_than_0_and_1_are_refused() -> None:
    with pytest.raises(ContractError, match="1 of 4 values of not_skipped are neither 0 nor 1"):
        score(np.array([0, 0, 1, 9]), P)


def test_labels_of_another_split_are_refused() -> None:
    with pytest.raises(ContractError, match=r"labels have shape \(4,\) and probabilities \(3,\)"):
        score(LABELS, P[:3])


def test_the_majority_is_learnt_on_training_sessions() -> None:
    assert majority_class(np.array([0, 0, 1])) == 0
    assert majority_class(np.array([0, 1, 1])) == 1
    assert majority_class(np.array([0, 1])) == 0
    assert majority_accuracy(np.array([0, 0, 1]), np.array([1, 1, 1, 0])) == 0.25


def test_a_majority_needs_sessions() -> None:
    with pytest.raises(TrainingError, match="no training session"):
        majority_accuracy(np.empty(0), LABELS)
    with pytest.raises(TrainingError, match="no sessions"):
        majority_accuracy(LABELS, np.empty(0))


def test_repeating_the_last_outcome_reads_the_last_step() -> None:
    skips = np.full((4, schema.STEPS, 1), schema.SKIP_PADDING, np.float32)
    skips[:, -1, 0] = [0, 1, 1, 1]
    assert repeat_last_outcome_accuracy(skips, LABELS) == 0.75


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


def test_a_split_of_one_outcome_is_refused_by_its_name():
    with pytest.raises(TrainingError, match=r"^the test split: of 2 sessions, 0 end"):
        need_both_outcomes(np.array([0.0, 0.0]), "the test split")
