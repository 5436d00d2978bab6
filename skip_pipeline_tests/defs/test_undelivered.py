"""What a tracking server has not taken is kept, and delivered when it answers: all of it, and once."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.entities import Run

from skip_pipeline.definitions import mlflow_tracker
from skip_pipeline.defs.launch import Outcome
from skip_pipeline.defs.mlflow_store import Guard
from skip_pipeline.defs.undelivered import Entry, KeptRun, Undelivered
from skip_pipeline_tests.defs.tracking_server import HANGS, TrackingServer, tracking_server
from skip_pipeline_tests.projects import Project
from skip_pipeline_tests.serving.registry import track_to

pytestmark = [
    pytest.mark.slow,
    # MLflow keeps connections to a server until Python collects them.
    pytest.mark.filterwarnings("ignore:.*unclosed.*:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:.*socket.socket:pytest.PytestUnraisableExceptionWarning"),
]

SELECTION = "session_logs,track_features"
RUNS = {"", "session_logs", "track_features"}
REFUSES = "connections"  # in place of a status
DOWN = "503 Service Unavailable"


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[TrackingServer]:
    folder = tmp_path_factory.mktemp("tracking")
    (folder / "mlflow.db").write_bytes((template / "mlflow" / "mlflow.db").read_bytes())
    with tracking_server(folder) as server:
        yield server


@pytest.fixture
def server(lasting: TrackingServer, project: Project, monkeypatch: pytest.MonkeyPatch) -> TrackingServer:
    """The server that the project's records go to."""
    lasting.recover()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", lasting.url)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")
    return lasting


def recorded(outcome: Outcome, server: TrackingServer) -> dict[str, Run]:
    """Runs of one Dagster run by asset key; the parent by the empty string; no asset has two."""
    client = mlflow.MlflowClient(server.url, server.url)
    experiment = client.get_experiment_by_name("skip_pipeline")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], f"tags.`dagster.run_id` = '{outcome.run_id}'")
    runs = {run.data.tags.get("dagster.asset_key", ""): run for run in found}
    assert len(runs) == len(found)
    return runs


def content(run: Run, server: TrackingServer) -> Any:
    """All that a run says, but for what differs between two runs."""
    client = mlflow.MlflowClient(server.url)
    own = ("dagster.run_id", "dagster.run_url", "mlflow.parentRunId", "mlflow.runName", "mlflow.note.content")
    values = {n: value for n, value in run.data.metrics.items() if n not in ("seconds", "shards_made")}
    counts = {name: len(client.get_metric_history(run.info.run_id, name)) for name in run.data.metrics}
    tags = {n: v for n, v in run.data.tags.items() if n not in own and not n.startswith("mlflow.user")}
    assert run.inputs is not None
    inputs = [
        (i.dataset.name, i.dataset.digest, [t.value for t in i.tags]) for i in run.inputs.dataset_inputs
    ]
    files = sorted(entry.path for entry in client.list_artifacts(run.info.run_id))
    return values, counts, tags, inputs, files, run.data.params, run.info.status


@pytest.fixture
def undisturbed(server: TrackingServer, project: Project) -> dict[str, Any]:
    runs = recorded(project.run(SELECTION), server)
    return {name: content(run, server) for name, run in runs.items()}


def assert_delivered(outcome: Outcome, server: TrackingServer, undisturbed: dict[str, Any]) -> None:
    runs = recorded(outcome, server)
    assert {name: content(run, server) for name, run in runs.items()} == undisturbed
    parent = runs[""].info
    for name in RUNS - {""}:
        assert runs[name].data.tags["mlflow.parentRunId"] == parent.run_id
        assert parent.start_time <= runs[name].info.start_time <= runs[name].info.end_time <= parent.end_time


@pytest.mark.parametrize("status", ["429 Too Many Requests", DOWN, HANGS, REFUSES])
def test_an_hour_without_a_server_costs_no_result_and_no_record(
    project: Project, server: TrackingServer, undisturbed: dict[str, Any], status: str, monkeypatch
) -> None:
    if status == HANGS:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    if status == REFUSES:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    server.fail(status)
    outcome = project.run(SELECTION)
    tracker = mlflow_tracker(project.layout)

    assert outcome.success
    for asset in outcome.materialized:
        assert "no answer" in project.metadata(asset)["mlflow_run"]
        assert project.metadata(asset)["mlflow_later"].endswith("are kept, and delivered by a later run")
    assert len(tracker.undelivered.waiting()) == 3
    assert tracker.deliver().startswith("delivered 0 runs, 3 wait; the delivery of kept runs: no answer")

    server.recover()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    assert tracker.deliver() == "delivered 3 runs, 0 wait"
    assert_delivered(outcome, server, undisturbed)
    assert tracker.deliver() == "nothing waits"


@pytest.mark.parametrize("answered", [2, 5, 9, 14, 20])
def test_a_server_that_goes_away_in_a_run_has_all_of_it_later(
    project: Project, server: TrackingServer, undisturbed: dict[str, Any], answered: int
) -> None:
    server.fail_after(answered)
    outcome = project.run(SELECTION)
    server.recover()
    tracker = mlflow_tracker(project.layout)

    assert outcome.success
    assert tracker.undelivered.waiting()
    assert tracker.deliver().endswith(" 0 wait")
    assert_delivered(outcome, server, undisturbed)


def test_a_delivery_that_is_cut_short_is_continued_and_nothing_is_there_twice(
    project: Project, server: TrackingServer, undisturbed: dict[str, Any]
) -> None:
    server.fail(DOWN)
    outcome = project.run(SELECTION)
    tracker = mlflow_tracker(project.layout)
    for answered in (3, 8, 14):
        server.fail_after(answered)
        tracker.deliver()
    server.recover()

    assert tracker.undelivered.waiting()
    assert tracker.deliver().endswith(" 0 wait")
    assert_delivered(outcome, server, undisturbed)


def test_the_next_run_delivers(project: Project, server: TrackingServer, undisturbed: dict[str, Any]) -> None:
    server.fail(DOWN)
    outcome = project.run(SELECTION)
    server.recover()
    later = project.run("track_features")

    assert later.success
    assert_delivered(outcome, server, undisturbed)
    assert set(recorded(later, server)) == {"", "track_features"}


def test_an_entry_that_is_refused_on_delivery_is_lost_alone(
    project: Project, server: TrackingServer, undisturbed: dict[str, Any]
) -> None:
    server.fail(DOWN)
    outcome = project.run(SELECTION)
    server.fail("400 Bad Request", lambda path: "log-inputs" in path)
    said = mlflow_tracker(project.layout).deliver()

    assert said.startswith("delivered 3 runs, 0 wait; input ")
    assert "refused" in said
    for name, run in recorded(outcome, server).items():
        assert run.inputs is not None
        assert run.inputs.dataset_inputs == []
        assert run.data.metrics.keys() - {"seconds", "shards_made"} == undisturbed[name][0].keys()


def test_a_failed_run_is_delivered_as_failed(project: Project, server: TrackingServer) -> None:
    log = project.layout.raw / "training_set" / "log_mini.csv"
    log.write_text(log.read_text().replace(",true,", ",perhaps,", 1))
    server.fail(DOWN)
    outcome = project.run("session_logs")
    server.recover()
    mlflow_tracker(project.layout).deliver()

    assert not outcome.success
    runs = recorded(outcome, server)
    assert {name: run.info.status for name, run in runs.items()} == {"": "FAILED", "session_logs": "FAILED"}
    assert "log_mini.csv" in runs["session_logs"].data.tags["failure"]


def test_what_cannot_be_kept_is_lost_with_a_warning_and_the_result_stays(
    project: Project, server: TrackingServer, caplog: pytest.LogCaptureFixture
) -> None:
    mlflow_tracker(project.layout).undelivered.folder.write_text("a file")
    server.fail(DOWN)
    outcome = project.run("track_features")

    assert outcome.success
    logged = [entry.user_message for entry in project.instance().all_logs(outcome.run_id)]
    assert any("cannot be kept below" in text and "expected a folder" in text for text in logged)


def test_numbers_of_numpy_nan_and_pictures_come_as_they_are(project: Project, tmp_path: Path) -> None:
    track_to(project.tracking_uri)
    client = project.mlflow_client()
    experiment = client.create_experiment("skip_pipeline", (tmp_path / "artifacts").as_uri())
    table = tmp_path / "table.json"
    table.write_text("{}")
    entries = [
        Entry("metrics", "metrics", {"values": {"a": np.float32(0.5), "b": math.nan}, "step": 3, "time": 7}),
        Entry("picture", "file", {"name": "plots/roc.png"}, b"\x89PNG"),
        Entry("artifact", "file", {"name": "table.json"}, table),
    ]
    waiting = Undelivered(tmp_path / "undelivered")
    waiting.keep(KeptRun("night", {"dagster.run_id": "7"}, 1, "an_asset", {}, 2, 3, "FINISHED"), entries)
    table.unlink()
    guard = Guard(pytest.fail)

    assert waiting.deliver(client, experiment, guard) == 1
    (parent,) = client.search_runs([experiment], "attributes.run_name = 'night'")
    (run,) = client.search_runs([experiment], "attributes.run_name = 'an_asset'")
    (metric,) = client.get_metric_history(run.info.run_id, "a")
    assert (metric.value, metric.step, metric.timestamp) == (0.5, 3, 7)
    assert math.isnan(run.data.metrics["b"])
    assert (run.info.start_time, run.info.end_time, parent.info.start_time) == (2, 3, 1)
    assert Path(client.download_artifacts(run.info.run_id, "plots/roc.png")).read_bytes() == b"\x89PNG"
    assert Path(client.download_artifacts(run.info.run_id, "table.json")).read_text() == "{}"


def test_a_folder_that_is_not_whole_is_not_delivered(tmp_path: Path) -> None:
    (tmp_path / ".17-an_asset").mkdir()

    assert Undelivered(tmp_path).waiting() == []
