"""What identifies a file: size, SHA-256, and facts of its file system that change with its contents."""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from skip_pipeline.errors import DiskError, MissingInputError
from skip_pipeline.locations import file_system, is_local, key_of

# A file that changed less than this before it is read may change again within the same tick of the file
# system's clock (2 s on FAT, 1 s on some network file systems), and keep its stamp.
_SETTLED_SECONDS: Final = 2.0

# Names, in fsspec's facts of an object, of a value that changes with its contents.
_CHANGE_MARKS: Final = ("ETag", "etag", "generation", "md5Hash", "content_md5")


@dataclass(frozen=True)
class FileRecord:
    """One file of a stage."""

    name: str  # path relative to the stage folder
    bytes: int
    sha256: str  # in hex


@dataclass(frozen=True)
class Delivered(FileRecord):
    """A delivered file as it was read."""

    stamp: str | None  # of ``_facts``; None where the file may change and keep its stamp


def record_file(path: Path, name: str) -> FileRecord:
    """Size and SHA-256 of one file, read in a stream."""
    try:
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256")
        return FileRecord(name=name, bytes=path.stat().st_size, sha256=digest.hexdigest())
    except FileNotFoundError:
        raise MissingInputError(f"{path} has gone while it was read; put it back and run again") from None


def record_files(paths: Iterable[Path]) -> tuple[FileRecord, ...]:
    """Size and SHA-256 of several files, each by its own name."""
    return tuple(record_file(path, path.name) for path in paths)


def fingerprint(files: Iterable[FileRecord]) -> str:
    """SHA-256 over sorted pairs of ``name`` and ``sha256``, in hex."""
    return digest_of(*(f"{file.name}\0{file.sha256}" for file in sorted(files, key=lambda f: f.name)))


def digest_of(*parts: str) -> str:
    """SHA-256 over texts, in hex: the ``inputs`` of a shard, from the digests of everything it depends on.

    >>> digest_of("a", "b") == digest_of("ab")
    False
    """
    return hashlib.sha256("".join(f"{part}\n" for part in parts).encode()).hexdigest()


def mark(path: Path) -> str:
    """A string that changes whenever the file is written again; where nothing shows that, with every call."""
    size, stamp, _ = _facts(path)
    return f"{size} {stamp}" if stamp else f"unknown at {time.time_ns()}"


def identify(
    paths: Sequence[Path],
    known: Mapping[str, Delivered],
    apply: Callable[[Callable[[Path], Delivered], Sequence[Path]], Iterable[Delivered]],
) -> tuple[Delivered, ...]:
    """Size and digest of each file, in order; those that are as ``known``, by name, are not read again."""
    found = {path: known[path.name] for path in paths if _is_known(path, known)}
    unread = [path for path in paths if path not in found]
    found |= zip(unread, apply(_read, unread), strict=True)
    return tuple(found[path] for path in paths)


def _is_known(path: Path, known: Mapping[str, Delivered]) -> bool:
    before = known.get(path.name)
    return bool(before and before.stamp and _facts(path)[:2] == (before.bytes, before.stamp))


def _read(path: Path) -> Delivered:
    try:
        _, stamp, written = _facts(path)  # before reading: a change while it is read shows next time
        record = record_file(path, path.name)
    except PermissionError as failure:
        raise DiskError(
            f"{path} cannot be read ({failure}); expected a file that this user may read. Give the user the "
            "right"
        ) from failure
    settled = written is None or time.time() - written > _SETTLED_SECONDS
    return Delivered(**asdict(record), stamp=stamp if settled else None)


def _facts(path: Path) -> tuple[int, str | None, float | None]:
    """Size and stamp of a file; for a stamp that is a time, also that time, in seconds since 1970.

    On this machine the stamp is inode, modification and change time in ns; every write changes the last,
    which cannot be set. In an object store it is its mark (an ETag, say), or the time of the last write.
    """
    try:
        if is_local(path):
            now = path.stat()
            return now.st_size, f"{now.st_ino} {now.st_mtime_ns} {now.st_ctime_ns}", now.st_ctime_ns / 1e9
        store, key = file_system(path), key_of(path)
        facts = store.info(key)
        for kind in _CHANGE_MARKS:
            if facts.get(kind):
                return facts["size"], f"{kind} {facts[kind]}", None
        try:
            written = store.modified(key)
        except NotImplementedError:
            return facts["size"], None, None
        return facts["size"], f"modified {written.isoformat()}", written.timestamp()
    except FileNotFoundError:
        raise MissingInputError(f"{path} has gone; put it back and run again") from None
