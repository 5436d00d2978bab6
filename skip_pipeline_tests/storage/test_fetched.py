"""A stage of an object store is copied to this machine once, and compared with its manifest."""

import tempfile
from pathlib import Path

import pytest

from skip_pipeline.errors import ContractError, MissingInputError, RefusedError
from skip_pipeline.storage import on_this_machine
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.storage.publishing import FIRST, SECOND, contents, put


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The system's folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def fetch(folder):
    """The files, and where they are."""
    with on_this_machine(folder, made_by="some_table") as copy:
        assert isinstance(copy, Path)
        return contents(copy), copy


def test_a_folder_of_this_machine_is_itself(tmp_path, cache):
    put(tmp_path / "stage", FIRST)
    assert fetch(tmp_path / "stage") == (FIRST, tmp_path / "stage")
    assert list(cache.iterdir()) == []


def test_a_stage_is_copied_and_then_found(bucket):
    put(bucket, FIRST)
    files, copy = fetch(bucket)
    assert files == FIRST
    for name in FIRST:
        (bucket / name).unlink()  # so that it cannot be copied again
    assert fetch(bucket) == (FIRST, copy)


def test_no_other_user_may_read_a_copy(bucket, cache):
    put(bucket, FIRST)
    fetch(bucket)
    [folder] = cache.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_later_publication_is_copied_and_the_earlier_copy_goes(bucket):
    put(bucket, FIRST)
    _, first = fetch(bucket)
    put(bucket, SECOND)
    files, second = fetch(bucket)
    assert files == SECOND
    assert not first.exists()
    assert first.parent == second.parent


def test_two_stages_have_a_copy_each(bucket):
    for name, files in (("a", FIRST), ("b", SECOND)):
        put(bucket / name, files)
    (_, first), (_, second) = fetch(bucket / "a"), fetch(bucket / "b")
    assert contents(first) == FIRST
    assert contents(second) == SECOND


def test_what_a_kill_left_half_copied_is_not_taken_for_a_copy(bucket, monkeypatch):
    put(bucket, FIRST)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fetch(bucket)
    files, copy = fetch(bucket)
    assert files == FIRST
    assert [path.name for path in copy.parent.iterdir() if path.is_dir()] == [copy.name]


def test_a_stage_that_was_never_published_is_asked_for(bucket):
    message = refusal(MissingInputError, lambda: fetch(bucket))
    assert_says(message, str(bucket), "no finished some_table", "materialize some_table first")


def test_a_missing_file_is_named(bucket):
    put(bucket, FIRST)
    (bucket / "kept.txt").unlink()
    message = refusal(MissingInputError, lambda: fetch(bucket))
    assert_says(message, str(bucket), "lacks a file", "kept.txt", "materialize some_table again")


def test_a_file_that_is_not_as_its_manifest_says_is_named(bucket):
    put(bucket, FIRST)
    (bucket / "sub/kept.txt").write_text("9")
    message = refusal(ContractError, lambda: fetch(bucket))
    assert_says(message, str(bucket / "sub/kept.txt"), "has 1 bytes and SHA-256 19581e27de7c", "Run again")
    put(bucket, FIRST)
    assert fetch(bucket)[0] == FIRST


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
