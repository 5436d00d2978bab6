"""A publication that is being made: its files, shard by shard, made now or kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

from skip_pipeline.errors import ContractError, SkipPipelineError
from skip_pipeline.locations import files_below
from skip_pipeline.storage.files import digest_of, read_json, write_json
from skip_pipeline.storage.full_disk import saying_when_full
from skip_pipeline.storage.manifest import Manifest, ShardRecord
from skip_pipeline.storage.shards import Apply, ShardJob, in_turn
from skip_pipeline.storage.stored_files import StoredFile, is_intact, place, scratch_folder, store

MADE: Final = "_made"
"""Folder of notes on shards that are complete, in publications that are not.

Only publications of the same number read a note, and none of them can succeed once that number is taken. So
notes of taken numbers, and files that only such notes name, can be removed at any time."""


@dataclass(frozen=True)
class Built:
    """A shard that was made: its stored files, and JSON values that merge."""

    files: tuple[StoredFile, ...]
    summary: Mapping[str, Any]


@dataclass
class Staging:
    """The unpublished files of one stage: write below ``folder``, fill in ``rows`` and ``details``.

    What ``make_shards`` finds unchanged, in the published stage or in a publication that a failure or a kill
    cut short, is not made again, unless a file of it is damaged.

    Attributes:
        folder: on this machine, for files that are not made shard by shard.
        stage: the stage folder.
        notes: of this publication, see ``MADE``.
        earlier: what the stage holds, if that may be kept.
        rows, details: for the manifest.
        shards: what was made of each, now or before.
        files: the stored files of the shards, by plain name.
        made: names of the shards made now.
    """

    folder: Path
    stage: Path
    notes: Path
    earlier: Manifest | None
    rows: int = 0
    details: dict[str, Any] = field(default_factory=dict)
    shards: dict[str, ShardRecord] = field(default_factory=dict)
    files: dict[str, StoredFile] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    _manifest: Manifest | None = None

    @cached_property
    def _noted(self) -> set[str]:
        return {name for name, _ in files_below(self.notes)}

    def make_shards(self, jobs: Sequence[ShardJob], apply: Apply = in_turn) -> dict[str, Mapping[str, Any]]:
        """Summaries of all shards by name; those whose inputs are unchanged are kept, the others made.

        A shard that fails does not keep the others from being made, so that mending it costs that shard
        alone.

        Args:
            jobs: one for each shard.
            apply: may run the jobs elsewhere, where the stage folder can be seen.

        Raises:
            SkipPipelineError: the first failure, after all shards have been tried.
        """
        with ThreadPoolExecutor() as threads:  # hashing a file, or asking a store, leaves Python to others
            kept = dict(zip((job.name for job in jobs), threads.map(self._kept, jobs), strict=True))
        new = [job for job in jobs if kept[job.name] is None]
        failures: dict[str, SkipPipelineError] = {}
        for job, outcome in zip(new, apply(partial(build, self.stage, self.notes), new), strict=True):
            if isinstance(outcome, SkipPipelineError):
                failures[job.name] = outcome
            else:
                kept[job.name] = outcome
                self.made.append(job.name)
        for job in jobs:
            if built := kept[job.name]:
                names = tuple(file.name for file in built.files)
                self.shards[job.name] = ShardRecord(job.inputs, names, built.summary)
                self.files |= {file.name: file for file in built.files}
        if failures:
            first, *others = failures.values()
            if not others:
                raise first
            raise type(first)(f"{first}. {len(others)} more failed: {', '.join(list(failures)[1:6])}")
        return {job.name: self.shards[job.name].summary for job in jobs}

    def _kept(self, job: ShardJob) -> Built | None:
        """What was made of a shard from the same inputs before, if every file of it is intact."""
        built = self._published(job) or self._resumed(job)
        if built and all(is_intact(file, self.stage) for file in built.files):
            return built
        return None

    def _published(self, job: ShardJob) -> Built | None:
        if self.earlier is None or job.name not in self.earlier.shards:
            return None
        shard = self.earlier.shards[job.name]
        files = tuple(map(self.earlier.record, shard.files))
        return Built(files, shard.summary) if shard.inputs == job.inputs else None

    def _resumed(self, job: ShardJob) -> Built | None:
        name = _note(job)
        if name not in self._noted:
            return None
        try:
            content = read_json(self.notes / name)
            return Built(tuple(StoredFile(**file) for file in content["files"]), content["summary"])
        except (FileNotFoundError, ValueError, TypeError, KeyError):  # of another version, or damaged
            return None

    def find(self, name: str) -> Path:
        """Where the file ``name`` is now: in the stage if it belongs to a shard, else in ``folder``."""
        if name in self.files:
            return self.stage / self.files[name].path
        return self.folder / name

    def path(self, name: str) -> Path:
        """Where to write the file ``name`` (``/`` for sub-folders); its parent folder exists on return."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def store(self) -> tuple[StoredFile, ...]:
        """Move the files below ``folder`` into the stage; all files of the publication, sorted by name."""
        own = {n: store(path, self.stage, n, durable=True) for n, path in files_below(self.folder)}
        return tuple(file for _, file in sorted((self.files | own).items()))

    @property
    def manifest(self) -> Manifest:
        """The manifest as published; only after the ``publish`` block has ended without an error."""
        if self._manifest is None:
            raise ContractError(f"{self.stage} is not published yet; leave the publish block first")
        return self._manifest


def build(stage: Path, notes: Path, job: ShardJob) -> Built | SkipPipelineError:
    """Do one job, wherever this runs; a refusal comes back as a value, so that other shards go on.

    The files, most of what a stage writes, may reach the disk after this returns. One that a power cut has
    damaged is found by its SHA-256, and made again.
    """
    try:
        with saying_when_full(stage), scratch_folder(stage) as scratch:
            made = job.make(out=scratch)
            files = tuple(store(scratch / name, stage, name, durable=False) for name in made.files)
            built = Built(files, made.summary)
            write_json(scratch / "note.json", asdict(built))
            place(scratch / "note.json", notes / _note(job))
    except SkipPipelineError as refusal:
        return refusal
    return built


def _note(job: ShardJob) -> str:
    return f"{digest_of(job.name, job.inputs)}.json"
