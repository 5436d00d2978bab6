"""Dagster's daemon, started as a process: its schedule ticks, its run is launched and comes to an end."""

import os
import signal
import subprocess
import sys
import time

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import InstigatorTick, TickStatus

SECONDS = 280
"""A minute until the first tick, a run of the tiny world with TensorFlow's import, a minute until the next
tick; what takes longer hangs."""

pytestmark = pytest.mark.timeout(SECONDS + 60)


def ticks(instance: dg.DagsterInstance) -> list[InstigatorTick]:
    """Of the schedule, the oldest first; none before the daemon has found it."""
    found = [s for s in instance.all_instigator_state() if s.instigator_name == "nightly_retraining"]
    return [
        tick
        for state in found
        for tick in reversed(instance.get_ticks(state.instigator_origin_id, state.selector_id))
    ]


def test_the_daemon_runs_a_night_by_itself_and_leaves_out_the_next(project, tmp_path):
    instance = project.instance()
    with (tmp_path / "daemon.log").open("wb") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "dagster._daemon", "run", "-m", "skip_pipeline_tests.defs.every_minute"],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            last = wait_for_a_night_left_out(instance, daemon)
        finally:
            os.killpg(daemon.pid, signal.SIGTERM)
            daemon.wait(60)

    said = (tmp_path / "daemon.log").read_text()
    runs = instance.get_runs(dg.RunsFilter(job_name="retrain"))
    assert [run.status for run in runs] == [dg.DagsterRunStatus.SUCCESS], said[-3000:]
    assert runs[0].tags["skip_pipeline/because"] == "no night has succeeded yet"
    assert runs[0].tags["dagster/schedule_name"] == "nightly_retraining"
    assert last is not None, said[-3000:]
    assert last.skip_reason == (
        f"raw input, code and configuration are those of run {runs[0].run_id}, the last night that succeeded"
    )
    promoted = instance.get_latest_materialization_event(dg.AssetKey("champion_model")).asset_materialization
    assert promoted.metadata["decision"].value == "promoted"
    assert project.mlflow_runs(runs[0].run_id)["champion_model"].info.status == "FINISHED"


def wait_for_a_night_left_out(
    instance: dg.DagsterInstance, daemon: subprocess.Popen[bytes]
) -> InstigatorTick | None:
    """The tick that found nothing new after a night that succeeded."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        assert daemon.poll() is None, "the daemon has ended by itself"
        for tick in ticks(instance):
            if tick.status == TickStatus.SKIPPED and "the last night that succeeded" in str(tick.skip_reason):
                return tick
        time.sleep(1)
    return None
