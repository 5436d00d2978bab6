"""A run of Dagster in which a worker process is killed."""

import os
import shutil
import signal
import threading
import time

import dagster as dg
import pytest

from skip_pipeline.settings import DataLayout
from skip_pipeline.stages import flow as stages
from skip_pipeline.stages import merge
from skip_pipeline.storage import read_manifest
from skip_pipeline.world.synthesize import synthesize

pytestmark = pytest.mark.slow

FOREVER = 60.0  # s; a test that waits it out fails


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Logs of three files."""
    folder = tmp_path_factory.mktemp("shards")
    synthesize(folder, sessions=90, tracks=100, seed=2, shards=3)
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, shards):
    """The merged table of a run in which nothing happens, by file."""
    layout = DataLayout(tmp_path_factory.mktemp("undisturbed"))
    shutil.copytree(shards, layout.raw)
    stages.merged_table(layout)
    return published(layout)


def published(layout):
    return {
        record.name: (layout.merged / record.name).read_bytes()
        for record in read_manifest(layout.merged, made_by="merged_table").files
    }


@pytest.fixture
def hanging(sharded, tmp_path, monkeypatch):
    """The second shard's work hangs the first time it is done; gives the file that gets its process's id."""
    whole, pid = merge.merge_shard, tmp_path / "pid"
    victim = sorted((sharded.layout.raw / "training_set").glob("*.csv"))[1]

    # Inside a function, and so pickled by value: it reaches the workers.
    def merge_shard(raw, **arguments):
        if raw == victim and not pid.exists():
            written = pid.with_suffix(".part")
            written.write_text(str(os.getpid()))
            written.rename(pid)
            time.sleep(FOREVER)
        return whole(raw, **arguments)

    monkeypatch.setattr(merge, "merge_shard", merge_shard)
    return pid


def test_a_run_whose_worker_is_killed_at_work_completes_like_any_other(sharded, hanging, undisturbed):
    def kill():
        while not hanging.exists():
            time.sleep(0.01)
        os.kill(int(hanging.read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()

    outcome = sharded.run(
        "merged_table", {"resources": {"engine": {"config": {"kind": "processes", "workers": 2}}}}
    )

    killer.join()
    assert int(hanging.read_text()) != os.getpid()
    assert outcome.success, outcome.failures
    record = sharded.instance().get_run_by_id(outcome.run_id)
    assert record.status == dg.DagsterRunStatus.SUCCESS
    assert sharded.mlflow_runs(outcome.run_id)["merged_table"].info.status == "FINISHED"
    assert published(sharded.layout) == undisturbed
