"""A stage's files replace the earlier ones all together, on this machine and in an object store."""

import errno
import json
import math
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from skip_pipeline.errors import (
    BusyError,
    ContractError,
    DiskError,
    FullDiskError,
    MissingInputError,
    RefusedError,
)
from skip_pipeline.locations import file_system, files_below, location
from skip_pipeline.storage import (
    Manifest,
    ShardJob,
    is_published,
    locked,
    manifest,
    publish,
    read_manifest,
    shard_names,
)
from skip_pipeline.storage.manifest import manifest_path
from skip_pipeline.storage.stored_files import StoredFile, saying_why
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.storage.publishing import FIRST, SECOND, contents, job, put, put_shards


def fail(folder, error):
    """Publish, but raise an error in the block."""
    with publish(folder, stage="some_table", data_source="real") as staging:
        staging.path("kept.txt").write_text("2")
        assert contents(folder).get("kept.txt") != "2"
        raise error


def test_what_the_block_writes_appears_with_its_manifest(folder):
    put(folder / "deep" / "stage", FIRST, rows=7, clipped=3)
    assert contents(folder / "deep" / "stage") == FIRST
    manifest = read_manifest(folder / "deep" / "stage", made_by="some_table")
    assert (manifest.stage, manifest.data_source, manifest.rows) == ("some_table", "real", 7)
    assert (manifest.details, manifest.bytes, manifest.number) == ({"clipped": 3}, 4, 1)
    kept = manifest.record("kept.txt")
    assert kept.sha256 == "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    assert kept.path.startswith("_files/6b86b273ff34fce1-")
    assert kept.path.endswith("-kept.txt")


def test_a_second_publication_replaces_the_first_and_its_files_go_after_the_third(folder):
    put(folder, FIRST)
    put(folder, SECOND)
    assert contents(folder) == SECOND
    for n in range(4):
        put(folder, {"a.txt": str(n)})
    assert sorted(path.read_text() for _, path in files_below(folder / "_files")) == ["2", "3"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_in_the_block_leaves_what_was_there(folder, error):
    before = put(folder, FIRST)
    there = files_below(folder)
    with pytest.raises(error):
        fail(folder, error)
    assert contents(folder) == FIRST
    assert read_manifest(folder, made_by="some_table") == before
    assert files_below(folder) == there  # neither did reading write anything


def test_an_error_in_a_first_publication_leaves_nothing(folder):
    with pytest.raises(ValueError, match="of the block"):
        fail(folder, ValueError("of the block"))
    assert contents(folder) == {}
    assert not is_published(folder)
    message = refusal(MissingInputError, lambda: read_manifest(folder, made_by="some_table"))
    assert_says(message, str(folder), "no finished some_table", "materialize some_table first")


def test_details_that_json_cannot_hold_leave_what_was_there(folder):
    put(folder, FIRST)
    with pytest.raises(ValueError, match="JSON"):
        put(folder, SECOND, loss=math.nan)
    assert contents(folder) == FIRST


def test_the_manifest_at_hand_is_the_one_that_others_read_and_names_its_files_alone(folder):
    manifest = put(folder, FIRST, lengths={10: 3}, pair=(1, 2))
    assert manifest == read_manifest(folder, made_by="some_table")
    part = manifest.only("kept.txt")
    assert [file.name for file in part.files] == ["kept.txt"]
    assert part.path("kept.txt") == manifest.path("kept.txt")
    message = refusal(ContractError, lambda: manifest.path("none.txt"))
    assert_says(message, "some_table holds no none.txt", "materialize some_table again")


def test_the_manifest_is_plain_json(folder):
    put(folder, {"kept.txt": "1"}, rows=7)
    fields = json.loads(manifest_path(folder, 1).read_text())
    assert fields.keys() == {"stage", "data_source", "rows", "seconds", "files", "details", "shards"}
    assert fields["files"][0].keys() == {"name", "bytes", "sha256", "path", "mark"}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"stage": "x"}', '{"files": [{"nome": "a"}]}'])
def test_a_damaged_manifest_is_refused_by_name_and_healed_by_publishing_again(folder, content):
    put_shards(folder, a="1")
    manifest_path(folder, 1).write_text(content)
    message = refusal(ContractError, lambda: read_manifest(folder, made_by="the_asset"))
    assert_says(message, str(folder), "damaged", "materialize the_asset again")
    assert put_shards(folder, a="1") == ["a"]
    assert contents(folder) == {"a.txt": "1", "own": "1"}


def test_a_fingerprint_depends_on_names_and_contents_alone(folder):
    first = put(folder / "a", FIRST)
    assert put(folder / "b", dict(reversed(FIRST.items())), rows=2).fingerprint == first.fingerprint
    for other in (FIRST | {"kept.txt": "2"}, FIRST | {"more.txt": ""}, {"kept.txt": "1"}):
        assert put(folder / "b", other).fingerprint != first.fingerprint


def test_shards_are_the_parquet_files_that_are_no_lookups():
    names = ("log_2.parquet", "log_1.parquet", "_tracks.parquet", "_sessions/log_1.parquet", "scaler.json")
    records = tuple(StoredFile(name, 0, "", path="") for name in names)
    manifest = Manifest("some_table", "real", rows=0, seconds=0.0, files=records)
    assert shard_names(manifest) == ("log_1.parquet", "log_2.parquet")


# --- Two publications at once -----------------------------------------------------------------------------


def test_on_one_machine_the_second_publication_is_told_that_the_first_is_at_work(tmp_path):
    with publish(tmp_path, stage="some_table", data_source="real") as staging:
        staging.path("mine.txt").write_text("3")
        message = refusal(BusyError, lambda: put(tmp_path, SECOND))
    assert_says(message, str(tmp_path), "another process is writing", "let it finish or stop it")
    assert contents(tmp_path) == {"mine.txt": "3"}


def test_a_writer_waits_for_one_that_is_about_to_end(tmp_path):
    entered, let_go = threading.Event(), threading.Event()

    def hold():
        with locked(tmp_path):
            entered.set()
            let_go.wait(10)

    with ThreadPoolExecutor() as threads:
        held = threads.submit(hold)
        entered.wait(10)
        threading.Timer(0.1, let_go.set).start()
        with locked(tmp_path, patience=10.0):
            assert let_go.is_set()
        held.result()


def test_a_folder_is_let_go_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    with locked(tmp_path, patience=0.0):
        pass


@pytest.fixture(params=["bucket", "s3_bucket"])
def place(request):
    """A stage in an object store: in memory, and behind a server that speaks S3."""
    return request.getfixturevalue(request.param) / "stage"


def test_in_an_object_store_the_publication_that_ends_later_is_refused(place):
    put(place, FIRST)

    def overtaken():
        with publish(place, stage="some_table", data_source="real") as staging:
            staging.path("mine.txt").write_text("3")
            put(place, SECOND)

    message = refusal(RefusedError, overtaken)
    assert_says(message, str(place), "another process has published", "00000002.json", "run again")
    assert contents(place) == SECOND
    put(place, {"mine.txt": "3"})
    assert contents(place) == {"mine.txt": "3"}
    assert not [name for name, _ in files_below(place) if name[0] != "_"]  # neither locks nor plain names


def test_shards_of_a_publication_that_was_overtaken_are_not_taken_for_others(place):
    with pytest.raises(RefusedError), publish(place, stage="some_table", data_source="real"):
        put_shards(place, a="1")
    assert put_shards(place, a="1", b="2") == ["b"]


def test_a_request_repeated_after_a_lost_answer_has_not_failed(place, monkeypatch):
    store = type(file_system(place))
    pipe = store.pipe_file

    def pipe_twice(self, *args, **options):
        pipe(self, *args, **options)
        pipe(self, *args, **options)

    monkeypatch.setattr(store, "pipe_file", pipe_twice)
    put(place, FIRST)
    assert contents(place) == FIRST


def test_a_number_that_is_taken_on_a_disk_is_refused(tmp_path):
    put(tmp_path / "other", FIRST)
    first = publish(tmp_path / "stage", stage="some_table", data_source="real")
    with pytest.raises(RefusedError, match="another process has published"), first:
        # By a machine whose lock the file system does not show here.
        shutil.copytree(tmp_path / "other", tmp_path / "stage", dirs_exist_ok=True)
    assert contents(tmp_path / "stage") == FIRST


# --- Places that cannot be written --------------------------------------------------------------------------


def raising(number):
    """A function that fails with an error of the system."""

    def fails(*_args, **_options):
        raise OSError(number, os.strerror(number))

    return fails


def test_a_failure_of_the_store_stays_what_it_is(bucket, monkeypatch):
    monkeypatch.setattr(type(file_system(bucket)), "pipe_file", raising(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        put(bucket, FIRST)
    assert contents(bucket) == {}


def test_a_bucket_that_does_not_exist_is_named(s3_bucket):
    nowhere = location("s3://no-such-bucket/prefix")
    message = refusal(RefusedError, lambda: put(nowhere, FIRST))
    assert_says(
        message, str(nowhere), "cannot be written", "expected a bucket that exists", "Make the bucket"
    )
    message = refusal(MissingInputError, lambda: read_manifest(nowhere, made_by="some_table"))
    assert_says(message, str(nowhere), "materialize some_table first")


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_hard_links_is_refused_before_anything_is_made(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "link", raising(number))
    message = refusal(RefusedError, lambda: fail(tmp_path, AssertionError("the block began")))
    assert_says(message, str(tmp_path), os.strerror(number), "hard link", "FAT", "another data directory")
    assert contents(tmp_path) == {}


def test_a_reader_who_may_not_link_needs_no_plain_names(tmp_path, monkeypatch):
    put(tmp_path, FIRST)
    (tmp_path / "_manifest.json").unlink()
    (tmp_path / "kept.txt").unlink()
    monkeypatch.setattr(os, "link", raising(errno.EPERM))
    assert contents(tmp_path) == FIRST


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_lack_of_space_is_named_with_its_remedy(tmp_path, number):
    expected = pytest.raises(FullDiskError, match=f"{tmp_path}.*{os.strerror(number)}.*free some space")
    with expected, saying_why(tmp_path):
        raising(number)()


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EIO, "check the disk"),
        (errno.EROFS, "choose another data directory"),
        (errno.EACCES, "give this user the right"),
        (errno.EMFILE, "ulimit -n 4096"),
    ],
)
def test_what_the_system_refuses_is_named_with_its_remedy(tmp_path, number, remedy):
    put(tmp_path, FIRST)
    message = refusal(DiskError, lambda: fail(tmp_path, OSError(number, os.strerror(number))))
    assert_says(message, str(tmp_path), os.strerror(number), remedy)
    assert contents(tmp_path) == FIRST


def test_a_defect_is_not_taken_for_a_refusal_of_the_system(tmp_path):
    with pytest.raises(IsADirectoryError), saying_why(tmp_path):
        raising(errno.EISDIR)()


def test_shards_that_fit_are_kept_when_another_does_not(tmp_path):
    jobs = [job("a", "1"), ShardJob("b", "", raising(errno.ENOSPC)), job("c", "3")]
    assert_says(refusal(FullDiskError, lambda: put_shards(tmp_path, *jobs)), "free some space")
    assert put_shards(tmp_path, a="1", b="2", c="3") == ["b"]
    assert contents(tmp_path) == {"a.txt": "1", "b.txt": "2", "c.txt": "3", "own": "123"}


@pytest.mark.parametrize(
    ("owner", "move", "target", "remade"),
    [(os, "link", "_manifests", []), (Path, "replace", "_files", ["b"])],
)
def test_a_disk_that_fills_up_while_files_are_published_leaves_the_earlier_ones(
    tmp_path, monkeypatch, owner, move, target, remade
):
    put_shards(tmp_path, a="1")
    really = getattr(owner, move)

    def full(source, to):
        return (raising(errno.ENOSPC) if target in str(to) else really)(source, to)

    with monkeypatch.context() as patch:
        patch.setattr(owner, move, full)
        message = refusal(FullDiskError, lambda: put_shards(tmp_path, a="1", b="2"))
    assert_says(message, str(tmp_path), "free some space")
    assert contents(tmp_path) == {"a.txt": "1", "own": "1"}
    assert put_shards(tmp_path, a="1", b="2") == remade


def test_manifests_that_were_replaced_a_hundred_times_go(folder, monkeypatch):
    monkeypatch.setattr(manifest, "KEPT", 3)
    for value in "12345":
        put_shards(folder, a=value)
    assert sorted(name for name, _ in files_below(folder / "_manifests")) == [
        "00000003.json",
        "00000004.json",
        "00000005.json",
    ]
    assert contents(folder) == {"a.txt": "5", "own": "5"}
