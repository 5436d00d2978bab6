"""Everything once, on a small synthetic world: what is published, described and recorded."""

import json
import shutil

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import pytest

from skip_pipeline import schema
from skip_pipeline.baselines.predictions import read_baselines
from skip_pipeline.bundles.gather import open_bundle
from skip_pipeline.cli.run import headline
from skip_pipeline.metrics.scores import score
from skip_pipeline.settings import DataLayout
from skip_pipeline_tests.defs.conftest import SESSIONS, Project
from skip_pipeline_tests.storage.publishing import newest_manifest

STAGES = {
    "merged_table": ("merged", 50),
    "encoded_table": ("encoded", 69),
    "scaled_table": ("scaled", 69),
}
ASSETS = (
    "session_logs",
    "track_features",
    *STAGES,
    "tensor_bundles",
    "data_drift",
    "baseline_models",
    "trained_model",
    "evaluation_report",
    "champion_model",
    "skip_predictions",
)
EMPTY = ("data_drift", "skip_predictions")  # no champion to compare with, and nothing to score: both say so


@pytest.fixture
def metadata(finished):
    project, _ = finished
    instance = project.instance()
    return {
        name: instance.get_latest_materialization_event(dg.AssetKey(name)).asset_materialization.metadata
        for name in ASSETS
    }


def test_every_asset_is_materialized_and_every_check_passes(finished):
    _, outcome = finished

    assert outcome.success
    assert outcome.failures == ()
    assert set(outcome.materialized) == set(ASSETS)


@pytest.mark.parametrize(("name", "folder", "columns"), [(n, f, c) for n, (f, c) in STAGES.items()])
def test_a_table_has_its_columns_and_as_many_rows_as_the_log(finished, metadata, name, folder, columns):
    project, _ = finished
    table = pq.read_table(getattr(project.layout, folder) / "log_mini.parquet")

    assert table.num_columns == columns
    assert table.num_rows == metadata["session_logs"]["dagster/row_count"].value


def test_the_bundles_hold_every_session_once(finished):
    project, _ = finished
    bundles = [open_bundle(project.layout.bundles, split) for split in schema.SPLITS]
    ids = np.concatenate([bundle.session_id for bundle in bundles])

    assert len(ids) == len(set(ids.tolist())) == SESSIONS


def test_the_baselines_predict_the_sessions_of_the_bundles_and_are_scored_on_validation(finished, metadata):
    project, _ = finished
    bundles = {split: open_bundle(project.layout.bundles, split) for split in schema.SPLITS}
    baselines = read_baselines(project.layout.baselines.joinpath, bundles)
    facts = metadata["baseline_models"]
    rows = [record.data for record in facts["validation_scores"].value.records]

    assert [baseline.name for baseline in baselines] == list(schema.BASELINES)
    assert [row["baseline"] for row in rows] == [baseline.title for baseline in baselines]
    for baseline, row in zip(baselines, rows, strict=True):
        scores = score(bundles["validation"].not_skipped, baseline.p_not_skipped["validation"])
        assert row["validation_log_loss"] == pytest.approx(scores.log_loss)
        assert facts[f"{baseline.name}_validation_log_loss"].value == pytest.approx(scores.log_loss)
        assert row["training_sessions"] == bundles["train"].sessions
    assert not any("test" in name for name in facts)


@pytest.mark.parametrize("name", ASSETS)
def test_a_materialization_says_what_where_and_how_long(metadata, name):
    facts = metadata[name]

    if name not in EMPTY:
        assert facts["dagster/row_count"].value > 0
        assert facts["bytes"].value > 0
    assert len(facts["sha256"].value) == 64
    assert facts["seconds"].value >= 0
    assert facts["path"].value
    assert facts["data_source"].value == "synthetic"
    assert facts["mlflow_run"].value.startswith("http://127.0.0.1:5000/#/experiments/")


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("session_logs", 21),
        ("track_features", 30),
        ("merged_table", 50),
        ("encoded_table", 69),
        ("scaled_table", 69),
        ("baseline_models", 6),
    ],
)
def test_a_table_describes_its_columns(metadata, name, columns):
    assert len(metadata[name]["dagster/column_schema"].schema.columns) == columns


@pytest.mark.parametrize(
    ("name", "pictures"),
    [
        ("tensor_bundles", {"class_balance", "session_lengths"}),
        ("trained_model", {"training_curves"}),
        ("evaluation_report", {"confusion_matrix", "roc", "calibration"}),
    ],
)
def test_pictures_are_shown_where_a_person_would_rather_look(metadata, name, pictures):
    shown = {key for key, value in metadata[name].items() if "data:image/png;base64," in str(value.value)}

    assert shown == pictures


def test_the_metrics_file_has_the_agreed_shape(finished):
    project, outcome = finished
    metrics = json.loads((project.layout.report / "metrics.json").read_text())

    assert metrics["data_source"] == "synthetic"
    assert metrics["preset"] == "fast"
    for split in schema.SPLITS:
        assert set(metrics[split]) == {"sessions", "accuracy", "log_loss", "roc_auc", "brier"}
        assert metrics[split]["sessions"] == open_bundle(project.layout.bundles, split).sessions
    assert set(metrics["seconds"]) == set(ASSETS) - {"data_drift", "champion_model", "skip_predictions"}
    assert metrics["run"]["dagster"] == outcome.run_id


def test_the_report_sets_the_network_beside_every_baseline(finished, metadata):
    project, _ = finished
    metrics = json.loads((project.layout.report / "metrics.json").read_text())
    names = {model["name"] for model in metrics["leaderboard"]["models"]}

    assert names == {"fast", *schema.BASELINES, "oracle_past", "oracle_state"}
    assert {"fast", *schema.BASELINES} == set(metrics["run"]["training_seconds"])
    shown = [record.data for record in metadata["evaluation_report"]["leaderboard"].value.records]
    assert [row["rank"] for row in shown] == list(range(1, 8))
    losses = [row["log_loss"] for row in shown]
    assert losses == sorted(losses)
    assert metadata["evaluation_report"]["verdict"].value.startswith(
        "By log-loss, the fast network is number "
    )


def test_baselines_of_other_bundles_are_not_reported_on(first_run, project):
    for name in ("merged", "encoded", "scaled", "bundles", "model", "baselines"):
        shutil.copytree(getattr(DataLayout(first_run[0]), name), getattr(project.layout, name))
    manifest = newest_manifest(project.layout.baselines)
    content = json.loads(manifest.read_text())
    content["details"]["bundles"] = "0" * 64
    manifest.write_text(json.dumps(content))

    [message] = project.run("evaluation_report").failures

    assert "was made from other bundles" in message
    assert "Materialize baseline_models again" in message


def test_the_predictions_are_the_test_sessions_with_their_probability(finished):
    project, _ = finished
    predictions = pq.read_table(project.layout.report / "predictions.parquet")
    test = open_bundle(project.layout.bundles, "test")

    assert predictions.column_names == ["session_id", "not_skipped", "p_not_skipped"]
    assert predictions["session_id"].to_pylist() == test.session_id.tolist()
    assert predictions["not_skipped"].to_pylist() == test.not_skipped.tolist()
    assert all(0 < p < 1 for p in predictions["p_not_skipped"].to_pylist())


def test_the_report_is_one_file_that_says_synthetic(finished):
    project, _ = finished
    page = (project.layout.report / "report.html").read_text()

    assert "synthetic" in page.lower()
    assert 'src="http' not in page


def test_on_the_first_night_there_is_no_champion_to_compare_with_and_then_there_is(metadata):
    assert metadata["data_drift"]["alarms"].value == "none"
    assert metadata["champion_model"]["decision"].value == "promoted"
    assert metadata["champion_model"]["champion"].value == "1"
    assert metadata["skip_predictions"]["model_version"].value == "1"


def test_the_terminal_says_in_the_end_who_serves_and_why(finished):
    project, _ = finished
    said = headline(project.layout, promotion=True).splitlines()
    start = said.index("Version 1 is promoted; version 1 serves:")

    assert said[start + 1] == "  ✓ there is no champion yet"
    assert said[start + 2].startswith("  ✓ log-loss ")
    assert not any("serves" in line for line in headline(project.layout).splitlines())


def test_an_asset_can_be_materialized_alone_and_from_the_middle(project):
    assert project.run("session_logs,track_features,merged_table").success
    assert project.run("encoded_table").materialized == ("encoded_table",)

    outcome = project.run("scaled_table,tensor_bundles")

    assert outcome.success
    assert outcome.materialized == ("scaled_table", "tensor_bundles")


def test_running_again_gives_the_same_bundles_and_the_same_metrics(first_run, project):
    first = Project(DataLayout(first_run[0]))

    assert project.run().success

    parts = [f"log_mini/{name}.npy" for name in ("sessions", "rows", "session_id")]
    for name in ("tracks.npy", "parts.json", *parts):
        assert (first.layout.bundles / name).read_bytes() == (project.layout.bundles / name).read_bytes()
    once = json.loads((first.layout.report / "metrics.json").read_text())
    again = json.loads((project.layout.report / "metrics.json").read_text())
    for metrics in (once, again):
        del metrics["seconds"], metrics["run"]
    assert once == again


def test_a_model_of_other_bundles_is_not_reported_on(first_run, project):
    shutil.copytree(DataLayout(first_run[0]).model, project.layout.model)
    shutil.copytree(DataLayout(first_run[0]).bundles, project.layout.bundles)
    manifest = newest_manifest(project.layout.bundles)
    content = json.loads(manifest.read_text())
    content["files"][0]["sha256"] = "0" * 64
    manifest.write_text(json.dumps(content))

    outcome = project.run("evaluation_report")

    [message] = outcome.failures
    assert "was trained on other bundles" in message
    assert "Materialize trained_model again" in message


def test_settings_that_make_no_sense_are_refused_and_recorded_with_the_reason(first_run, project):
    shutil.copytree(DataLayout(first_run[0]).bundles, project.layout.bundles)

    outcome = project.run("trained_model", {"ops": {"trained_model": {"config": {"max_epochs": 0}}}})

    [message] = outcome.failures
    assert "max_epochs is 0, not at least 1" in message
    run = project.mlflow_runs(outcome.run_id)["trained_model"]
    assert run.info.status == "FAILED"
    assert "max_epochs" in run.data.tags["failure"]
