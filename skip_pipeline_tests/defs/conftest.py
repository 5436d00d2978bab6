"""Data directories, Dagster instances and MLflow stores of the tests' own."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import mlflow
import pytest

from skip_pipeline import settings
from skip_pipeline.definitions import defs
from skip_pipeline.defs.launch import HOME_VARIABLE, Outcome, materialize, prepare_home, select
from skip_pipeline.settings import DataLayout
from skip_pipeline.world.synthesize import synthesize
from skip_pipeline_tests.conftest import forget_settings

SESSIONS = 400
TRACKS = 600
QUICK_TRAINING = {
    "ops": {"trained_model": {"config": {"preset": "fast", "max_epochs": 2, "batch_size": 16, "seed": 3}}}
}


class Project:
    """One data directory with its own Dagster home and MLflow store."""

    def __init__(self, layout: DataLayout) -> None:
        self.layout = layout

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.layout.mlflow / 'mlflow.db'}"

    def run(self, selection: str | None = None, config: dict | None = None) -> Outcome:
        """Materialize as the command line does, but with two epochs of training."""
        definitions = defs()
        assets = select(definitions, selection)
        quick = QUICK_TRAINING if "trained_model" in assets else {}
        return materialize(definitions, assets, config or quick, lambda _event: None)

    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.get()

    def mlflow_client(self) -> mlflow.MlflowClient:
        return mlflow.MlflowClient(tracking_uri=self.tracking_uri)

    def mlflow_runs(self, dagster_run_id: str) -> dict[str, mlflow.entities.Run]:
        """Runs of one Dagster run by asset key; the parent by the empty string."""
        client = self.mlflow_client()
        experiment = client.get_experiment_by_name("skip_pipeline")
        found = client.search_runs([experiment.experiment_id], f"tags.`dagster.run_id` = '{dagster_run_id}'")
        return {run.data.tags.get("dagster.asset_key", ""): run for run in found}


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic raw files; copy them before changing them."""
    folder = tmp_path_factory.mktemp("raw")
    synthesize(folder, sessions=SESSIONS, tracks=TRACKS, seed=1)
    return folder


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated MLflow store and a Dagster home, so that no test waits for their creation."""
    folder = tmp_path_factory.mktemp("template")
    layout = DataLayout(folder)
    layout.mlflow.mkdir()
    mlflow.MlflowClient(tracking_uri=f"sqlite:///{layout.mlflow / 'mlflow.db'}").search_experiments()
    with _settings_of(layout), dg.DagsterInstance.get():
        return folder


@contextmanager
def _settings_of(layout: DataLayout) -> Iterator[None]:
    """The environment for a fixture that is made before any test's own."""
    with pytest.MonkeyPatch.context() as environment:
        forget_settings(environment)
        environment.setenv(settings.DATA_DIR_VARIABLE, str(layout.root))
        prepare_home(layout)
        yield


@contextmanager
def lasting_project(root: Path, raw: Path, template: Path) -> Iterator[Project]:
    """A data directory for several tests: with raw files in place, and to be worked on in the block alone."""
    layout = DataLayout(root)
    shutil.copytree(template, layout.root)
    shutil.copytree(raw, layout.raw)
    with _settings_of(layout):
        yield Project(layout)


@pytest.fixture
def project(tmp_path: Path, raw: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """An empty data directory with raw files in place."""
    layout = DataLayout(tmp_path / "data")
    shutil.copytree(template, layout.root)
    shutil.copytree(raw, layout.root / "01_raw")
    monkeypatch.setenv(settings.DATA_DIR_VARIABLE, str(layout.root))
    prepare_home(layout)
    return Project(layout)


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory, raw: Path, template: Path) -> tuple[Path, Outcome]:
    """A data directory in which everything has been materialized once."""
    with lasting_project(tmp_path_factory.mktemp("finished") / "data", raw, template) as project:
        return project.layout.root, project.run()


@pytest.fixture
def finished(first_run: tuple[Path, Outcome], monkeypatch: pytest.MonkeyPatch) -> tuple[Project, Outcome]:
    """The data directory in which everything has been materialized, and how that went; to be read only."""
    root, outcome = first_run
    monkeypatch.setenv(settings.DATA_DIR_VARIABLE, str(root))
    monkeypatch.setenv(HOME_VARIABLE, str(DataLayout(root).dagster))
    return Project(DataLayout(root)), outcome


@pytest.fixture
def sharded(project: Project, shards: Path) -> Project:
    """A project on the raw files ``shards``, which a module has to give, in place of the usual ones."""
    shutil.rmtree(project.layout.raw)
    shutil.copytree(shards, project.layout.raw)
    return project
