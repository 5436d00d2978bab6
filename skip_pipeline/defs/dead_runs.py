"""Runs whose process was killed, or died in a power cut: found and marked as failed.

Dagster's own launcher does not find them; such a run would stay STARTED and, with one run at a time, hold up
every night after it. So each run notes the machine and the process that carry it out.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

HOST = "skip_pipeline/host"
PROCESS = "skip_pipeline/process"
PROCESS_STARTED = "skip_pipeline/process_started"


def sign(instance: dg.DagsterInstance, run_id: str) -> None:
    """Note on a run that this process carries it out.

    This holds for the in-process executor of ``definitions``; with one process per step, the end of the first
    step would be taken for the end of the run.
    """
    process = os.getpid()
    started = _start_of(process)
    instance.add_run_tags(
        run_id, {HOST: socket.gethostname(), PROCESS: str(process), PROCESS_STARTED: started}
    )


def close_dead_runs(instance: dg.DagsterInstance) -> int:
    """Mark runs of this machine as failed whose process has ended; returns how many."""
    under_way = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING],
        tags={HOST: socket.gethostname()},
    )
    dead = [run for run in instance.get_runs(under_way) if not _is_alive(run.tags)]
    for run in dead:
        instance.report_run_failed(
            run, "The process that carried out this run has ended without reporting it."
        )
    return len(dead)


def _is_alive(tags: Mapping[str, str]) -> bool:
    """Whether the process still runs; a later process may have been given its number."""
    process = int(tags[PROCESS])
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    started = _start_of(process)
    return tags.get(PROCESS_STARTED, started) == started


def _start_of(process: int) -> str:
    """Start of a running process in clock ticks since boot; ``unknown`` on a system without /proc."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return "unknown"
    return stat.rpartition(")")[2].split()[19]  # proc(5): field 22; the second, in brackets, may hold spaces
