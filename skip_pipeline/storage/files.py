"""JSON and arrays as files; no pickle is ever written or loaded."""

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from skip_pipeline.locations import is_local


def json_text(content: Mapping[str, Any]) -> str:
    """A mapping as sorted, indented JSON; NaN is refused because JSON has no spelling for it."""
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a mapping as ``json_text``."""
    path.write_text(json_text(content), encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object."""
    return cast(dict[str, Any], json.loads(path.read_text(encoding="utf-8")))


def write_array(path: Path, array: np.ndarray) -> None:
    """Write one array as ``.npy`` to a file of this machine."""
    with path.open("wb") as handle:
        # Not the handle itself: numpy writes to a real file in C, and its error for a full disk has no cause.
        np.save(SimpleNamespace(write=handle.write), array, allow_pickle=False)


def map_array(path: Path) -> np.ndarray:
    """Map one ``.npy`` file, read-only; one in an object store, or without elements, is read into memory."""
    if is_local(path):
        try:
            return np.asarray(cast(np.ndarray, np.load(path, mmap_mode="r", allow_pickle=False)))
        except ValueError:  # an array without elements cannot be mapped; any other stays unreadable
            pass
    # One request for the whole object; numpy's reader would send one for each piece.
    return cast(np.ndarray, np.load(io.BytesIO(path.read_bytes()), allow_pickle=False))


def flush(path: Path) -> None:
    """Wait until the disk holds the contents of a file, or the entries of a folder, of this machine."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
