"""Which delivered files are read again: those that are new or were touched, and no others."""

import json
import os
from datetime import UTC, datetime

import pytest

from skip_pipeline.errors import MissingInputError
from skip_pipeline.locations import file_system
from skip_pipeline.storage import Delivered, delivered, identify, in_turn, mark
from skip_pipeline_tests.builders import assert_says, refusal

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def _long_ago(monkeypatch):
    """Every file counts as written long before it is read."""
    monkeypatch.setattr(delivered, "_SETTLED_SECONDS", -60.0)


def known(*files):
    """What was found before, as it comes back from a manifest."""
    content = json.loads(json.dumps([file.to_json() for file in files]))
    return {file["record"]["name"]: Delivered.from_json(file) for file in content}


def look(paths, before):
    """What the files are, and the names of those that were read for it."""
    read = []

    def apply(function, some):
        read.extend(path.name for path in some)
        return in_turn(function, some)

    return identify(paths, before, apply), read


@pytest.fixture
def logs(folder):
    """Two files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text(name)
    return [folder / "a.csv", folder / "b.csv"]


@pytest.mark.usefixtures("_long_ago")
class TestFilesWrittenLongAgo:
    def test_new_ones_are_read(self, logs):
        found, read = look(logs, {})
        assert read == ["a.csv", "b.csv"]
        assert [(file.record.name, file.record.bytes) for file in found] == [("a.csv", 5), ("b.csv", 5)]
        assert found[0].record.sha256.startswith("32f29f33d511")

    def test_unchanged_ones_are_not_read(self, logs):
        before, _ = look(logs, {})
        assert look(logs, known(*before)) == (before, [])

    def test_one_written_again_with_the_same_size_and_content_is_read_and_is_the_same(self, logs):
        before, _ = look(logs, {})
        logs[1].write_text("b.csv")
        found, read = look(logs, known(*before))
        assert read == ["b.csv"]
        assert [file.record for file in found] == [file.record for file in before]

    def test_another_content_of_the_same_size_is_noticed(self, logs):
        before, _ = look(logs, {})
        logs[0].write_text("A.CSV")
        found, read = look(logs, known(*before))
        assert read == ["a.csv"]
        assert found[0].record.bytes == before[0].record.bytes
        assert found[0].record.sha256 != before[0].record.sha256
        assert found[1] == before[1]

    def test_one_that_has_gone_is_missing(self, logs):
        before, _ = look(logs, {})
        logs[1].unlink()
        for earlier in ({}, known(*before)):
            message = refusal(MissingInputError, lambda earlier=earlier: look(logs, earlier))
            assert_says(message, f"{logs[1]} has gone", "put it back and run again")

    def test_a_known_name_elsewhere_in_the_list_is_found_in_order(self, logs):
        before, _ = look(logs[1:], {})
        found, read = look(logs, known(*before))
        assert read == ["a.csv"]
        assert [file.record.name for file in found] == ["a.csv", "b.csv"]


def test_one_written_just_now_is_not_trusted(logs):
    before, _ = look(logs, {})
    assert [file.stamp for file in before] == [None, None]
    assert look(logs, known(*before))[1] == ["a.csv", "b.csv"]


@pytest.mark.usefixtures("_long_ago")
def test_another_content_is_noticed_though_its_time_was_set_back(tmp_path):
    log = tmp_path / "a.csv"
    log.write_text("a")
    then = log.stat()
    before, _ = look([log], {})
    log.write_text("b")
    os.utime(log, ns=(then.st_atime_ns, then.st_mtime_ns))
    found, read = look([log], known(*before))
    assert read == ["a.csv"]
    assert found[0].record.sha256 != before[0].record.sha256


@pytest.mark.usefixtures("_long_ago")
def test_a_touched_file_is_read(tmp_path):
    log = tmp_path / "a.csv"
    log.write_text("a")
    before, _ = look([log], {})
    os.utime(log, (1, 1))
    assert look([log], known(*before))[1] == ["a.csv"]


def test_a_mark_of_the_store_is_trusted_at_once_and_identifies_the_content(s3_bucket):
    place = s3_bucket
    (place / "a.csv").write_text("a")
    before, _ = look([place / "a.csv"], {})
    assert before[0].stamp == ("ETag", '"0cc175b9c0f1b6a831c399e269772661"')
    (place / "a.csv").write_text("a")
    assert look([place / "a.csv"], known(*before))[1] == []
    (place / "a.csv").write_text("b")
    assert look([place / "a.csv"], known(*before))[1] == ["a.csv"]


def test_the_files_of_a_store_without_mark_and_time_are_read_each_time(bucket, monkeypatch):
    def unknown(_key):
        raise NotImplementedError

    monkeypatch.setattr(file_system(bucket), "modified", unknown)
    (bucket / "a.csv").write_text("a")
    before, _ = look([bucket / "a.csv"], {})
    assert before[0].stamp is None
    assert look([bucket / "a.csv"], known(*before))[1] == ["a.csv"]
    assert mark(bucket / "a.csv") != mark(bucket / "a.csv")


def test_a_time_of_the_store_that_has_just_passed_is_not_trusted_and_an_earlier_one_is(bucket, monkeypatch):
    (bucket / "a.csv").write_text("a")
    before, _ = look([bucket / "a.csv"], {})
    assert before[0].stamp is None
    then = datetime(2026, 1, 1, tzinfo=UTC)
    monkeypatch.setattr(file_system(bucket), "modified", lambda _key: then)
    before, _ = look([bucket / "a.csv"], {})
    assert before[0].stamp == ("modified", then.isoformat())
    assert look([bucket / "a.csv"], known(*before))[1] == []
