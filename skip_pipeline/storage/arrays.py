"""Arrays as ``.npy`` files; no pickle is ever written or loaded."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np

from skip_pipeline.locations import is_local


def write_array(path: Path, array: np.ndarray) -> None:
    """Write one array."""
    with path.open("wb") as handle:
        # Not the file itself: numpy writes to that without saying why it failed, on a full disk for one.
        np.save(SimpleNamespace(write=handle.write), array, allow_pickle=False)


def read_array(path: Path) -> np.ndarray:
    """Read one array into memory.

    Raises:
        FileNotFoundError: no such file.
        ValueError, EOFError: it holds no array.
    """
    # An object is had in one request, while the reader of arrays would ask for it bit by bit.
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
