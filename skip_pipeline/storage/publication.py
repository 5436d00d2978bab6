"""How a stage's files reach their folder: all of them or none.

    _files/<digest>-…         every file, written once and never changed
    _manifests/00000017.json  one per publication; the newest is the stage
    _made/00000018-real/      notes on shards that a publication under way, or cut short, has completed
    log_mini.parquet, …       on a disk: the newest generation under its plain names (``view``)

A publication stores its files, then creates the manifest with the next number. A process killed at any moment
leaves the earlier generation or the new one. A reader takes the manifest that it begins with, and the files
that this names stay until the publication after the next. A disk and an object store differ in how a file is
moved and a number taken, and in nothing else.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from skip_pipeline.errors import BusyError, ContractError, MissingInputError
from skip_pipeline.locations import file_system, files_below, is_local, key_of, location, make_folder
from skip_pipeline.settings import DataSource
from skip_pipeline.storage.full_disk import saying_when_full
from skip_pipeline.storage.lock import locked
from skip_pipeline.storage.manifest import (
    MANIFEST,
    Manifest,
    create_manifest,
    load_manifest,
    newest_number,
    shard_names,
)
from skip_pipeline.storage.staging import MADE, Staging
from skip_pipeline.storage.stored_files import FILES, SCRATCH, scratch_folder, writing
from skip_pipeline.storage.view import is_shown, show


@contextmanager
def publish(
    folder: Path, *, stage: str, data_source: DataSource, started: float | None = None
) -> Iterator[Staging]:
    """Replace the contents of a stage folder by what the block writes, or leave it as it was.

    Args:
        started: ``time.perf_counter()`` at which the stage began; else its seconds count from here.

    Raises:
        BusyError: another process of this machine is publishing to the same folder.
        RefusedError: another process has published to the same folder of an object store meanwhile; or
            nothing can be written there.
        FullDiskError: there is no space for what the block writes.
    """
    make_folder(folder)
    began = time.perf_counter() if started is None else started
    with locked(folder) if is_local(folder) else nullcontext():
        number, earlier = _begin(folder)
        kept = earlier if earlier and earlier.data_source == data_source else None
        with saying_when_full(folder), scratch_folder(folder) as scratch:
            # Each table names its source of data in its own metadata, so no shard is kept for another source.
            notes = folder / MADE / f"{number + 1:08}-{data_source}"
            staging = Staging(scratch, folder, notes, kept)
            yield staging
            manifest = Manifest(
                stage=stage,
                data_source=data_source,
                rows=staging.rows,
                seconds=round(time.perf_counter() - began, 3),
                files=staging.store(),
                details=staging.details,
                shards=staging.shards,
                folder=folder,
                number=number + 1,
            )
            unnamed = _unnamed(manifest, earlier)
            create_manifest(manifest)
            if is_local(folder):
                show(manifest)
        _remove(folder, unnamed)
        # As read back, so that it equals what others read: JSON knows no tuples and no numbers as keys.
        staging._manifest = Manifest.from_text(manifest.to_text(), folder, manifest.number)


def read_manifest(folder: Path, *, made_by: str) -> Manifest:
    """The newest manifest of a stage folder; plain names that a kill left behind it are brought up to it.

    Args:
        made_by: name of the asset that fills the folder, for the error message.

    Raises:
        MissingInputError: the folder holds no published stage.
        ContractError: its manifest cannot be read.
    """
    try:
        manifest = load_manifest(folder, newest_number(folder))
    except FileNotFoundError:
        raise MissingInputError(
            f"{folder} holds no finished {made_by} (no {MANIFEST}); materialize {made_by} first"
        ) from None
    except (ValueError, TypeError, KeyError) as damage:
        raise ContractError(
            f"the newest manifest of {folder} is damaged or of another version ({damage!r}); materialize "
            f"{made_by} again"
        ) from damage
    if is_local(folder) and not is_shown(manifest):
        # A publication under way does it itself, and readers who may not write here need no plain names.
        with suppress(BusyError, OSError), locked(folder, patience=0.0):
            show(load_manifest(folder, newest_number(folder)))
    return manifest


def is_published(folder: Path) -> bool:
    """Whether a folder holds a published stage, and is not, for example, a copy of its plain names alone."""
    return newest_number(folder) > 0


def table_files(folder: Path | str) -> list[str]:
    """Paths or URLs of a published table's parquet files, one generation of them, in order of plain name.

    For readers such as pandas, polars and duckdb. The files stay until the publication after the next.

    Args:
        folder: a stage folder such as ``data/02_merged``, or its URL.

    Raises:
        MissingInputError, ContractError: see ``read_manifest``.
    """
    place = location(folder) if isinstance(folder, str) else folder
    manifest = read_manifest(place, made_by="table")
    return [str(manifest.path(name)) for name in shard_names(manifest)]


def _begin(folder: Path) -> tuple[int, Manifest | None]:
    """Clear up after a kill; number of the newest manifest, and its contents unless they cannot be read."""
    if is_local(folder):
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    with writing(folder):
        number = newest_number(folder)
    try:
        earlier = load_manifest(folder, number)
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return number, None
    if is_local(folder) and not is_shown(earlier):
        show(earlier)
    return number, earlier


def _unnamed(manifest: Manifest, earlier: Manifest | None) -> list[Path]:
    """Files that neither of two successive generations names, and all notes.

    They are listed before the newer manifest is created. A publication that began before that moment cannot
    succeed any more, and one that begins after it uses neither these files nor these notes.
    """
    named = {file.path for generation in (manifest, earlier) if generation for file in generation.files}
    files = files_below(manifest.folder / FILES)
    notes = files_below(manifest.folder / MADE)
    return [path for name, path in files if f"{FILES}/{name}" not in named] + [path for _, path in notes]


def _remove(folder: Path, paths: list[Path]) -> None:
    if is_local(folder):
        for path in paths:
            path.unlink(missing_ok=True)
        shutil.rmtree(folder / MADE, ignore_errors=True)
    elif paths:
        with suppress(FileNotFoundError):
            file_system(folder).rm([key_of(path) for path in paths])
