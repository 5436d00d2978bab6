"""The plain names of a stage on a disk: hard links to the files of the newest generation.

``02_merged/log_mini.parquet`` is for people. The names change one after another after a publication; a reader
that must not mix generations goes by the manifest.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from skip_pipeline.storage.manifest import MANIFEST, Manifest, manifest_path
from skip_pipeline.storage.stored_files import scratch_folder


def is_shown(manifest: Manifest) -> bool:
    """Whether the plain names have been brought up to a manifest, which gets its own plain name last."""
    return _is_link(manifest.folder / MANIFEST, manifest_path(manifest.folder, manifest.number))


def show(manifest: Manifest) -> None:
    """Bring the plain names up to a manifest; the caller holds the folder's lock.

    Repeated after a kill, it completes what the first call began. A plain name that is another file is put
    right.
    """
    folder = manifest.folder
    stale = _names_in(folder / MANIFEST) - {record.name for record in manifest.files}
    with scratch_folder(folder) as scratch:
        for record in manifest.files:
            _link(folder / record.name, folder / record.path, scratch)
        for name in sorted(stale):
            (folder / name).unlink(missing_ok=True)
            _remove_empty((folder / name).parent, below=folder)
        _link(folder / MANIFEST, manifest_path(folder, manifest.number), scratch)


def _names_in(manifest: Path) -> set[str]:
    """Plain names of the files that a manifest lists; none where it cannot be read."""
    try:
        return {record["name"] for record in json.loads(manifest.read_text(encoding="utf-8"))["files"]}
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return set()


def _is_link(name: Path, file: Path) -> bool:
    try:
        return name.samefile(file)
    except FileNotFoundError:
        return False


def _link(name: Path, file: Path, scratch: Path) -> None:
    # A file that is missing here is made again by the next publication; until then its name stays as it is.
    if _is_link(name, file) or not file.is_file():
        return
    name.parent.mkdir(parents=True, exist_ok=True)
    link = scratch / "link"
    os.link(file, link)
    link.replace(name)


def _remove_empty(place: Path, *, below: Path) -> None:
    """Remove folders that held nothing but stale names, up to the stage's own."""
    while place != below and place.is_dir() and not any(place.iterdir()):
        place.rmdir()
        place = place.parent
