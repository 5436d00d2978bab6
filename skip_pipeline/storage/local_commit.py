"""Replacing a stage's files on this machine: the commit is one rename.

The staging folder is renamed to ``.commit`` in one step; from then on its files belong to the stage, and
moving them into place can be finished by whoever comes next. So a process killed at any moment leaves the
earlier results, or the new ones, never a mixture and never half a file.

Before that, files are flushed, so that a power cut does no more harm than a kill; all but what was made of
shards, which is most of what a stage writes, and which the system writes to the disk in its own time. Such a
file that a power cut has left short is noticed by its size, and made again.

See ``commit_protocol.CommitProtocol`` for what each function does.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from skip_pipeline.locations import files_below
from skip_pipeline.storage.commit_protocol import MADE, files_named
from skip_pipeline.storage.files import flush, write_json
from skip_pipeline.storage.manifest import MANIFEST

_COMMIT: Final = ".commit"
_STAGING: Final = ".staging"
_UNFINISHED: Final = ".unfinished"


def begin(folder: Path) -> Path:
    """See ``CommitProtocol``."""
    staged = folder / _STAGING
    set_aside(folder, staged)
    staged.mkdir()
    return staged


def unfinished(folder: Path) -> Sequence[Path]:
    """See ``CommitProtocol``."""
    left = folder / _UNFINISHED
    return [left] if left.is_dir() else []


def move(source: Path, target: Path) -> None:
    """See ``CommitProtocol``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)


def commit(folder: Path, staged: Path, manifest: Mapping[str, Any]) -> None:
    """See ``CommitProtocol``."""
    if (staged / MADE).is_dir():
        shutil.rmtree(staged / MADE)
    write_json(staged / MANIFEST, manifest)
    of_shards = {name for shard in manifest["shards"].values() for name in shard["files"]}
    for name, path in files_below(staged):
        if name not in of_shards:
            flush(path)
    staged.rename(folder / _COMMIT)


def is_pending(folder: Path) -> bool:
    """See ``CommitProtocol``."""
    return (folder / _COMMIT).is_dir()


def finish(folder: Path) -> None:
    """See ``CommitProtocol``. The new manifest moves last, so a kill in here is harmless."""
    pending = folder / _COMMIT
    if not pending.is_dir():
        return
    new = pending / MANIFEST
    if new.is_file():
        old = folder / MANIFEST
        stale = files_named(old) - files_named(new)
        for name, path in files_below(pending):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if name != MANIFEST:
                path.replace(target)
        for name in stale:
            (folder / name).unlink(missing_ok=True)
            _remove_empty((folder / name).parent, below=folder)
        new.replace(old)
    shutil.rmtree(pending)


def _remove_empty(place: Path, *, below: Path) -> None:
    """Remove folders that held nothing but what is stale, up to the stage's own."""
    while place != below and place.is_dir() and not any(place.iterdir()):
        place.rmdir()
        place = place.parent


def set_aside(folder: Path, staged: Path) -> None:
    """See ``CommitProtocol``: what was made moves to a folder of its own, beside the staging folder."""
    left = folder / _UNFINISHED
    if (staged / MADE).is_dir():
        for name, path in files_below(staged):
            move(path, left / name)
    shutil.rmtree(staged, ignore_errors=True)


def clean(folder: Path) -> None:
    """See ``CommitProtocol``."""
    if (folder / _UNFINISHED).is_dir():
        shutil.rmtree(folder / _UNFINISHED)
