"""Arrays as ``.npy`` files; no pickle is ever written or loaded."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np

from skip_pipeline.locations import is_local


def write_array(path: Path, array: np.ndarray) -> None:
    """Write one array to a file of this machine."""
    with path.open("wb") as handle:
        # Not the handle itself: numpy writes to a real file in C, and its error for a full disk has no cause.
        np.save(SimpleNamespace(write=handle.write), array, allow_pickle=False)


def read_array(path: Path) -> np.ndarray:
    """Read one array into memory.

    Raises:
        FileNotFoundError: no such file.
        ValueError, EOFError: the file holds no array.
    """
    # One request for the whole object; numpy's reader would send one for each piece.
    source = path if is_local(path) else io.BytesIO(path.read_bytes())
    return cast(np.ndarray, np.load(source, allow_pickle=False))


def map_array(path: Path) -> np.ndarray:
    """Map one array, read-only; one in an object store, or without elements, is read into memory.

    Raises:
        FileNotFoundError, ValueError, EOFError: see ``read_array``.
    """
    if not is_local(path):
        return read_array(path)
    try:
        return np.asarray(cast(np.ndarray, np.load(path, mmap_mode="r", allow_pickle=False)))
    except ValueError:  # an array without elements cannot be mapped; any other stays unreadable
        return read_array(path)
