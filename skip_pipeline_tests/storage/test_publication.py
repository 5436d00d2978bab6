"""A stage's files replace the earlier ones all together, on this machine and in an object store."""

import json
import math
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from skip_pipeline.errors import BusyError, ContractError, MissingInputError, RefusedError
from skip_pipeline.locations import file_system, files_below, location
from skip_pipeline.storage import FileRecord, is_published, publish, read_manifest
from skip_pipeline.storage.manifest import manifest_path
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.storage.publishing import FIRST, SECOND, contents, fail, listed, put, put_shards


def test_what_the_block_writes_appears_with_its_manifest(folder: Path) -> None:
    put(folder / "deep" / "stage", FIRST, rows=7, clipped=3)
    assert contents(folder / "deep" / "stage") == FIRST
    manifest = read_manifest(folder / "deep" / "stage", made_by="some_table")
    assert (manifest.stage, manifest.data_source, manifest.rows) == ("some_table", "real", 7)
    assert (manifest.details, manifest.bytes, manifest.number) == ({"clipped": 3}, 4, 1)
    kept = asdict(manifest.record("kept.txt"))
    assert FileRecord(kept["name"], kept["bytes"], kept["sha256"]) == FileRecord(
        "kept.txt", 1, "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    )
    assert kept["path"].startswith("_files/6b86b273ff34fce1-")
    assert kept["path"].endswith("-kept.txt")


def test_nothing_appears_before_the_block_ends(folder: Path) -> None:
    put(folder, FIRST)
    with publish(folder, stage="some_table", data_source="real") as staging:
        staging.path("kept.txt").write_text("2")
        assert contents(folder) == FIRST


def test_a_second_publication_replaces_the_first_and_drops_its_other_files(folder: Path) -> None:
    put(folder, FIRST)
    put(folder, SECOND)
    assert contents(folder) == SECOND
    assert listed(folder) == set(SECOND)


def test_files_of_the_newest_two_generations_are_kept_and_no_others(folder: Path) -> None:
    for n in range(4):
        put(folder, {"a.txt": str(n)})
    names = [name for name, _ in files_below(folder / "_files")]
    assert len(names) == 2
    assert {(folder / "_files" / name).read_text() for name in names} == {"2", "3"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_in_the_block_leaves_what_was_there(folder: Path, error: type[BaseException]) -> None:
    before = put(folder, FIRST)
    there = files_below(folder)
    with pytest.raises(error):
        fail(folder, error)
    assert contents(folder) == FIRST
    assert read_manifest(folder, made_by="some_table") == before
    assert files_below(folder) == there


def test_an_error_in_a_first_publication_leaves_nothing(folder: Path) -> None:
    with pytest.raises(ValueError, match="of the block"):
        fail(folder, ValueError("of the block"))
    assert contents(folder) == {}
    assert not is_published(folder)
    refusal(MissingInputError, lambda: read_manifest(folder, made_by="some_table"))


def test_details_that_json_cannot_hold_leave_what_was_there(folder: Path) -> None:
    put(folder, FIRST)
    with pytest.raises(ValueError, match="JSON"):
        put(folder, SECOND, loss=math.nan)
    assert contents(folder) == FIRST


def test_the_manifest_at_hand_is_the_one_that_others_read(folder: Path) -> None:
    manifest = put(folder, FIRST, lengths={10: 3}, pair=(1, 2))
    assert manifest == read_manifest(folder, made_by="some_table")


def test_the_manifest_is_not_at_hand_before_publication(folder: Path) -> None:
    with publish(folder, stage="some_table", data_source="real") as staging:
        message = refusal(ContractError, lambda: staging.manifest)
    assert_says(message, str(folder), "not published yet")


def test_a_stage_that_was_never_published_is_asked_for(folder: Path) -> None:
    message = refusal(MissingInputError, lambda: read_manifest(folder / "none", made_by="some_table"))
    assert_says(message, str(folder / "none"), "no finished some_table", "materialize some_table first")


def test_a_file_that_the_stage_lacks_is_named(folder: Path) -> None:
    message = refusal(ContractError, lambda: put(folder, FIRST).path("none.txt"))
    assert_says(message, "some_table holds no none.txt", "materialize some_table again")


def test_reading_a_manifest_writes_nothing(folder: Path) -> None:
    put(folder, FIRST)
    before = files_below(folder)
    read_manifest(folder, made_by="some_table")
    assert files_below(folder) == before


def test_the_manifest_is_plain_json(folder: Path) -> None:
    put(folder, {"kept.txt": "1"}, rows=7)
    fields = json.loads(manifest_path(folder, 1).read_text())
    assert fields.keys() == {"stage", "data_source", "rows", "seconds", "files", "details", "shards"}
    assert fields["files"][0].keys() == {"name", "bytes", "sha256", "path", "mark"}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"stage": "x"}', '{"files": [{"nome": "a"}]}'])
def test_a_damaged_manifest_is_refused_by_name_and_healed_by_publishing_again(
    folder: Path, content: str
) -> None:
    put_shards(folder, {"a": "1"})
    manifest_path(folder, 1).write_text(content)
    message = refusal(ContractError, lambda: read_manifest(folder, made_by="the_asset"))
    assert_says(message, str(folder), "damaged", "materialize the_asset again")
    assert put_shards(folder, {"a": "1"}) == ["a"]
    assert contents(folder) == {"a.txt": "1"}


# --- Two publications at once -----------------------------------------------------------------------------


@pytest.mark.usefixtures("_impatient")
def test_on_one_machine_the_second_publication_is_told_that_the_first_is_at_work(tmp_path: Path) -> None:
    put(tmp_path, FIRST)
    with publish(tmp_path, stage="some_table", data_source="real") as staging:
        staging.path("mine.txt").write_text("3")
        message = refusal(BusyError, lambda: put(tmp_path, SECOND))
    assert_says(message, str(tmp_path), "another process is writing", "let it finish or stop it")
    assert contents(tmp_path) == {"mine.txt": "3"}


@pytest.fixture(params=["memory", "s3"])
def place(request: pytest.FixtureRequest) -> Path:
    """A stage in an object store: in memory, and behind a server that speaks S3."""
    name = "bucket" if request.param == "memory" else "s3_bucket"
    found: Path = request.getfixturevalue(name)
    return found / "stage"


def test_in_an_object_store_the_publication_that_ends_later_is_refused(place: Path) -> None:
    put(place, FIRST)

    def overtaken() -> None:
        with publish(place, stage="some_table", data_source="real") as staging:
            staging.path("mine.txt").write_text("3")
            put(place, SECOND)

    message = refusal(RefusedError, overtaken)
    assert_says(message, str(place), "another process has published", "00000002.json", "run again")
    assert contents(place) == SECOND
    put(place, {"mine.txt": "3"})
    assert contents(place) == {"mine.txt": "3"}
    assert not [name for name, _ in files_below(place) if name[0] != "_"]  # neither locks nor plain names


def test_shards_of_a_publication_that_was_overtaken_are_not_taken_for_others(place: Path) -> None:
    first = publish(place, stage="some_table", data_source="real")
    with pytest.raises(RefusedError), first:
        put_shards(place, {"a": "1"})
    assert put_shards(place, {"a": "1", "b": "2"}) == ["b"]


def test_a_request_repeated_after_a_lost_answer_has_not_failed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = type(file_system(place))
    pipe = store.pipe_file

    def pipe_twice(self: Any, *args: Any, **options: Any) -> None:
        pipe(self, *args, **options)
        pipe(self, *args, **options)

    monkeypatch.setattr(store, "pipe_file", pipe_twice)
    put(place, FIRST)
    assert contents(place) == FIRST


def test_a_failure_of_the_store_stays_what_it_is(bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_args: Any, **_options: Any) -> None:
        raise OSError("the store is out of order")

    monkeypatch.setattr(type(file_system(bucket)), "pipe_file", fails)
    with pytest.raises(OSError, match="out of order"):
        put(bucket, FIRST)
    assert contents(bucket) == {}


def test_a_number_that_is_taken_on_a_disk_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "other", FIRST)
    first = publish(tmp_path / "stage", stage="some_table", data_source="real")
    with pytest.raises(RefusedError, match="another process has published"), first:
        # By a machine whose lock the file system does not show here.
        shutil.copytree(tmp_path / "other", tmp_path / "stage", dirs_exist_ok=True)
    assert contents(tmp_path / "stage") == FIRST


def test_a_bucket_that_does_not_exist_is_named(s3_bucket: Path) -> None:
    nowhere = location("s3://no-such-bucket/prefix")
    message = refusal(RefusedError, lambda: put(nowhere, FIRST))
    assert_says(
        message, str(nowhere), "cannot be written", "expected a bucket that exists", "Make the bucket"
    )
    message = refusal(MissingInputError, lambda: read_manifest(nowhere, made_by="some_table"))
    assert_says(message, str(nowhere), "materialize some_table first")
