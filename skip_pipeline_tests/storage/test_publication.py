"""A stage's files replace the earlier ones all together, on this machine and in an object store."""

import json
import math

import pytest

from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.locations import files_below, make_folder
from skip_pipeline.storage import MANIFEST, FileRecord, finish_publication, publish, read_manifest
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.storage.publishing import FIRST, SECOND, contents, fail, listed, put


def test_what_the_block_writes_appears_with_its_manifest(folder):
    put(folder / "deep" / "stage", FIRST, rows=7, clipped=3)
    assert contents(folder / "deep" / "stage") == FIRST
    manifest = read_manifest(folder / "deep" / "stage", made_by="some_table")
    assert (manifest.stage, manifest.data_source, manifest.rows) == ("some_table", "real", 7)
    assert manifest.details == {"clipped": 3}
    assert manifest.bytes == 4
    assert manifest.files[1] == FileRecord(
        "kept.txt", 1, "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    )


def test_nothing_appears_before_the_block_ends(folder):
    put(folder, FIRST)
    with publish(folder, stage="some_table", data_source="real") as staging:
        staging.path("kept.txt").write_text("2")
        assert (folder / "kept.txt").read_text() == "1"
        assert listed(folder) == set(FIRST)


def test_a_second_publication_replaces_the_first_and_drops_its_other_files(folder):
    put(folder, FIRST)
    put(folder, SECOND)
    assert contents(folder) == SECOND
    assert listed(folder) == set(SECOND)


def test_files_that_no_publication_made_are_left_alone(folder):
    (folder / "README.md").write_text("what this folder holds")
    put(folder, FIRST)
    put(folder, SECOND)
    assert contents(folder) == SECOND | {"README.md": "what this folder holds"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_in_the_block_leaves_what_was_there_and_no_staging(folder, error):
    before = put(folder, FIRST)
    with pytest.raises(error):
        fail(folder, error)
    assert contents(folder) == FIRST
    assert read_manifest(folder, made_by="some_table") == before
    assert not files_below(folder / ".staging")


def test_an_error_in_a_first_publication_leaves_nothing(folder):
    with pytest.raises(ValueError, match="of the block"):
        fail(folder, ValueError("of the block"))
    assert contents(folder) == {}
    refusal(MissingInputError, lambda: read_manifest(folder, made_by="some_table"))


def test_details_that_json_cannot_hold_leave_what_was_there(folder):
    put(folder, FIRST)
    with pytest.raises(ValueError, match="JSON"):
        put(folder, SECOND, loss=math.nan)
    assert contents(folder) == FIRST


def test_the_manifest_at_hand_is_the_one_that_others_read(folder):
    manifest = put(folder, FIRST, lengths={10: 3}, pair=(1, 2))
    assert manifest == read_manifest(folder, made_by="some_table")


def test_the_manifest_is_not_at_hand_before_publication(folder):
    with publish(folder, stage="some_table", data_source="real") as staging:
        message = refusal(ContractError, lambda: staging.manifest)
    assert_says(message, str(folder), "not published yet")


def test_a_stage_that_was_never_published_is_asked_for(folder):
    message = refusal(MissingInputError, lambda: read_manifest(folder / "none", made_by="some_table"))
    assert_says(message, str(folder / "none"), "no finished some_table", "materialize some_table first")


def test_reading_a_manifest_writes_nothing(folder):
    put(folder, FIRST)
    before = files_below(folder)
    read_manifest(folder, made_by="some_table")
    assert files_below(folder) == before


def test_the_manifest_is_plain_json(folder):
    put(folder, {"kept.txt": "1"}, rows=7)
    fields = json.loads((folder / MANIFEST).read_text())
    assert fields.keys() == {
        "stage",
        "data_source",
        "rows",
        "seconds",
        "files",
        "details",
        "shards",
    }
    assert fields["files"][0].keys() == {"name", "bytes", "sha256"}


@pytest.mark.parametrize("content", ["{", "[]", '{"stage": "x"}', '{"files": [{"nome": "a"}]}'])
def test_a_damaged_manifest_is_refused_by_name_and_healed_by_publishing_again(folder, content):
    make_folder(folder)
    (folder / MANIFEST).write_text(content)
    with pytest.raises(ContractError, match=r"_manifest\.json is damaged .* materialize the_asset again"):
        read_manifest(folder, made_by="the_asset")

    with publish(folder, stage="the_asset", data_source="real") as staging:
        staging.path("a.txt").write_text("a")

    assert read_manifest(folder, made_by="the_asset").stage == "the_asset"


def test_finishing_without_a_commit_does_nothing(folder):
    finish_publication(folder / "none")
    finish_publication(folder)
    assert files_below(folder) == []
