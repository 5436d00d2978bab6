"""A stage of an object store, copied to this machine once, for readers that need its files mapped."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock

from skip_pipeline.errors import ContractError, MissingInputError, RefusedError
from skip_pipeline.locations import file_system, is_local, key_of
from skip_pipeline.storage.files import record_file
from skip_pipeline.storage.manifest import Manifest
from skip_pipeline.storage.publication import finish_publication, read_manifest

_CACHE: Final = "skip_pipeline-"
_LOCK: Final = ".lock"
_KEY_LENGTH: Final = 32  # hex digits, 128 bits: of all the URLs that one user fetches, no two share it


@contextmanager
def on_this_machine(folder: Path, *, made_by: str) -> Iterator[Path]:
    """A published stage as a folder of this machine, while its files are being opened.

    A local folder is itself. One in an object store is copied below the system's folder for temporary files
    (which the environment's ``TMPDIR`` moves), under the fingerprint of its manifest, unless it lies there
    already; copies of earlier publications are removed. A file that has been opened stays readable.

    Args:
        folder: the stage folder.
        made_by: name of the asset that fills it, for the error message.

    Raises:
        MissingInputError: the folder, if it is in an object store, holds no published stage, or lacks a file.
        ContractError: a file is not as the manifest says.
        RefusedError: another user owns the folder for the copies.
    """
    if is_local(folder):
        finish_publication(folder)
        yield folder
        return
    manifest = read_manifest(folder, made_by=made_by)
    home = _cache() / hashlib.sha256(str(folder).encode()).hexdigest()[:_KEY_LENGTH]
    home.mkdir(exist_ok=True)
    with FileLock(home / _LOCK):  # waits for another process of this machine that fetches the same
        copy = home / manifest.fingerprint
        if not copy.is_dir():
            _remove_copies(home)
            _fetch(folder, manifest, copy)
        yield copy


def _cache() -> Path:
    """The folder for copies, which no other user may write: in a folder that all share."""
    cache = Path(tempfile.gettempdir()) / f"{_CACHE}{os.getuid()}"
    cache.mkdir(mode=stat.S_IRWXU, exist_ok=True)
    found = cache.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise RefusedError(
            f"{cache} is not this user's own folder; expected it to hold copies from the shared storage. "
            "Remove it, or set TMPDIR to another folder"
        )
    return cache


def _remove_copies(home: Path) -> None:
    for path in home.iterdir():
        if path.is_dir():
            shutil.rmtree(path)


def _fetch(folder: Path, manifest: Manifest, copy: Path) -> None:
    """Copy a stage's files, compare them with its manifest, and give the copy its name last."""
    part = copy.with_name(f"{secrets.token_hex(8)}.part")
    names = [record.name for record in manifest.files]
    for parent in {(part / name).parent for name in names}:
        parent.mkdir(parents=True, exist_ok=True)
    try:
        file_system(folder).get([key_of(folder / n) for n in names], [str(part / n) for n in names])
    except FileNotFoundError as missing:
        raise MissingInputError(
            f"{folder} lacks a file that its manifest names ({missing}); materialize {manifest.stage} again"
        ) from missing
    for record in manifest.files:
        found = record_file(part / record.name, record.name)
        if found != record:
            raise ContractError(
                f"{folder / record.name} has {found.bytes} bytes and SHA-256 {found.sha256}, not "
                f"{record.bytes} and {record.sha256} as its manifest says. Run again, if it was being "
                f"published meanwhile; else materialize {manifest.stage} again"
            )
    part.rename(copy)
