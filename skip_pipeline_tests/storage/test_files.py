"""JSON and arrays come back as they were written, on this machine and from an object store."""

import math

import numpy as np
import pytest

from skip_pipeline.errors import RefusedError
from skip_pipeline.locations import is_local
from skip_pipeline.storage import map_array, read_json, write_array, write_json
from skip_pipeline.storage.files import check_target, replacing
from skip_pipeline_tests.builders import assert_says, refusal


def test_json_is_read_as_it_was_written_in_one_spelling(tmp_path):
    content = {"b": [1, 0.1 + 0.2], "a": {"ü": None}}
    write_json(tmp_path / "a.json", content)
    write_json(tmp_path / "b.json", dict(reversed(content.items())))
    assert read_json(tmp_path / "a.json") == content
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_without_a_spelling_is_not_written(tmp_path, value):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"loss": value})
    assert not (tmp_path / "a.json").exists()


def write(path, tmp_path, array):
    """Write an array, and copy it to where it is to be read."""
    write_array(tmp_path / "written", array)
    path.write_bytes((tmp_path / "written").read_bytes())
    return path


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.uint64).reshape(2, 3),
        np.empty(0, "S4"),
        np.zeros(2, [("a", "u1"), ("b", "<i8")]),
    ],
)
def test_an_array_is_read_as_it_was_written(folder, tmp_path, array):
    found = map_array(write(folder / "a.npy", tmp_path, array))
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_an_array_of_this_machine_is_mapped_and_read_only(folder, tmp_path):
    found = map_array(write(folder / "a.npy", tmp_path, np.arange(3)))
    assert found.flags.writeable is not is_local(folder)


def test_what_is_no_array_is_refused(folder):
    with pytest.raises(FileNotFoundError):
        map_array(folder / "a.npy")
    (folder / "a.npy").write_bytes(b"no array at all")
    with pytest.raises(ValueError, match=r"pickle|magic"):
        map_array(folder / "a.npy")


def test_no_pickle_is_written(tmp_path):
    with pytest.raises(ValueError, match="Object arrays"):
        write_array(tmp_path / "a.npy", np.array([{}], dtype=object))


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), None])
def test_a_file_is_replaced_whole_or_stays(tmp_path, failure):
    out = tmp_path / "out.txt"
    out.write_text("earlier")
    (tmp_path / ".out.txt.part").mkdir()  # of a process that was killed

    def make():
        with replacing(out) as part:
            part.write_text("new")
            if failure:
                raise failure

    if failure:
        assert_says(
            refusal(RefusedError, make), f"{out} cannot be written", "No space left", "Choose another"
        )
    else:
        make()
    assert out.read_text() == ("earlier" if failure else "new")
    assert list(tmp_path.iterdir()) == [out]


def test_a_folder_is_made_whole_or_not_at_all(tmp_path):
    out = tmp_path / "out"

    def make(then):
        with replacing(out) as part:
            part.mkdir()
            then()

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(interrupt)
    assert list(tmp_path.iterdir()) == []
    make(lambda: None)
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("name", ["", "nowhere/out.txt"])
def test_a_name_that_no_file_can_get_is_refused(tmp_path, name):
    message = refusal(RefusedError, lambda: check_target(tmp_path / name))
    assert_says(message, "expected the name of a file in an existing folder")
