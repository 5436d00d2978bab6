"""What a stage holds: one numbered manifest per publication, the newest of which is the stage.

A manifest is created under a number that no other has, in one step that happens or does not: a hard link on
a disk, a conditional write (``If-None-Match: *``) in an object store. Of two publications that began with the
same manifest, one gets the next number. Manifests are never deleted, so that a number stays taken.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from skip_pipeline.errors import ContractError, RefusedError
from skip_pipeline.locations import file_system, files_below, is_local, key_of
from skip_pipeline.settings import DataSource
from skip_pipeline.storage.files import fingerprint, flush, json_text
from skip_pipeline.storage.stored_files import FILES, StoredFile, scratch_folder, writing

MANIFEST: Final = "_manifest.json"
"""Plain name of the newest manifest on a disk."""

_MANIFESTS: Final = "_manifests"


@dataclass(frozen=True)
class ShardRecord:
    """What a stage made of one shard.

    Attributes:
        inputs: digest of everything that decides the result: input files, code, settings (``digest_of``).
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
    """One generation of a stage. ``fingerprint`` depends on file names and contents alone.

    Attributes:
        seconds: that making it took.
        details: JSON values of the stage's own.
        folder: of the stage.
        number: of the publication, from 1.
    """

    stage: str
    data_source: DataSource
    rows: int
    seconds: float
    files: tuple[StoredFile, ...]
    details: Mapping[str, Any] = field(default_factory=dict)
    shards: Mapping[str, ShardRecord] = field(default_factory=dict)
    folder: Path = Path()
    number: int = 0

    def record(self, name: str) -> StoredFile:
        """The file of a name.

        Raises:
            ContractError: the stage has no such file.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise ContractError(f"{self.stage} holds no {name}; materialize {self.stage} again") from None

    @cached_property
    def _by_name(self) -> dict[str, StoredFile]:
        return {record.name: record for record in self.files}

    def path(self, name: str) -> Path:
        """Where the file of a name is: the one of this generation, whatever is published later.

        Raises:
            ContractError: the stage has no such file.
        """
        return self.folder / self.record(name).path

    def only(self, *names: str) -> Manifest:
        """The manifest with these files alone, small enough to send to a worker for each shard.

        Raises:
            ContractError: the stage has no such file.
        """
        return replace(self, files=tuple(map(self.record, names)), details={}, shards={})

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
        """Name, digest and size, for the record of a run that reads the stage."""
        return DatasetFacts(name=self.stage, digest=self.fingerprint, rows=self.rows, bytes=self.bytes)

    def to_text(self) -> str:
        """The manifest as JSON, without its own place."""
        content = asdict(replace(self, folder=Path()))
        return json_text({name: content[name] for name in content if name not in ("folder", "number")})

    @classmethod
    def from_text(cls, text: str, folder: Path, number: int) -> Manifest:
        """Inverse of ``to_text``.

        Raises:
            ValueError, TypeError, KeyError: the text is no manifest.
        """
        content = json.loads(text)
        content["files"] = tuple(StoredFile(**record) for record in content["files"])
        content["shards"] = {
            name: ShardRecord(shard["inputs"], tuple(shard["files"]), shard["summary"])
            for name, shard in content["shards"].items()
        }
        return cls(**content, folder=folder, number=number)


def shard_names(manifest: Manifest) -> tuple[str, ...]:
    """Names of a table's shard files, sorted; lookups in underscore files and folders are left out."""
    names = (record.name for record in manifest.files)
    return tuple(sorted(n for n in names if n.endswith(".parquet") and not n.startswith("_")))


def manifest_path(folder: Path, number: int) -> Path:
    """Where the manifest of a number is."""
    return folder / _MANIFESTS / f"{number:08}.json"


def newest_number(folder: Path) -> int:
    """Number of the newest manifest; 0 where there is none.

    Raises:
        FileNotFoundError: the bucket does not exist.
    """
    return max((int(Path(name).stem) for name, _ in files_below(folder / _MANIFESTS)), default=0)


def load_manifest(folder: Path, number: int) -> Manifest:
    """The manifest of a number.

    Raises:
        FileNotFoundError: there is none.
        ValueError, TypeError, KeyError: it is damaged.
    """
    return Manifest.from_text(manifest_path(folder, number).read_text(encoding="utf-8"), folder, number)


def create_manifest(manifest: Manifest) -> None:
    """Make a manifest the newest of its folder, in one step that happens or does not.

    Raises:
        RefusedError: another publication has taken its number.
    """
    path = manifest_path(manifest.folder, manifest.number)
    content = manifest.to_text().encode()
    if is_local(path):
        _link(manifest.folder, path, content)
    else:
        _put(path, content)


def _link(folder: Path, path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    with scratch_folder(folder) as scratch:
        part = scratch / path.name
        part.write_bytes(content)
        flush(part)
        if (folder / FILES).is_dir():
            flush(folder / FILES)
        try:
            os.link(part, path)
        except FileExistsError:
            raise _taken(path) from None
    flush(path.parent)


def _put(path: Path, content: bytes) -> None:
    try:
        with writing(path):
            file_system(path).pipe_file(key_of(path), content, mode="create")
    except OSError:  # stores do not agree on the error for a number that is taken
        if not path.is_file():
            raise
    # A request that is repeated because its answer was lost is refused because of itself; and not every store
    # refuses. What is there now decides.
    if path.read_bytes() != content:
        raise _taken(path)


def _taken(path: Path) -> RefusedError:
    return RefusedError(
        f"another process has published {path.parent.parent} since this one began (it created {path.name}), "
        "so nothing of this run was published there; expected one run at a time. Let the other end, and run "
        "again"
    )
