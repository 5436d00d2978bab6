import math

import numpy as np
import pytest
from sklearn import metrics

from skip_pipeline import schema
from skip_pipeline.errors import ContractError, TrainingError
from skip_pipeline.metrics.scores import (
    average_precision,
    correct,
    losses,
    majority_accuracy,
    majority_class,
    need_both_outcomes,
    repeat_last_outcome_accuracy,
    roc_auc_shares,
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


def test_the_threshold_moves_accuracy_and_nothing_else() -> None:
    usual, higher = score(LABELS, P), score(LABELS, P, threshold=0.7)
    assert higher.accuracy == 0.75  # 0.6 for a skipped track is right now, 0.5 for a played one wrong
    assert score(LABELS, P, threshold=0.05).accuracy == 0.5
    assert (higher.log_loss, higher.roc_auc, higher.brier) == (usual.log_loss, usual.roc_auc, usual.brier)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_each_session_adds_its_share_of_the_scores(dtype: type) -> None:
    p = np.array([0.1, 0.6, 0.5, 1.0], dtype)
    assert losses(LABELS, p).mean() == pytest.approx(score(LABELS, p).log_loss, rel=1e-6)
    assert losses(LABELS, np.array([0.1, 0.6, 0.5, 0.0]))[3] == pytest.approx(36.04, abs=0.01)
    assert correct(LABELS, p).tolist() == [True, False, True, True]
    assert correct(LABELS, p, threshold=0.55).tolist() == [True, False, False, True]


def test_shares_of_the_roc_auc_are_placements_and_their_mean_is_the_area() -> None:
    # Of the played tracks, 0.5 is above one of two skipped ones and 0.8 above both; of the skipped ones,
    # 0.1 is below both played ones and 0.6 below one.
    area, placements = 0.75, np.array([1, 0.5, 0.5, 1])
    assert roc_auc_shares(LABELS, P) == pytest.approx(area + (placements - area) / 0.5)


@pytest.mark.parametrize("levels", [1, 5, 10_000], ids=["two probabilities", "many ties", "no ties"])
def test_resampled_shares_move_as_the_area_does(levels: int) -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, 3000)
    p = np.round(np.clip((labels + random.normal(0, 1.5, 3000) + 4) / 9, 0, 1) * levels) / levels
    shares = roc_auc_shares(labels, p)
    assert shares.mean() == pytest.approx(metrics.roc_auc_score(labels, p))

    drawn = [random.integers(3000, size=3000) for _ in range(200)]
    areas = np.array([metrics.roc_auc_score(labels[some], p[some]) for some in drawn])
    linear = np.array([shares[some].mean() for some in drawn])
    assert np.std(areas - linear) < 0.05 * np.std(areas)


def test_a_constant_is_right_of_half_of_all_pairs_whatever_is_drawn() -> None:
    assert roc_auc_shares(LABELS, np.full(4, 0.4)).tolist() == [0.5] * 4


def test_average_precision_is_the_mean_of_precisions_at_each_played_track() -> None:
    # In falling order of P: played, skipped, played, skipped.
    assert average_precision(LABELS, P) == pytest.approx((1 + 2 / 3) / 2)


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
        average_precision(one_class, np.array([0.2, 0.4, 0.6]))


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


def test_a_split_of_one_outcome_is_refused_by_its_name():
    with pytest.raises(TrainingError, match=r"^the test split: of 2 sessions, 0 end"):
        need_both_outcomes(np.array([0.0, 0.0]), "the test split")
