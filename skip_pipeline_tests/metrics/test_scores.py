import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from skip_pipeline.errors import ContractError, TrainingError
from skip_pipeline.metrics.scores import correct, losses, need_both_outcomes, roc_auc_pseudovalues, score
from skip_pipeline_tests.builders import assert_says, refusal

LABELS = np.array([0, 0, 1, 1], np.float32)
P = np.array([0.1, 0.6, 0.5, 0.8])


def test_scores_are_those_worked_out_by_hand() -> None:
    scores = score(LABELS, P)

    assert scores.sessions == 4
    assert scores.accuracy == 0.75  # 0.6 for a skipped track is wrong, 0.5 counts as not skipped
    assert scores.log_loss == pytest.approx(-math.log(0.9 * 0.4 * 0.5 * 0.8) / 4)
    assert scores.roc_auc == 0.75  # of four pairs, only 0.6 against 0.5 is the wrong way round
    assert scores.brier == pytest.approx((0.01 + 0.36 + 0.25 + 0.04) / 4)
    assert [type(value) for value in vars(scores).values()] == [int, float, float, float, float]


@pytest.mark.parametrize(("threshold", "accuracy"), [(0.05, 0.5), (0.55, 0.5), (0.6, 0.5), (0.7, 0.75)])
def test_the_threshold_moves_accuracy_and_nothing_else(threshold: float, accuracy: float) -> None:
    usual, moved = score(LABELS, P), score(LABELS, P, threshold)

    assert moved.accuracy == correct(LABELS, P, threshold).mean() == accuracy
    assert (moved.log_loss, moved.roc_auc, moved.brier) == (usual.log_loss, usual.roc_auc, usual.brier)


def test_each_session_has_its_own_loss_of_at_most_36_nats() -> None:
    p = np.array([0.25, 0.0, 0.5, 0.0])
    assert losses(LABELS, p) == pytest.approx([math.log(4 / 3), 0.0, math.log(2), 36.0437], abs=1e-4)
    single = np.array([0.1, 0.6, 0.5, 1.0], np.float32)
    assert losses(LABELS, single).dtype == np.float64
    assert losses(LABELS, single).mean() == pytest.approx(score(LABELS, single).log_loss, rel=1e-6)


def test_pseudovalues_of_the_roc_auc_come_from_placements() -> None:
    # Of the played tracks, 0.5 is above one of two skipped ones and 0.8 above both; of the skipped ones,
    # 0.1 is below both played ones and 0.6 below one.
    placements = np.array([1, 0.5, 0.5, 1])
    assert roc_auc_pseudovalues(LABELS, P) == pytest.approx(0.75 + (placements - 0.75) / 0.5)
    # Two of five are played: a placement's difference from the area counts 5 / 2 times, else 5 / 3 times.
    placements = np.array([1, 1, 0.5, 2 / 3, 1])
    assert roc_auc_pseudovalues(
        np.array([0, 0, 0, 1, 1]), np.array([0.1, 0.2, 0.6, 0.5, 0.8])
    ) == pytest.approx(5 / 6 + (placements - 5 / 6) * np.array([5 / 3, 5 / 3, 5 / 3, 5 / 2, 5 / 2]))
    assert roc_auc_pseudovalues(LABELS, np.full(4, 0.4)).tolist() == [0.5] * 4


@settings(max_examples=40)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30))
def test_the_mean_of_pseudovalues_is_the_roc_auc(sessions: list[tuple[bool, int]]) -> None:
    labels = np.array([int(played) for played, _ in sessions])
    labels[:2] = (0, 1)
    p = np.array([level / 5 for _, level in sessions])
    assert roc_auc_pseudovalues(labels, p).mean() == pytest.approx(metrics.roc_auc_score(labels, p))


def test_resampled_pseudovalues_move_as_the_roc_auc_does() -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, 1500)
    p = np.round(np.clip((labels + random.normal(0, 1.5, 1500) + 4) / 9, 0, 1), 1)  # with many ties
    pseudovalues = roc_auc_pseudovalues(labels, p)
    drawn = [random.integers(1500, size=1500) for _ in range(60)]
    areas = np.array([metrics.roc_auc_score(labels[some], p[some]) for some in drawn])

    assert np.std(areas - [pseudovalues[some].mean() for some in drawn]) < 0.05 * np.std(areas)


@pytest.mark.parametrize("scored", [score, roc_auc_pseudovalues])
@pytest.mark.parametrize("labels", [[], [0, 0, 0], [1, 1]])
def test_no_session_or_one_outcome_has_no_roc_auc(scored, labels: list[int]) -> None:
    message = refusal(TrainingError, lambda: scored(np.array(labels), np.full(len(labels), 0.3)))
    assert_says(
        message, f"the scores: {sum(labels)} of {len(labels)}", "both outcomes", "Deliver more sessions"
    )


def test_labels_of_one_outcome_are_refused_by_their_name() -> None:
    assert_says(
        refusal(TrainingError, lambda: need_both_outcomes(np.zeros(2), "the test split")),
        "the test split: 0 of 2",
    )
    need_both_outcomes(np.array([0, 1]), "the test split")


@pytest.mark.parametrize("p", [np.nan, np.inf, -0.01, 1.01])
def test_a_value_that_is_no_probability_is_refused(p: float) -> None:
    message = refusal(ContractError, lambda: score(LABELS, np.array([0.1, p, 0.5, 0.8])))
    assert_says(message, "1 of 4 probabilities are not in [0, 1]", "train the network again")


@pytest.mark.parametrize(
    ("labels", "facts"),
    [
        (np.array([0, 0, 1, 9]), ("1 of 4 values of not_skipped", "0 nor 1", "materialize tensor_bundles")),
        (LABELS[:3], ("labels have shape (3,) and probabilities (4,)", "same split")),
        (LABELS[:, None], ("(4, 1)", "(4,)")),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: np.ndarray, facts: tuple[str, ...]) -> None:
    assert_says(refusal(ContractError, lambda: score(labels, P)), *facts)
