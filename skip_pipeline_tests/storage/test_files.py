"""JSON and arrays come back as they were written, on this machine and from an object store."""

import math

import numpy as np
import pytest

from skip_pipeline.locations import is_local
from skip_pipeline.storage import map_array, read_json, write_array, write_json


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
