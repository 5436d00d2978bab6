"""How a stage's files reach their folder: all of them or none.

    _files/<digest>-…         every file, written once and never changed
    _manifests/00000017.json  one per publication; the newest is the stage
    _made/00000018-real/      notes on shards that a publication under way, or cut short, has completed
    log_mini.parquet, …       on a disk: the plain names, hard links to the newest generation, for people

``docs/storage.md`` has the protocol.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from skip_pipeline.errors import BusyError, ContractError, MissingInputError, RefusedError
from skip_pipeline.locations import file_system, files_below, is_local, key_of, location
from skip_pipeline.settings import DataSource
from skip_pipeline.storage.files import read_json
from skip_pipeline.storage.manifest import (
    DAMAGE,
    MANIFEST,
    Manifest,
    newest_number,
    outdated_manifests,
    shard_names,
)
from skip_pipeline.storage.staging import MADE, Staging
from skip_pipeline.storage.stored_files import FILES, SCRATCH, link, saying_why, scratch_folder, writing

_LOCK: Final = ".lock"
# It is held while a stage is made; waiting longer would only hide the other run.
_LOCK_SECONDS: Final = 10.0


@contextmanager
def locked(folder: Path, *, patience: float | None = None) -> Iterator[None]:
    """Hold a folder of this machine against other processes, by a lock that ends with its process."""
    try:
        held = FileLock(folder / _LOCK).acquire(timeout=_LOCK_SECONDS if patience is None else patience)
    except Timeout:
        raise BusyError(
            f"another process is writing {folder}; let it finish or stop it, then run again"
        ) from None
    with held:
        yield


@contextmanager
def publish(
    folder: Path, *, stage: str, data_source: DataSource, started: float | None = None
) -> Iterator[Staging]:
    """Replace the contents of a stage folder by what the block writes, or leave it as it was.

    Its seconds count from ``started``, a ``time.perf_counter()``, or else from here.
    """
    began = time.perf_counter() if started is None else started
    with saying_why(folder), _held(folder):
        number, earlier = _begin(folder)
        # Each table names its source of data in its own metadata, so no shard is kept for another source.
        kept = earlier if earlier and earlier.data_source == data_source else None
        with scratch_folder(folder) as scratch:
            if is_local(folder):  # a file system without hard links is refused before hours of work
                link(folder / _LOCK, scratch / "link")
                (scratch / "link").unlink()
            staging = Staging(scratch, folder, folder / MADE / f"{number + 1:08}-{data_source}", kept)
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
            manifest.create(scratch)
            if is_local(folder):
                _show(manifest)
        _remove(folder, unnamed)
        # As read back, so that it equals what others read: JSON knows no tuples and no numbers as keys.
        staging.manifest = Manifest.load(folder, manifest.number)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """A folder that exists, locked if it is of this machine."""
    if is_local(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with locked(folder) if is_local(folder) else nullcontext():
        yield


def read_manifest(folder: Path, *, made_by: str) -> Manifest:
    """The newest manifest of a stage folder, which the asset ``made_by`` fills.

    Plain names that a kill left behind the manifest are brought up to it.
    """
    try:
        manifest = Manifest.load(folder, newest_number(folder))
    except FileNotFoundError:
        raise MissingInputError(
            f"{folder} holds no finished {made_by} (no {MANIFEST}); materialize {made_by} first"
        ) from None
    except DAMAGE as damage:
        raise ContractError(
            f"the newest manifest of {folder} is damaged or of another version ({damage!r}); materialize "
            f"{made_by} again"
        ) from damage
    if is_local(folder) and not _is_link(folder / MANIFEST, manifest.own_path):
        # A publication under way does it itself, and readers who may not write here need no plain names.
        with suppress(BusyError, RefusedError, OSError), locked(folder, patience=0.0):
            _show(Manifest.load(folder, newest_number(folder)))
    return manifest


def is_published(folder: Path) -> bool:
    """Whether a folder holds a published stage, and is not, for example, a copy of its plain names alone."""
    return newest_number(folder) > 0


def table_files(folder: Path | str) -> list[str]:
    """Paths or URLs of the parquet files of a table, such as ``data/02_merged``, in order of plain name.

    For readers such as pandas, polars and duckdb. They are one generation, and stay until the publication
    after the next.
    """
    manifest = read_manifest(location(str(folder)), made_by="table")
    return [str(manifest.path(name)) for name in shard_names(manifest)]


def _begin(folder: Path) -> tuple[int, Manifest | None]:
    """Clear up after a kill; number of the newest manifest, and its contents unless they cannot be read."""
    if is_local(folder):
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    with writing(folder):
        number = newest_number(folder)
    try:
        earlier = Manifest.load(folder, number)
    except (FileNotFoundError, *DAMAGE):
        return number, None
    if is_local(folder) and not _is_link(folder / MANIFEST, earlier.own_path):
        _show(earlier)
    return number, earlier


def _unnamed(manifest: Manifest, earlier: Manifest | None) -> list[Path]:
    """Files that neither of two successive generations names, all notes, and manifests long replaced.

    They are listed before the newer manifest is created. A publication that began before that moment cannot
    succeed any more, and one that begins after it uses neither these files nor these notes.
    """
    named = {file.path for generation in (manifest, earlier) if generation for file in generation.files}
    files = files_below(manifest.folder / FILES)
    notes = files_below(manifest.folder / MADE)
    unnamed = [path for name, path in files if f"{FILES}/{name}" not in named]
    return unnamed + [path for _, path in notes] + outdated_manifests(manifest.folder, manifest.number)


def _remove(folder: Path, paths: list[Path]) -> None:
    if is_local(folder):
        for path in paths:
            path.unlink(missing_ok=True)
        shutil.rmtree(folder / MADE, ignore_errors=True)
    elif paths:
        with suppress(FileNotFoundError):
            file_system(folder).rm([key_of(path) for path in paths])


def _show(manifest: Manifest) -> None:
    """Bring the plain names up to a manifest, whose own is the last; the caller holds the folder's lock."""
    folder = manifest.folder
    stale: set[str] = set()
    with suppress(FileNotFoundError, *DAMAGE):  # there is none, or it is damaged
        stale = {file["name"] for file in read_json(folder / MANIFEST)["files"]}
        stale -= {file.name for file in manifest.files}
    with scratch_folder(folder) as scratch:
        for file in manifest.files:
            _link(folder / file.name, folder / file.path, scratch / "link")
        for name in sorted(stale):
            (folder / name).unlink(missing_ok=True)
            for parent in list(Path(name).parents)[:-1]:
                with suppress(OSError):  # it is not empty, or has gone
                    (folder / parent).rmdir()
        _link(folder / MANIFEST, manifest.own_path, scratch / "link")


def _is_link(name: Path, file: Path) -> bool:
    return name.exists() and file.exists() and name.samefile(file)


def _link(name: Path, file: Path, scratch: Path) -> None:
    # A file that is missing here is made again by the next publication; until then its name stays as it is.
    if not _is_link(name, file) and file.is_file():
        name.parent.mkdir(parents=True, exist_ok=True)
        link(file, scratch)
        scratch.replace(name)
