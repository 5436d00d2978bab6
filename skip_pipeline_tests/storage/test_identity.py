"""Digests of files, and which delivered files are read again: those that are new or were touched."""

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from skip_pipeline.errors import DiskError, MissingInputError
from skip_pipeline.locations import file_system, is_local
from skip_pipeline.storage import (
    Delivered,
    FileRecord,
    fingerprint,
    identify,
    identity,
    in_turn,
    mark,
    record_file,
)
from skip_pipeline_tests.builders import assert_says, refusal


@pytest.fixture
def _long_ago(monkeypatch):
    """Every file counts as written long before it is read."""
    monkeypatch.setattr(identity, "_SETTLED_SECONDS", -60.0)


def look(paths, before=()):
    """What the files are, and the names of those that were read for it."""
    read: list[str] = []

    def apply(function, some):
        read.extend(path.name for path in some)
        return in_turn(function, some)

    known = json.loads(json.dumps([asdict(file) for file in before]))  # as it comes back from a manifest
    return identify(paths, {file["name"]: Delivered(**file) for file in known}, apply), read


@pytest.fixture
def logs(folder):
    """Two files."""
    if is_local(folder):
        folder.mkdir(exist_ok=True)
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text(name)
    return [folder / "a.csv", folder / "b.csv"]


def test_a_fingerprint_does_not_depend_on_the_order_of_records():
    records = (FileRecord("a", 1, "00"), FileRecord("b", 2, "11"))
    assert fingerprint(records) == fingerprint(records[::-1])
    assert fingerprint(records) != fingerprint((FileRecord("a", 1, "11"), FileRecord("b", 2, "00")))


def test_a_file_that_has_gone_while_it_is_read_is_missing_input(tmp_path):
    with pytest.raises(MissingInputError, match=r"gone\.csv has gone while it was read; put it back"):
        record_file(tmp_path / "gone.csv", "gone.csv")


def test_a_file_that_must_not_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("any")

    def forbidden(path, _mode):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", forbidden)
    message = refusal(DiskError, lambda: look([tmp_path / "a.csv"]))
    assert_says(
        message, f"{tmp_path / 'a.csv'} cannot be read", "Permission denied", "Give the user the right"
    )


@pytest.mark.usefixtures("_long_ago")
class TestFilesWrittenLongAgo:
    def test_new_ones_are_read_and_unchanged_ones_are_not(self, logs):
        found, read = look(logs)
        assert read == ["a.csv", "b.csv"]
        assert [(file.name, file.bytes) for file in found] == [("a.csv", 5), ("b.csv", 5)]
        assert found[0].sha256.startswith("32f29f33d511")
        assert look(logs, found) == (found, [])

    def test_one_written_again_with_the_same_content_is_read_and_is_the_same(self, logs):
        before, _ = look(logs)
        logs[1].write_text("b.csv")
        found, read = look(logs, before)
        assert read == ["b.csv"]
        assert fingerprint(found) == fingerprint(before)

    def test_another_content_of_the_same_size_is_noticed(self, logs):
        before, _ = look(logs)
        logs[0].write_text("A.CSV")
        found, read = look(logs, before)
        assert read == ["a.csv"]
        assert found[0].bytes == before[0].bytes
        assert found[0].sha256 != before[0].sha256
        assert found[1] == before[1]

    def test_one_that_has_gone_is_missing(self, logs):
        before, _ = look(logs)
        logs[1].unlink()
        for earlier in ((), before):
            message = refusal(MissingInputError, partial(look, logs, earlier))
            assert_says(message, f"{logs[1]} has gone", "put it back and run again")

    def test_a_known_name_elsewhere_in_the_list_is_found_in_order(self, logs):
        found, read = look(logs, look(logs[1:])[0])
        assert read == ["a.csv"]
        assert [file.name for file in found] == ["a.csv", "b.csv"]

    @pytest.mark.parametrize("touch", [None, (1, 1)])
    def test_a_touched_file_is_read_though_its_time_was_set_back(self, tmp_path, touch):
        log = tmp_path / "a.csv"
        log.write_text("a")
        then = log.stat()
        before, _ = look([log])
        log.write_text("b")
        os.utime(log, ns=touch or (then.st_atime_ns, then.st_mtime_ns))
        found, read = look([log], before)
        assert read == ["a.csv"]
        assert found[0].sha256 != before[0].sha256


def test_one_written_just_now_is_not_trusted(logs):
    before, _ = look(logs)
    assert [file.stamp for file in before] == [None, None]
    assert look(logs, before)[1] == ["a.csv", "b.csv"]


def test_a_mark_of_the_store_is_trusted_at_once_and_identifies_the_content(s3_bucket):
    log = s3_bucket / "a.csv"
    log.write_text("a")
    before, _ = look([log])
    assert before[0].stamp == 'ETag "0cc175b9c0f1b6a831c399e269772661"'
    log.write_text("a")
    assert look([log], before)[1] == []
    log.write_text("b")
    assert look([log], before)[1] == ["a.csv"]


def test_the_files_of_a_store_without_mark_and_time_are_read_each_time(bucket, monkeypatch):
    def unknown(_key):
        raise NotImplementedError

    monkeypatch.setattr(file_system(bucket), "modified", unknown)
    log = bucket / "a.csv"
    log.write_text("a")
    before, _ = look([log])
    assert before[0].stamp is None
    assert look([log], before)[1] == ["a.csv"]
    assert mark(log) != mark(log)


def test_a_time_of_the_store_is_trusted_once_it_is_not_of_just_now(bucket, monkeypatch):
    log = bucket / "a.csv"
    log.write_text("a")
    assert look([log])[0][0].stamp is None
    then = datetime(2026, 1, 1, tzinfo=UTC)
    monkeypatch.setattr(file_system(bucket), "modified", lambda _key: then)
    before, _ = look([log])
    assert before[0].stamp == f"modified {then.isoformat()}"
    assert look([log], before)[1] == []
