"""Files of an object store are copied to this machine once, and compared with their manifest."""

import tempfile
from pathlib import Path

import pytest

from skip_pipeline.errors import ContractError, MissingInputError, RefusedError
from skip_pipeline.storage import on_this_machine, read_manifest
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.storage.publishing import FIRST, SECOND, generation, put


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The system's folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def fetch(folder):
    """The manifest of the copies."""
    return on_this_machine(read_manifest(folder, made_by="some_table"))


def test_a_stage_of_this_machine_is_itself(tmp_path, cache):
    manifest = put(tmp_path / "stage", FIRST)
    assert on_this_machine(manifest) is manifest
    assert list(cache.iterdir()) == []


def test_a_stage_is_copied_once_and_for_its_user_alone(bucket, cache):
    manifest = put(bucket, FIRST)
    assert generation(on_this_machine(manifest)) == FIRST
    for name in FIRST:
        manifest.path(name).unlink()  # so that it cannot be copied again
    assert generation(on_this_machine(manifest)) == FIRST
    [folder] = cache.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_of_a_later_publication_only_new_contents_are_copied_and_others_go(bucket, cache):
    put(bucket, {"a.txt": "1", "b.txt": "2"})
    kept = fetch(bucket).path("a.txt")
    before = kept.stat().st_ino
    put(bucket, {"a.txt": "1", "c.txt": "3"})
    assert generation(fetch(bucket)) == {"a.txt": "1", "c.txt": "3"}
    assert kept.stat().st_ino == before
    assert {path.name.split("-")[1] for path in cache.rglob("*.txt")} == {"c.txt", "a.txt"}


def test_a_part_of_a_generation_is_copied_alone_and_removes_nothing(bucket, cache):
    manifest = put(bucket, FIRST)
    part = on_this_machine(manifest.only("kept.txt"))
    assert generation(part) == {"kept.txt": "1"}
    assert len(list(cache.rglob("*.txt"))) == 1
    fetch(bucket)
    on_this_machine(manifest.only("sub/kept.txt"), evict=False)
    assert len(list(cache.rglob("*.txt"))) == len(FIRST)


def test_two_stages_have_copies_of_their_own(bucket):
    put(bucket / "a", FIRST)
    put(bucket / "b", SECOND)
    first, second = fetch(bucket / "a"), fetch(bucket / "b")
    assert (generation(first), generation(second)) == (FIRST, SECOND)


def test_what_a_kill_left_half_copied_is_not_taken_for_a_copy(bucket, monkeypatch):
    put(bucket, FIRST)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fetch(bucket)
    assert generation(fetch(bucket)) == FIRST


def test_a_missing_file_is_named(bucket):
    put(bucket, FIRST).path("kept.txt").unlink()
    message = refusal(MissingInputError, lambda: fetch(bucket))
    assert_says(message, str(bucket), "lacks a file", "kept.txt", "materialize some_table again")


def test_a_file_that_is_not_as_in_its_manifest_is_named(bucket):
    put(bucket, FIRST).path("sub/kept.txt").write_text("9")
    message = refusal(ContractError, lambda: fetch(bucket))
    assert_says(message, "sub/kept.txt", str(bucket), "has 1 bytes and SHA-256 19581e27de7c", "materialize")
    put(bucket, FIRST)
    assert generation(fetch(bucket)) == FIRST


@pytest.mark.parametrize("owner", ["another user", "a link"])
def test_a_folder_for_copies_that_is_not_ones_own_is_refused(bucket, cache, tmp_path, monkeypatch, owner):
    put(bucket, FIRST)
    fetch(bucket)
    [folder] = cache.iterdir()
    if owner == "a link":
        folder.rename(tmp_path / "elsewhere")
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        user = folder.stat().st_uid + 1
        monkeypatch.setattr("os.getuid", lambda: user)
        folder.rename(cache / f"skip_pipeline-{user}")
    message = refusal(RefusedError, lambda: fetch(bucket))
    assert_says(message, str(cache), "not this user's own folder", "set TMPDIR")
