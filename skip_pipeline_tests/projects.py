"""Data directories with a Dagster home and an MLflow store of their own, as fixtures.

What is slow to make is made once for all processes of a test run, in their common temporary folder.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from filelock import FileLock

from skip_pipeline import settings
from skip_pipeline.definitions import defs
from skip_pipeline.defs.launch import Outcome, materialize, prepare_home, select
from skip_pipeline.settings import DAGSTER_HOME_VARIABLE, DataLayout
from skip_pipeline.world.synthesize import synthesize
from skip_pipeline_tests.environment import forget_settings

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

    def run(self, selection: str | None = None, config: dict[str, Any] | None = None) -> Outcome:
        """Materialize as the command line does, but with two epochs of training."""
        definitions = defs()
        assets = select(definitions, selection)
        quick = QUICK_TRAINING if "trained_model" in assets else {}
        return materialize(definitions, assets, config or quick, lambda _event: None)

    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.get()

    def metadata(self, asset: str) -> dict[str, Any]:
        """Values of the latest materialization of an asset, by name."""
        event = self.instance().get_latest_materialization_event(dg.AssetKey(asset))
        assert event is not None
        assert event.asset_materialization is not None
        return {name: value.value for name, value in event.asset_materialization.metadata.items()}

    def mlflow_client(self):
        import mlflow

        return mlflow.MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)

    def mlflow_runs(self, dagster_run_id: str) -> dict[str, Any]:
        """Runs of one Dagster run by asset key; the parent by the empty string."""
        client = self.mlflow_client()
        experiment = client.get_experiment_by_name("skip_pipeline")
        found = client.search_runs([experiment.experiment_id], f"tags.`dagster.run_id` = '{dagster_run_id}'")
        return {run.data.tags.get("dagster.asset_key", ""): run for run in found}


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[..., Path]:
    """Make a folder once for all processes of a test run: ``once(name, make)``."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent

    def once(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = shared / name, shared / f"{name}.done"
        with FileLock(shared / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def raw(once: Callable[..., Path]) -> Path:
    """Synthetic raw files; copy them before changing them."""
    return once("raw", lambda folder: synthesize(folder, sessions=SESSIONS, tracks=TRACKS, seed=1))


@pytest.fixture(scope="session")
def template(once: Callable[..., Path]) -> Path:
    """A migrated MLflow store and a Dagster home, so that no test waits for their creation."""

    def make(folder: Path) -> None:
        layout = DataLayout(folder)
        layout.mlflow.mkdir()
        Project(layout).mlflow_client().search_experiments()
        with _settings_of(layout), dg.DagsterInstance.get():
            pass

    return once("template", make)


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
    """A data directory for several tests: with raw files in place, for use in the block only."""
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
def first_run(once: Callable[..., Path], raw: Path, template: Path) -> tuple[Path, Outcome]:
    """A data directory in which everything has been materialized once, and how that went."""

    def make(folder: Path) -> None:
        with lasting_project(folder / "data", raw, template) as project:
            outcome = asdict(project.run())
        (folder / "outcome.json").write_text(json.dumps(outcome))

    folder = once("finished", make)
    outcome = json.loads((folder / "outcome.json").read_text())
    lists = {name: tuple(outcome[name]) for name in ("materialized", "failures")}
    return folder / "data", Outcome(**outcome | lists)


@pytest.fixture
def finished(first_run: tuple[Path, Outcome], monkeypatch: pytest.MonkeyPatch) -> tuple[Project, Outcome]:
    """The data directory in which everything has been materialized, and how that went; to be read only."""
    root, outcome = first_run
    monkeypatch.setenv(settings.DATA_DIR_VARIABLE, str(root))
    monkeypatch.setenv(DAGSTER_HOME_VARIABLE, str(DataLayout(root).dagster))
    return Project(DataLayout(root)), outcome


@pytest.fixture
def sharded(project: Project, shards: Path) -> Project:
    """A project on the raw files ``shards``, a fixture of the module, in place of the usual ones."""
    shutil.rmtree(project.layout.raw)
    shutil.copytree(shards, project.layout.raw)
    return project
