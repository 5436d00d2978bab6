"""What a stage holds: one numbered manifest per publication, the newest of which is the stage.

Of two publications that began with the same manifest, one gets the next number. The newest ``KEPT`` manifests
stay, so that this number is still taken when the other one tries to get it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from skip_pipeline.errors import ContractError, RefusedError
from skip_pipeline.locations import file_system, files_below, is_local, key_of
from skip_pipeline.settings import DataSource
from skip_pipeline.storage.files import flush, json_text, read_json
from skip_pipeline.storage.identity import fingerprint
from skip_pipeline.storage.stored_files import FILES, StoredFile, link, writing

MANIFEST: Final = "_manifest.json"  # plain name of the newest manifest on a disk
_MANIFESTS: Final = "_manifests"
KEPT: Final = 100  # no publication lasts while a hundred others of its stage begin and end
DAMAGE: Final = (ValueError, TypeError, KeyError)  # what reading JSON of another shape raises


@dataclass(frozen=True)
class ShardRecord:
    """What a stage made of one shard."""

    inputs: str  # ``ShardJob.inputs``
    files: tuple[str, ...]  # names of the files that are its result
    summary: Mapping[str, Any]  # ``Made.summary``


@dataclass(frozen=True)
class Manifest:
    """One generation of a stage. ``fingerprint`` depends on file names and contents alone."""

    stage: str
    data_source: DataSource
    rows: int
    seconds: float  # that making it took
    files: tuple[StoredFile, ...]
    details: Mapping[str, Any] = field(default_factory=dict)  # JSON values of the stage's own
    shards: Mapping[str, ShardRecord] = field(default_factory=dict)
    folder: Path = Path()  # of the stage
    number: int = 0  # of the publication, from 1

    def record(self, name: str) -> StoredFile:
        """The file of a plain name."""
        try:
            return self._by_name[name]
        except KeyError:
            raise ContractError(f"{self.stage} holds no {name}; materialize {self.stage} again") from None

    @cached_property
    def _by_name(self) -> dict[str, StoredFile]:
        return {record.name: record for record in self.files}

    def path(self, name: str) -> Path:
        """Where the file of a plain name is: the one of this generation, whatever is published later."""
        return self.folder / self.record(name).path

    def only(self, *names: str) -> Manifest:
        """The manifest with these files alone, small enough to send to a worker for each shard."""
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
    def own_path(self) -> Path:
        """Where the manifest itself is."""
        return manifest_path(self.folder, self.number)

    @classmethod
    def load(cls, folder: Path, number: int) -> Manifest:
        """The manifest of a number; raises FileNotFoundError, or where it is damaged one of ``DAMAGE``."""
        content = read_json(manifest_path(folder, number))
        content["files"] = tuple(StoredFile(**record) for record in content["files"])
        for file in content["files"]:
            file.check()  # a shared storage may be written by others
        content["shards"] = {
            name: ShardRecord(shard["inputs"], tuple(shard["files"]), shard["summary"])
            for name, shard in content["shards"].items()
        }
        return cls(**content, folder=folder, number=number)

    def create(self, scratch: Path) -> None:
        """Make this manifest the newest of its folder, in one step that happens or does not.

        The step is a hard link on a disk, from a file made in the folder ``scratch``, and a conditional
        write (``If-None-Match: *``) in an object store.
        """
        fields = asdict(replace(self, folder=Path()))
        del fields["folder"], fields["number"]
        content, path = json_text(fields).encode(), self.own_path
        try:
            if is_local(path):
                _link(content, path, scratch / path.name)
            else:
                with writing(path):
                    file_system(path).pipe_file(key_of(path), content, mode="create")
        except OSError:  # stores do not agree on the error for a number that is taken
            if not path.is_file():
                raise
        # A request that is repeated because its answer was lost is refused because of itself; and not every
        # store refuses. What is there now decides.
        if path.read_bytes() != content:
            raise RefusedError(
                f"another process has published {self.folder} since this one began (it created {path.name}), "
                "so nothing of this run was published there; expected one run at a time. Let the other end, "
                "and run again"
            )
        if is_local(path):
            flush(path.parent)


def shard_names(manifest: Manifest) -> tuple[str, ...]:
    """Names of a table's shard files, sorted; lookups in underscore files and folders are left out."""
    names = (record.name for record in manifest.files)
    return tuple(sorted(n for n in names if n.endswith(".parquet") and not n.startswith("_")))


def manifest_path(folder: Path, number: int) -> Path:
    """Where the manifest of a number is."""
    return folder / _MANIFESTS / f"{number:08}.json"


def newest_number(folder: Path) -> int:
    """Number of the newest manifest; 0 where there is none."""
    return max((int(Path(name).stem) for name, _ in files_below(folder / _MANIFESTS)), default=0)


def outdated_manifests(folder: Path, number: int) -> list[Path]:
    """Manifests that need not be kept once that of a number is there."""
    return [path for name, path in files_below(folder / _MANIFESTS) if int(Path(name).stem) <= number - KEPT]


def _link(content: bytes, path: Path, part: Path) -> None:
    folder = path.parent.parent
    path.parent.mkdir(exist_ok=True)
    part.write_bytes(content)
    # Before a manifest is there, the disk holds what it names: contents, names, and the folder of names.
    for held in (part, folder / FILES, folder):
        if held.exists():
            flush(held)
    link(part, path)
