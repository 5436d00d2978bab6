"""What a way of replacing a stage's files has to offer, and which one a folder needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from skip_pipeline.storage.files import read_json

MADE: Final = ".made"
"""Folder of notes on the shards that are complete, in a publication that is not."""


class CommitProtocol(Protocol):
    """Replaces the files of a stage folder by staged ones; the caller holds the folder's lock."""

    def begin(self, folder: Path) -> Path:
        """An empty folder to stage files in, after what an earlier publication left there was set aside."""
        ...

    def unfinished(self, folder: Path) -> Sequence[Path]:
        """Folders of what publications that were cut short had made, each with its notes (``MADE``)."""
        ...

    def move(self, source: Path, target: Path) -> None:
        """Take an unfinished file over into the staging folder."""
        ...

    def commit(self, folder: Path, staged: Path, manifest: Mapping[str, Any]) -> None:
        """Make the staged files the stage's, in one step that happens or does not.

        Args:
            manifest: JSON values of the new manifest, which names these files and those that stay.
        """
        ...

    def is_pending(self, folder: Path) -> bool:
        """Whether there is a commit whose files are not all in place yet."""
        ...

    def finish(self, folder: Path) -> None:
        """Finish a commit: files to their names, those that only the earlier manifest names away.

        Without a commit nothing is done. Every step can be repeated after a kill.
        """
        ...

    def set_aside(self, folder: Path, staged: Path) -> None:
        """Keep what a publication that has failed had made, for the next one."""
        ...

    def clean(self, folder: Path) -> None:
        """Remove what earlier publications had left behind; a later one has succeeded."""
        ...


def files_named(manifest: Path) -> set[str]:
    """Names that a manifest lists; none where there is no readable one, so that publishing again heals it."""
    try:
        return {record["name"] for record in read_json(manifest)["files"]}
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return set()
