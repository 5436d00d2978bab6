"""What MLflow keeps of a run, of a failure, and of nothing at all when it cannot be reached."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from mlflow.exceptions import MlflowException

from skip_pipeline import schema
from skip_pipeline.bundles.gather import open_bundle, open_bundles
from skip_pipeline.bundles.track_memory import read_memory, remember
from skip_pipeline.definitions import mlflow_tracker
from skip_pipeline.defs import tracking
from skip_pipeline.defs.dataset import FingerprintedDataset
from skip_pipeline.defs.mlflow_runs import close_finished
from skip_pipeline.defs.nights_view import NIGHTS_VIEW
from skip_pipeline.defs.registry import Registry
from skip_pipeline.defs.served_model import log_scores
from skip_pipeline.locations import location
from skip_pipeline.nightly.reference import read_reference
from skip_pipeline.raw.folder import find_session_logs
from skip_pipeline.settings import BASELINE_SESSIONS, KERAS_MODEL_NAME, ONNX_FILE
from skip_pipeline.storage import Manifest, StoredFile, read_json, read_manifest
from skip_pipeline.training.onnx_model import predict_onnx
from skip_pipeline_tests.defs.test_materialize import ASSETS
from skip_pipeline_tests.serving.registry import track_to

pytestmark = pytest.mark.slow

INPUTS = {
    "merged_table": {"session_logs", "track_features"},
    "encoded_table": {"merged_table"},
    "scaled_table": {"encoded_table"},
    "tensor_bundles": {"merged_table", "encoded_table", "scaled_table"},
    "baseline_models": {"tensor_bundles"},
    "trained_model": {"tensor_bundles"},
    "best_model": {"tensor_bundles"},
    "evaluation_report": {"tensor_bundles"},
    "data_drift": {"tensor_bundles"},
    "champion_model": {"tensor_bundles"},
}
ARTIFACTS = {
    "scaled_table": {"scaler.json", "schema.json"},
    "tensor_bundles": {"plots/class_balance.png", "plots/session_lengths.png"},
    "baseline_models": {"baselines.json", "schema.json"},
    "trained_model": {"history.json", "plots/training_curves.png"},
    "best_model": {"choice.json"},
    "data_drift": {"drift.json"},
    "champion_model": {"promotion.html", "promotion.json", "decision.json"},
    "evaluation_report": {
        "report.html", "metrics.json", "predictions.parquet", "leaderboard.json",
        "plots/roc.png", "plots/calibration.png",
    },
}  # fmt: skip


@pytest.fixture
def runs(finished):
    project, outcome = finished
    return project.mlflow_runs(outcome.run_id)


def test_there_is_one_parent_per_dagster_run_and_one_nested_run_per_materialization(finished, runs):
    project, outcome = finished
    parent = runs[""]

    assert set(runs) == {"", *ASSETS}
    assert "mlflow.parentRunId" not in parent.data.tags
    for name, run in runs.items():
        assert run.info.status == "FINISHED", name
        assert run.data.tags["dagster.run_url"] == f"http://127.0.0.1:3000/runs/{outcome.run_id}"
    for name in ASSETS:
        assert runs[name].data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert runs[name].data.tags["data_source"] == "synthetic"
        assert project.metadata(name)["mlflow_run"].endswith(f"/runs/{runs[name].info.run_id}")


def test_training_records_its_hyper_parameters_and_every_epoch(finished, runs):
    run = runs["trained_model"]
    losses = finished[0].mlflow_client().get_metric_history(run.info.run_id, "validation_loss")

    wanted = {"preset": "fast", "max_epochs": "2", "seed": "3"}
    assert {name: run.data.params[name] for name in wanted} == wanted
    assert [metric.step for metric in losses] == [1, 2]


def test_baselines_record_the_scores_that_dagster_shows(finished, runs):
    run = runs["baseline_models"].data
    rows = [record.data for record in finished[0].metadata("baseline_models")["validation_scores"].records]

    for name, row in zip(schema.BASELINES, rows, strict=True):
        for score in ("accuracy", "log_loss", "roc_auc", "brier"):
            assert run.metrics[f"{name}_validation_{score}"] == row[f"validation_{score}"]
    assert run.params == {"seed": "0", "most_sessions": str(BASELINE_SESSIONS), "train_days": "None"}


def test_the_parent_carries_the_headline(runs):
    headline, report = runs[""].data.metrics, runs["evaluation_report"].data.metrics

    for name in ("test_accuracy", "test_log_loss", "test_roc_auc", "test_brier", "second_half_maa"):
        assert headline[name] == report[name]
    assert runs[""].data.tags["preset"] == "fast"


def test_the_parent_is_named_by_its_decision_and_links_to_the_pages(runs):
    parent = runs[""]
    word = runs["champion_model"].data.tags["decision"]

    assert re.fullmatch(rf"Run \d{{4}}-\d\d-\d\d \d\d:\d\d, version 1 {word}", parent.info.run_name)
    assert parent.data.tags["decision"] == word
    assert parent.data.tags["data_date"] == "2018-07-15"
    described = parent.data.tags["mlflow.note.content"]
    assert described.startswith(f"[Dagster run]({parent.data.tags['dagster.run_url']})\n\n")
    for page, asset in (("promotion.html", "champion_model"), ("report.html", "evaluation_report")):
        assert f"/runs/{runs[asset].info.run_id}/artifacts/{page})" in described


def test_the_dagster_run_can_be_found_by_decision_and_date_of_the_data(finished, runs):
    project, outcome = finished
    wanted = {
        "skip_pipeline/decision": runs[""].data.tags["decision"],
        "skip_pipeline/data_date": "2018-07-15",
    }
    found = project.instance().get_runs(dg.RunsFilter(tags=wanted))

    assert [run.run_id for run in found] == [outcome.run_id]


def test_the_experiment_has_the_view_of_nights_and_a_view_of_a_persons_own_stays(project):
    client = project.mlflow_client()
    tracker = mlflow_tracker(project.layout)
    [(tag, view)] = NIGHTS_VIEW.items()
    experiment = tracker.experiment()
    assert client.get_experiment(experiment).tags[tag] == view

    client.set_experiment_tag(experiment, tag, "{}")
    tracker.experiment()
    assert client.get_experiment(experiment).tags[tag] == "{}"

    client.delete_experiment_tag(experiment, tag)
    tracker.experiment()
    assert client.get_experiment(experiment).tags[tag] == view


def test_a_run_records_what_it_read_with_our_digest(finished, runs):
    for name, inputs in INPUTS.items():
        read = {entry.dataset.name: entry.dataset.digest for entry in runs[name].inputs.dataset_inputs}
        assert set(read) == inputs, name
        for upstream in inputs:
            assert finished[0].metadata(upstream)["sha256"].startswith(read[upstream])


def test_a_run_keeps_its_artifacts(finished, runs):
    client = finished[0].mlflow_client()
    for name, artifacts in ARTIFACTS.items():
        run_id, kept = runs[name].info.run_id, set()
        for entry in client.list_artifacts(run_id):
            inner = client.list_artifacts(run_id, entry.path) if entry.is_dir else [entry]
            kept |= {item.path for item in inner}
        assert artifacts <= kept, name


def test_the_registered_model_answers_as_the_report_does(finished):
    project, _ = finished
    track_to(project.tracking_uri)
    model = mlflow.pyfunc.load_model("models:/skip_model/1")
    reported = pq.read_table(project.layout.report / "predictions.parquet").slice(0, 5)
    log = pd.concat(map(pd.read_csv, find_session_logs(project.layout.raw)))
    requests = []
    for session_id in reported["session_id"].to_pylist():
        rows = log[log["session_id"] == session_id].sort_values("session_position").to_dict("records")
        history, last = rows[:-1], rows[-1]
        requests.append(
            {"session_id": session_id, "history": history, "next_track_id": last["track_id_clean"]}
        )

    answers = model.predict(pd.DataFrame(requests))

    assert answers["session_id"].tolist() == reported["session_id"].to_pylist()
    assert answers["known_track"].all()
    np.testing.assert_allclose(1 - answers["p_skip"], reported["p_not_skipped"].to_numpy(), atol=1e-5)


def test_the_keras_network_is_logged_beside_the_registered_model(finished, runs):
    project, _ = finished
    track_to(project.tracking_uri)
    trained = runs["trained_model"].info
    [network] = mlflow.search_logged_models(
        experiment_ids=[trained.experiment_id],
        filter_string=f"name = '{KERAS_MODEL_NAME}' AND source_run_id = '{trained.run_id}'",
        output_format="list",
    )
    model = mlflow.pyfunc.load_model(network.model_uri)
    bundles = open_bundles(project.layout.bundles, schema.SPLITS)
    trained_files = read_manifest(project.layout.model, made_by="trained_model")
    test = remember(bundles, read_memory(trained_files.path, bundles["train"].tracks))["test"]

    outcomes = model.predict({name: np.array(test[name][:], np.float32) for name in schema.INPUT_SHAPES})

    served = predict_onnx(trained_files.path(ONNX_FILE), test)
    np.testing.assert_allclose(outcomes[:, -1, -1], served, atol=1e-5)
    assert {spec.name for spec in model.metadata.signature.inputs} == schema.INPUT_SHAPES.keys()


def test_the_version_says_of_which_kind_it_is(finished, runs):
    project, _ = finished
    choice = read_json(project.layout.best / "choice.json")
    version = project.mlflow_client().get_model_version("skip_model", "1")
    track_to(project.tracking_uri)

    assert version.tags["kind"] == choice["chosen"]
    metadata = mlflow.models.get_model_info("models:/skip_model/1").metadata
    assert metadata is not None
    assert metadata["kind"] == choice["chosen"]
    scores = runs["best_model"].data.metrics
    for candidate in choice["candidates"]:
        assert scores[f"{candidate['kind']}_validation_log_loss"] == candidate["log_loss"]
    assert scores["network_adds"] == choice["network_adds"]["nats"]


def test_the_registered_model_pins_what_it_needs_and_carries_the_profile_of_its_training(finished):
    project, _ = finished
    track_to(project.tracking_uri)
    path = mlflow.pyfunc.get_model_dependencies("models:/skip_model/1")
    names = {line.split("==")[0] for line in Path(path).read_text().split()}
    with Registry(project.tracking_uri).fetched("1") as folder:
        reference = read_reference(folder)

    assert {"onnxruntime", "numpy"} <= names
    assert not {"tensorflow", "keras", "dagster"} & names
    assert reference.profile.sessions == open_bundle(project.layout.bundles, "train").sessions
    assert reference.data_source == "synthetic"
    assert set(reference.shards) == {"log_mini"}


def test_the_scores_of_a_version_are_linked_to_its_logged_model_and_to_its_run(finished, runs):
    project, _ = finished
    client = project.mlflow_client()
    version = client.get_model_version("skip_model", "1")
    logged = client.get_logged_model(version.source.removeprefix("models:/"))
    report = read_json(project.layout.report / "metrics.json")
    linked = {metric.key: metric for metric in logged.metrics}

    for name in ("accuracy", "log_loss", "roc_auc", "brier"):
        metric = linked[f"test_{name}"]
        assert metric.value == report["test"][name]
        assert metric.dataset_name == "tensor_bundles"
        assert project.metadata("tensor_bundles")["sha256"].startswith(metric.dataset_digest)
        assert runs["best_model"].data.metrics[f"test_{name}"] == metric.value
    assert linked["test_next_track_log_loss"].value == runs[""].data.metrics["test_next_track_log_loss"]
    assert version.description.startswith("Promoted: ")


def test_scores_of_a_model_that_is_not_the_newest_version_are_refused_with_the_remedy(project):
    client = project.mlflow_client()
    track_to(project.tracking_uri)
    expected = "the newest version of skip_model is not the model with fingerprint abc, .*again"
    with pytest.raises(MlflowException, match=expected):
        log_scores(mlflow, "abc", {"test_log_loss": 0.4}, None)

    client.create_registered_model("skip_model")
    for tags in ({}, {"fingerprint": "another"}, {"fingerprint": "abc"}):  # the last without a logged model
        client.create_model_version("skip_model", project.layout.root.as_uri(), tags=tags)
        with pytest.raises(MlflowException, match=expected):
            log_scores(mlflow, "abc", {"test_log_loss": 0.4}, None)


def test_a_failure_closes_its_run_and_the_parent_as_failed(project):
    log = project.layout.raw / "training_set" / "log_mini.csv"
    log.write_text(log.read_text().replace(",true,", ",perhaps,", 1))

    outcome = project.run("session_logs,track_features,merged_table")

    runs = project.mlflow_runs(outcome.run_id)
    assert not outcome.success
    assert {name: run.info.status for name, run in runs.items()} == {
        "": "FAILED",
        "session_logs": "FAILED",
        "track_features": "FINISHED",
    }
    assert "log_mini.csv" in runs["session_logs"].data.tags["failure"]


def test_a_failed_check_stops_what_comes_after_and_closes_the_parent_as_failed(project):
    assert project.run("session_logs,track_features,merged_table").success
    manifest = project.layout.merged / "_manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"rows": content["rows"] + 1}))

    outcome = project.run("encoded_table,scaled_table")

    assert outcome.materialized == ("encoded_table",)
    [failure] = outcome.failures
    assert "encoded_table: check row_conservation failed" in failure
    assert project.mlflow_runs(outcome.run_id)[""].info.status == "FAILED"


def test_a_refused_record_is_named_and_the_others_are_kept(project, monkeypatch):
    def refuse(_values, **_options):
        raise MlflowException("metric names may not be that long")

    monkeypatch.setattr(mlflow, "log_metrics", refuse)
    outcome = project.run("track_features")

    assert outcome.success
    lost = project.metadata("track_features")["mlflow_run_incomplete"]
    assert "metrics rows, bytes, seconds: refused" in lost
    run = project.mlflow_runs(outcome.run_id)["track_features"]
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {}
    assert run.data.tags["data_source"] == "synthetic"


def test_assets_after_an_outage_are_recorded_and_then_those_before(project, monkeypatch):
    tracker = type(mlflow_tracker(project.layout))
    failures = iter([TimeoutError("no answer")])

    def fail_once(*arguments):
        for failure in failures:
            raise failure
        return parent_of(*arguments)

    parent_of = tracker._parent_of
    monkeypatch.setattr(tracker, "_parent_of", fail_once)
    up = iter([False, False, True])  # after the failure, before the first asset, before the second
    monkeypatch.setattr(tracking, "answers", lambda _client: next(up))
    outcome = project.run("session_logs,track_features")

    assert outcome.success
    first, second = outcome.materialized
    assert project.metadata(first)["mlflow_run"].startswith("not recorded: ")
    runs = project.mlflow_runs(outcome.run_id)
    assert set(runs) == {"", first, second}
    assert runs[first].data.metrics["rows"] == project.metadata(first)["dagster/row_count"]
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


def test_the_message_restores_a_deleted_experiment_and_the_record_is_delivered(project):
    client = project.mlflow_client()
    experiment = client.create_experiment("skip_pipeline", (project.layout.mlflow / "own").as_uri())
    client.delete_experiment(experiment)
    outcome = project.run("track_features")

    assert outcome.success
    lost = str(project.metadata("track_features")["mlflow_run"])
    command = lost[lost.index("MLFLOW_TRACKING_URI=") :].removesuffix(".")
    assert f"mlflow experiments restore --experiment-id {experiment}" in command
    variable, *words = command.split()
    environment = os.environ | dict([variable.split("=", 1)])
    subprocess.run([sys.executable, "-m", *words], check=True, env=environment, capture_output=True)
    assert client.get_experiment(experiment).lifecycle_stage == "active"
    assert mlflow_tracker(project.layout).deliver() == "delivered 2 runs, 0 wait"
    assert project.mlflow_runs(outcome.run_id)["track_features"].data.metrics["rows"] > 0


def test_the_run_of_an_outer_job_is_left_alone(project, monkeypatch):
    client = project.mlflow_client()
    foreign = client.create_run(client.create_experiment("foreign")).info.run_id
    left = {
        "MLFLOW_RUN_ID": foreign,
        "MLFLOW_EXPERIMENT_NAME": "foreign",
        "MLFLOW_REGISTRY_URI": "http://127.0.0.1:9",
        "MLFLOW_ENABLE_ASYNC_LOGGING": "true",
        "MLFLOW_ENABLE_WORKSPACES": "true",
    }
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    outcome = project.run("track_features")

    assert outcome.success
    assert project.mlflow_runs(outcome.run_id)["track_features"].data.metrics["rows"] > 0
    assert mlflow.get_registry_uri() == project.tracking_uri
    run = client.get_run(foreign)
    assert (run.info.status, run.data.metrics, run.data.tags.get("data_source")) == ("RUNNING", {}, None)


def test_runs_that_a_dead_dagster_run_left_open_are_closed(project):
    outcome = project.run("session_logs")
    client = project.mlflow_client()
    experiment = client.get_experiment_by_name("skip_pipeline").experiment_id
    left = client.create_run(experiment, tags={"dagster.run_id": outcome.run_id})
    foreign = client.create_run(experiment, tags={"dagster.run_id": "another instance's"})

    assert close_finished(client, experiment, project.instance()) == 1

    assert client.get_run(left.info.run_id).info.status == "FINISHED"
    assert client.get_run(foreign.info.run_id).info.status == "RUNNING"


def test_an_experiment_that_another_process_creates_at_the_same_time_is_used(project, monkeypatch):
    tracker = mlflow_tracker(project.layout)
    client = tracker.client()
    created = client.get_experiment(client.create_experiment("skip_pipeline"))
    found = iter([None, created])  # not yet there, then created by the other process
    monkeypatch.setattr(client, "get_experiment_by_name", lambda _name: next(found))

    assert tracker._experiment(client) == created.experiment_id


@pytest.mark.parametrize("url", ["memory://stage", "s3://bucket/stage"])
def test_a_dataset_on_shared_storage_is_recorded_with_its_url(url):
    stage = Manifest("merged_table", "real", rows=3, seconds=0.1, files=(StoredFile("a", 40, "0" * 64, "a"),))
    dataset = FingerprintedDataset(stage, location(url), {"session_id": "string"})

    assert url in json.dumps(dataset.to_dict())
    assert json.loads(dataset.to_dict()["profile"]) == {"num_rows": 3, "bytes": 40}
