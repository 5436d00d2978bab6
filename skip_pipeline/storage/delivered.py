"""Delivered files, identified without reading again those that have been read before."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from skip_pipeline.errors import MissingInputError, SkipPipelineError
from skip_pipeline.locations import CHANGE_MARKS, file_system, is_local, key_of
from skip_pipeline.storage.files import FileRecord, record_file
from skip_pipeline.storage.shards import Apply, in_turn

_SETTLED_SECONDS: Final = 2.0
"""A file touched later than this before it is read may be written once more within the same tick of the
file system's clock (2 s on FAT, 1 s on some network file systems), and would look unchanged."""

Stamp = tuple[int | str, ...]


@dataclass(frozen=True)
class Delivered:
    """A file as it was found: size, digest, and what the file system says of it.

    Attributes:
        record: name, size and SHA-256.
        stamp: on this machine inode, modification and change time in ns; the change time moves with every
            write and cannot be set, so an equal stamp is an equal file. In an object store the kind and
            value of its mark (an ETag, say), or else the time of the last write. None where that time had
            only just passed, or nothing is known.
    """

    record: FileRecord
    stamp: Stamp | None

    def to_json(self) -> dict[str, Any]:
        """Its JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Delivered:
        """Inverse of ``to_json``."""
        stamp = content["stamp"]
        return cls(FileRecord(**content["record"]), tuple(stamp) if stamp else None)


@dataclass(frozen=True)
class _Seen:
    """Size and stamp of a file now, and when it was last written (s since 1970), if that matters."""

    bytes: int
    stamp: Stamp | None
    written: float | None


def identify(
    paths: Sequence[Path], known: Mapping[str, Delivered], apply: Apply = in_turn
) -> tuple[Delivered, ...]:
    """Size and digest of each file, in order; only those that are new or were touched are read.

    Args:
        known: by name, as they were found before.
        apply: like the built-in ``map``; may read the files elsewhere, where they can be seen.

    Raises:
        MissingInputError: a file has gone.
    """
    found = {path: known[path.name] for path in paths if _is_known(path, known)}
    unread = [path for path in paths if path not in found]
    for path, outcome in zip(unread, apply(_look, unread), strict=True):
        if isinstance(outcome, SkipPipelineError):
            raise outcome
        found[path] = outcome
    return tuple(found[path] for path in paths)


def mark(path: Path) -> str:
    """A text that stays the same only as long as the file is certainly the same.

    Raises:
        MissingInputError: the file has gone.
    """
    seen = _see(path)
    return f"{seen.bytes} {seen.stamp}" if seen.stamp else f"unknown at {time.time_ns()}"


def _is_known(path: Path, known: Mapping[str, Delivered]) -> bool:
    before = known.get(path.name)
    if before is None or before.stamp is None:
        return False
    now = _see(path)
    return (now.bytes, now.stamp) == (before.record.bytes, before.stamp)


def _see(path: Path) -> _Seen:
    """How a file looks from outside.

    Raises:
        MissingInputError: the file has gone.
    """
    try:
        return _see_here(path) if is_local(path) else _see_object(path)
    except FileNotFoundError:
        raise MissingInputError(f"{path} has gone; put it back and run again") from None


def _see_here(path: Path) -> _Seen:
    now = path.stat()
    return _Seen(now.st_size, (now.st_ino, now.st_mtime_ns, now.st_ctime_ns), now.st_ctime_ns / 1e9)


def _see_object(path: Path) -> _Seen:
    store, key = file_system(path), key_of(path)
    facts = store.info(key)
    for mark in CHANGE_MARKS:
        if facts.get(mark):
            return _Seen(facts["size"], (mark, str(facts[mark])), None)
    try:
        written = store.modified(key)
    except NotImplementedError:
        return _Seen(facts["size"], None, None)
    return _Seen(facts["size"], ("modified", written.isoformat()), written.timestamp())


def _look(path: Path) -> Delivered | SkipPipelineError:
    """Read a file; a refusal comes back as a value, as from ``shards.build``."""
    try:
        seen = _see(path)  # before reading: a write in between shows next time
        record = record_file(path, path.name)
    except SkipPipelineError as refusal:
        return refusal
    settled = seen.written is None or time.time() - seen.written > _SETTLED_SECONDS
    return Delivered(record, seen.stamp if settled else None)
