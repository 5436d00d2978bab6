"""Files of an object store, copied to this machine for readers that need them mapped.

A copy is named by its SHA-256 (and, for error messages, its plain name), and appears whole. So processes
share copies without a lock.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from skip_pipeline.errors import ContractError, MissingInputError, RefusedError
from skip_pipeline.locations import file_system, is_local, key_of
from skip_pipeline.storage.files import record_file
from skip_pipeline.storage.manifest import Manifest
from skip_pipeline.storage.stored_files import StoredFile

_CACHE: Final = "skip_pipeline-"
_KEY_LENGTH: Final = 32
"""Hex digits, 128 bits, for a stage's URL: no two of those that one user reads have the same."""


def on_this_machine(manifest: Manifest, *, evict: bool = True) -> Manifest:
    """A manifest whose files are on this machine; one of a local stage is returned as it is.

    Copies are below the system's folder for temporary files (which the environment's ``TMPDIR`` moves). Only
    files that are not there yet are fetched. A copy that has been mapped stays readable after its removal.

    Args:
        manifest: of the newest generation, or ``Manifest.only`` of it.
        evict: whether to remove old copies of files that it does not name; not for a part of a generation.

    Raises:
        MissingInputError: the object store lacks a file.
        ContractError: a file is not as the manifest has it.
        RefusedError: another user owns the folder for the copies.
    """
    if is_local(manifest.folder):
        return manifest
    home = _cache() / hashlib.sha256(str(manifest.folder).encode()).hexdigest()[:_KEY_LENGTH]
    home.mkdir(exist_ok=True)
    copied = replace(manifest, folder=home, files=tuple(replace(f, path=_name(f)) for f in manifest.files))
    _fetch(manifest, home)
    if evict:
        named = {home / file.path for file in copied.files}
        for copy in {path for path in home.iterdir() if path.is_file()} - named:
            copy.unlink(missing_ok=True)
    return copied


def _name(file: StoredFile) -> str:
    return f"{file.sha256}-{file.name.replace('/', '-')}"


def _cache() -> Path:
    """The folder for copies, which no other user may write: it is in a folder that all users share."""
    cache = Path(tempfile.gettempdir()) / f"{_CACHE}{os.getuid()}"
    cache.mkdir(mode=stat.S_IRWXU, exist_ok=True)
    found = cache.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise RefusedError(
            f"{cache} is not this user's own folder; expected it to hold copies from the shared storage. "
            "Remove it, or set TMPDIR to another folder"
        )
    return cache


def _fetch(manifest: Manifest, home: Path) -> None:
    """Copy the files that are not there yet, compare them with the manifest, and name them last."""
    missing = {_name(file): file for file in manifest.files if not (home / _name(file)).is_file()}
    with tempfile.TemporaryDirectory(dir=home) as part:
        sources = [manifest.folder / file.path for file in missing.values()]
        copies = [Path(part) / name for name in missing]
        try:
            if sources:
                file_system(manifest.folder).get(list(map(key_of, sources)), list(map(str, copies)))
        except FileNotFoundError as lost:
            raise MissingInputError(
                f"{manifest.folder} lacks a file that its manifest names ({lost}). Run again, if it was "
                f"published twice meanwhile; else materialize {manifest.stage} again"
            ) from lost
        for file, copy in zip(missing.values(), copies, strict=True):
            found = record_file(copy, file.name)
            if found.sha256 != file.sha256:
                raise ContractError(
                    f"{file.name} in {manifest.folder} ({file.path}) has {found.bytes} bytes and SHA-256 "
                    f"{found.sha256}, not {file.bytes} and {file.sha256} as in its manifest; materialize "
                    f"{manifest.stage} again"
                )
            copy.replace(home / copy.name)
