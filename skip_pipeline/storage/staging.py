"""The unpublished files of a stage, shard by shard: made now, kept from before, or taken over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from skip_pipeline.errors import ContractError, MissingInputError, SkipPipelineError
from skip_pipeline.locations import files_below, make_folder
from skip_pipeline.settings import DataSource
from skip_pipeline.storage.commit_protocol import MADE
from skip_pipeline.storage.files import FileRecord, read_json, record_file, write_json
from skip_pipeline.storage.manifest import Manifest, ShardRecord
from skip_pipeline.storage.shards import Apply, Built, ShardJob, build, in_turn


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

    def __init__(
        self,
        folder: Path,
        data_source: DataSource,
        *,
        published: Path,
        earlier: Manifest | None,
        unfinished: Sequence[Path],
        move: Callable[[Path, Path], None],
    ) -> None:
        """Begin without files.

        Args:
            folder: where to stage them.
            data_source: of the publication.
            published: the stage folder.
            earlier: what it holds, if that may be kept.
            unfinished: folders of what earlier publications had made that were cut short.
            move: takes an unfinished file over.
        """
        self.folder = folder
        self.rows = 0
        self.details: dict[str, Any] = {}
        self.shards: dict[str, ShardRecord] = {}
        self.kept: dict[str, FileRecord] = {}
        self.made: list[str] = []
        self._data_source = data_source
        self._published = published
        self._earlier = earlier
        self._unfinished = unfinished
        self._move = move
        self._recorded: dict[str, FileRecord] = {}
        self._manifest: Manifest | None = None

    def make_shards(self, jobs: Sequence[ShardJob], apply: Apply = in_turn) -> dict[str, Mapping[str, Any]]:
        """Summaries of all shards by name; those whose inputs are unchanged are kept, the others made.

        A shard that fails does not keep the others from being made, so that mending it costs that shard
        alone.

        Args:
            jobs: one for each shard.
            apply: may run the jobs elsewhere, where this folder can be seen.

        Raises:
            SkipPipelineError: the first failure, after all shards have been tried.
        """
        new = [job for job in jobs if not (self._unchanged(job) or self._resumed(job))]
        failures: dict[str, SkipPipelineError] = {}
        for job, outcome in zip(new, apply(partial(build, self.folder), new), strict=True):
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
        return (self._published if name in self.kept else self.folder) / name

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
        path = self._published / record.name
        return path.is_file() and path.stat().st_size == record.bytes

    def _resumed(self, job: ShardJob) -> bool:
        """Take over what a publication that was cut short had made of a shard from the same inputs."""
        return any(self._resumed_from(left, job) for left in self._unfinished)

    def _resumed_from(self, unfinished: Path, job: ShardJob) -> bool:
        try:
            note = read_json(unfinished / MADE / f"{job.name}.json")
            records = tuple(FileRecord(**record) for record in note["files"])
            same = (note["inputs"], note["data_source"]) == (job.inputs, self._data_source)
            # What was written before a power cut may have its size and not its contents.
            if not same or any(record_file(unfinished / r.name, r.name) != r for r in records):
                return False
            summary = note["summary"]
        except (OSError, ValueError, TypeError, KeyError, MissingInputError):
            return False
        for record in records:
            self._move(unfinished / record.name, self.path(record.name))
        self._note(job, Built(records, summary))
        return True

    def _note(self, job: ShardJob, built: Built) -> None:
        """Remember a shard, here and for a run that comes after a failure."""
        names = tuple(record.name for record in built.files)
        self.shards[job.name] = ShardRecord(job.inputs, names, built.summary)
        self._recorded |= {record.name: record for record in built.files}
        note = asdict(built) | {"inputs": job.inputs, "data_source": self._data_source}
        write_json(self.path(f"{MADE}/{job.name}.json"), note)

    def records(self) -> tuple[FileRecord, ...]:
        """Files of the publication, sorted by name: those that are staged, and those that stay."""
        staged = {
            name: self._recorded.get(name) or record_file(path, name)
            for name, path in files_below(self.folder)
            if not name.startswith(f"{MADE}/")
        }
        return tuple(record for _, record in sorted((self.kept | staged).items()))

    def path(self, name: str) -> Path:
        """Where to write the file ``name`` (``/`` for sub-folders); its parent folder exists on return."""
        path = self.folder / name
        make_folder(path.parent)
        return path

    @property
    def manifest(self) -> Manifest:
        """The manifest as published; only after the ``publish`` block has ended without an error."""
        if self._manifest is None:
            raise ContractError(f"{self._published} is not published yet; leave the publish block first")
        return self._manifest
