"""Runs whose process was killed, or died in a power cut: found and marked as failed.

Dagster's own launcher does not find them; such a run would stay STARTED and, with one run at a time, hold up
every night after it. So each run notes the process that carries it out. Host name and process number do not
identify a process: containers change the first and use the second again. A boot of the system, a namespace of
process numbers and the start of a process do. A process that cannot be seen from here, because it is of
another machine or container, is judged by the age of the last event of its run.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from time import time

import dagster as dg
from dagster import DagsterRunStatus as Status

# Dagster shows no tag that begins with `.dagster/`.
HOST = ".dagster/skip_pipeline_host"
BOOT = ".dagster/skip_pipeline_boot"
NAMESPACE = ".dagster/skip_pipeline_process_namespace"
PROCESS = ".dagster/skip_pipeline_process"
PROCESS_STARTED = ".dagster/skip_pipeline_process_started"

SILENT_HOURS = 12.0
"""Age of the last event from which a run that cannot be seen is dead: no step of the whole public archive
takes so long without an event, and the next night is free again."""

_UNKNOWN = "unknown"  # on a system without /proc


def signature() -> dict[str, str]:
    """Tags of a run that this process carries out.

    This holds for the in-process executor of ``definitions``; with one process per step, the end of the first
    step would be taken for the end of the run.
    """
    process = os.getpid()
    return _process_table() | {PROCESS: str(process), PROCESS_STARTED: _start_of(process)}


def sign(instance: dg.DagsterInstance, run_id: str) -> None:
    """Note on a run that this process carries it out."""
    instance.add_run_tags(run_id, signature())


def close_dead_runs(instance: dg.DagsterInstance) -> int:
    """Mark runs as failed whose process has ended; returns how many."""
    under_way = dg.RunsFilter(statuses=[Status.STARTING, Status.STARTED, Status.CANCELING])
    dead = [run for run in instance.get_runs(under_way) if not _is_alive(instance, run)]
    for run in dead:
        instance.report_run_failed(
            run, "The process that carried out this run has ended without reporting it."
        )
    return len(dead)


def _is_alive(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the process of a run still runs, as far as that can be known."""
    here, tags = _process_table(), run.tags
    if PROCESS in tags:
        there = {name: tags.get(name, here[name]) for name in here}
        booted = here[BOOT] != _UNKNOWN  # then a machine may have changed its name
        if all(there[name] == here[name] for name in here if not (booted and name == HOST)):
            return _process_runs(tags)
        if there[HOST] == here[HOST] and there[BOOT] != here[BOOT]:
            return False  # this machine has been started again since
    return time() - _last_event(instance, run.run_id) < SILENT_HOURS * 3600


def _process_runs(tags: Mapping[str, str]) -> bool:
    """Whether a process of this table runs; a later process may have been given its number."""
    process = int(tags[PROCESS])
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    started = _start_of(process)
    return tags.get(PROCESS_STARTED, started) == started


def _last_event(instance: dg.DagsterInstance, run_id: str) -> float:
    """Time of the last event of a run, or of its creation if it has none, in seconds since 1970."""
    for entry in instance.get_records_for_run(run_id, limit=1, ascending=False).records:
        return entry.timestamp
    record = instance.get_run_record_by_id(run_id)
    return record.create_timestamp.timestamp() if record else 0.0


def _process_table() -> dict[str, str]:
    """Where process numbers of this process count: host, boot of the system, namespace of processes."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        boot = namespace = _UNKNOWN
    return {HOST: socket.gethostname(), BOOT: boot, NAMESPACE: namespace}


def _start_of(process: int) -> str:
    """Start of a running process in clock ticks since boot; ``unknown`` on a system without /proc."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return _UNKNOWN
    return stat.rpartition(")")[2].split()[19]  # proc(5): field 22; the second, in brackets, may hold spaces
