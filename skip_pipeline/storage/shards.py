"""A shard to be made, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Made:
    """What was made of a shard: names of its files below the folder given, and JSON values that merge."""

    files: tuple[str, ...]
    summary: Mapping[str, Any]


@dataclass(frozen=True)
class ShardJob:
    """A shard to be made.

    Attributes:
        name: of the shard.
        inputs: digest of everything that decides the result.
        make: called with ``out=``, a folder of the machine that it runs on, writes the shard's files there;
            run again, it writes the same.
    """

    name: str
    inputs: str
    make: Callable[..., Made]

    def __str__(self) -> str:
        return self.name


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
