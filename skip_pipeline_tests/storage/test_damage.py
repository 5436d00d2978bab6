"""A file that is not as it was published is found, though its size be the same, and made again."""

from pathlib import Path

import pytest

from skip_pipeline.locations import file_system, is_local, key_of
from skip_pipeline.storage import read_manifest
from skip_pipeline_tests.storage.publishing import contents, plain, put_shards

SHARDS = {"a": "1", "b": "22"}
WHOLE = {"a.txt": "1", "b.txt": "22"}


def stored(folder: Path) -> Path:
    """The file of shard b."""
    return read_manifest(folder, made_by="some_table").path("b.txt")


@pytest.mark.parametrize("damage", ["equal size", "shorter", "missing"])
def test_a_damaged_shard_is_made_again_alone(folder: Path, damage: str) -> None:
    put_shards(folder, SHARDS)
    if damage == "missing":
        stored(folder).unlink()
    else:
        stored(folder).write_text("2X" if damage == "equal size" else "2")
    assert put_shards(folder, SHARDS) == ["b"]
    assert contents(folder) == WHOLE
    assert put_shards(folder, SHARDS) == []


def test_a_shard_changed_in_place_under_its_plain_name_is_made_again(tmp_path: Path) -> None:
    put_shards(tmp_path, SHARDS)
    with (tmp_path / "b.txt").open("r+") as handle:
        handle.write("X")
    assert contents(tmp_path)["b.txt"] == "X2"
    assert put_shards(tmp_path, SHARDS) == ["b"]
    assert contents(tmp_path) == plain(tmp_path) == WHOLE


def test_the_mark_of_an_s3_store_shows_a_change_of_equal_size(s3_bucket: Path) -> None:
    put_shards(s3_bucket, SHARDS)
    manifest = read_manifest(s3_bucket, made_by="some_table")
    assert manifest.record("b.txt").mark.startswith("2 ('ETag'")
    assert put_shards(s3_bucket, SHARDS) == []
    file_system(s3_bucket).pipe_file(key_of(stored(s3_bucket)), b"2X")
    assert put_shards(s3_bucket, SHARDS) == ["b"]
    assert contents(s3_bucket) == WHOLE


def test_a_reader_of_the_damaged_generation_keeps_its_file(tmp_path: Path) -> None:
    put_shards(tmp_path, SHARDS)
    damaged = stored(tmp_path)
    damaged.write_text("2X")
    put_shards(tmp_path, SHARDS)
    assert stored(tmp_path) != damaged
    assert damaged.read_text() == "2X"  # goes with its generation, so that nothing changes under a reader
    assert is_local(damaged)
