"""Text files to publish, and what a reader then finds."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from skip_pipeline.locations import files_below
from skip_pipeline.storage import MANIFEST, Made, Manifest, ShardJob, digest_of, publish, read_manifest
from skip_pipeline.storage.manifest import manifest_path, newest_number

FIRST = {"kept.txt": "1", "sub/kept.txt": "1", "dropped.txt": "1", "sub/dropped.txt": "1"}
SECOND = {"kept.txt": "2", "sub/kept.txt": "2", "new.txt": "2", "other/new.txt": "2"}


def put(folder: Path, files: Mapping[str, str], *, rows: int = 0, **details: Any) -> Manifest:
    """Publish text files."""
    with publish(folder, stage="some_table", data_source="real") as staging:
        for name, text in files.items():
            staging.path(name).write_text(text)
        staging.rows = rows
        staging.details |= details
    return staging.manifest


def job(name: str, text: str) -> ShardJob:
    """A shard of one file that holds a text."""
    return ShardJob(name, digest_of(text), partial(_write, name, text))


def _write(name: str, text: str, *, out: Path) -> Made:
    (out / f"{name}.txt").write_text(text)
    return Made((f"{name}.txt",), {"length": len(text)})


def put_shards(folder: Path, *jobs: ShardJob, source: Any = "real", **shards: str) -> list[str]:
    """Publish a text file a shard, and a file ``own``; names of the shards that were made."""
    with publish(folder, stage="some_table", data_source=source) as staging:
        staging.make_shards([*jobs, *(job(name, text) for name, text in shards.items())])
        staging.path("own").write_text("".join(shards.values()))
    return staging.made


def generation(manifest: Manifest) -> dict[str, str]:
    """What a reader finds who holds a manifest: texts by plain name."""
    return {record.name: manifest.path(record.name).read_text() for record in manifest.files}


def contents(folder: Path) -> dict[str, str]:
    """What a reader finds who opens a stage now; nothing where nothing is published."""
    return generation(read_manifest(folder, made_by="some_table")) if newest_number(folder) else {}


def plain(folder: Path) -> dict[str, str]:
    """The files under their plain names on a disk."""
    private = ("_files/", "_manifests/", "_made/", "_scratch/", ".lock", MANIFEST)
    return {name: path.read_text() for name, path in files_below(folder) if not name.startswith(private)}


def newest_manifest(folder: Path) -> Path:
    """The file of the newest manifest."""
    return manifest_path(folder, newest_number(folder))
