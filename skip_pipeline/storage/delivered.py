"""Which delivered files have changed; those that have not are not read again."""

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
"""A file that changed less than this before it is read may change again within the same tick of the file
system's clock (2 s on FAT, 1 s on some network file systems), and keep its stamp."""

Stamp = tuple[int | str, ...]


@dataclass(frozen=True)
class Delivered:
    """A file as it was read: size, digest, and the file system's facts that change with its contents.

    Attributes:
        record: name, size and SHA-256.
        stamp: on this machine inode, modification and change time in ns; every write changes the change
            time, which cannot be set, so an equal stamp is an equal file. In an object store the kind and
            value of its mark (an ETag, say), or else the time of the last write. None where that time was
            less than ``_SETTLED_SECONDS`` ago, or nothing is known.
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


def identify(
    paths: Sequence[Path], known: Mapping[str, Delivered], apply: Apply = in_turn
) -> tuple[Delivered, ...]:
    """Size and digest of each file, in order; only files that are new or have changed are read.

    Args:
        known: by name, as they were before.
        apply: see ``storage.Apply``.

    Raises:
        MissingInputError: a file is not there.
    """
    found = {path: known[path.name] for path in paths if _is_known(path, known)}
    unread = [path for path in paths if path not in found]
    for path, outcome in zip(unread, apply(_read, unread), strict=True):
        if isinstance(outcome, SkipPipelineError):
            raise outcome
        found[path] = outcome
    return tuple(found[path] for path in paths)


def mark(path: Path) -> str:
    """A string that changes whenever the file is written again; where nothing shows that, with every call.

    Raises:
        MissingInputError: the file is not there.
    """
    size, stamp, _ = _facts(path)
    return f"{size} {stamp}" if stamp else f"unknown at {time.time_ns()}"


def _is_known(path: Path, known: Mapping[str, Delivered]) -> bool:
    before = known.get(path.name)
    if before is None or before.stamp is None:
        return False
    return _facts(path)[:2] == (before.record.bytes, before.stamp)


def _facts(path: Path) -> tuple[int, Stamp | None, float | None]:
    """Size and stamp of a file; for a stamp that is a time, also that time, in seconds since 1970.

    Raises:
        MissingInputError: the file is not there.
    """
    try:
        if is_local(path):
            now = path.stat()
            return now.st_size, (now.st_ino, now.st_mtime_ns, now.st_ctime_ns), now.st_ctime_ns / 1e9
        store, key = file_system(path), key_of(path)
        facts = store.info(key)
        for kind in CHANGE_MARKS:
            if facts.get(kind):
                return facts["size"], (kind, str(facts[kind])), None
        try:
            written = store.modified(key)
        except NotImplementedError:
            return facts["size"], None, None
        return facts["size"], ("modified", written.isoformat()), written.timestamp()
    except FileNotFoundError:
        raise MissingInputError(f"{path} has gone; put it back and run again") from None


def _read(path: Path) -> Delivered | SkipPipelineError:
    """Size and digest of a file; a refusal comes back as a value, so that the other files are read."""
    try:
        _, stamp, written = _facts(path)  # before reading: a change while it is read shows next time
        record = record_file(path, path.name)
    except SkipPipelineError as refusal:
        return refusal
    settled = written is None or time.time() - written > _SETTLED_SECONDS
    return Delivered(record, stamp if settled else None)
