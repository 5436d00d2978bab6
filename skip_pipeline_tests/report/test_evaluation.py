"""The whole evaluation, on a tiny bundle and a model that is too sure of itself."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skip_pipeline import schema
from skip_pipeline.baselines.predictions import BaselinePredictions
from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.report.evaluation import Evaluation, evaluate_model, network_model, predictions_table
from skip_pipeline.report.session_attributes import SessionAttributes
from skip_pipeline_tests.builders import refusal
from skip_pipeline_tests.tiny_bundle import tiny_bundle

N = 200
BUNDLES: dict[str, dict[str, Any]] = {
    split: tiny_bundle(N, seed) | {schema.SESSION_ID: np.array([f"{split}{i}" for i in range(N)])}
    for seed, split in enumerate(schema.SPLITS)
}
NETWORK = network_model("fast", parameters=20_770, seconds=12.5)
SESSIONS = SessionAttributes(
    length=np.full(N, 20),
    hour=np.full(N, 12, np.int8),
    premium=np.arange(N) % 2 == 0,
    context_type=np.full(N, "radio"),
    popularity=np.linspace(0, 1, N, dtype=np.float32),
    known_track=np.full(N, True),
)
CALIBRATION = Calibration(slope=0.5, offset=0.0, threshold=0.6, tracks=N)
NONE = Calibration(slope=1.0, offset=0.0, threshold=0.5, tracks=N)  # changes nothing
MAJORITY = BaselinePredictions(
    "majority", {split: np.full(N, 0.45) for split in ("validation", "test")}, seconds=0.001, parameters=1
)


def _predict(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Sure of the outcome of the second last track."""
    return np.where(inputs["skip_sequence"][:, -2, 0] == 1, 0.99, 0.01)


P = {split: _predict(BUNDLES[split]) for split in schema.SPLITS}


def _evaluate(
    baselines: Sequence[BaselinePredictions] = (), calibration: Calibration = NONE, oracle: Path | None = None
) -> Evaluation:
    return evaluate_model(
        BUNDLES, P, _predict, NETWORK, SESSIONS, baselines=baselines, calibration=calibration, oracle=oracle
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    oracle = tmp_path_factory.mktemp("raw") / "oracle.parquet"
    ids = pa.array(BUNDLES["test"][schema.SESSION_ID])
    chance = pa.array(np.where(BUNDLES["test"][schema.LABEL] == 1, 0.9, 0.1).astype(np.float32))
    pq.write_table(pa.Table.from_arrays([ids, chance, chance], schema=schema.ORACLE), oracle)
    return _evaluate((MAJORITY,), CALIBRATION, oracle)


@pytest.fixture(scope="module")
def plain() -> Evaluation:
    """Of real data, not calibrated, and without a rival."""
    return _evaluate()


def test_scores_are_of_calibrated_probabilities_at_the_chosen_threshold(
    whole: Evaluation, plain: Evaluation
) -> None:
    assert np.array_equal(whole.p_not_skipped, CALIBRATION.apply(P["test"]))
    network = whole.leaderboard.network
    assert network.model.threshold == whole.metrics()["threshold"] == 0.6
    assert whole.scores["test"].log_loss == pytest.approx(network.log_loss.value)
    assert whole.scores["test"].accuracy == pytest.approx(network.accuracy.value)
    assert whole.mistakes[0].p_not_skipped in CALIBRATION.apply(np.array([0.99, 0.01]))
    assert whole.importance.log_loss < plain.importance.log_loss
    assert whole.importance.of_kind("branch")[0].name == "skip_sequence"


def test_the_leaderboard_holds_network_baselines_and_oracles(whole: Evaluation) -> None:
    kinds = {entry.model.name: entry.model.kind for entry in whole.leaderboard.entries}
    oracles = {"oracle_past": "oracle", "oracle_state": "oracle"}
    assert kinds == {"fast": "network", "majority": "baseline"} | oracles
    assert whole.leaderboard.entries[0].model.name == "oracle_past"
    models = {entry.model.title: entry.model for entry in whole.leaderboard.entries}
    assert (models["fast network"].seconds, models["fast network"].parameters) == (12.5, 20_770)
    assert (models["majority class"].seconds, models["majority class"].parameters) == (0.001, 1)


def test_metrics_are_json_and_keep_what_programs_read(whole: Evaluation, plain: Evaluation) -> None:
    metrics = json.loads(json.dumps(whole.metrics(), allow_nan=False))

    parts = ["leaderboard", "slices", "importance", "mistakes", "calibration", "oracle"]
    assert list(metrics) == [*schema.SPLITS, "baselines", "threshold", *parts]
    assert list(plain.metrics()) == list(metrics)[:-1]  # real data have no oracle
    assert metrics["test"]["sessions"] == N
    train, test = (np.mean(BUNDLES[split][schema.LABEL]) for split in ("train", "test"))
    commoner = int(train > 0.5)
    majority = {"class": commoner, "accuracy": pytest.approx(abs(1 - commoner - test))}
    assert metrics["baselines"] == {"majority": majority, "repeat_last_outcome": {"accuracy": 1.0}}
    assert len(metrics["mistakes"]) == 10
    ways = [
        "session_length",
        "context_type",
        "premium",
        "track_popularity",
        "track_in_training",
        "hour_of_day",
    ]
    assert [way["name"] for way in metrics["slices"]] == ways


def test_mlflow_charts_models_and_inputs_in_groups(whole: Evaluation) -> None:
    metrics = whole.comparison_metrics()
    names = {"log_loss/fast", "log_loss/majority", "accuracy/oracle_past", "importance/outcomes"}
    assert names <= metrics.keys()
    assert all(isinstance(value, float) for value in metrics.values())
    test, network = whole.scores["test"], whole.leaderboard.network
    assert whole.headline_metrics() == {
        "test_accuracy": test.accuracy,
        "test_log_loss": test.log_loss,
        "test_roc_auc": test.roc_auc,
        "test_brier": test.brier,
        "test_pr_auc": network.pr_auc,
        "test_ece": network.ece,
    }


def test_every_part_of_the_page_has_its_words(whole: Evaluation, plain: Evaluation) -> None:
    assert [name for name, text in whole.sentences.items() if not text.endswith(".")] == []
    assert plain.sentences["oracle_distance"] == ""
    assert f"On {N} test sessions" in whole.headline


def test_the_distance_to_the_oracle_given_the_past_is_what_the_network_lacks(
    whole: Evaluation, plain: Evaluation
) -> None:
    metrics = whole.oracle_metrics()
    assert metrics["oracle_past_accuracy"] == metrics["oracle_state_accuracy"] == 1.0
    assert metrics["oracle_state_log_loss"] == pytest.approx(-np.log(0.9), abs=1e-6)
    assert metrics["distance_to_oracle_accuracy"] == pytest.approx(1 - whole.scores["test"].accuracy)
    lost = whole.scores["test"].log_loss - metrics["oracle_past_log_loss"]
    assert metrics["distance_to_oracle_log_loss"] == pytest.approx(lost)
    assert plain.oracle_metrics() == {}


def test_predictions_are_the_test_sessions_with_outcome_and_probability(whole: Evaluation) -> None:
    table = predictions_table(BUNDLES["test"], whole.p_not_skipped)
    assert table.schema.equals(schema.PREDICTIONS)
    assert table[schema.SESSION_ID].to_pylist()[0] == "test0"
    assert table["p_not_skipped"].to_pylist() == whole.p_not_skipped.tolist()


def test_a_baseline_of_other_sessions_is_refused() -> None:
    other = BaselinePredictions("majority", {"test": np.full(7, 0.5)}, 0.0, None)
    assert "(7,)" in refusal(ContractError, lambda: _evaluate((other,)))
