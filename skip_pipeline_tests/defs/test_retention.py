"""Old records go, and what somebody still needs stays."""

import json

import pytest
from typer.testing import CliRunner

from skip_pipeline import settings
from skip_pipeline.cli.main import app
from skip_pipeline.definitions import mlflow_tracker
from skip_pipeline.defs.mlflow_runs import DAGSTER_RUN
from skip_pipeline.defs.retention import Pruned, prune
from skip_pipeline_tests.projects import Project

pytestmark = pytest.mark.slow


def recorded(project: Project) -> set[str]:
    """Dagster runs that MLflow has a record of."""
    client = project.mlflow_client()
    experiment = client.get_experiment_by_name(settings.EXPERIMENT)
    return {run.data.tags[DAGSTER_RUN] for run in client.search_runs([experiment.experiment_id])}


def files_of(project: Project, run_id: str) -> list[str]:
    return [path.name for path in project.layout.root.rglob("*") if run_id in path.as_posix()]


def test_all_but_the_newest_runs_go_and_what_assets_hold_stays(project):
    runs = [project.run("session_logs").run_id for _ in range(3)]
    runs += [project.run("track_features").run_id for _ in range(2)]
    tracker = mlflow_tracker(project.layout)

    found = prune(project.instance(), tracker, keep=1)

    # The third run made what session_logs holds, the last is the newest; an MLflow run is one of two.
    assert found == Pruned(dagster_runs=3, mlflow_runs=6, versions=0, collected=True)
    assert {run.run_id for run in project.instance().get_runs()} == {runs[2], runs[4]}
    assert recorded(project) == {runs[2], runs[4]}
    assert [files_of(project, run_id) for run_id in (runs[0], runs[1], runs[3])] == [[], [], []]
    assert project.run("session_logs").success
    assert project.metadata("session_logs")["dagster/row_count"]


def test_a_version_with_an_alias_stays_with_its_run_and_others_go(project, monkeypatch):
    runs = [project.run("session_logs").run_id for _ in range(3)]
    client = project.mlflow_client()
    client.create_registered_model(settings.MODEL_NAME)
    for dagster_run in runs[:2]:
        run = project.mlflow_runs(dagster_run)["session_logs"].info.run_id
        client.create_model_version(settings.MODEL_NAME, "file:///nowhere", run)
    client.set_registered_model_alias(settings.MODEL_NAME, "champion", "1")
    monkeypatch.setattr("skip_pipeline.defs.retention._needed", lambda _instance, _ended: set())

    found = prune(project.instance(), mlflow_tracker(project.layout), keep=1)

    left = client.search_model_versions(f"name = '{settings.MODEL_NAME}'")
    assert [str(version.version) for version in left] == ["1"]
    assert (found.versions, found.dagster_runs) == (1, 2)
    assert recorded(project) == {runs[0], runs[2]}


def test_a_model_goes_with_its_run_and_leaves_no_file(project):
    runs = [project.run("session_logs").run_id for _ in range(2)]
    client = project.mlflow_client()
    experiment = client.get_experiment_by_name(settings.EXPERIMENT).experiment_id
    models = []
    for dagster_run in runs:
        run = project.mlflow_runs(dagster_run)["session_logs"].info.run_id
        models.append(client.create_logged_model(experiment, "skip_network", source_run_id=run))
        client.log_model_artifacts(models[-1].model_id, str(project.layout.raw / "training_set"))

    prune(project.instance(), mlflow_tracker(project.layout), keep=1)

    assert [model.model_id for model in client.search_logged_models([experiment])] == [models[1].model_id]
    assert files_of(project, models[0].model_id) == []
    assert files_of(project, models[1].model_id) != []


def test_the_command_says_what_it_removed(project):
    for _ in range(2):
        project.run("session_logs")
    done = CliRunner().invoke(app, ["prune", "--keep", "1", "--data-dir", str(project.layout.root)])
    assert done.exit_code == 0, done.output
    assert "removed 1 runs of Dagster, 2 of MLflow and 0 versions" in done.output

    again = CliRunner().invoke(
        app, ["prune", "--keep", "1", "--data-dir", str(project.layout.root), "--json"]
    )
    assert json.loads(again.stdout) == {"dagster_runs": 0, "mlflow_runs": 0, "versions": 0, "collected": True}
