"""Runs whose process has died without a word, by a kill or a power cut: found and marked as failed.

Dagster's own launcher cannot tell; such a run would stay STARTED and, with one run at a time, hold up
every night after it. So each run notes its host and process, and others on that host look.
"""

import os
import socket

import dagster as dg

HOST = "skip_pipeline/host"
PROCESS = "skip_pipeline/process"


def sign(instance: dg.DagsterInstance, run_id: str) -> None:
    """Note on a run that it is carried out by this very process.

    True with the in-process executor, which ``definitions`` fixes; with one process per step, the first
    step's end would look like the run's death.
    """
    instance.add_run_tags(run_id, {HOST: socket.gethostname(), PROCESS: str(os.getpid())})


def close_dead_runs(instance: dg.DagsterInstance) -> int:
    """Mark runs of this host failed whose process is gone; returns how many."""
    closed = 0
    under_way = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING],
        tags={HOST: socket.gethostname()},
    )
    for run in instance.get_runs(under_way):
        if not _is_alive(int(run.tags[PROCESS])):
            instance.report_run_failed(run, "The process that carried out this run has ended without a word.")
            closed += 1
    return closed


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
