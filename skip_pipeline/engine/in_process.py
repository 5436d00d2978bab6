"""The engine that needs nothing: one shard after the other, here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from skip_pipeline.engine.order import naming, title_of

T = TypeVar("T")
R = TypeVar("R")


class InProcess:
    """Runs each shard when its result is asked for."""

    workers = 1

    def map(self, function: Callable[[T], R], shards: Sequence[T], *, label: str) -> Iterator[R]:
        """See ``engine.Engine.map``."""
        for number, shard in enumerate(shards, start=1):
            with naming(title_of(label, number, len(shards), shard)):
                result = function(shard)
            yield result
