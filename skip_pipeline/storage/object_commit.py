"""Replacing a stage's files in an object store: the commit is one object written.

There is no rename there, but an object appears whole or not at all. So the new files are complete under a
prefix of their own, ``.staging/<token>/``, before ``.commit.json`` is written, with the new manifest; from
then on whoever comes next can finish: copy each staged object to its name (the store does that by itself),
delete those that only the earlier manifest names, write the manifest, delete the commit. Every step can be
repeated.
A prefix is never used twice, so a process that was thought dead cannot write into another's publication.

See ``commit_protocol.CommitProtocol`` for what each function does.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from skip_pipeline.locations import file_system, files_below, key_of
from skip_pipeline.storage.commit_protocol import MADE, files_named
from skip_pipeline.storage.files import json_text, read_json
from skip_pipeline.storage.manifest import MANIFEST

_COMMIT: Final = ".commit.json"
_STAGING: Final = ".staging"


def begin(folder: Path) -> Path:
    """See ``CommitProtocol``."""
    for staged in _prefixes(folder) - _prefixes(folder, noted=True):
        _delete_below(staged)
    return folder / _STAGING / secrets.token_hex(8)


def unfinished(folder: Path) -> Sequence[Path]:
    """See ``CommitProtocol``: every prefix that has notes of complete shards."""
    return sorted(_prefixes(folder, noted=True))


def _prefixes(folder: Path, *, noted: bool = False) -> set[Path]:
    """Prefixes that publications have staged files under: all, or those with notes of complete shards."""
    names = [name.split("/") for name, _ in files_below(folder / _STAGING)]
    return {folder / _STAGING / token for token, *rest in names if not noted or rest[0] == MADE}


def move(source: Path, target: Path) -> None:
    """See ``CommitProtocol``: a copy that the store makes, then the deletion."""
    store = file_system(source)
    store.cp_file(key_of(source), key_of(target))
    store.rm_file(key_of(source))


def commit(folder: Path, staged: Path, manifest: Mapping[str, Any]) -> None:
    """See ``CommitProtocol``."""
    names = [name for name, _ in files_below(staged) if not name.startswith(f"{MADE}/")]
    _put(folder / _COMMIT, {"staged": staged.name, "names": names, "manifest": manifest})


def is_pending(folder: Path) -> bool:
    """See ``CommitProtocol``."""
    return (folder / _COMMIT).is_file()


def finish(folder: Path) -> None:
    """See ``CommitProtocol``. The commit goes after the manifest has come, so a kill in here is harmless."""
    pending = folder / _COMMIT
    try:
        content = read_json(pending)
    except FileNotFoundError:
        return
    store, staged = file_system(folder), folder / _STAGING / content["staged"]
    names, manifest = content["names"], content["manifest"]
    if names:
        store.copy([key_of(staged / name) for name in names], [key_of(folder / name) for name in names])
    stale = files_named(folder / MANIFEST) - {record["name"] for record in manifest["files"]}
    for name in sorted(stale):
        with suppress(FileNotFoundError):
            store.rm_file(key_of(folder / name))
    _put(folder / MANIFEST, manifest)
    store.rm_file(key_of(pending))
    _delete_below(staged)


def set_aside(folder: Path, staged: Path) -> None:
    """See ``CommitProtocol``: it lies already where the next publication looks for it.

    Nothing is deleted that a commit may name: a request that failed here may have succeeded there.
    """
    if staged not in _prefixes(folder, noted=True) and not is_pending(folder):
        _delete_below(staged)


def clean(folder: Path) -> None:
    """See ``CommitProtocol``."""
    _delete_below(folder / _STAGING)


def _put(path: Path, content: Mapping[str, Any]) -> None:
    """Write one object, whole or not at all."""
    file_system(path).pipe_file(key_of(path), json_text(content).encode())


def _delete_below(prefix: Path) -> None:
    if files_below(prefix):
        file_system(prefix).rm(key_of(prefix), recursive=True)
