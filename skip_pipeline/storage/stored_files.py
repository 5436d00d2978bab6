"""The files of a stage: written once, named by their content, never changed.

A finished file moves to ``_files/<digest>-<random>-<plain name>``: 16 digits of its SHA-256, 8 random ones.
The random ones give every publication file names of its own, so that removing what an old manifest names
never removes what a new one names. The plain name is for error messages.
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from skip_pipeline.errors import MissingInputError, RefusedError
from skip_pipeline.locations import file_system, is_local, key_of
from skip_pipeline.storage.delivered import mark
from skip_pipeline.storage.files import FileRecord, flush, record_file

FILES: Final = "_files"
SCRATCH: Final = "_scratch"
"""Folder of unfinished files, on a disk; the next publication empties it."""


@dataclass(frozen=True)
class StoredFile(FileRecord):
    """A file of a stage, and where it is.

    Attributes:
        path: relative to the stage folder.
        mark: size and ETag (or the like) in an object store, see ``delivered.mark``; empty on a disk.
    """

    path: str
    mark: str = ""


@contextmanager
def scratch_folder(stage: Path) -> Iterator[Path]:
    """A new folder on this machine for files of a stage that are not finished; removed at the end.

    It is inside a stage on a disk, so that a file moves by renaming.
    """
    parent = stage / SCRATCH if is_local(stage) else None
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        yield Path(folder)


def store(source: Path, stage: Path, name: str, *, durable: bool) -> StoredFile:
    """Move a finished file into a stage.

    Args:
        source: on this machine, in a ``scratch_folder`` of the stage.
        name: plain name of the file.
        durable: whether the disk has to hold the file before this returns.

    Raises:
        RefusedError: the object store takes no files there.
    """
    record = record_file(source, name)
    path = f"{FILES}/{record.sha256[:16]}-{secrets.token_hex(4)}-{name.replace('/', '-')}"
    if durable:
        flush(source)
    place(source, stage / path)
    return StoredFile(**asdict(record), path=path, mark="" if is_local(stage) else mark(stage / path))


def place(source: Path, target: Path) -> None:
    """Give a finished file of this machine its final place, whole or not at all.

    Raises:
        RefusedError: the object store takes no files there.
    """
    if is_local(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
    else:
        with writing(target):
            file_system(target).put_file(str(source), key_of(target))


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn an object store's error about a missing bucket or permission into one that names the remedy.

    Raises:
        RefusedError: the object store takes no files there.
    """
    try:
        yield
    except (FileNotFoundError, PermissionError) as failure:
        raise RefusedError(
            f"{target} cannot be written ({failure}); expected a bucket that exists, and credentials that "
            "may write there. Make the bucket, or correct the credentials in the environment"
        ) from failure


def is_intact(file: StoredFile, stage: Path) -> bool:
    """Whether a file is as it was stored: by its SHA-256 on a disk, by size and mark in an object store."""
    path = stage / file.path
    try:
        if is_local(path):
            return record_file(path, file.name).sha256 == file.sha256
        return mark(path) == file.mark
    except MissingInputError:
        return False
