"""A process killed at any step of a publication in an object store leaves the old files or the new."""

import json

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from skip_pipeline.errors import BusyError
from skip_pipeline.locations import files_below
from skip_pipeline.storage import MANIFEST, finish_publication, publish, read_json, read_manifest
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.storage.publishing import FIRST, SECOND, contents, listed, put

pytestmark = pytest.mark.usefixtures("_impatient")

WRITES = ("pipe_file", "cp_file", "rm_file")
STEPS = 1 + 4 + 2 + 1 + 1 + 4 + 1
"""Commit, four files, two that are dropped, the manifest, the commit's and the staged objects' deletion, the
lock's."""


class Killed(BaseException):
    """A process that no longer does anything."""


def let_die(patch, steps):
    """From now on the object store sees some more changes, and then none: the process is dead."""
    left = iter(range(steps))

    def dying(change):
        def step(*args, **kwargs):
            if next(left, None) is None:
                raise Killed
            return change(*args, **kwargs)

        return step

    for name in WRITES:
        patch.setattr(MemoryFileSystem, name, dying(getattr(MemoryFileSystem, name)))


def publish_and_die(bucket, steps):
    """Publish ``SECOND`` over ``FIRST``, and die after some changes, counted from the commit on."""
    put(bucket, FIRST)
    with pytest.MonkeyPatch.context() as patch, publish(bucket, stage="some_table", data_source="real") as s:
        for name, text in SECOND.items():
            s.path(name).write_text(text)
        let_die(patch, steps)


def delete_lock(bucket):
    """As the message of a lock that a dead run has left advises."""
    (bucket / ".lock").unlink(missing_ok=True)


@pytest.mark.parametrize("steps", range(STEPS))
def test_a_process_killed_at_any_step_leaves_the_old_files_or_the_new(bucket, steps):
    with pytest.raises(Killed):
        publish_and_die(bucket, steps)
    delete_lock(bucket)

    names = listed(bucket)

    assert contents(bucket) == (FIRST if steps == 0 else SECOND)
    assert names == set(contents(bucket))
    put(bucket, {"next.txt": "3"})
    assert {name for name, _ in files_below(bucket)} == {"next.txt", MANIFEST}


def test_the_steps_tried_are_all_there_are(bucket):
    publish_and_die(bucket, STEPS)
    assert contents(bucket) == SECOND
    assert {name for name, _ in files_below(bucket)} == {*SECOND, MANIFEST}


def test_a_reader_of_a_commit_whose_lock_is_still_there_is_told(bucket):
    with pytest.raises(Killed):
        publish_and_die(bucket, 3)
    message = refusal(BusyError, lambda: read_manifest(bucket, made_by="some_table"))
    assert_says(message, "another process is writing", "If that run is dead, delete the object")


def test_a_lock_without_a_commit_keeps_nobody_from_reading(bucket):
    with pytest.raises(Killed):
        publish_and_die(bucket, 0)
    assert listed(bucket) == set(FIRST)


@pytest.mark.parametrize("steps", range(1, STEPS))
def test_a_kill_while_a_commit_is_being_finished_does_no_harm(bucket, monkeypatch, steps):
    with pytest.raises(Killed):
        publish_and_die(bucket, 2)
    delete_lock(bucket)
    with monkeypatch.context() as patch:
        let_die(patch, steps - 1)
        with pytest.raises(Killed):
            finish_publication(bucket)
    delete_lock(bucket)
    assert listed(bucket) == set(SECOND)
    assert contents(bucket) == SECOND


def test_a_publication_finishes_an_earlier_one_that_was_killed(bucket):
    with pytest.raises(Killed):
        publish_and_die(bucket, 3)
    delete_lock(bucket)
    put(bucket, {"kept.txt": "3"})
    assert contents(bucket) == {"kept.txt": "3"}


def test_the_commit_holds_the_manifest_to_be(bucket):
    with pytest.raises(Killed):
        publish_and_die(bucket, 1)
    commit = read_json(bucket / ".commit.json")
    delete_lock(bucket)
    finish_publication(bucket)
    assert commit["manifest"] == json.loads((bucket / MANIFEST).read_text())
    assert set(commit["names"]) == set(SECOND)


def test_a_commit_that_is_there_though_its_request_failed_loses_no_file(bucket, monkeypatch):
    put(bucket, FIRST)
    write = MemoryFileSystem.pipe_file

    def answer_lost(self, path, value, mode="overwrite"):
        write(self, path, value, mode=mode)
        if path.endswith(".commit.json"):
            raise TimeoutError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "pipe_file", answer_lost)
        with pytest.raises(TimeoutError):
            put(bucket, SECOND)
    assert listed(bucket) == set(SECOND)
    assert contents(bucket) == SECOND
