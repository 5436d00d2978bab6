"""Runs of Dagster in which a worker is killed, the disk fills, or another run is at work."""

import errno
import os
import resource
import shutil
import signal
import threading
import time

import dagster as dg
import pytest
from filelock import FileLock

from skip_pipeline.settings import DataLayout
from skip_pipeline.stages import flow as stages
from skip_pipeline.stages import shards as shard_work
from skip_pipeline.storage import is_published, lock
from skip_pipeline.world.synthesize import synthesize
from skip_pipeline_tests.storage.publishing import published

FOREVER = 60.0  # s; a test that waits it out fails


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Logs of three files."""
    folder = tmp_path_factory.mktemp("shards")
    synthesize(folder, sessions=90, tracks=100, seed=2, shards=3)
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, shards):
    """What the merged table comes to, by file."""
    layout = DataLayout(tmp_path_factory.mktemp("undisturbed"))
    shutil.copytree(shards, layout.raw)
    stages.merged_table(layout)
    return published(layout.merged)


def config(kind):
    return {"resources": {"engine": {"config": {"kind": kind, "workers": 2}}}}


@pytest.fixture
def hanging(sharded, tmp_path, monkeypatch):
    """The second shard's work hangs the first time it is done; gives the file that gets its process's id."""
    whole, victim, pid = shard_work.merge_shard, log(sharded, 1), tmp_path / "pid"

    # Inside a function, and so pickled by value: it reaches workers of either kind.
    def merge_shard(raw, **arguments):
        if raw == victim and not pid.exists():
            written = pid.with_suffix(".part")
            written.write_text(str(os.getpid()))
            written.rename(pid)
            time.sleep(FOREVER)
        return whole(raw, **arguments)

    monkeypatch.setattr(shard_work, "merge_shard", merge_shard)
    return pid


def log(project, number):
    return sorted((project.layout.raw / "training_set").glob("*.csv"))[number]


@pytest.mark.parametrize("kind", ["processes", "dask"])
def test_a_run_whose_worker_is_killed_with_a_shard_in_hand_completes_like_any_other(
    sharded, hanging, undisturbed, kind
):
    def kill():
        while not hanging.exists():
            time.sleep(0.01)
        os.kill(int(hanging.read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()

    outcome = sharded.run("merged_table", config(kind))

    killer.join()
    assert int(hanging.read_text()) != os.getpid()
    assert outcome.success, outcome.failures
    assert outcome.failures == ()
    record = sharded.instance().get_run_by_id(outcome.run_id)
    assert record.status == dg.DagsterRunStatus.SUCCESS
    assert sharded.mlflow_runs(outcome.run_id)["merged_table"].info.status == "FINISHED"
    assert published(sharded.layout.merged) == undisturbed


def test_a_run_on_a_full_disk_says_so_and_the_next_one_completes(sharded, undisturbed, monkeypatch):
    whole, victim = shard_work.merge_shard, log(sharded, 1)

    def merge_shard(raw, **arguments):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        # A write beyond the limit fails as one on a full disk does, in the middle of the file.
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096 if raw == victim else soft, hard))
        try:
            return whole(raw, **arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    with monkeypatch.context() as while_full:
        while_full.setattr(shard_work, "merge_shard", merge_shard)
        outcome = sharded.run("merged_table")

    [message] = outcome.failures
    assert message.startswith("merged_table: ")
    assert os.strerror(errno.EFBIG) in message
    assert not is_published(sharded.layout.merged)
    assert sharded.run("merged_table").success
    assert published(sharded.layout.merged) == undisturbed


def test_a_run_beside_another_one_fails_with_the_reason(sharded, monkeypatch):
    monkeypatch.setattr(lock, "_LOCK_SECONDS", 0.1)
    sharded.layout.merged.mkdir()
    with FileLock(sharded.layout.merged / ".lock"):
        [message] = sharded.run("merged_table").failures
    assert message.startswith("merged_table: another process is writing")
    assert str(sharded.layout.merged) in message
