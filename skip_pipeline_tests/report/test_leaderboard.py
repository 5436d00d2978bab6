"""Every model on the same sessions: order, intervals, and differences that are paired."""

import dataclasses
import json

import numpy as np
import pytest
from sklearn import metrics

from skip_pipeline.errors import ContractError, TrainingError
from skip_pipeline.metrics.intervals import Estimate
from skip_pipeline.report.leaderboard import Leaderboard, Model, compare
from skip_pipeline_tests.builders import refusal

RANDOM = np.random.default_rng(5)
TRUTH = RANDOM.random(400)
LABELS = (RANDOM.random(400) < TRUTH).astype(np.float32)
NOISY = np.clip(TRUTH + RANDOM.normal(0, 0.2, 400), 0.02, 0.98)


NETWORK = Model("fast", "fast network", "a network", "network", seconds=12.5, parameters=20_770)
ORACLE = Model("oracle", "best possible", "knows the truth", "oracle")
CONSTANT = Model("majority", "majority class", "a share", "baseline", seconds=0.001)
TWIN = Model("twin", "a twin", "predicts the same", "baseline")
PREDICTIONS = {
    NETWORK: NOISY,
    CONSTANT: np.full(400, 0.45),
    ORACLE: np.clip(TRUTH, 0.001, 0.999),
    TWIN: NOISY.copy(),
}


@pytest.fixture(scope="module")
def board() -> Leaderboard:
    return compare(LABELS, PREDICTIONS)


def test_the_lowest_log_loss_comes_first_and_equal_ones_by_name(board: Leaderboard) -> None:
    assert [entry.model.name for entry in board.entries] == ["oracle", "fast", "twin", "majority"]
    assert board.served.model.name == "fast"
    assert [entry.model.name for entry in board.trainable] == ["fast", "twin", "majority"]
    assert board.sessions == 400
    assert board.share_not_skipped == pytest.approx(LABELS.mean())


def test_scores_are_those_of_scikit_learn_inside_their_intervals(board: Leaderboard) -> None:
    network = board.served
    for estimate, expected in (
        (network.log_loss, metrics.log_loss(LABELS, NOISY)),
        (network.accuracy, metrics.accuracy_score(LABELS, NOISY >= 0.5)),
        (network.roc_auc, metrics.roc_auc_score(LABELS, NOISY)),
        (network.brier, metrics.brier_score_loss(LABELS, NOISY)),
    ):
        assert estimate.value == pytest.approx(expected)
        assert estimate.low < estimate.value < estimate.high
    assert network.pr_auc == pytest.approx(metrics.average_precision_score(LABELS, NOISY))


def test_differences_are_paired(board: Leaderboard) -> None:
    oracle, network, twin, constant = board.entries
    assert network.log_loss_difference is network.accuracy_difference is None
    assert twin.log_loss_difference == Estimate(0, 0, 0)
    assert not twin.log_loss_difference.excludes_zero
    rise = constant.log_loss_difference
    assert rise is not None
    assert rise.low > 0
    assert rise.value == pytest.approx(constant.log_loss.value - network.log_loss.value)
    # Beyond chance although the two intervals overlap: sessions that are hard for one are so for both.
    assert oracle.log_loss_difference is not None
    assert oracle.log_loss_difference.high < 0
    assert oracle.log_loss.high > network.log_loss.low


def test_a_constant_has_no_order_that_could_vary(board: Leaderboard) -> None:
    assert board.entries[-1].roc_auc == Estimate(0.5, 0.5, 0.5)


def test_each_model_decides_at_its_own_threshold() -> None:
    strict = Model("strict", "strict", "skips all", "baseline", threshold=0.99)
    board = compare(LABELS, {NETWORK: NOISY, strict: NOISY})
    (entry,) = (entry for entry in board.entries if entry.model == strict)
    assert entry.accuracy.value == pytest.approx(1 - LABELS.mean())
    difference = entry.accuracy_difference
    assert difference is not None
    assert difference.value == pytest.approx(entry.accuracy.value - board.served.accuracy.value)
    assert entry.log_loss_difference == Estimate(0, 0, 0)


def test_equal_input_gives_equal_metrics_whatever_training_took(board: Leaderboard) -> None:
    slower = dataclasses.replace(CONSTANT, seconds=99.0)
    again = compare(LABELS, {slower if model == CONSTANT else model: p for model, p in PREDICTIONS.items()})
    assert json.dumps(again.metrics()) == json.dumps(board.metrics())
    assert board.seconds() == {"fast": 12.5, "majority": 0.001}


def test_metrics_say_what_is_beyond_chance(board: Leaderboard) -> None:
    models = {model["name"]: model for model in board.metrics()["models"]}
    assert models["fast"]["log_loss_difference"] is None
    assert models["majority"]["log_loss_difference"]["beyond_chance"] is True
    assert models["twin"]["log_loss_difference"]["beyond_chance"] is False
    assert set(models["majority"]["log_loss"]) == {"value", "low", "high"}
    assert board.metrics()["interval"]["confidence"] == 0.95


def test_the_table_has_a_row_per_model_and_plain_values(board: Leaderboard) -> None:
    table = board.table()
    assert len(table["data"]) == 4
    assert all(len(row) == len(table["columns"]) for row in table["data"])
    second = dict(zip(table["columns"], table["data"][1], strict=True))
    assert (second["rank"], second["model"], second["seconds"]) == (2, "fast network", 12.5)
    assert second["log_loss_difference_low"] is None
    json.dumps(table)


def test_differences_are_from_the_served_model_where_it_is_no_network_alone() -> None:
    served = Model("best_of_the_night", "served stack", "several", "served", threshold=0.4)
    board = compare(LABELS, PREDICTIONS | {served: np.clip(TRUTH, 0.1, 0.9)})
    entries = {entry.model.name: entry for entry in board.entries}

    assert board.served.model == served
    assert board.served.log_loss_difference is board.served.accuracy_difference is None
    rise = entries["fast"].log_loss_difference
    assert rise is not None
    assert rise.value == pytest.approx(entries["fast"].log_loss.value - board.served.log_loss.value)
    assert rise.low > 0
    assert next(entry.model.name for entry in board.trainable) == "best_of_the_night"


@pytest.mark.parametrize(
    ("models", "fact"),
    [
        ([NETWORK, *(Model(name, name, name, "served") for name in "ab")], "2 models are served, ['a', 'b']"),
        ([CONSTANT], "0 networks"),
        ([NETWORK, dataclasses.replace(NETWORK, name="other")], "2 networks"),
        ([NETWORK, TWIN, dataclasses.replace(TWIN, title="other")], "['twin'] come twice"),
    ],
)
def test_one_network_is_compared_and_no_name_twice(models: list[Model], fact: str) -> None:
    assert fact in refusal(ContractError, lambda: compare(LABELS, dict.fromkeys(models, NOISY)))


def test_other_sessions_and_one_outcome_are_refused() -> None:
    assert "(400,)" in refusal(ContractError, lambda: compare(LABELS, {NETWORK: NOISY, TWIN: NOISY[:-1]}))
    assert "both outcomes" in refusal(TrainingError, lambda: compare(np.zeros(400), PREDICTIONS))
