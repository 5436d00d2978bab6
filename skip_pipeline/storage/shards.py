"""A shard to be made, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from skip_pipeline.errors import SkipPipelineError
from skip_pipeline.storage.files import FileRecord, record_file
from skip_pipeline.storage.full_disk import saying_when_full

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Made:
    """What was made of a shard: names of its files below the stage's folder, and JSON values that merge."""

    files: tuple[str, ...]
    summary: Mapping[str, Any]


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


class Apply(Protocol):
    """Applies a function to every shard and gives the results in their order, like the built-in ``map``.

    It may run the function elsewhere, where the files can be seen; ``engine.Engine.map`` with its label does.
    """

    def __call__(self, function: Callable[[T], R], shards: Sequence[T], /) -> Iterable[R]:
        """See the class."""
        ...


def in_turn(function: Callable[[T], R], shards: Sequence[T], /) -> Iterable[R]:
    """One shard after the other, here."""
    return map(function, shards)


def build(folder: Path, job: ShardJob) -> Outcome:
    """Do one job, wherever this runs; a refusal comes back as a value, so that other shards go on."""
    try:
        with saying_when_full(folder):
            made = job.make()
    except SkipPipelineError as refusal:
        return refusal
    return Built(tuple(record_file(folder / name, name) for name in made.files), made.summary)
