"""What MLflow keeps of a run, of a failure, and of nothing at all when it cannot be reached."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import dagster as dg
import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from skip_pipeline import schema
from skip_pipeline.bundles.gather import open_bundle
from skip_pipeline.defs.registry import Registry
from skip_pipeline.defs.tracking import close_finished
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.nightly.reference import read_reference
from skip_pipeline.raw.folder import find_session_logs
from skip_pipeline.settings import KERAS_MODEL_NAME
from skip_pipeline.storage import read_json
from skip_pipeline_tests.defs.test_materialize import ASSETS


@pytest.fixture
def runs(finished):
    project, outcome = finished
    return project.mlflow_runs(outcome.run_id)


def test_there_is_one_parent_per_dagster_run_and_one_nested_run_per_materialization(runs):
    assert set(runs) == {"", *ASSETS}
    parent = runs[""].info.run_id
    assert {runs[name].data.tags["mlflow.parentRunId"] for name in ASSETS} == {parent}
    assert "mlflow.parentRunId" not in runs[""].data.tags


def test_every_run_is_finished_and_tagged_with_its_dagster_run(finished, runs):
    _, outcome = finished

    for name, run in runs.items():
        assert run.info.status == "FINISHED", name
        assert run.data.tags["dagster.run_id"] == outcome.run_id
        assert run.data.tags["dagster.run_url"] == f"http://127.0.0.1:3000/runs/{outcome.run_id}"


def test_a_nested_run_says_synthetic(runs):
    assert {runs[name].data.tags["data_source"] for name in ASSETS} == {"synthetic"}


def test_dagster_links_to_the_run_that_links_back(finished, runs):
    project, _ = finished
    event = project.instance().get_latest_materialization_event(dg.AssetKey("merged_table"))
    link = event.asset_materialization.metadata["mlflow_run"].value

    assert link.endswith(f"/runs/{runs['merged_table'].info.run_id}")


def test_training_records_its_hyper_parameters_and_every_epoch(finished, runs):
    project, _ = finished
    run = runs["trained_model"]
    losses = project.mlflow_client().get_metric_history(run.info.run_id, "validation_loss")

    assert run.data.params["preset"] == "fast"
    assert run.data.params["max_epochs"] == "2"
    assert run.data.params["seed"] == "3"
    assert [metric.step for metric in losses] == [1, 2]


def test_baselines_record_the_scores_of_each_on_validation_sessions(runs):
    metrics = runs["baseline_models"].data.metrics

    for name in schema.BASELINES:
        for score in ("accuracy", "log_loss", "roc_auc", "brier"):
            assert 0 <= metrics[f"{name}_validation_{score}"] < 2
        assert metrics[f"{name}_seconds"] >= 0
    assert runs["baseline_models"].data.params == {"seed": "0", "most_sessions": "50000"}


def test_the_parent_carries_the_headline(runs):
    headline = runs[""].data.metrics
    report = runs["evaluation_report"].data.metrics

    for name in ("test_accuracy", "test_log_loss", "test_roc_auc", "test_brier"):
        assert headline[name] == report[name]


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("merged_table", {"session_logs", "track_features"}),
        ("encoded_table", {"merged_table"}),
        ("scaled_table", {"encoded_table"}),
        ("tensor_bundles", {"merged_table", "encoded_table", "scaled_table"}),
        ("baseline_models", {"tensor_bundles"}),
        ("trained_model", {"tensor_bundles"}),
        ("evaluation_report", {"tensor_bundles"}),
        ("data_drift", {"tensor_bundles"}),
        ("champion_model", {"tensor_bundles"}),
    ],
)
def test_a_run_records_what_it_read_with_our_digest(finished, runs, name, inputs):
    project, _ = finished
    read = {entry.dataset.name: entry.dataset.digest for entry in runs[name].inputs.dataset_inputs}

    assert set(read) == inputs
    for upstream in inputs - {"session_logs", "track_features"}:
        event = project.instance().get_latest_materialization_event(dg.AssetKey(upstream))
        assert event.asset_materialization.metadata["sha256"].value.startswith(read[upstream])


@pytest.mark.parametrize(
    ("name", "artifacts"),
    [
        ("scaled_table", {"scaler.json", "schema.json"}),
        ("baseline_models", {"baselines.json", "schema.json"}),
        ("trained_model", {"history.json", "plots/training_curves.png"}),
        ("data_drift", {"drift.json"}),
        ("champion_model", {"promotion.html", "promotion.json", "decision.json"}),
        (
            "evaluation_report",
            {
                "report.html",
                "metrics.json",
                "predictions.parquet",
                "leaderboard.json",
                "plots/roc.png",
                "plots/calibration.png",
            },
        ),
    ],
)
def test_a_run_keeps_its_artifacts(finished, runs, name, artifacts):
    project, _ = finished
    client = project.mlflow_client()
    run_id = runs[name].info.run_id
    kept = set()
    for entry in client.list_artifacts(run_id):
        inner = client.list_artifacts(run_id, entry.path) if entry.is_dir else [entry]
        kept |= {item.path for item in inner}

    assert artifacts <= kept


def test_the_registered_model_answers_as_the_report_does(finished):
    project, _ = finished
    mlflow.set_tracking_uri(project.tracking_uri)
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
    mlflow.set_tracking_uri(project.tracking_uri)
    trained = runs["trained_model"].info
    [network] = mlflow.search_logged_models(
        experiment_ids=[trained.experiment_id],
        filter_string=f"name = '{KERAS_MODEL_NAME}' AND source_run_id = '{trained.run_id}'",
        output_format="list",
    )
    model = mlflow.pyfunc.load_model(network.model_uri)
    bundle = open_bundle(project.layout.bundles, "test")

    columns = model.predict({name: np.array(bundle[name]) for name in schema.BRANCH_SHAPES})

    calibration = Calibration.from_json(read_json(project.layout.model / "calibration.json"))
    reported = pq.read_table(project.layout.report / "predictions.parquet")["p_not_skipped"].to_numpy()
    ours = calibration.apply(columns[:, 1] / columns.sum(axis=1))
    np.testing.assert_allclose(ours, reported, atol=1e-5)
    assert [spec.name for spec in model.metadata.signature.inputs] == list(schema.BRANCH_SHAPES)


def test_the_registered_model_pins_what_it_needs_and_no_tensorflow(finished):
    project, _ = finished
    mlflow.set_tracking_uri(project.tracking_uri)
    path = mlflow.pyfunc.get_model_dependencies("models:/skip_model/1")

    names = {line.split("==")[0] for line in Path(path).read_text().split()}
    assert {"onnxruntime", "numpy"} <= names
    assert not {"tensorflow", "keras", "dagster"} & names


def test_the_registered_model_carries_the_profile_of_what_it_was_trained_on(finished):
    project, _ = finished
    registry = Registry(project.mlflow_client(), project.tracking_uri)
    train = open_bundle(project.layout.bundles, "train")

    with registry.fetched("1") as folder:
        reference = read_reference(folder)

    assert reference.profile.sessions == train.sessions
    assert reference.data_source == "synthetic"
    assert set(reference.shards) == {"log_mini"}


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
    assert len(outcome.failures) == 1
    assert "encoded_table: check row_conservation failed" in outcome.failures[0]
    assert project.mlflow_runs(outcome.run_id)[""].info.status == "FAILED"


def test_a_server_that_is_down_costs_the_record_and_not_the_result(project, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    outcome = project.run("session_logs,track_features,merged_table")

    event = project.instance().get_latest_materialization_event(dg.AssetKey("merged_table"))
    assert outcome.success
    assert (project.layout.merged / "log_mini.parquet").is_file()
    assert event.asset_materialization.metadata["mlflow_run"].value.startswith("not recorded: ")


def test_runs_that_a_dead_dagster_run_left_open_are_closed(project):
    outcome = project.run("session_logs")
    client = project.mlflow_client()
    experiment = client.get_experiment_by_name("skip_pipeline").experiment_id
    left = client.create_run(experiment, tags={"dagster.run_id": outcome.run_id})
    foreign = client.create_run(experiment, tags={"dagster.run_id": "another instance's"})

    assert close_finished(client, experiment, project.instance()) == 1

    assert client.get_run(left.info.run_id).info.status == "FINISHED"
    assert client.get_run(foreign.info.run_id).info.status == "RUNNING"


def test_mlflow_is_imported_with_its_reports_to_the_outside_switched_off(project):
    code = """
import os, sys
seen = []

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "mlflow":
            seen.append(os.environ.get("MLFLOW_DISABLE_TELEMETRY"))

sys.meta_path.insert(0, Watch())

from skip_pipeline.definitions import defs
from skip_pipeline.defs.launch import materialize

materialize(defs(), ["track_features"], {}, lambda event: None)
print(seen)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert process.stdout.splitlines()[-1] == "['true']"
