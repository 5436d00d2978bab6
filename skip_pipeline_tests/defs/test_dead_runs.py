"""Runs whose process has ended are told from those that are alive."""

import os
import subprocess
import sys
import time

import dagster as dg
import pytest

from skip_pipeline.defs import dead_runs
from skip_pipeline.defs.dead_runs import (
    BOOT,
    HOST,
    NAMESPACE,
    PROCESS,
    PROCESS_STARTED,
    SILENT_HOURS,
    close_dead_runs,
    sign,
)


@dg.op
def nothing() -> None: ...


@dg.job
def idle() -> None:
    nothing()


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def begin(instance, **tags):
    run_id = instance.create_run_for_job(idle, status=dg.DagsterRunStatus.STARTED).run_id
    instance.add_run_tags(run_id, tags)
    return run_id


def status(instance, run_id):
    return instance.get_run_by_id(run_id).status


@pytest.fixture
def ended():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return str(process.pid)


def test_a_run_of_a_living_process_goes_on(instance):
    run_id = begin(instance)
    sign(instance, run_id)

    assert instance.get_run_by_id(run_id).tags[PROCESS] == str(os.getpid())
    assert close_dead_runs(instance) == 0
    assert status(instance, run_id) == dg.DagsterRunStatus.STARTED


def test_a_run_of_an_ended_process_is_marked_failed(instance, ended):
    run_id = begin(instance)
    sign(instance, run_id)
    instance.add_run_tags(run_id, {PROCESS: ended})

    assert close_dead_runs(instance) == 1
    assert status(instance, run_id) == dg.DagsterRunStatus.FAILURE


def test_a_run_whose_process_number_belongs_to_a_later_process_is_marked_failed(instance):
    run_id = begin(instance)
    sign(instance, run_id)
    instance.add_run_tags(run_id, {PROCESS_STARTED: "1"})

    assert close_dead_runs(instance) == 1


def test_a_process_of_another_user_and_a_system_without_proc_count_as_alive(instance, monkeypatch, tmp_path):
    run_id = begin(instance)
    monkeypatch.setattr("skip_pipeline.defs.dead_runs.Path", lambda path: tmp_path / path.strip("/"))
    sign(instance, run_id)
    monkeypatch.setattr(os, "kill", refuse)

    assert instance.get_run_by_id(run_id).tags[PROCESS_STARTED] == "unknown"
    assert close_dead_runs(instance) == 0


def refuse(_process, _signal):
    raise PermissionError


CONTAINER = {HOST: "3f2a", NAMESPACE: "pid:[1]"}


@pytest.mark.parametrize(
    ("signed", "dead"),
    [
        ({BOOT: "an earlier boot"}, True),  # the machine was started again
        ({BOOT: "an earlier boot", HOST: "elsewhere"}, False),  # another machine
        (CONTAINER, False),  # of this machine
        ({NAMESPACE: "pid:[1]"}, False),  # a container of the same host name
        ({HOST: "an earlier name"}, False),  # the machine has changed its name, and the process runs
        ({HOST: "an earlier name", PROCESS: "ended"}, True),
    ],
    ids=str,
)
def test_a_process_is_known_by_more_than_host_name_and_number(instance, ended, signed, dead):
    run_id = begin(instance)
    sign(instance, run_id)
    signed = signed | ({PROCESS: ended} if PROCESS in signed else {})
    instance.add_run_tags(run_id, signed)

    assert close_dead_runs(instance) == dead


def test_a_run_that_cannot_be_seen_is_dead_when_it_has_been_silent_for_hours(instance, monkeypatch):
    runs = [begin(instance, **CONTAINER, **{PROCESS: "1"}), begin(instance)]  # the second is not signed
    spoke = instance.get_run_by_id(runs[0])
    instance.report_engine_event("still here", spoke)
    assert close_dead_runs(instance) == 0

    for hours, closed in ((SILENT_HOURS - 0.1, 0), (SILENT_HOURS + 0.1, 2)):
        later = time.time() + hours * 3600
        monkeypatch.setattr(dead_runs, "time", lambda later=later: later)
        assert close_dead_runs(instance) == closed
    assert {status(instance, run_id) for run_id in runs} == {dg.DagsterRunStatus.FAILURE}
