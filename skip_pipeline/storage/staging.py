"""A publication that is being made: its files, shard by shard, made now or kept."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeVar, get_args

from skip_pipeline.errors import SkipPipelineError
from skip_pipeline.locations import files_below, is_local
from skip_pipeline.storage.files import flush, read_json, write_json
from skip_pipeline.storage.identity import digest_of
from skip_pipeline.storage.manifest import DAMAGE, Manifest, ShardRecord
from skip_pipeline.storage.stored_files import StoredFile, place, saying_why, scratch_folder, store

# Folder of notes on shards that are complete, in publications that are not. Only publications of the same
# number read a note, and none of them can succeed once that number is taken. So notes of taken numbers, and
# files that only such notes name, can be removed at any time.
MADE: Final = "_made"

Fate = Literal["made", "removed", "kept"]
FATES: Final[tuple[Fate, ...]] = get_args(Fate)

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Made:
    """What was made of a shard."""

    files: tuple[str, ...]  # names below the folder given
    summary: Mapping[str, Any]  # JSON values that merge with those of other shards


@dataclass(frozen=True)
class ShardJob:
    """A shard to be made."""

    name: str
    inputs: str  # digest of everything that decides the result
    make: Callable[..., Made]  # writes the files to ``out=``, a folder where it runs; always the same

    def __str__(self) -> str:
        return self.name


class Apply(Protocol):
    """Applies a function to every shard and gives the results in their order, like the built-in ``map``.

    It may run the function elsewhere, where the files can be seen; ``engine.Engine.map`` with its label does.
    """

    def __call__(self, function: Callable[[T], R], shards: Sequence[T], /) -> Iterable[R]: ...  # noqa: D102


def in_turn(function: Callable[[T], R], shards: Sequence[T], /) -> Iterable[R]:
    """Apply a function to one shard after the other, in this process."""
    return map(function, shards)


@dataclass(frozen=True)
class Built:
    """A shard that was made."""

    files: tuple[StoredFile, ...]
    summary: Mapping[str, Any]  # ``Made.summary``


@dataclass
class Staging:
    """The unpublished files of one stage: write to ``path``, fill in ``rows`` and ``details``."""

    folder: Path  # on this machine, for files that are not made shard by shard
    stage: Path  # folder of the stage
    notes: Path  # of this publication, see ``MADE``
    earlier: Manifest | None  # what the stage holds, if that may be kept
    rows: int = 0
    details: dict[str, Any] = field(default_factory=dict)
    shards: dict[str, ShardRecord] = field(default_factory=dict)  # made now or before
    files: dict[str, StoredFile] = field(default_factory=dict)  # of the shards, by plain name
    made: list[str] = field(default_factory=list)  # names of the shards made now
    manifest: Manifest = field(init=False, repr=False)  # as published, once the ``publish`` block has ended

    def make_shards(self, jobs: Sequence[ShardJob], apply: Apply = in_turn) -> dict[str, Mapping[str, Any]]:
        """Summaries of all shards by name; those that are there from the same inputs are kept, others made.

        A shard is kept from the published stage, or from a publication that a failure or a kill cut short, if
        its files are intact. All shards are tried before the first failure, a ``SkipPipelineError``, is
        raised, so that mending one costs that shard alone.
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
        if failures:
            first, *others = failures.values()
            if not others:
                raise first
            raise type(first)(f"{first}. {len(others)} more failed: {', '.join(list(failures)[1:6])}")
        for job in jobs:
            if built := kept[job.name]:
                names = tuple(file.name for file in built.files)
                self.shards[job.name] = ShardRecord(job.inputs, names, built.summary)
                self.files |= {file.name: file for file in built.files}
        return {job.name: self.shards[job.name].summary for job in jobs}

    def _kept(self, job: ShardJob) -> Built | None:
        """What was made of a shard from the same inputs before, if every file of it is intact."""
        built = None
        shard = self.earlier.shards.get(job.name) if self.earlier else None
        if self.earlier and shard and shard.inputs == job.inputs:
            built = Built(tuple(map(self.earlier.record, shard.files)), shard.summary)
        else:
            with suppress(FileNotFoundError, *DAMAGE):  # none is there, it is damaged, or of another version
                note = read_json(self.notes / _note(job))
                built = Built(tuple(StoredFile(**file) for file in note["files"]), note["summary"])
        return built if built and all(file.is_intact(self.stage) for file in built.files) else None

    def fates(self) -> dict[str, Fate]:
        """What became of each shard, by name: made now, kept from before, or removed with its input."""
        earlier = self.earlier.shards if self.earlier else {}
        made = frozenset(self.made)
        fates: dict[str, Fate] = {name: "made" if name in made else "kept" for name in self.shards}
        fates |= {name: "removed" for name in earlier if name not in fates}
        # A name with a leading underscore is a lookup table, not a shard.
        return {name: fate for name, fate in fates.items() if not name.startswith("_")}

    def find(self, name: str) -> Path:
        """Where the file ``name`` is now: in the stage if it belongs to a shard, else in ``folder``."""
        return self.stage / self.files[name].path if name in self.files else self.folder / name

    def path(self, name: str) -> Path:
        """Where to write the file ``name`` (``/`` for sub-folders); its parent folder exists on return."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def store(self) -> tuple[StoredFile, ...]:
        """Move the files below ``folder`` into the stage; all files of the publication, sorted by name.

        On return the disk holds the contents of them all.
        """
        own = {name: store(path, self.stage, name) for name, path in files_below(self.folder)}
        files = tuple(file for _, file in sorted((self.files | own).items()))
        if is_local(self.stage):
            published = set(self.earlier.files) if self.earlier else set()
            with ThreadPoolExecutor() as threads:  # the disk takes many requests at once
                list(threads.map(flush, (self.stage / file.path for file in files if file not in published)))
        return files


def build(stage: Path, notes: Path, job: ShardJob) -> Built | SkipPipelineError:
    """Do one job, wherever this runs; a refusal comes back as a value, so that other shards go on."""
    try:
        with saying_why(stage), scratch_folder(stage) as scratch:
            made = job.make(out=scratch)
            # The disk need not hold them yet: what a power cut damages is found by SHA-256, and made again.
            files = tuple(store(scratch / name, stage, name) for name in made.files)
            built = Built(files, made.summary)
            write_json(scratch / "note.json", asdict(built))
            place(scratch / "note.json", notes / _note(job))
    except SkipPipelineError as refusal:
        return refusal
    return built


def _note(job: ShardJob) -> str:
    return f"{digest_of(job.name, job.inputs)}.json"
