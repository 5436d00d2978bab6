"""The files of a stage: written once, named by their content, never changed.

The names are ``_files/<digest>-<random>-<plain name>``: 16 digits of the SHA-256; 8 random ones, so that
removing what an old manifest names never removes what a new one names; the plain name, for error messages.
"""

import errno
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from skip_pipeline.errors import MORE_OPEN_FILES, DiskError, FullDiskError, MissingInputError, RefusedError
from skip_pipeline.locations import file_system, is_local, key_of
from skip_pipeline.storage.identity import FileRecord, mark, record_file

FILES: Final = "_files"
SCRATCH: Final = "_scratch"  # folder of unfinished files, on a disk; the next publication empties it

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no space, no quota, no file as large as this
_REMEDIES: Final = {
    **dict.fromkeys(_FULL, "free some space and run again"),
    errno.EIO: "check the disk and the system's log, or choose another data directory, and run again",
    **dict.fromkeys(
        (errno.EROFS, errno.EACCES, errno.EPERM),
        "give this user the right to read and write there, or choose another data directory, and run again",
    ),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), f"{MORE_OPEN_FILES}, and run again"),
}
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)  # of a file system that has no hard links


@dataclass(frozen=True)
class StoredFile(FileRecord):
    """A file of a stage, and where it is."""

    path: str  # relative to the stage folder
    mark: str = ""  # ``identity.mark`` in an object store; empty on a disk

    def check(self) -> None:
        """Raise ValueError where a manifest that others wrote leads out of the stage, or names no digest."""
        for text in (self.name, self.path):
            parts = PurePosixPath(text)
            if not parts.parts or parts.is_absolute() or ".." in parts.parts or "\0" in text:
                raise ValueError(f"{text!r} is no path within the folder")
        if not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"{self.sha256!r} is no SHA-256 in hex")

    def is_intact(self, stage: Path) -> bool:
        """Whether it is as it was stored: by its SHA-256 on a disk, by size and mark in an object store."""
        path = stage / self.path
        try:
            if is_local(path):
                return record_file(path, self.name).sha256 == self.sha256
            return mark(path) == self.mark
        except MissingInputError:
            return False


@contextmanager
def scratch_folder(stage: Path) -> Iterator[Path]:
    """A new folder on this machine for unfinished files of a stage, so that files move by renaming."""
    parent = stage / SCRATCH if is_local(stage) else None
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        yield Path(folder)


def store(source: Path, stage: Path, name: str) -> StoredFile:
    """Move a finished file of a scratch folder into a stage."""
    record = record_file(source, name)
    path = f"{FILES}/{record.sha256[:16]}-{secrets.token_hex(4)}-{name.replace('/', '-')}"
    place(source, stage / path)
    return StoredFile(**asdict(record), path=path, mark="" if is_local(stage) else mark(stage / path))


def place(source: Path, target: Path) -> None:
    """Give a finished file of this machine its final place, whole or not at all."""
    if is_local(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)
    else:
        with writing(target):
            file_system(target).put_file(str(source), key_of(target))


def link(source: Path, target: Path) -> None:
    """Make a hard link, unless ``target`` exists."""
    try:
        os.link(source, target)
    except OSError as failure:
        if failure.errno not in _NO_LINKS:
            raise
        raise RefusedError(
            f"{target} cannot be made a hard link ({failure.strerror}); expected a data directory on a file "
            "system that has them, unlike FAT and some network shares, with files of this user. Choose "
            "another data directory, or a URL of an object store"
        ) from failure


@contextmanager
def saying_why(folder: Path) -> Iterator[None]:
    """Turn the system's refusal to open, read or write a file, in the block, into one with the remedy."""
    try:
        yield
    except OSError as failure:
        remedy = _REMEDIES.get(failure.errno or 0)
        if not remedy or not (is_local(folder) or failure.errno in _FULL):  # stores use others as they like
            raise
        kind = FullDiskError if failure.errno in _FULL else DiskError
        raise kind(
            f"{folder} cannot take what is being written to it ({failure}). What was published before is "
            f"whole, and shards that are complete are kept; {remedy}"
        ) from failure


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn an object store's error about a missing bucket or permission into one that names the remedy."""
    try:
        yield
    except (FileNotFoundError, PermissionError) as failure:
        raise RefusedError(
            f"{target} cannot be written ({failure}); expected a bucket that exists, and credentials that "
            "may write there. Make the bucket, or correct the credentials in the environment"
        ) from failure
