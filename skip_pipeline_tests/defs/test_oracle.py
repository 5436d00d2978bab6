"""The best possible predictions reach the report, and nothing else.

For any model they would be the answer, so this holds the file away from every other asset: by what the
assets produce when it says the labels themselves, and by who names it in the code.
"""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import skip_pipeline
from skip_pipeline import schema
from skip_pipeline.definitions import defs
from skip_pipeline.defs.launch import select
from skip_pipeline.raw.csv_file import read_csv
from skip_pipeline.serving.package import DESCRIPTION
from skip_pipeline.settings import ORACLE_FILE, DataLayout
from skip_pipeline.storage import MANIFEST
from skip_pipeline_tests.projects import Project

PACKAGE = Path(skip_pipeline.__file__).parent
REPORT = "evaluation_report"
READERS = {"settings.py", "report/oracle.py"}
"""Modules outside the world that name the file: where the name lives, and the reader."""


def _labels_as_chances(raw: Path) -> pa.Table:
    """An oracle that knows every outcome: what a cheat would look for."""
    oracle = pq.read_table(raw / ORACLE_FILE)
    log = read_csv(raw / "training_set/log_mini.csv", schema.SESSION_LOG, schema.RAW_RANGES)
    last = log.filter(pc.equal(log.column("session_position"), log.column("session_length")))
    played = pc.cast(last.column("not_skipped"), pa.float32())
    assert last.column("session_id").to_pylist() == oracle.column("session_id").to_pylist()
    return pa.Table.from_arrays([oracle.column("session_id"), played, played], schema=schema.ORACLE)


def _published(layout: DataLayout) -> dict[str, bytes]:
    """Every file that the assets before the report publish, but for manifests, which tell the time."""
    folders = (layout.merged, layout.encoded, layout.scaled, layout.bundles, layout.model)
    return {
        path.relative_to(layout.root).as_posix(): _content(path)
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }


def _content(path: Path) -> bytes:
    if path.suffix in (".keras", ".onnx") or path.name == DESCRIPTION:
        # A zip file with times in it, names numbered throughout a process, and their digests; the history
        # beside them tells the same.
        return b""
    if path.name == "history.json":
        return _without_seconds(json.loads(path.read_text()))
    return path.read_bytes()


def _without_seconds(history: object) -> bytes:
    if isinstance(history, dict):
        kept = {name: _without_seconds(v).decode() for name, v in history.items() if "seconds" not in name}
        return json.dumps(kept, sort_keys=True).encode()
    if isinstance(history, list):
        return json.dumps([_without_seconds(item).decode() for item in history]).encode()
    return json.dumps(history).encode()


def test_no_asset_but_the_report_notices_the_oracle(first_run, project: Project) -> None:
    pq.write_table(_labels_as_chances(project.layout.raw), project.layout.raw / ORACLE_FILE)

    others = sorted(set(select(defs(), None)) - {REPORT})
    assert project.run(",".join(others)).success

    expected = _published(DataLayout(first_run[0]))
    assert len(expected) > 20
    assert _published(project.layout) == expected


@pytest.mark.parametrize("kind", ["missing", "damaged"])
def test_whatever_training_reads_is_made_without_the_oracle(kind: str, project: Project) -> None:
    path = project.layout.raw / ORACLE_FILE
    path.unlink()
    if kind == "damaged":
        path.write_bytes(b"no parquet")

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


@pytest.fixture
def before_the_report(first_run, project: Project) -> Project:
    """All but the report is published."""
    for name in ("merged", "encoded", "scaled", "bundles", "model", "baselines"):
        shutil.copytree(getattr(DataLayout(first_run[0]), name), getattr(project.layout, name))
    return project


def test_without_an_oracle_the_report_says_nothing_of_it(before_the_report: Project) -> None:
    layout = before_the_report.layout
    (layout.raw / ORACLE_FILE).unlink()

    assert before_the_report.run("evaluation_report").success

    assert "oracle" not in json.loads((layout.report / "metrics.json").read_text())
    assert "best possible" not in (layout.report / "report.html").read_text()


def test_a_damaged_oracle_is_an_error_and_the_earlier_report_stays(before_the_report: Project) -> None:
    layout = before_the_report.layout
    assert before_the_report.run("evaluation_report").success
    before = (layout.report / "report.html").read_bytes()
    (layout.raw / ORACLE_FILE).write_bytes(b"no parquet")

    [message] = before_the_report.run("evaluation_report").failures

    assert "oracle.parquet cannot be read" in message
    assert "delete the file to report without" in message
    assert (layout.report / "report.html").read_bytes() == before
