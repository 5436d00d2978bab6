"""Runs whose process has died are told from those that are alive."""

import os
import subprocess
import sys

import dagster as dg
import pytest

from skip_pipeline.defs.dead_runs import HOST, PROCESS, close_dead_runs, sign


@dg.op
def nothing() -> None: ...


@dg.job
def idle() -> None:
    nothing()


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def begin(instance):
    return instance.create_run_for_job(idle, status=dg.DagsterRunStatus.STARTED).run_id


def status(instance, run_id):
    return instance.get_run_by_id(run_id).status


def a_dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_run_is_signed_with_the_process_that_carries_it_out(instance):
    run_id = begin(instance)
    sign(instance, run_id)
    assert instance.get_run_by_id(run_id).tags[PROCESS] == str(os.getpid())


def test_a_run_of_a_living_process_goes_on(instance):
    run_id = begin(instance)
    sign(instance, run_id)
    assert close_dead_runs(instance) == 0
    assert status(instance, run_id) == dg.DagsterRunStatus.STARTED


def test_a_run_of_a_dead_process_is_marked_failed(instance):
    run_id = begin(instance)
    sign(instance, run_id)
    instance.add_run_tags(run_id, {PROCESS: str(a_dead_process())})
    assert close_dead_runs(instance) == 1
    assert status(instance, run_id) == dg.DagsterRunStatus.FAILURE


def test_runs_of_other_hosts_and_unsigned_runs_are_left_alone(instance):
    foreign, unsigned = begin(instance), begin(instance)
    instance.add_run_tags(foreign, {HOST: "elsewhere", PROCESS: str(a_dead_process())})
    assert close_dead_runs(instance) == 0
    assert status(instance, foreign) == status(instance, unsigned) == dg.DagsterRunStatus.STARTED
