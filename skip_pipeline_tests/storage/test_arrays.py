"""Arrays come back as they were written, wherever they lie."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from skip_pipeline.locations import is_local
from skip_pipeline.storage import map_array, read_array, write_array


@pytest.fixture
def path(folder):
    return folder / "a.npy"


ARRAYS = [
    np.arange(6, dtype=np.uint64).reshape(2, 3),
    np.empty(0, "S4"),
    np.zeros(2, [("a", "u1"), ("b", "<i8")]),
]


def write(path, array):
    """Write an array, and copy it to where it is to be read."""
    with tempfile.TemporaryDirectory() as here:
        write_array(Path(here) / "a.npy", array)
        path.write_bytes((Path(here) / "a.npy").read_bytes())


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("read", [read_array, map_array])
def test_an_array_is_read_as_it_was_written(path, array, read):
    write(path, array)
    found = read(path)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_an_array_of_this_machine_is_mapped_and_read_only(path):
    write(path, np.arange(3))
    if is_local(path):
        with pytest.raises(ValueError, match="read-only"):
            map_array(path)[0] = 1
    else:
        assert map_array(path).tolist() == [0, 1, 2]


@pytest.mark.parametrize("read", [read_array, map_array])
def test_what_is_no_array_is_refused(path, read):
    path.write_bytes(b"no array at all")
    with pytest.raises(ValueError, match=r"pickle|magic"):
        read(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read(path)


def test_no_pickle_is_written(tmp_path):
    with pytest.raises(ValueError, match="Object arrays"):
        write_array(tmp_path / "a.npy", np.array([{}], dtype=object))
