"""Places on this machine and in an object store: how they are named, and what is refused."""

from pathlib import Path

import pytest

from skip_pipeline.errors import RefusedError
from skip_pipeline.locations import files_below, is_local, is_url, key_of, location
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.test_boundaries import python


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("data/01_raw", "data/01_raw"),
        ("/mnt/s3", "/mnt/s3"),
        ("file:///mnt/s3", "/mnt/s3"),
        ("C:\\a", "C:\\a"),
    ],
)
def test_a_path_of_this_machine_is_a_path(text, path):
    assert location(text) == Path(path)
    assert is_local(location(text))
    assert is_url(text) is text.startswith("file://")


def test_a_url_is_a_path_too_whose_spelling_is_the_url(tmp_path):
    place = location(f"memory://{tmp_path.name}/prefix/")
    assert not is_local(place)
    assert is_url(str(place))
    assert str(place / "02_merged" / "a.parquet") == f"memory://{tmp_path.name}/prefix/02_merged/a.parquet"
    assert key_of(place) == f"/{tmp_path.name}/prefix"


@pytest.mark.parametrize("text", ["s3://key:secret@bucket/a", "simplecache::sftp://key:secret@host/a"])
def test_a_password_is_refused_and_not_repeated(text):
    message = refusal(RefusedError, lambda: location(text))
    assert "secret" not in message
    assert_says(message, "://…@", "holds a password; expected none", "credentials in the environment")


PLAIN = ("expected a plain path", "Choose another")


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("s3://b/log*", PLAIN),
        ("s3://b/a?x=1", PLAIN),
        ("s3://b/[a", PLAIN),
        ("s3://b/a#1", PLAIN),
        ("cache::s3://b/a", PLAIN),
        ("nope://bucket/a", ("cannot be opened", "expected a path of this machine, or a URL")),
    ],
)
def test_a_url_that_cannot_be_opened_is_named(text, facts):
    assert_says(refusal(RefusedError, lambda: location(text)), text, *facts)


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch):
    def missing(_scheme):
        raise ImportError("Install s3fs to access S3")  # what fsspec raises; here the package is installed

    monkeypatch.setattr("fsspec.get_filesystem_class", missing)
    message = refusal(RefusedError, lambda: location("s3://bucket/a"))
    assert_says(message, "a package is missing", "s3fs", "pip install 'skip-pipeline[s3]'")


def test_the_library_is_loaded_for_a_url_alone():
    before, after = python(
        "import json, sys\n"
        "from skip_pipeline.locations import location\n"
        "loaded = [(location(text), sorted(sys.modules))[1] for text in ('data', 'memory://a')]\n"
        "print(json.dumps(loaded))"
    )
    assert {"fsspec", "upath"}.isdisjoint(before)
    assert {"fsspec", "upath"} <= set(after)


@pytest.mark.parametrize("kind", ["this machine", "object store"])
def test_files_below_a_folder_are_listed_by_name_in_order(tmp_path, kind):
    folder = tmp_path if kind == "this machine" else location(f"memory://{tmp_path.name}/files")
    (tmp_path / "sub").mkdir()
    assert files_below(folder / "none") == []
    for name in ("b.txt", "sub/a.txt", "sub-a.txt", "c[1].txt"):
        (folder / name).write_text(name)
    found = files_below(folder)
    assert {name for name, _ in found} == {"b.txt", "sub/a.txt", "sub-a.txt", "c[1].txt"}
    assert [path.read_text() for _, path in found] == [name for name, _ in found]
