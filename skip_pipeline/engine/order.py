"""Results in the order of the shards, with a bounded number of shards under way."""

from __future__ import annotations

import textwrap
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Final, Protocol, TypeVar

from skip_pipeline.errors import EngineError

T = TypeVar("T")
R = TypeVar("R")
Result = TypeVar("Result", covariant=True)

_NAME_LENGTH: Final = 200  # a path fits; a shard that is a list of rows does not fill the screen


class Pending(Protocol[Result]):
    """A shard that has been handed out."""

    def result(self) -> Result:
        """Wait for it."""
        ...

    def cancel(self) -> object:
        """Drop it if it has not begun."""
        ...


def title_of(label: str, number: int, total: int, shard: object) -> str:
    """What a shard is called in errors, e.g. ``merged_table, shard 3 of 66: log_2.csv``."""
    return f"{label}, shard {number} of {total}: {textwrap.shorten(str(shard), _NAME_LENGTH)}"


@contextmanager
def naming(title: str) -> Iterator[None]:
    """Note the shard on whatever is raised for it, leaving the exception and its type as they are."""
    try:
        yield
    except EngineError:  # names its shard in its message
        raise
    except Exception as error:  # raised on as it is
        error.add_note(f"Raised for {title}")
        raise


def in_order(
    submit: Callable[[T, str], Pending[R]], shards: Sequence[T], *, label: str, at_once: int
) -> Iterator[R]:
    """Hand shards out and give their results in order.

    Args:
        submit: hands out one shard, with its title, without waiting for it.
        shards: all shards.
        label: what is being done.
        at_once: shards handed out whose results have not been consumed, at most.

    Raises:
        Exception: what the first failing shard raised; everything handed out later is cancelled.
    """
    numbered = iter(enumerate(shards, start=1))
    pending: deque[tuple[str, Pending[R]]] = deque()

    def hand_out(count: int) -> None:
        for number, shard in islice(numbered, count):
            title = title_of(label, number, len(shards), shard)
            with naming(title):
                pending.append((title, submit(shard, title)))

    try:
        hand_out(at_once)
        while pending:
            title, oldest = pending[0]
            with naming(title):
                result = oldest.result()
            pending.popleft()
            hand_out(1)
            yield result
    finally:
        for _, rest in pending:
            rest.cancel()
