"""Text files to publish, and what a reader then finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skip_pipeline.locations import files_below
from skip_pipeline.storage import MANIFEST, Manifest, publish, read_manifest

FIRST = {"kept.txt": "1", "sub/kept.txt": "1", "dropped.txt": "1", "sub/dropped.txt": "1"}
SECOND = {"kept.txt": "2", "sub/kept.txt": "2", "new.txt": "2", "other/new.txt": "2"}


def put(folder: Path, files: dict[str, str], *, rows: int = 0, **details: Any) -> Manifest:
    """Publish text files."""
    with publish(folder, stage="some_table", data_source="real") as staging:
        for name, text in files.items():
            staging.path(name).write_text(text)
        staging.rows = rows
        staging.details |= details
    return staging.manifest


def fail(folder: Path, error: Any) -> None:
    """Publish, but raise an error in the block."""
    with publish(folder, stage="some_table", data_source="real") as staging:
        staging.path("kept.txt").write_text("2")
        staging.path("sub/new.txt").write_text("2")
        raise error


def contents(folder: Path) -> dict[str, str]:
    """What the stage's reader finds: files by name, manifest, locks and staged ones aside."""
    files = {name: path for name, path in files_below(folder) if name not in (".lock", MANIFEST)}
    return {name: path.read_text() for name, path in files.items() if not name.startswith(".staging/")}


def listed(folder: Path) -> set[str]:
    """Files that the manifest names."""
    return {record.name for record in read_manifest(folder, made_by="some_table").files}
