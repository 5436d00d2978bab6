"""A run that dies leaves results that are whole, the next one completes, and damage is healed.

``storage/test_kill`` dies at every change of a file. Here one real process is killed with SIGKILL, after its
manifest and before its plain names, and what assets publish fails on either side of the manifest.
"""

import multiprocessing
import shutil
import signal

import dagster as dg
import mlflow
import pytest

from skip_pipeline import code_version, settings
from skip_pipeline.defs.launch import HOME_VARIABLE
from skip_pipeline.settings import DataLayout
from skip_pipeline.storage import Manifest, publication, read_manifest, record_file
from skip_pipeline_tests.defs import dying
from skip_pipeline_tests.projects import Project

pytestmark = pytest.mark.slow

# A stage made shard by shard, and one made whole; the others publish by the same functions.
STAGES = {"tensor_bundles": "bundles", "baseline_models": "baselines"}


@pytest.fixture(scope="module")
def materialized(tmp_path_factory, first_run):
    """A copy of a finished data directory that the tests of this module may break."""
    return shutil.copytree(first_run[0], tmp_path_factory.mktemp("killed") / "data")


@pytest.fixture
def layout(materialized, monkeypatch):
    layout = DataLayout(materialized)
    monkeypatch.setenv(settings.DATA_DIR_VARIABLE, str(materialized))
    monkeypatch.setenv(HOME_VARIABLE, str(layout.dagster))
    return layout


def is_whole(folder):
    """Whether each file is the very one that the newest manifest names, also under its plain name."""
    manifest = read_manifest(folder, made_by="the stage")
    return all(
        record_file(path, file.name).sha256 == file.sha256
        for file in manifest.files
        for path in (manifest.path(file.name), folder / file.name)
    )


def test_a_killed_run_leaves_a_whole_stage_and_the_next_run_closes_it(layout, tmp_path):
    before = read_manifest(layout.merged, made_by="merged_table")
    log = tmp_path / "complaints"
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([dying.__name__])
    fatal = layout.merged / "log_mini.parquet"
    process = processes.Process(target=dying.run, args=("merged_table", fatal, layout.root, log))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL, log.read_text()

    assert is_whole(layout.merged)
    after = read_manifest(layout.merged, made_by="merged_table")
    assert (after.number, after.fingerprint) == (before.number + 1, before.fingerprint)
    assert len(unfinished(layout)) > 0

    assert Project(layout).run("merged_table").success
    assert is_whole(layout.merged)
    assert unfinished(layout) == []


def unfinished(layout):
    """Runs that Dagster or MLflow still take to be under way."""
    begun = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{layout.mlflow / 'mlflow.db'}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    open_runs = client.search_runs(experiments, "attributes.status = 'RUNNING'")
    return [*dg.DagsterInstance.get().get_runs(begun), *open_runs]


@pytest.mark.parametrize("asset", STAGES)
def test_a_failure_on_either_side_of_the_manifest_leaves_the_stage_whole(layout, monkeypatch, asset):
    folder = getattr(layout, STAGES[asset])
    before = read_manifest(folder, made_by=asset)
    monkeypatch.setattr(code_version, "_library_version", lambda _library: "anew")

    def fails(*_args):
        raise OSError("the disk is out of order")

    for owner, step, published in ((Manifest, "create", 0), (publication, "_show", 1)):
        with monkeypatch.context() as patch:
            patch.setattr(owner, step, fails)
            assert not Project(layout).run(asset).success
        assert is_whole(folder)
        assert read_manifest(folder, made_by=asset).number == before.number + published

    assert Project(layout).run(asset).success
    assert is_whole(folder)
    after = read_manifest(folder, made_by=asset)
    if asset != "baseline_models":  # whose files hold seconds
        assert after.fingerprint == before.fingerprint


@pytest.mark.parametrize("how", ["changed in place", "replaced"])
def test_materializing_again_heals_a_shard_that_was_damaged_without_changing_its_size(layout, how):
    path = layout.merged / "log_mini.parquet"
    good = path.read_bytes()
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 1
    if how == "replaced":
        path.unlink()
    with path.open("wb" if how == "replaced" else "r+b") as handle:
        handle.write(bad)
    assert not is_whole(layout.merged)

    assert Project(layout).run("merged_table").success
    assert is_whole(layout.merged)
    assert path.read_bytes() == good
