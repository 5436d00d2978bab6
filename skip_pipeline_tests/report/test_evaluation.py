"""The whole evaluation, on a tiny bundle and a model that is too sure of itself."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from skip_pipeline import schema
from skip_pipeline.baselines.predictions import BaselinePredictions
from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.networks.listening import all_played
from skip_pipeline.report.evaluation import (
    Evaluation,
    Served,
    evaluate_model,
    network_model,
    predictions_table,
    served_model,
)
from skip_pipeline.report.second_half import SecondHalf
from skip_pipeline.report.session_attributes import SessionAttributes
from skip_pipeline_tests.builders import refusal
from skip_pipeline_tests.report.contents import SECOND_HALF
from skip_pipeline_tests.tiny_bundle import tiny_bundle

N = 200
BUNDLES: dict[str, dict[str, Any]] = {
    split: tiny_bundle(N, seed) | {schema.SESSION_ID: np.array([f"{split}{i}" for i in range(N)])}
    for seed, split in enumerate(schema.SPLITS)
}
KNOWN = np.arange(20) % 4 > 0  # a training session played the tracks of these places
for _bundle in BUNDLES.values():
    _memory = np.zeros((N, *schema.INPUT_SHAPES["track_memory"]), np.float32)
    _memory[:, KNOWN, 1] = 0.7
    _bundle["track_memory"] = _memory
NETWORK = network_model("fast", parameters=20_770, seconds=12.5)
SESSIONS = SessionAttributes(
    length=np.full(N, 20),
    hour=np.full(N, 12, np.int8),
    premium=np.arange(N) % 2 == 0,
    context_type=np.full(N, "radio"),
    popularity=np.linspace(0, 1, N, dtype=np.float32),
    known_track=np.full(N, True),
)
LABELS = BUNDLES["test"][schema.LABEL]
CALIBRATION = Calibration(slope=0.5, offset=0.0, threshold=0.6, tracks=N)
NONE = Calibration(slope=1.0, offset=0.0, threshold=0.5, tracks=N)  # changes nothing
MAJORITY = BaselinePredictions(
    "majority",
    {split: np.full(N, 0.45) for split in ("validation", "test")},
    seconds=0.001,
    parameters=1,
    p_tracks={split: np.full((N, 20), 0.45, np.float32) for split in ("validation", "test")},
)


def _predict(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Sure of the outcome of the second last track."""
    return np.where(inputs["skip_sequence"][:, -2, 0] == 1, 0.99, 0.01)


def _predict_tracks(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """The same of a session's last track, and hardly a guess of those before it."""
    earlier = np.where(inputs["skip_sequence"][:, :, 0] == 1, 0.55, 0.4)
    return np.column_stack([earlier, _predict(inputs)])


P = {split: _predict_tracks(BUNDLES[split]) for split in schema.SPLITS}
LAST_ALONE = {split: np.where(np.arange(20) == 19, p, np.nan) for split, p in P.items()}


def _evaluate(
    baselines: Sequence[BaselinePredictions] = (),
    calibration: Calibration = NONE,
    oracle: Path | None = None,
    p_tracks: Mapping[str, np.ndarray] = P,
    second_half: SecondHalf | None = SECOND_HALF,
    **more: Any,
) -> Evaluation:
    facts: dict[str, Any] = {"baselines": baselines, "calibration": calibration, "oracle": oracle} | more
    return evaluate_model(BUNDLES, p_tracks, _predict, NETWORK, SESSIONS, second_half=second_half, **facts)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    oracle = tmp_path_factory.mktemp("raw") / "oracle.parquet"
    ids = pa.array(BUNDLES["test"][schema.SESSION_ID])
    chance = pa.array(np.where(BUNDLES["test"][schema.LABEL] == 1, 0.9, 0.1).astype(np.float32))
    pq.write_table(pa.Table.from_arrays([ids, chance, chance], schema=schema.ORACLE), oracle)
    return _evaluate((MAJORITY,), CALIBRATION, oracle)


def test_the_served_model_is_evaluated_where_it_is_no_network_alone(whole: Evaluation) -> None:
    """It knows the outcome of the last track nine times of ten, and the network is shown beside it."""
    p = {split: of_split.copy() for split, of_split in P.items()}
    for split, of_split in p.items():
        of_split[:, -1] = np.where(BUNDLES[split][schema.LABEL] == (np.arange(N) % 10 > 0), 0.9, 0.2)
    model = dataclasses.replace(served_model("stack"), threshold=0.3)
    p_last = {split: of_split[:, -1] for split, of_split in p.items()}
    answers = Served(model, p_last, p["test"], lambda inputs: np.full(len(inputs["last_track"]), 0.5))
    found = _evaluate((MAJORITY,), CALIBRATION, served=answers, choice="Because.")
    entries = {entry.model.name: entry for entry in found.leaderboard.entries}

    assert np.array_equal(found.p_not_skipped, p["test"][:, -1])
    assert found.metrics()["threshold"] == 0.3
    assert found.scores["test"].log_loss == pytest.approx(log_loss(LABELS, p["test"][:, -1]))
    assert found.leaderboard.served is entries["best_of_the_night"]
    assert entries["fast"].model.threshold == 0.6
    assert entries["fast"].log_loss.value == whole.leaderboard.served.log_loss.value
    assert found.importance.log_loss == pytest.approx(np.log(2))  # of what it predicts with changed inputs
    assert found.calibration == whole.calibration  # the network's
    assert found.next_track is not None
    assert {entry.model.name for entry in found.next_track.entries} == {
        "best_of_the_night", "fast", "majority",
    }  # fmt: skip
    assert found.next_track.served.model.name == "best_of_the_night"
    assert found.next_track.best_rival is not None
    assert found.next_track.best_rival.model.name == "majority"
    assert found.metrics()["choice"] == "Because."


@pytest.fixture(scope="module")
def plain() -> Evaluation:
    """Of real data, not calibrated, and without a rival."""
    return _evaluate()


def test_scores_are_of_calibrated_probabilities_at_the_chosen_threshold(
    whole: Evaluation, plain: Evaluation
) -> None:
    assert np.array_equal(whole.p_not_skipped, CALIBRATION.apply(P["test"][:, -1]))
    network = whole.leaderboard.served
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

    parts = ["leaderboard", "slices", "importance", "mistakes", "calibration"]
    parts += ["next_track", "second_half", "oracle"]
    assert list(metrics) == [*schema.SPLITS, "baselines", "served", "threshold", "choice", *parts]
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
    names = {
        "log_loss/fast",
        "log_loss/majority",
        "accuracy/oracle_past",
        "importance/outcomes",
        "maa/threshold",
    }
    assert names <= metrics.keys()
    assert all(isinstance(value, float) for value in metrics.values())
    test, network = whole.scores["test"], whole.leaderboard.served
    next_track = whole.next_track
    assert next_track is not None
    assert whole.headline_metrics() == next_track.headline_metrics() | SECOND_HALF.headline_metrics() | {
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
    assert f"On the last tracks of {N} test sessions" in whole.headline


def test_every_track_is_scored_from_calibrated_probabilities(whole: Evaluation) -> None:
    found = whole.next_track
    assert found is not None
    labels = all_played(BUNDLES["test"])
    real = ~np.isnan(labels)
    y, p = labels[real], CALIBRATION.apply(P["test"])[real]
    network = found.served

    assert (found.sessions, found.tracks) == (N, int(np.count_nonzero(real)))
    assert network.log_loss.value == pytest.approx(log_loss(y, p))
    assert network.accuracy.value == pytest.approx(np.mean((p >= 0.6) == y))
    assert network.roc_auc.value == pytest.approx(roc_auc_score(y, p))
    assert network.log_loss.low < network.log_loss.value < network.log_loss.high
    within = [roc_auc_score(*pair) for pair in _sessions_of_both(labels, P["test"])]
    assert network.session_auc is not None
    assert network.session_auc.value == pytest.approx(np.mean(within))
    assert found.both_outcomes == len(within)
    unknown = real & ~KNOWN
    assert found.unknown_tracks == np.count_nonzero(unknown)
    for estimate, chosen in ((network.log_loss_unknown, unknown), (network.log_loss_known, real & KNOWN)):
        assert estimate is not None
        assert estimate.value == pytest.approx(
            log_loss(labels[chosen], CALIBRATION.apply(P["test"])[chosen], labels=[0, 1])
        )
    effect = found.calibration["test"]
    assert effect.after.log_loss == pytest.approx(network.log_loss.value)


def _sessions_of_both(labels: np.ndarray, p: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    pairs = [(y[~np.isnan(y)], of[~np.isnan(y)]) for y, of in zip(labels, p, strict=True)]
    return [(y, of) for y, of in pairs if len(set(y)) == 2]


def test_rivals_are_compared_with_the_network_on_every_track(whole: Evaluation) -> None:
    found = whole.next_track
    assert found is not None
    rival = found.best_rival
    assert rival is not None
    assert rival.model.name == "majority"
    assert rival.session_auc is not None
    assert rival.session_auc.value == 0.5
    assert rival.log_loss_difference is not None
    difference = rival.log_loss.value - found.served.log_loss.value
    assert rival.log_loss_difference.value == pytest.approx(difference)
    assert found.served.log_loss_difference is None
    names = {"next_track_log_loss/majority", "next_track_session_auc/fast"}
    assert names <= whole.comparison_metrics().keys()
    assert whole.headline_metrics()["test_next_track_log_loss"] == found.served.log_loss.value


def test_slices_of_every_track_count_tracks_and_sessions(whole: Evaluation) -> None:
    found = whole.next_track
    assert found is not None
    tables = {table.name: table.slices for table in found.slices}
    assert sum(part.tracks for part in tables["premium"]) == found.tracks
    unknown, known = tables["track_in_training"]
    assert (unknown.tracks, known.sessions) == (found.unknown_tracks, N)
    assert found.served.log_loss_unknown is not None
    assert unknown.log_loss.value == pytest.approx(found.served.log_loss_unknown.value)
    assert unknown.log_loss.low == pytest.approx(found.served.log_loss_unknown.low)


def test_positions_are_in_metrics(whole: Evaluation) -> None:
    positions = whole.metrics()["next_track"]["models"][0]["positions"]
    assert [at["position"] for at in positions] == list(range(1, 21))
    assert positions[0]["tracks"] == N
    assert positions[0].keys() >= {"share_not_skipped", "log_loss", "calibration_gap"}


def test_a_network_of_last_tracks_alone_has_no_score_of_every_track() -> None:
    found = _evaluate((MAJORITY,), p_tracks=LAST_ALONE, second_half=None)

    assert found.metrics()["next_track"] is None
    assert found.metrics()["second_half"] is None
    assert "it decides no second half" in found.sentences["second_half"]
    assert found.sentences["calibration_of_second_half"] == ""
    assert "second_half_maa" not in found.headline_metrics()
    assert "maa/threshold" not in found.comparison_metrics()
    assert found.metrics()["test"]["sessions"] == N
    assert "answers only the last track" in found.sentences["next_track"]
    assert found.sentences["unknown_tracks"] == ""
    assert "test_next_track_log_loss" not in found.headline_metrics()


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
    other = dataclasses.replace(MAJORITY, p_not_skipped={"test": np.full(7, 0.5)})
    assert "(7,)" in refusal(ContractError, lambda: _evaluate((other,)))
    of_tracks = dataclasses.replace(MAJORITY, p_tracks={"test": np.full((7, 20), 0.5)})
    assert "(7, 20)" in refusal(ContractError, lambda: _evaluate((of_tracks,)))
