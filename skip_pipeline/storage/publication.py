"""How a stage's files reach their folder: all of them or none, with a manifest that says what they are.

A stage writes into a hidden staging folder beside its results, and commits it in one step when it is done:
on this machine as in ``local_commit``, in an object store as in ``object_commit``. A process killed at any
moment leaves the earlier results, or the new ones that whoever comes next moves into place, never a mixture
and never half a file. What was made of a shard whose input and code are the same as before is kept where it
is. Nothing here knows what the files mean.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.locations import is_local, make_folder
from skip_pipeline.settings import DataSource
from skip_pipeline.storage import local_commit, object_commit
from skip_pipeline.storage.commit_protocol import CommitProtocol
from skip_pipeline.storage.full_disk import saying_when_full
from skip_pipeline.storage.lock import locked
from skip_pipeline.storage.manifest import MANIFEST, Manifest, load_manifest
from skip_pipeline.storage.staging import Staging


@contextmanager
def publish(
    folder: Path, *, stage: str, data_source: DataSource, started: float | None = None
) -> Iterator[Staging]:
    """Replace the contents of a stage folder by what the block writes, or leave it as it was.

    Args:
        started: ``time.perf_counter()`` at which the stage began; else its seconds count from here.

    Raises:
        BusyError: another process is publishing to the same folder.
        FullDiskError: there is no space for what the block writes.
    """
    make_folder(folder)
    began = time.perf_counter() if started is None else started
    protocol = _protocol(folder)
    with locked(folder) as still_locked:
        protocol.finish(folder)
        staged = protocol.begin(folder)
        staging = Staging(
            staged,
            data_source,
            published=folder,
            earlier=_earlier_manifest(folder, data_source),
            unfinished=protocol.unfinished(folder),
            move=protocol.move,
        )
        try:
            with saying_when_full(folder):
                yield staging
            manifest = Manifest(
                stage=stage,
                data_source=data_source,
                rows=staging.rows,
                seconds=round(time.perf_counter() - began, 3),
                files=staging.records(),
                details=staging.details,
                shards=staging.shards,
            )
            still_locked()
            with saying_when_full(folder):
                protocol.commit(folder, staged, asdict(manifest))
        except BaseException:
            protocol.set_aside(folder, staged)
            raise
        protocol.finish(folder)
        protocol.clean(folder)
        # Read back, so that it equals what others read: JSON knows no tuples and no numbers as keys.
        staging._manifest = load_manifest(folder)


def read_manifest(folder: Path, *, made_by: str) -> Manifest:
    """Manifest of a stage folder, after finishing a publication that a kill cut short.

    Args:
        made_by: name of the asset that fills the folder, for the error message.

    Raises:
        MissingInputError: the folder holds no published stage.
        ContractError: its manifest cannot be read.
    """
    finish_publication(folder)
    try:
        return load_manifest(folder)
    except FileNotFoundError:
        raise MissingInputError(
            f"{folder} holds no finished {made_by} (no {MANIFEST}); materialize {made_by} first"
        ) from None
    except (ValueError, TypeError, KeyError) as damage:
        raise ContractError(
            f"{folder / MANIFEST} is damaged or of another version ({damage!r}); materialize {made_by} again"
        ) from damage


def finish_publication(folder: Path) -> None:
    """Move in what a killed publication had committed; without one, do nothing.

    ``read_manifest`` does it too; this is for readers who go straight to the files.

    Raises:
        BusyError: another process is at it, or has died at it and left its lock in an object store.
    """
    protocol = _protocol(folder)
    if protocol.is_pending(folder):
        with locked(folder):
            protocol.finish(folder)


def _protocol(folder: Path) -> CommitProtocol:
    return local_commit if is_local(folder) else object_commit


def _earlier_manifest(folder: Path, data_source: DataSource) -> Manifest | None:
    """What the folder holds; None where that is nothing, unreadable, or of another source of data."""
    try:
        manifest = load_manifest(folder)
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
    # A table says in its own metadata where it comes from, so it cannot be kept for the other.
    return manifest if manifest.data_source == data_source else None
