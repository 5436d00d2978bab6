"""The trained model as several workers make it, through Dagster and from the command line."""

import json
import os
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from skip_pipeline.cli.main import app
from skip_pipeline.settings import TF_CONFIG_VARIABLE
from skip_pipeline.storage import read_manifest
from skip_pipeline.training.cluster import Cluster
from skip_pipeline.training.worker_processes import _free_addresses

SECONDS = 200
"""What machines may take that train together; by then they have failed."""


def config(**more):
    """The preset that is traced fastest: what workers do does not hang on it."""
    quick = {"preset": "single_input", "max_epochs": 2, "batch_size": 16, "seed": 3}
    return {"ops": {"trained_model": {"config": {**quick, **more}}}}


@pytest.fixture
def bundled(project):
    assert project.run(
        "session_logs,track_features,merged_table,encoded_table,scaled_table,tensor_bundles"
    ).success
    return project


def test_local_workers_make_the_model_and_a_number_without_sense_is_refused(bundled):
    refused = bundled.run("trained_model", config(workers=0))
    assert not refused.success
    assert "workers is 0, expected at least 1" in refused.failures[0]

    outcome = bundled.run("trained_model", config(workers=2))
    assert outcome.success, outcome.failures
    assert read_manifest(bundled.layout.model, made_by="trained_model").details["preset"] == "single_input"
    history = json.loads((bundled.layout.model / "history.json").read_text())
    assert [epoch["epoch"] for epoch in history["epochs"]] == [1, 2]
    metrics = bundled.mlflow_runs(outcome.run_id)["trained_model"].data.metrics
    assert metrics["validation_loss"] == pytest.approx(history["epochs"][-1]["validation_loss"])


def test_a_run_under_tf_config_is_the_chief_of_workers_elsewhere(bundled, monkeypatch):
    addresses = _free_addresses(2)
    worker = subprocess.Popen(
        [sys.executable, "-c", "from skip_pipeline.cli.main import app; app()", "train-worker"],
        env=dict(os.environ) | {TF_CONFIG_VARIABLE: Cluster(addresses, 1).to_json()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        monkeypatch.setenv(TF_CONFIG_VARIABLE, Cluster(addresses, 0).to_json())
        outcome = bundled.run("trained_model", config())
        said, complained = worker.communicate(timeout=SECONDS)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert outcome.success, (outcome.failures, complained[-2000:])
    assert worker.returncode == 0, complained[-2000:]
    assert "Took part in 2 epochs; task 0 keeps the network" in said  # the chief's run config, not a preset's
    assert (bundled.layout.model / "skip_model.keras").is_file()


@pytest.mark.parametrize(
    ("value", "words"),
    [("", "$TF_CONFIG names no other worker"), ("{", "$TF_CONFIG is '{'; expected")],
)
def test_a_worker_without_a_cluster_is_refused(project, monkeypatch, value, words):
    monkeypatch.setenv(TF_CONFIG_VARIABLE, value)
    answer = CliRunner().invoke(app, ["train-worker"])

    assert answer.exit_code == 1
    assert words in answer.stderr
