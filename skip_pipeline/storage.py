"""How a stage's files reach their folder: all of them or none, with a manifest that says what they are.

A stage writes into a hidden staging folder beside its results. When it is done, that folder is renamed
to ``.commit`` in one step; from then on its files belong to the stage, and moving them into place can
be finished by whoever comes next. So a process killed at any moment leaves the earlier results, or the
new ones, never a mixture and never half a file. What was made of a shard whose input and code are the same as
before is kept where it is. Nothing here knows what the files mean.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from skip_pipeline.errors import BusyError, ContractError, MissingInputError, SkipPipelineError
from skip_pipeline.settings import DataSource

MANIFEST: Final = "_manifest.json"
_COMMIT: Final = ".commit"
_STAGING: Final = ".staging"
_UNFINISHED: Final = ".unfinished"
_MADE: Final = ".made"  # notes of the shards that are complete, in a publication that is not
_LOCK: Final = ".lock"
_LOCK_SECONDS: Final = (
    10.0  # the lock is held while a stage is made, so waiting longer would only hide the other run
)


@dataclass(frozen=True)
class FileRecord:
    """One file of a stage: path relative to the stage folder, size in bytes, SHA-256 in hex."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Made:
    """What was made of a shard: names of its files below the stage's folder, and JSON values that merge."""

    files: tuple[str, ...]
    summary: Mapping[str, Any]


@dataclass(frozen=True)
class ShardRecord:
    """What a stage made of one shard.

    Attributes:
        inputs: digest of everything that decided the result: input files, code, settings (``digest_of``).
        files: names of the files that are its result.
        summary: JSON values that merge with those of other shards.
    """

    inputs: str
    files: tuple[str, ...]
    summary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DatasetFacts:
    """What identifies a set of files to others: name, fingerprint (SHA-256 in hex), rows and bytes."""

    name: str
    digest: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """What a stage folder holds. ``fingerprint`` depends on file names and contents alone."""

    stage: str
    data_source: DataSource
    rows: int
    seconds: float
    files: tuple[FileRecord, ...]
    details: Mapping[str, Any] = field(default_factory=dict)
    shards: Mapping[str, ShardRecord] = field(default_factory=dict)

    def record(self, name: str) -> FileRecord:
        """The file of a name.

        Raises:
            ContractError: the stage has no such file.
        """
        for record in self.files:
            if record.name == name:
                return record
        raise ContractError(f"{self.stage} holds no {name}; materialize {self.stage} again")

    @property
    def bytes(self) -> int:
        """Size of all files together."""
        return sum(record.bytes for record in self.files)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the sorted names and hashes of the files."""
        return fingerprint(self.files)

    @property
    def facts(self) -> DatasetFacts:
        """Name, digest and size, for whoever records what was read."""
        return DatasetFacts(name=self.stage, digest=self.fingerprint, rows=self.rows, bytes=self.bytes)


def fingerprint(files: tuple[FileRecord, ...]) -> str:
    """SHA-256 over sorted ``name`` and ``sha256`` pairs: equal for equal contents, whatever the times."""
    digest = hashlib.sha256()
    for record in sorted(files, key=lambda r: r.name):
        digest.update(f"{record.name}\0{record.sha256}\n".encode())
    return digest.hexdigest()


def digest_of(*parts: str) -> str:
    """SHA-256 over texts, in hex: the ``inputs`` of a shard from the digests of what it is made from."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part}\n".encode())
    return digest.hexdigest()


def record_file(path: Path, name: str) -> FileRecord:
    """Size and SHA-256 of one file, read in a stream.

    Raises:
        MissingInputError: the file is not there, perhaps any more.
    """
    try:
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256")
        return FileRecord(name=name, bytes=path.stat().st_size, sha256=digest.hexdigest())
    except FileNotFoundError:
        raise MissingInputError(
            f"{path} has gone while it was being read; put it back and run again"
        ) from None


def record_files(paths: Iterable[Path]) -> tuple[FileRecord, ...]:
    """Size and SHA-256 of several files, each by its own name.

    Raises:
        MissingInputError: see ``record_file``.
    """
    return tuple(record_file(path, path.name) for path in paths)


@dataclass(frozen=True)
class ShardJob:
    """A shard to be made.

    Attributes:
        name: of the shard.
        inputs: digest of everything that decides the result.
        make: writes the shard's files below the staging folder; run again, it writes the same.
    """

    name: str
    inputs: str
    make: Callable[[], Made]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Built:
    """A shard that was made, with the size and digest of each of its files."""

    files: tuple[FileRecord, ...]
    summary: Mapping[str, Any]


Outcome = Built | SkipPipelineError
Apply = Callable[[Callable[[ShardJob], Outcome], Sequence[ShardJob]], Iterable[Outcome]]
"""Applies a function to every shard, in their order; ``engine.Engine.map`` with its label is one."""


def _build(folder: Path, job: ShardJob) -> Outcome:
    """Do one job, wherever this runs; a refusal comes back as a value, so that other shards go on."""
    try:
        made = job.make()
    except SkipPipelineError as refusal:
        return refusal
    return Built(tuple(record_file(folder / name, name) for name in made.files), made.summary)


class Staging:
    """The unpublished files of one stage: write below ``folder``, fill in ``rows`` and ``details``.

    What ``make_shards`` finds unchanged, in the published stage or in one that a failure or a kill cut short,
    is not made again.

    Attributes:
        rows, details: for the manifest.
        shards: what was made of each, now or before.
        kept: files that stay as they are.
        made: names of the shards made now.
    """

    def __init__(self, folder: Path, data_source: DataSource, earlier: Manifest | None = None) -> None:
        self.folder = folder
        self.rows = 0
        self.details: dict[str, Any] = {}
        self.shards: dict[str, ShardRecord] = {}
        self.kept: dict[str, FileRecord] = {}
        self.made: list[str] = []
        self._data_source = data_source
        self._earlier = earlier
        self._recorded: dict[str, FileRecord] = {}
        self._manifest: Manifest | None = None

    def make_shards(self, jobs: Sequence[ShardJob], apply: Apply = map) -> dict[str, Mapping[str, Any]]:
        """Summaries of all shards by name; those whose inputs are unchanged are kept, the others made.

        A shard that fails does not keep the others from being made, so that mending it costs that shard
        alone.

        Args:
            jobs: one for each shard.
            apply: like the built-in ``map``; may run the jobs elsewhere, where this folder can be seen.

        Raises:
            SkipPipelineError: the first failure, after all shards have been tried.
        """
        new = [job for job in jobs if not (self._unchanged(job) or self._resumed(job))]
        failures: dict[str, SkipPipelineError] = {}
        for job, outcome in zip(new, apply(partial(_build, self.folder), new), strict=True):
            if isinstance(outcome, SkipPipelineError):
                failures[job.name] = outcome
            else:
                self._note(job, outcome)
                self.made.append(job.name)
        if failures:
            first, *others = failures.values()
            if not others:
                raise first
            raise type(first)(f"{first}. {len(others)} more failed: {', '.join(list(failures)[1:6])}")
        return {job.name: self.shards[job.name].summary for job in jobs}

    def find(self, name: str) -> Path:
        """Where the file ``name`` is now: among the published ones if it is kept, else staged."""
        return (self.folder.parent if name in self.kept else self.folder) / name

    def _unchanged(self, job: ShardJob) -> bool:
        """Keep what the published stage has of a shard, if it was made from the same inputs."""
        earlier = self._earlier.shards.get(job.name) if self._earlier else None
        if self._earlier is None or earlier is None or earlier.inputs != job.inputs:
            return False
        records = {record.name: record for record in self._earlier.files if record.name in earlier.files}
        if len(records) != len(earlier.files) or not all(map(self._is_in_place, records.values())):
            return False
        self.kept |= records
        self.shards[job.name] = earlier
        return True

    def _is_in_place(self, record: FileRecord) -> bool:
        path = self.folder.parent / record.name
        return path.is_file() and path.stat().st_size == record.bytes

    def _resumed(self, job: ShardJob) -> bool:
        """Take over what a publication that was cut short had made of a shard from the same inputs."""
        unfinished = self.folder.parent / _UNFINISHED
        try:
            note = read_json(unfinished / _MADE / f"{job.name}.json")
            records = tuple(FileRecord(**record) for record in note["files"])
            same = (note["inputs"], note["data_source"]) == (job.inputs, self._data_source)
            # What was written before a power cut may have its size and not its contents.
            if not same or any(record_file(unfinished / r.name, r.name) != r for r in records):
                return False
            summary = note["summary"]
        except (OSError, ValueError, TypeError, KeyError, MissingInputError):
            return False
        for record in records:
            (unfinished / record.name).replace(self.path(record.name))
        self._note(job, Built(records, summary))
        return True

    def _note(self, job: ShardJob, built: Built) -> None:
        """Remember a shard, here and for a run that comes after a failure."""
        names = tuple(record.name for record in built.files)
        self.shards[job.name] = ShardRecord(job.inputs, names, built.summary)
        self._recorded |= {record.name: record for record in built.files}
        note = asdict(built) | {"inputs": job.inputs, "data_source": self._data_source}
        write_json(self.path(f"{_MADE}/{job.name}.json"), note)

    def _records(self) -> tuple[FileRecord, ...]:
        """Files of the publication, sorted by name: those that are staged, and those that stay."""
        staged = {
            name: self._recorded.get(name) or record_file(path, name)
            for name, path in _files_below(self.folder)
        }
        return tuple(record for _, record in sorted((self.kept | staged).items()))

    def path(self, name: str) -> Path:
        """Where to write the file ``name`` (``/`` for sub-folders); its parent folder exists on return."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def manifest(self) -> Manifest:
        """The manifest as published; only after the ``publish`` block has ended without an error."""
        if self._manifest is None:
            raise ContractError(f"{self.folder.parent} is not published yet; leave the publish block first")
        return self._manifest


@contextmanager
def publish(
    folder: Path, *, stage: str, data_source: DataSource, started: float | None = None
) -> Iterator[Staging]:
    """Replace the contents of a stage folder by what the block writes, or leave it as it was.

    Args:
        started: ``time.perf_counter()`` at which the stage began; else its seconds count from here.

    Raises:
        BusyError: another process is publishing to the same folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter() if started is None else started
    with locked(folder):
        _roll_forward(folder)
        _set_aside(folder)
        staged = folder / _STAGING
        staged.mkdir()
        staging = Staging(staged, data_source, _earlier_manifest(folder, data_source))
        try:
            yield staging
            if staging.shards:
                shutil.rmtree(staged / _MADE, ignore_errors=True)
            manifest = Manifest(
                stage=stage,
                data_source=data_source,
                rows=staging.rows,
                seconds=round(time.perf_counter() - began, 3),
                files=staging._records(),
                details=staging.details,
                shards=staging.shards,
            )
            write_json(staged / MANIFEST, asdict(manifest))
            for _, path in _files_below(staged):
                flush(path)
            staged.rename(folder / _COMMIT)
        except BaseException:
            _set_aside(folder)
            raise
        _roll_forward(folder)
        if (folder / _UNFINISHED).is_dir():
            shutil.rmtree(folder / _UNFINISHED)
        # Read back, so that it equals what others read: JSON knows no tuples and no numbers as keys.
        staging._manifest = _load_manifest(folder)


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
        return _load_manifest(folder)
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
    """
    if (folder / _COMMIT).is_dir():
        with locked(folder):
            _roll_forward(folder)


def _load_manifest(folder: Path) -> Manifest:
    fields = read_json(folder / MANIFEST)
    fields["files"] = tuple(FileRecord(**record) for record in fields["files"])
    fields["shards"] = {
        name: ShardRecord(record["inputs"], tuple(record["files"]), record["summary"])
        for name, record in fields["shards"].items()
    }
    return Manifest(**fields)


def _earlier_manifest(folder: Path, data_source: DataSource) -> Manifest | None:
    """What the folder holds; None where that is nothing, unreadable, or of another source of data."""
    try:
        manifest = _load_manifest(folder)
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
    # A table says in its own metadata where it comes from, so it cannot be kept for the other.
    return manifest if manifest.data_source == data_source else None


def shard_names(manifest: Manifest) -> tuple[str, ...]:
    """Names of a table's shard files, sorted; lookups in underscore files and folders are left out."""
    names = (record.name for record in manifest.files)
    return tuple(sorted(n for n in names if n.endswith(".parquet") and not n.startswith("_")))


def write_table(table: pa.Table, path: Path, contract: pa.Schema, *, data_source: DataSource) -> None:
    """Write a table as parquet, refusing any other columns, order or dtypes than ``contract``.

    The file's schema metadata carries ``data_source``, so a table that leaves its folder still says
    whether it is synthetic.

    Raises:
        ContractError: columns, their order or dtypes differ, or a value is null.
    """
    check_schema(table.schema, contract, what=path.name)
    nulls = [name for name in table.column_names if table[name].null_count]
    if nulls:
        raise ContractError(f"{path.name} would hold nulls in {nulls}; no column of this table may")
    metadata = {"data_source": data_source}
    # Floats hardly repeat: a dictionary of them costs more than half of the time and saves a fifth of the
    # bytes. Nothing here searches by value, so statistics are left out as well.
    floats = [field.name for field in contract if pa.types.is_floating(field.type)]
    pq.write_table(
        table.replace_schema_metadata(metadata),
        path,
        use_dictionary=[name for name in contract.names if name not in floats],
        compression={name: "none" if name in floats else "snappy" for name in contract.names},
        write_statistics=False,
    )


def read_table(path: Path, contract: pa.Schema, columns: list[str] | None = None) -> pa.Table:
    """Read one parquet file, memory-mapped: all columns of its contract, or those named.

    Raises:
        MissingInputError: the file is not there.
        ContractError: it is not a parquet file, or its columns, order or dtypes differ.
    """
    check_schema(read_columns(path)[0], contract, what=str(path))
    with _reading(path):
        return pq.read_table(path, columns=columns, memory_map=True, partitioning=None)


def read_columns(path: Path) -> tuple[pa.Schema, int]:
    """Columns and number of rows of one parquet file, from its footer.

    Raises:
        MissingInputError: the file is not there.
        ContractError: it is not a parquet file.
    """
    with _reading(path):
        footer = pq.read_metadata(path)
        return footer.schema.to_arrow_schema(), footer.num_rows


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise MissingInputError(
            f"{path} is missing; materialize the asset that fills its folder again"
        ) from None
    except (pa.ArrowInvalid, OSError) as refusal:
        raise ContractError(
            f"{path} is not a readable parquet file ({refusal}); materialize the asset again"
        ) from refusal


def check_schema(found: pa.Schema, contract: pa.Schema, *, what: str) -> None:
    """Compare names, order and dtypes of two schemas.

    Raises:
        ContractError: naming missing, extra, repeated, reordered and mistyped columns.
    """
    if difference := schema_difference(found, contract):
        raise ContractError(f"{what} has {len(found)} columns, expected {len(contract)}: {difference}")


def schema_difference(found: pa.Schema, contract: pa.Schema) -> str:
    """Words for how two schemas differ; the empty string when they do not, metadata and nullability aside."""
    parts = []
    if missing := [n for n in contract.names if n not in found.names]:
        parts.append(f"missing {missing}")
    if extra := [n for n in found.names if n not in contract.names]:
        parts.append(f"extra {extra}")
    if twice := [n for n in contract.names if found.names.count(n) > 1]:
        parts.append(f"more than once {twice}")
    mistyped = [
        f"{f.name} is {found.field(f.name).type}, not {f.type}"
        for f in contract
        if found.names.count(f.name) == 1 and not found.field(f.name).type.equals(f.type)
    ]
    if mistyped:
        parts.append(", ".join(mistyped))
    if not parts and found.names != contract.names:
        parts.append("same columns in another order")
    return "; ".join(parts)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a mapping as sorted, indented JSON; NaN is refused because no JSON reader has to take it."""
    text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object written by ``write_json``."""
    return cast(dict[str, Any], json.loads(path.read_text(encoding="utf-8")))


# --- Commit protocol ----------------------------------------------------------------------------------


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder against every other process that publishes into it.

    Raises:
        BusyError: another process holds it.
    """
    try:
        with FileLock(folder / _LOCK, timeout=_LOCK_SECONDS):
            yield
    except Timeout:
        raise BusyError(
            f"another process is writing {folder}; let it finish or stop it, then run again"
        ) from None


def _roll_forward(folder: Path) -> None:
    """Finish a commit: move its files in, drop files that only the earlier manifest names.

    Every step can be repeated, and the new manifest moves last, so a second kill in here is harmless.
    """
    commit = folder / _COMMIT
    if not commit.is_dir():
        return
    new = commit / MANIFEST
    if new.is_file():
        old = folder / MANIFEST
        stale = _files_named(old) - _files_named(new)
        for name, path in _files_below(commit):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if name != MANIFEST:
                path.replace(target)
        for name in stale:
            (folder / name).unlink(missing_ok=True)
        new.replace(old)
    shutil.rmtree(commit)


def _files_named(manifest: Path) -> set[str]:
    """Names that a manifest lists; none where there is no readable one, so that publishing again heals it."""
    try:
        return {record["name"] for record in read_json(manifest)["files"]}
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return set()


def _set_aside(folder: Path) -> None:
    """Keep the shards that a publication had made before it failed or was killed, for the next one."""
    staged, unfinished = folder / _STAGING, folder / _UNFINISHED
    if (staged / _MADE).is_dir():
        for path in (path for path in staged.rglob("*") if path.is_file()):
            target = unfinished / path.relative_to(staged)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    shutil.rmtree(staged, ignore_errors=True)


def _files_below(folder: Path) -> list[tuple[str, Path]]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(path.relative_to(folder).as_posix(), path) for path in paths]


def flush(path: Path) -> None:
    """Have the disk hold what was written to a file."""
    with path.open("rb") as handle:
        os.fsync(handle.fileno())
