"""What a stage folder holds, as its manifest says: files, shards, rows, and where the data is from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from skip_pipeline.errors import ContractError
from skip_pipeline.settings import DataSource
from skip_pipeline.storage.files import FileRecord, fingerprint, read_json

MANIFEST: Final = "_manifest.json"


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


def load_manifest(folder: Path) -> Manifest:
    """The manifest as it lies in a stage folder; ``publication.read_manifest`` is for everyone else.

    Raises:
        FileNotFoundError, ValueError, TypeError, KeyError: there is none, or it is damaged.
    """
    fields = read_json(folder / MANIFEST)
    fields["files"] = tuple(FileRecord(**record) for record in fields["files"])
    fields["shards"] = {
        name: ShardRecord(record["inputs"], tuple(record["files"]), record["summary"])
        for name, record in fields["shards"].items()
    }
    return Manifest(**fields)


def shard_names(manifest: Manifest) -> tuple[str, ...]:
    """Names of a table's shard files, sorted; lookups in underscore files and folders are left out."""
    names = (record.name for record in manifest.files)
    return tuple(sorted(n for n in names if n.endswith(".parquet") and not n.startswith("_")))
