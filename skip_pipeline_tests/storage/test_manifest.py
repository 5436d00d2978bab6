"""What identifies a published stage, and which of its files are shards."""

import pytest

from skip_pipeline.storage import Manifest, read_manifest, shard_names
from skip_pipeline.storage.stored_files import StoredFile
from skip_pipeline_tests.storage.publishing import FIRST, put


def test_a_fingerprint_depends_on_names_and_contents_alone(folder):
    for stage, names in ((folder / "a", list(FIRST)), (folder / "b", list(reversed(FIRST)))):
        put(stage, {name: FIRST[name] for name in names}, rows=len(stage.name))
    first, second = (read_manifest(folder / name, made_by="some_table") for name in "ab")
    assert first.fingerprint == second.fingerprint
    assert first.facts.digest == first.fingerprint


@pytest.mark.parametrize("other", [FIRST | {"kept.txt": "2"}, FIRST | {"more.txt": ""}, {"kept.txt": "1"}])
def test_a_fingerprint_changes_with_any_file(folder, other):
    assert put(folder / "a", FIRST).fingerprint != put(folder / "b", other).fingerprint


def test_shards_are_the_parquet_files_that_are_no_lookups():
    names = ("log_2.parquet", "log_1.parquet", "_tracks.parquet", "_sessions/log_1.parquet", "scaler.json")
    records = tuple(StoredFile(name, 0, "", path="") for name in names)
    manifest = Manifest("some_table", "real", rows=0, seconds=0.0, files=records)
    assert shard_names(manifest) == ("log_1.parquet", "log_2.parquet")


def test_a_part_of_a_manifest_leads_to_the_same_files(folder):
    manifest = put(folder, FIRST, rows=7)
    part = manifest.only("kept.txt")
    assert [file.name for file in part.files] == ["kept.txt"]
    assert part.path("kept.txt") == manifest.path("kept.txt")
