"""Apply a stage's function to every shard: in this process, in local processes or on a Dask cluster.

    with open_engine(EngineSettings(kind="processes")) as engine:
        for summary in engine.map(encode_shard, shards, label="encoded_table"):
            total = total.merge(summary)

The results are the same bytes wherever the function runs. Only the libraries of the chosen kind are imported.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeVar, get_args

from skip_pipeline.errors import EngineError, RefusedError
from skip_pipeline.settings import EngineKind, EngineSettings

T = TypeVar("T")
R = TypeVar("R")

_NAME_LENGTH: Final = 200  # enough for a path; a shard that is a long list is cut


@dataclass(frozen=True)
class Pool:
    """Worker processes."""

    submit: Callable[[Callable[[Any], Any], Any], Any]  # gives a future: of concurrent.futures, or Dask's
    workers: Callable[[], int]  # their number at this moment
    losses: Mapping[type[Exception], str]  # what a future raises whose worker is lost, and the explanation
    retries: int = 0  # how often lost shards are sent again before the loss is an error


@dataclass(frozen=True)
class Engine:
    """Applies functions to shards; open one with ``open_engine``."""

    _shards_ahead: int
    _pool: Pool | None = None  # None: in this process

    @property
    def workers(self) -> int:
        """Shards that are worked on at the same time."""
        return max(1, self._pool.workers()) if self._pool else 1

    def map(self, function: Callable[[T], R], shards: Sequence[T], *, label: str) -> Iterator[R]:
        """Apply a function to every shard and give the results in the order of the shards.

        The iterator is lazy: no shard is sent before the first result is asked for, and at most
        ``EngineSettings.shards_ahead`` shards per worker are on their way, so memory does not grow with the
        number of shards. When the loop ends early, shards that no worker has begun are cancelled.

        Args:
            function: takes a shard and gives a small result; it writes bulk data to storage. It must be
                idempotent, since it is repeated after the death of a worker. Libraries have one thread in a
                worker; a function whose last bits depend on the number of threads (matrix products, Arrow's
                sums of floats) has to set that number.
            shards: anything that can be pickled; ``str(shard)`` names the shard in errors.
            label: names the work in errors, e.g. ``encoded_table``.

        Raises:
            EngineError: workers died on the same shard again and again (``EngineSettings.retries``), or the
                cluster was lost; the message names the shards under way.
            Exception: what the function raised for the first shard, in their order, that failed. A note on
                the exception names the shard.
        """
        titles = (
            f"{label}, shard {number} of {len(shards)}: {textwrap.shorten(str(shard), _NAME_LENGTH)}"
            for number, shard in enumerate(shards, start=1)
        )
        titled = zip(shards, titles, strict=True)
        if self._pool:
            yield from self._sent(self._pool, function, titled)
        else:
            for shard, title in titled:
                with _shard_named(title):
                    result = function(shard)
                yield result

    def _sent(self, pool: Pool, function: Callable[[T], R], titled: Iterator[tuple[T, str]]) -> Iterator[R]:
        pending: dict[Any, tuple[T, str]] = {}  # by future, the oldest first
        workers, losses = self.workers, 0
        try:
            while True:
                for shard, title in islice(titled, workers * self._shards_ahead - len(pending)):
                    with _shard_named(title):
                        pending[pool.submit(function, shard)] = shard, title
                if not pending:
                    return
                oldest, (_, title) = next(iter(pending.items()))
                try:
                    with _shard_named(title):
                        result = oldest.result()
                except tuple(pool.losses) as lost:
                    losses += 1
                    if losses > pool.retries:
                        raise _loss(lost, pool, pending, workers) from lost
                    pending = {
                        future if _succeeded(future) else pool.submit(function, shard): (shard, title)
                        for future, (shard, title) in pending.items()
                    }
                else:
                    losses = 0
                    del pending[oldest]
                    yield result
        finally:
            for future in pending:
                future.cancel()


def _loss(lost: Exception, pool: Pool, pending: Mapping[Any, tuple[Any, str]], workers: int) -> EngineError:
    # Workers take shards in order, so the shards under way are the first without a result.
    under_way = [title for future, (_, title) in pending.items() if not _succeeded(future)][:workers]
    explanation = next(text for kind, text in pool.losses.items() if isinstance(lost, kind))
    return EngineError(
        f"{'; '.join(under_way)}: {explanation}. Shards that were finished are kept. "
        f"{' '.join(str(lost).split())}"
    )


def _succeeded(future: Any) -> bool:
    return bool(future.done() and not future.cancelled() and future.exception() is None)


@contextmanager
def _shard_named(title: str) -> Iterator[None]:
    """Add the shard's name to an exception, whose type and message stay."""
    try:
        yield
    except Exception as error:
        error.add_note(f"Raised for {title}")
        raise


@contextmanager
def open_engine(settings: EngineSettings) -> Iterator[Engine]:
    """Start the workers that the settings ask for; stop them when the block ends, however it ends.

    Raises:
        RefusedError: the settings contradict one another or are out of range.
        EngineError: see ``dask_cluster.dask_pool``.
    """
    _check(settings)
    if settings.kind == "in_process":
        yield Engine(settings.shards_ahead)
    elif settings.kind == "processes":
        from skip_pipeline.engine.processes import local_pool

        with local_pool(settings) as pool:
            yield Engine(settings.shards_ahead, pool)
    else:
        try:
            from skip_pipeline.engine.dask_cluster import dask_pool
        except ModuleNotFoundError as missing:
            if missing.name not in {"dask", "distributed"}:
                raise
            raise EngineError(
                f"Engine 'dask' needs the package {missing.name}, which is not installed; "
                "install the extra: pip install 'skip-pipeline[cluster]'"
            ) from missing
        with dask_pool(settings) as pool:
            yield Engine(settings.shards_ahead, pool)


def _check(settings: EngineSettings) -> None:
    if settings.kind not in get_args(EngineKind):
        raise RefusedError(f"There is no engine {settings.kind!r}; choose in_process, processes or dask")
    if settings.address and settings.kind != "dask":
        raise RefusedError(
            f"Engine {settings.kind!r} was given the scheduler address {settings.address!r}, which only "
            "engine 'dask' uses; choose engine 'dask' or leave the address empty"
        )
    for name, least in (("workers", 1), ("shards_ahead", 1), ("retries", 0), ("connect_seconds", 0)):
        value = getattr(settings, name)
        if value is not None and value < least:
            raise RefusedError(f"Engine setting {name} is {value}; it has to be at least {least}")
