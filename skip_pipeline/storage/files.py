"""What identifies files: size, SHA-256, digests over several; and JSON in one spelling."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from skip_pipeline.errors import MissingInputError


@dataclass(frozen=True)
class FileRecord:
    """One file of a stage: path relative to the stage folder, size in bytes, SHA-256 in hex."""

    name: str
    bytes: int
    sha256: str


def record_file(path: Path, name: str) -> FileRecord:
    """Size and SHA-256 of one file, read in a stream.

    Raises:
        MissingInputError: the file is not there.
    """
    try:
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256")
        return FileRecord(name=name, bytes=path.stat().st_size, sha256=digest.hexdigest())
    except FileNotFoundError:
        raise MissingInputError(
            f"{path} has gone while it was being read; put it back and run again"
        ) from None


def record_files(paths: Iterable[Path]) -> tuple[FileRecord, ...]:
    """Size and SHA-256 of several files, each by its own name.

    Raises:
        MissingInputError: see ``record_file``.
    """
    return tuple(record_file(path, path.name) for path in paths)


def fingerprint(files: tuple[FileRecord, ...]) -> str:
    """SHA-256 over sorted pairs of ``name`` and ``sha256``."""
    digest = hashlib.sha256()
    for record in sorted(files, key=lambda r: r.name):
        digest.update(f"{record.name}\0{record.sha256}\n".encode())
    return digest.hexdigest()


def digest_of(*parts: str) -> str:
    """SHA-256 over texts, in hex: the ``inputs`` of a shard, from the digests of everything it depends on.

    >>> digest_of("a", "b") == digest_of("ab")
    False
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part}\n".encode())
    return digest.hexdigest()


def json_text(content: Mapping[str, Any]) -> str:
    """A mapping as sorted, indented JSON; NaN is refused because JSON has no spelling for it."""
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a mapping as ``json_text``."""
    path.write_text(json_text(content), encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object written by ``write_json``."""
    return cast(dict[str, Any], json.loads(path.read_text(encoding="utf-8")))


def flush(path: Path) -> None:
    """Wait until the disk holds the contents of a file, or the entries of a folder, of this machine."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
