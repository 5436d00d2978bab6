"""One writer at a time in an object store, where the lock says whose it is."""

import errno
import json
import os
import socket
from datetime import UTC, datetime

import pytest

from skip_pipeline.errors import BusyError, RefusedError
from skip_pipeline.locations import file_system, files_below
from skip_pipeline.storage import lock, locked, publish
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.storage.publishing import FIRST, SECOND, contents, put

pytestmark = pytest.mark.usefixtures("_impatient")


def holder(folder):
    return json.loads((folder / ".lock").read_text())


def test_the_lock_says_who_holds_it_and_since_when(bucket):
    before = datetime.now(UTC).replace(microsecond=0)
    with locked(bucket):
        held = holder(bucket)
    assert (held["host"], held["pid"]) == (socket.gethostname(), os.getpid())
    assert before <= datetime.fromisoformat(held["since"]) <= datetime.now(UTC)
    assert files_below(bucket) == []


def test_the_lock_goes_when_its_block_fails(bucket):
    with pytest.raises(ZeroDivisionError), locked(bucket):
        1 / 0  # noqa: B018
    assert files_below(bucket) == []


def test_a_second_one_is_told_who_holds_it_and_what_to_delete_if_that_run_is_dead(bucket):
    with locked(bucket):
        held = holder(bucket)
        message = refusal(BusyError, lambda: put(bucket, SECOND))
        assert holder(bucket) == held
    assert_says(
        message,
        f"another process is writing {bucket}",
        f"process {os.getpid()} on {socket.gethostname()}, since {held['since']}",
        "let it finish or stop it, then run again",
        f"If that run is dead, delete the object {bucket / '.lock'}",
    )


def test_what_the_message_advises_works(bucket):
    (bucket / ".lock").write_text('{"host": "h", "pid": 7, "since": "then", "token": "t"}')
    assert "process 7 on h, since then" in refusal(BusyError, lambda: put(bucket, FIRST))
    (bucket / ".lock").unlink()
    put(bucket, FIRST)
    assert contents(bucket) == FIRST


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"host": 1}'])
def test_a_lock_that_says_nothing_holds_all_the_same(bucket, content):
    (bucket / ".lock").write_text(content)
    message = refusal(BusyError, lambda: put(bucket, FIRST))
    assert_says(message, "on an unknown machine", f"delete the object {bucket / '.lock'}")


def test_a_lock_that_goes_in_time_is_waited_for(bucket, monkeypatch):
    (bucket / ".lock").write_text("{}")
    monkeypatch.setattr(lock, "_LOCK_SECONDS", 60.0)
    monkeypatch.setattr("time.sleep", lambda _seconds: (bucket / ".lock").unlink())
    put(bucket, FIRST)
    assert contents(bucket) == FIRST


def test_one_whose_lock_was_deleted_publishes_nothing_and_leaves_the_other_lock(bucket):
    put(bucket, FIRST)
    other = '{"host": "h", "pid": 7, "since": "then", "token": "t"}'

    def lose():
        with publish(bucket, stage="some_table", data_source="real") as staging:
            staging.path("kept.txt").write_text("2")
            (bucket / ".lock").write_text(other)

    message = refusal(BusyError, lose)
    assert_says(message, str(bucket / ".lock"), "was deleted while it was at work", "Run again")
    assert (bucket / ".lock").read_text() == other
    assert contents(bucket) == FIRST


def test_a_store_that_calls_a_failed_condition_something_else_is_understood(bucket, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError(errno.EINVAL, "PreconditionFailed")

    (bucket / ".lock").write_text("{}")
    monkeypatch.setattr(file_system(bucket), "pipe_file", refuse)
    assert "another process is writing" in refusal(BusyError, lambda: put(bucket, FIRST))


def test_a_store_that_refuses_for_another_reason_is_heard(bucket, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError(errno.EIO, "the store is broken")

    monkeypatch.setattr(file_system(bucket), "pipe_file", refuse)
    with pytest.raises(OSError, match="the store is broken"):
        put(bucket, FIRST)


@pytest.mark.parametrize("failure", [FileNotFoundError("no such bucket"), PermissionError("access denied")])
def test_a_place_that_cannot_be_written_is_named_with_what_to_look_at(bucket, monkeypatch, failure):
    def refuse(*_args, **_kwargs):
        raise failure

    monkeypatch.setattr(file_system(bucket), "pipe_file", refuse)
    message = refusal(RefusedError, lambda: put(bucket, FIRST))
    assert_says(
        message, str(bucket), str(failure), "expected a bucket that exists", "correct the credentials"
    )


def test_a_file_system_that_only_checks_before_it_writes_leaves_the_lock_to_the_later(bucket, monkeypatch):
    later = '{"host": "h", "pid": 7, "since": "then", "token": "t"}'
    write = file_system(bucket).pipe_file

    def lose_the_race(path, value, mode="overwrite"):
        write(path, value, mode=mode)
        write(path, later.encode())

    monkeypatch.setattr(file_system(bucket), "pipe_file", lose_the_race)
    assert "process 7 on h" in refusal(BusyError, lambda: put(bucket, FIRST))
    assert (bucket / ".lock").read_text() == later
