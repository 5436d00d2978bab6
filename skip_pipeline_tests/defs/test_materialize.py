"""Everything once, on a small synthetic world: what is published, and what Dagster shows of it."""

import json
import shutil

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import pytest

from skip_pipeline import schema
from skip_pipeline.baselines.predictions import read_baselines
from skip_pipeline.bundles.gather import open_bundle, open_bundles
from skip_pipeline.cli.run import headline
from skip_pipeline.definitions import defs
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.schedules import nightly_retraining
from skip_pipeline.metrics.scores import score
from skip_pipeline.networks.listening import all_played
from skip_pipeline.settings import DataLayout
from skip_pipeline.storage import read_manifest
from skip_pipeline_tests.projects import QUICK_TRAINING, SESSIONS, Project
from skip_pipeline_tests.storage.publishing import newest_manifest

pytestmark = pytest.mark.slow

COLUMNS = {
    "session_logs": 21,
    "track_features": 30,
    "merged_table": 50,
    "encoded_table": 69,
    "scaled_table": 69,
    "baseline_models": 6,
    "skip_predictions": 8,
}
PICTURES = {
    "tensor_bundles": {"class_balance", "session_lengths"},
    "trained_model": {"training_curves"},
    "evaluation_report": {"confusion_matrix", "roc", "calibration"},
}
SHOWN_IN_PLACE = 1_000  # characters of Markdown below which Dagster shows it without a click
WITHOUT_ROWS = ("data_drift", "skip_predictions")  # no champion to compare with, no session to score
FROM_BUNDLES = ("merged", "encoded", "scaled", "bundles", "model", "baselines", "best")
ASSETS = (
    "session_logs", "track_features", "merged_table", "encoded_table", "scaled_table", "tensor_bundles",
    "data_drift", "baseline_models", "trained_model", "best_model", "evaluation_report",
    "champion_model",
    "skip_predictions",
)  # fmt: skip


@pytest.fixture
def metadata(finished):
    project, _ = finished
    return {name: project.metadata(name) for name in ASSETS}


def copied(first_run, project: Project, *names: str) -> DataLayout:
    for name in names:
        shutil.copytree(getattr(DataLayout(first_run[0]), name), getattr(project.layout, name))
    return project.layout


def edit_manifest(folder, edit) -> None:
    manifest = newest_manifest(folder)
    content = json.loads(manifest.read_text())
    edit(content)
    manifest.write_text(json.dumps(content))


def test_every_asset_is_materialized_and_every_check_passes(finished):
    _, outcome = finished

    assert outcome.success
    assert outcome.failures == ()
    assert set(outcome.materialized) == set(ASSETS)


def test_tables_and_bundles_hold_every_row_and_every_session_once(finished, metadata):
    layout = finished[0].layout
    for name, folder in (
        ("merged_table", "merged"),
        ("encoded_table", "encoded"),
        ("scaled_table", "scaled"),
    ):
        table = pq.read_table(getattr(layout, folder) / "log_mini.parquet")
        assert table.num_columns == COLUMNS[name]
        assert table.num_rows == metadata["session_logs"]["dagster/row_count"]
    bundles = open_bundles(layout.bundles, schema.SPLITS)
    ids = np.concatenate([bundle.session_id for bundle in bundles.values()])
    assert len(ids) == len(set(ids.tolist())) == SESSIONS


@pytest.mark.parametrize("name", ASSETS)
def test_a_materialization_shows_what_it_made_from_what_and_where(metadata, name):
    facts = metadata[name]

    assert (facts["dagster/row_count"] > 0) is (name not in WITHOUT_ROWS)
    assert len(facts["sha256"]) == 64
    assert facts["seconds"] >= 0
    assert facts["path"]
    assert facts["files"].records or name in WITHOUT_ROWS
    assert facts["data_source"] == "synthetic"
    assert facts["mlflow_run"].startswith("http://127.0.0.1:5000/#/experiments/")
    columns = facts.get("dagster/column_schema")
    assert (len(columns.columns) if columns else 0) == COLUMNS.get(name, 0)
    shown = {key: value for key, value in facts.items() if str(value).startswith("[![")}
    assert shown.keys() == PICTURES.get(name, set())
    for picture, text in shown.items():
        assert f"(http://127.0.0.1:5000/get-artifact?path=plots/{picture}.png&run_uuid=" in text
        assert len(text) < SHOWN_IN_PLACE
    assert "data:image" not in str(facts)


def test_the_baselines_are_scored_on_validation_sessions_only(finished, metadata):
    layout, facts = finished[0].layout, metadata["baseline_models"]
    bundles = open_bundles(layout.bundles)
    baselines = read_baselines(layout.baselines.joinpath, bundles)
    rows = [record.data for record in facts["validation_scores"].records]

    assert [baseline.name for baseline in baselines] == list(schema.BASELINES)
    assert [row["baseline"] for row in rows] == [baseline.title for baseline in baselines]
    played = all_played(bundles["validation"])
    real = ~np.isnan(played)
    for baseline, row in zip(baselines, rows, strict=True):
        of_tracks = score(played[real], baseline.p_tracks["validation"][real])
        assert row["validation_log_loss_of_every_track"] == pytest.approx(of_tracks.log_loss)
        scores = score(bundles["validation"].not_skipped, baseline.p_not_skipped["validation"])
        assert row["validation_log_loss"] == pytest.approx(scores.log_loss)
        assert facts[f"{baseline.name}_validation_log_loss"] == pytest.approx(scores.log_loss)
        assert row["training_sessions"] == bundles["train"].sessions
    assert not any("test" in name for name in facts)


def test_metrics_predictions_and_page_are_of_the_test_sessions(finished, metadata):
    project, outcome = finished
    layout, facts = project.layout, metadata["evaluation_report"]
    metrics = json.loads((layout.report / "metrics.json").read_text())
    names = {model["name"] for model in metrics["leaderboard"]["models"]}
    choice = json.loads((layout.best / "choice.json").read_text())
    served = () if choice["chosen"] == "network" else ("best_of_the_night",)
    shown = [record.data for record in facts["leaderboard"].records]

    assert (metrics["data_source"], metrics["preset"]) == ("synthetic", "fast")
    for split in schema.SPLITS:
        assert set(metrics[split]) == {"sessions", "accuracy", "log_loss", "roc_auc", "brier"}
        assert metrics[split]["sessions"] == open_bundle(layout.bundles, split).sessions
    assert set(metrics["seconds"]) == set(ASSETS) - {"data_drift", "champion_model", "skip_predictions"}
    assert metrics["run"]["dagster"] == outcome.run_id
    assert names == {"fast", *served, *schema.BASELINES, "oracle_past", "oracle_state"}
    assert set(metrics["run"]["training_seconds"]) == {"fast", *schema.BASELINES}
    assert [row["rank"] for row in shown] == list(range(1, 8 + len(served)))
    assert [row["log_loss"] for row in shown] == sorted(row["log_loss"] for row in shown)
    assert ("served" if served else "fast network") in facts["verdict"].partition(" is number")[0]
    assert metrics["choice"] == choice["sentence"]
    half = metrics["second_half"]
    assert half["sessions"] == metrics["test"]["sessions"]
    assert half["positions"][0]["tracks"] == half["sessions"]
    rule = json.loads((layout.best / "served_model" / "decision_rule.json").read_text())
    assert half["decided_by"] == ("whole_strings" if rule["joint"] else "threshold")

    predictions, test = (
        pq.read_table(layout.report / "predictions.parquet"),
        open_bundle(layout.bundles, "test"),
    )
    assert predictions.column_names == ["session_id", "not_skipped", "p_not_skipped"]
    assert predictions["session_id"].to_pylist() == test.session_id.tolist()
    assert predictions["not_skipped"].to_pylist() == test.not_skipped.tolist()
    assert all(0 < p < 1 for p in predictions["p_not_skipped"].to_pylist())

    page = (layout.report / "report.html").read_text()
    assert "synthetic" in page.lower()
    assert 'src="http' not in page


def test_on_the_first_night_there_is_no_champion_to_compare_with_and_then_there_is(finished, metadata):
    lines = headline(finished[0].layout, promotion=True).splitlines()
    start = lines.index("Version 1 is promoted; version 1 serves:")

    assert metadata["data_drift"]["alarms"] == "none"
    assert metadata["champion_model"]["decision"] == "promoted"
    assert metadata["champion_model"]["champion"] == "1"
    assert metadata["skip_predictions"]["model_version"] == "1"
    assert "✓ there is no champion yet" in lines[start + 1]
    assert "✓ version 1 answers both questions" in lines[start + 2]
    assert "✓ last track: log-loss" in lines[start + 3]
    assert "✓ next track at any position: log-loss" in lines[start + 4]
    assert not any("serves" in line for line in headline(finished[0].layout).splitlines())


def test_an_asset_can_be_materialized_alone_and_from_the_middle(project):
    assert project.run("session_logs,track_features,merged_table").success
    assert project.run("encoded_table").materialized == ("encoded_table",)

    outcome = project.run("scaled_table,tensor_bundles")

    assert outcome.success
    assert outcome.materialized == ("scaled_table", "tensor_bundles")


def test_the_night_gives_the_same_results_as_a_run_by_hand_and_the_next_night_is_skipped(first_run, project):
    schedule = nightly_retraining("UTC", QUICK_TRAINING)

    def tick():
        resources = {"data": DataDirectory(path=str(project.layout.root))}
        # Dagster keeps the instance as that of the process until the context is left.
        with dg.build_schedule_context(instance=project.instance(), resources=resources) as context:
            return schedule.evaluate_tick(context)

    (request,) = list(tick().run_requests)

    job, instance = defs().resolve_job_def("retrain"), project.instance()
    night = job.execute_in_process(instance=instance, run_config=request.run_config, tags=dict(request.tags))

    assert night.success
    assert f"those of run {night.run_id}, the last night" in str(tick().skip_message)
    first = DataLayout(first_run[0])
    parts = [f"log_mini/{name}.npy" for name in ("sessions", "rows", "session_id")]
    for name in ("tracks.npy", "parts.json", *parts):
        assert (first.bundles / name).read_bytes() == (project.layout.bundles / name).read_bytes()
    once, again = (json.loads((of.report / "metrics.json").read_text()) for of in (first, project.layout))
    for metrics in (once, again):
        del metrics["seconds"], metrics["run"]
    assert once == again
    parent = project.mlflow_runs(night.run_id)[""]
    assert parent.info.run_name.startswith("Night ")
    assert parent.info.run_name.endswith((", version 1 promoted", ", version 1 refused"))


@pytest.mark.parametrize(
    ("damaged", "edit", "remedy"),
    [
        ("baselines", lambda content: content["details"].update(bundles="0" * 64), "baseline_models again"),
        ("bundles", lambda content: content["files"][0].update(sha256="0" * 64), "trained_model again"),
    ],
)
def test_a_report_on_stages_of_other_bundles_is_refused(first_run, project, damaged, edit, remedy):
    layout = copied(first_run, project, *FROM_BUNDLES)
    edit_manifest(getattr(layout, damaged), edit)

    [message] = project.run("evaluation_report").failures

    assert "other bundles" in message
    assert remedy in message


def test_settings_that_make_no_sense_are_refused_and_recorded_with_the_reason(first_run, project):
    copied(first_run, project, "bundles")

    outcome = project.run("trained_model", {"ops": {"trained_model": {"config": {"max_epochs": 0}}}})

    [message] = outcome.failures
    assert "max_epochs is 0" in message
    run = project.mlflow_runs(outcome.run_id)["trained_model"]
    assert run.info.status == "FAILED"
    assert "max_epochs" in run.data.tags["failure"]


def test_a_check_of_damaged_bundles_fails_and_names_the_fault(first_run, project):
    layout = copied(first_run, project, "merged", "encoded", "scaled", "bundles")
    bundles = read_manifest(layout.bundles, made_by="tensor_bundles")
    bundles.path("log_mini/rows.npy").write_bytes(b"")
    keys = defs().resolve_asset_graph().asset_check_keys
    of_bundles = {key for key in keys if key.asset_key.path[-1] == "tensor_bundles"}
    job = defs().resolve_implicit_global_asset_job_def()
    checks = job.get_subset(asset_selection=set(), asset_check_selection=of_bundles)
    result = checks.execute_in_process(instance=project.instance(), raise_on_error=False)

    found = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert not any(check.passed for check in found.values())
    assert "rows.npy" in str(found["bundle_shapes"].metadata["fault"].value)
    assert "not judged" in found["no_label_leak"].metadata
