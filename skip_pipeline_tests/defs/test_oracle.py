"""The best possible predictions reach the report, and no other asset.

For any model they would be the answer. So the file must not be read elsewhere: neither in a run, nor by any
module that names it.
"""

import json
import shutil
from pathlib import Path

import pytest

import skip_pipeline
from skip_pipeline.settings import ORACLE_FILE, DataLayout
from skip_pipeline_tests.projects import Project

pytestmark = pytest.mark.slow

PACKAGE = Path(skip_pipeline.__file__).parent
READERS = {"settings.py", "raw/output_folder.py", "report/oracle.py"}
"""Modules outside the world that name the file: of its name, of the publication of sets, and the reader."""


def test_whatever_training_reads_is_made_though_the_oracle_is_damaged(project: Project) -> None:
    (project.layout.raw / ORACLE_FILE).write_bytes(b"no parquet")

    made = (
        "session_logs,track_features,merged_table,encoded_table,scaled_table,tensor_bundles,baseline_models"
    )
    assert project.run(made).success


def test_only_its_writers_and_the_report_name_the_file() -> None:
    naming = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "ORACLE_FILE" in path.read_text() or ORACLE_FILE in path.read_text()
    }
    assert {name for name in naming if not name.startswith("world/")} == READERS


def test_only_the_report_imports_its_reader() -> None:
    importing = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "report.oracle" in path.read_text() and path.name != "oracle.py"
    }
    assert importing == {"report/evaluation.py", "report/make.py"}


def test_the_report_shows_the_distance_to_the_best_possible(finished) -> None:
    project, outcome = finished
    metrics = json.loads((project.layout.report / "metrics.json").read_text())
    page = (project.layout.report / "report.html").read_text()
    recorded = project.mlflow_runs(outcome.run_id)["evaluation_report"].data.metrics

    assert set(metrics["oracle"]) == {"given_past", "given_state"}
    past = metrics["oracle"]["given_past"]
    assert past["sessions"] == metrics["test"]["sessions"]
    assert past["distance"]["log_loss"] == metrics["test"]["log_loss"] - past["log_loss"]
    assert past["distance"]["accuracy"] == past["accuracy"] - metrics["test"]["accuracy"]
    entry = next(m for m in metrics["leaderboard"]["models"] if m["name"] == "oracle_past")
    assert entry["log_loss_difference"]["value"] == pytest.approx(-past["distance"]["log_loss"])
    assert "Distance to the best possible" in page
    assert recorded["oracle_past_log_loss"] == pytest.approx(past["log_loss"])
    assert recorded["distance_to_oracle_log_loss"] == pytest.approx(past["distance"]["log_loss"])


def test_a_damaged_oracle_is_an_error_that_keeps_the_report_and_a_missing_one_is_not_reported(
    first_run, project: Project
) -> None:
    layout = project.layout
    for name in ("merged", "encoded", "scaled", "bundles", "baselines", "model", "best", "report"):
        shutil.copytree(getattr(DataLayout(first_run[0]), name), getattr(layout, name))
    before = (layout.report / "report.html").read_bytes()
    (layout.raw / ORACLE_FILE).write_bytes(b"no parquet")

    [message] = project.run("evaluation_report").failures

    assert "oracle.parquet cannot be read" in message
    assert "delete the file to report without" in message
    assert (layout.report / "report.html").read_bytes() == before

    (layout.raw / ORACLE_FILE).unlink()

    assert project.run("evaluation_report").success
    assert "oracle" not in json.loads((layout.report / "metrics.json").read_text())
    assert "best possible" not in (layout.report / "report.html").read_text()
