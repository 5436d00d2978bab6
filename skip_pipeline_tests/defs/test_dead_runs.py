"""Runs whose process has ended are told from those that are alive."""

import os
import subprocess
import sys

import dagster as dg
import pytest

from skip_pipeline.defs.dead_runs import HOST, PROCESS, PROCESS_STARTED, close_dead_runs, sign


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


def test_runs_of_other_hosts_and_unsigned_runs_are_left_alone(instance, ended):
    foreign, unsigned = begin(instance, **{HOST: "elsewhere", PROCESS: ended}), begin(instance)

    assert close_dead_runs(instance) == 0
    assert status(instance, foreign) == status(instance, unsigned) == dg.DagsterRunStatus.STARTED
