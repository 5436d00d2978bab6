"""Text files to publish, and what a reader then finds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from skip_pipeline.locations import files_below
from skip_pipeline.storage import MANIFEST, Made, Manifest, ShardJob, digest_of, publish, read_manifest
from skip_pipeline.storage.manifest import manifest_path, newest_number

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


def job(name: str, text: str, inputs: str | None = None) -> ShardJob:
    """A shard of one file that holds a text."""
    return ShardJob(name, digest_of(text if inputs is None else inputs), partial(_write, name, text))


def _write(name: str, text: str, *, out: Path) -> Made:
    (out / f"{name}.txt").write_text(text)
    return Made((f"{name}.txt",), {"length": len(text)})


def put_shards(folder: Path, shards: Mapping[str, str], **files: str) -> list[str]:
    """Publish a text file a shard, and other files; names of the shards that were made."""
    with publish(folder, stage="some_table", data_source="real") as staging:
        staging.make_shards([job(name, text) for name, text in shards.items()])
        for name, text in files.items():
            staging.path(name).write_text(text)
    return staging.made


def generation(manifest: Manifest) -> dict[str, str]:
    """What a reader finds who holds a manifest: texts by plain name."""
    return {record.name: manifest.path(record.name).read_text() for record in manifest.files}


def contents(folder: Path) -> dict[str, str]:
    """What a reader finds who opens a stage now; nothing where nothing is published."""
    if not any(name.startswith("_manifests/") for name, _ in files_below(folder)):
        return {}
    return generation(read_manifest(folder, made_by="some_table"))


def plain(folder: Path) -> dict[str, str]:
    """The files under their plain names on a disk."""
    private = {"_files", "_manifests", "_made", "_scratch"}
    return {
        name: path.read_text()
        for name, path in files_below(folder)
        if name.split("/")[0] not in private and name not in (".lock", MANIFEST)
    }


def published(folder: Path) -> dict[str, bytes]:
    """Every file of a stage, by plain name."""
    manifest = read_manifest(folder, made_by="a stage")
    return {record.name: manifest.path(record.name).read_bytes() for record in manifest.files}


def newest_manifest(folder: Path) -> Path:
    """The file of the newest manifest."""
    return manifest_path(folder, newest_number(folder))


def listed(folder: Path) -> set[str]:
    """Plain names in the newest manifest."""
    return {record.name for record in read_manifest(folder, made_by="some_table").files}
