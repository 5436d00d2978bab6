"""A process killed at any moment of any stage leaves results that are whole, and a run that can go on.

A real process is killed with SIGKILL, by itself, at its n-th move of a file: the moments between which a
stage's files could be told apart. Before its first move nothing is published yet.
"""

import multiprocessing
import shutil
import signal

import dagster as dg
import mlflow
import pytest

from skip_pipeline.settings import DataLayout
from skip_pipeline.storage import MANIFEST, read_manifest, record_file
from skip_pipeline_tests.defs import dying

# Moves in one stage: the staging folder to .commit, each file into place, the manifest last. So these are
# the moment before anything is published, and the one where the new file and old files lie side by side.
KILLED_AT = [1, 3]

STAGES = {
    "merged_table": "merged",
    "encoded_table": "encoded",
    "scaled_table": "scaled",
    "tensor_bundles": "bundles",
    "baseline_models": "baselines",
    "trained_model": "model",
    "evaluation_report": "report",
}


@pytest.fixture(scope="module")
def run(materialized, tmp_path_factory):
    """Materializes an asset in a process of its own; gives its exit status and what it complained of."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([dying.__name__])
    log = tmp_path_factory.mktemp("complaints") / "log"

    def run(asset, fatal):
        process = processes.Process(target=dying.run, args=(asset, fatal, materialized, log))
        process.start()
        process.join()
        return process.exitcode, log.read_text()

    return run


def whole(folder):
    """Whether each file of a stage is the very one that its manifest names."""
    manifest = read_manifest(folder, made_by="the stage")
    return all(record_file(folder / r.name, r.name) == r for r in manifest.files)


@pytest.fixture(scope="module")
def materialized(tmp_path_factory, first_run):
    """A copy of a finished data directory that the tests of this module may break."""
    root, _ = first_run
    copy = tmp_path_factory.mktemp("killed") / "data"
    shutil.copytree(root, copy)
    return copy


@pytest.mark.parametrize("asset", STAGES)
def test_kills_leave_the_stage_whole_and_the_next_run_completes(materialized, run, monkeypatch, asset):
    layout = DataLayout(materialized)
    folder = getattr(layout, STAGES[asset])
    monkeypatch.setenv("SKIP_PIPELINE_DATA_DIR", str(materialized))
    monkeypatch.setenv("DAGSTER_HOME", str(layout.dagster))
    before = read_manifest(folder, made_by=asset)

    for fatal in KILLED_AT:
        status, complaints = run(asset, fatal)
        assert status == -signal.SIGKILL, complaints
        assert (folder / MANIFEST).is_file()
        assert whole(folder)

    status, complaints = run(asset, 0)
    assert status == 0, complaints
    assert whole(folder)
    assert not (folder / ".commit").exists()
    assert not (folder / ".staging").exists()
    after = read_manifest(folder, made_by=asset)
    assert after.stage == asset
    if asset not in ("baseline_models", "trained_model", "evaluation_report"):  # they record seconds
        assert after.fingerprint == before.fingerprint
    assert unfinished(layout) == []


def unfinished(layout):
    """Runs that Dagster or MLflow still take to be under way."""
    begun = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{layout.mlflow / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("skip_pipeline").experiment_id
    open_runs = client.search_runs([experiment], "attributes.status = 'RUNNING'")
    return [*dg.DagsterInstance.get().get_runs(begun), *open_runs]
