"""JSON and arrays as files, and files that replace earlier ones; no pickle is ever written or loaded."""

import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from skip_pipeline.errors import RefusedError
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


def check_target(out: Path) -> None:
    """Refuse a name that no file can get (``RefusedError``), before the work is done."""
    if out.is_dir() or not out.parent.is_dir():
        what = "is a folder" if out.is_dir() else f"lies in {out.parent}, which is no folder"
        raise RefusedError(f"{out} {what}; expected the name of a file in an existing folder. Choose another")


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """The path of a part, which the block makes and which then replaces a file, or an empty folder.

    Raises:
        RefusedError: it cannot be written; nothing is left of the part, and an earlier file stays.
    """
    part = out.with_name(f".{out.name}.part")
    try:
        _remove(part)  # of a process that was killed
        yield part
        part.replace(out)
    except OSError as failure:
        raise RefusedError(
            f"{out} cannot be written ({failure}), expected a folder with room that this user may write to. "
            "Choose another"
        ) from failure
    finally:
        _remove(part)


def _remove(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)
