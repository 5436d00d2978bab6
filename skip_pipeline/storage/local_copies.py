"""Files of an object store, copied to this machine for readers that need them mapped.

A copy is named by its SHA-256 (and, for error messages, its plain name), and appears whole. So processes
share copies without a lock.
"""

import hashlib
import os
import stat
import tempfile
from dataclasses import replace
from pathlib import Path

from skip_pipeline.errors import ContractError, MissingInputError, RefusedError
from skip_pipeline.locations import file_system, is_local, key_of
from skip_pipeline.storage.identity import record_file
from skip_pipeline.storage.manifest import Manifest
from skip_pipeline.storage.stored_files import StoredFile


def on_this_machine(manifest: Manifest, *, evict: bool = True) -> Manifest:
    """A manifest whose files are on this machine; one of a local stage is returned as it is.

    Copies are below the system's folder for temporary files (which the environment's ``TMPDIR`` moves). Only
    files that are not there yet are fetched. ``evict``, not for a part of a generation, removes copies of
    files that the manifest does not name; those that have been mapped stay readable.
    """
    if is_local(manifest.folder):
        return manifest
    home = _cache() / hashlib.sha256(str(manifest.folder).encode()).hexdigest()[:32]
    home.mkdir(exist_ok=True)
    copies = tuple(replace(f, path=f"{f.sha256}-{f.name.replace('/', '-')}") for f in manifest.files)
    sources = {copy.path: file for copy, file in zip(copies, manifest.files, strict=True)}
    _fetch(manifest, home, {name: file for name, file in sources.items() if not (home / name).is_file()})
    if evict:
        for path in home.iterdir():
            if path.is_file() and path.name not in sources:
                path.unlink(missing_ok=True)
    return replace(manifest, folder=home, files=copies)


def _cache() -> Path:
    """The folder for copies, which no other user may write: it is in a folder that all users share."""
    cache = Path(tempfile.gettempdir()) / f"skip_pipeline-{os.getuid()}"
    cache.mkdir(mode=stat.S_IRWXU, exist_ok=True)
    found = cache.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise RefusedError(
            f"{cache} is not this user's own folder; expected it to hold copies from the shared storage. "
            "Remove it, or set TMPDIR to another folder"
        )
    return cache


def _fetch(manifest: Manifest, home: Path, missing: dict[str, StoredFile]) -> None:
    """Copy files, compare them with the manifest, and name them last."""
    if not missing:
        return
    with tempfile.TemporaryDirectory(dir=home) as part:
        sources = [key_of(manifest.folder / file.path) for file in missing.values()]
        try:
            file_system(manifest.folder).get(sources, [f"{part}/{name}" for name in missing])
        except FileNotFoundError as lost:
            raise MissingInputError(
                f"{manifest.folder} lacks a file that its manifest names ({lost}). Run again, if it was "
                f"published twice meanwhile; else materialize {manifest.stage} again"
            ) from lost
        for name, file in missing.items():
            found = record_file(Path(part, name), file.name)
            if found.sha256 != file.sha256:
                raise ContractError(
                    f"{file.name} in {manifest.folder} ({file.path}) has {found.bytes} bytes and SHA-256 "
                    f"{found.sha256}, not {file.bytes} and {file.sha256} as in its manifest; materialize "
                    f"{manifest.stage} again"
                )
            Path(part, name).replace(home / name)
