"""One call for a stage's shards, whether they run in this process, in local processes or on a Dask cluster.

    with open_engine(EngineSettings(kind="processes")) as engine:
        for summary in engine.map(encode_shard, shards, label="encoded_table"):
            total = total.merge(summary)

Only the kind that is asked for is imported. Where work runs never shows in what comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar, get_args

from skip_pipeline.engine.in_process import InProcess
from skip_pipeline.errors import EngineError, RefusedError
from skip_pipeline.settings import EngineKind, EngineSettings

__all__ = ["Engine", "open_engine"]

T = TypeVar("T")
R = TypeVar("R")


class Engine(Protocol):
    """Something that applies a function to every shard."""

    @property
    def workers(self) -> int:
        """Shards that are worked on at the same time."""
        ...

    def map(self, function: Callable[[T], R], shards: Sequence[T], *, label: str) -> Iterator[R]:
        """Apply a function to every shard and give the results in the order of the shards.

        The iterator is lazy: nothing runs before the first result is asked for, and no more than
        ``EngineSettings.shards_ahead`` shards per worker have been handed out beyond those consumed, so
        memory does not grow with the number of shards. Leaving the loop early (an exception of the function
        or of the loop, Ctrl-C, ``break``) cancels what has not begun. A local process that is at work is
        killed; a shard that runs on a cluster at an address is finished there, and its result dropped.

        Args:
            function: takes a shard, gives a small result (bulk goes to storage). It may run more than once
                for one shard, after a worker's death even while an earlier attempt is still running. So it
                has to be idempotent: write under a temporary name, then rename. It runs in another process
                where it cannot see this one's globals, and there with one thread. Where its last bits depend
                on the number of threads (matrix products, Arrow's sums of floats), it has to set that number
                itself to give the same bytes in this process, which has all its threads.
            shards: what can be pickled; ``str(shard)`` names the shard in errors.
            label: what is being done, for errors and a cluster's own pages, e.g. ``encoded_table``.

        Yields:
            The function's results.

        Raises:
            EngineError: the workers died on a shard ``EngineSettings.retries`` + 1 times, or the cluster was
                lost.
            Exception: what the function raised for the first shard, in their order, that failed. A note on
                it (``__notes__``) names the shard. Results of the shards before it have been given.
        """
        ...


@contextmanager
def open_engine(settings: EngineSettings) -> Iterator[Engine]:
    """Start what the settings ask for, and stop it afterwards.

    Raises:
        RefusedError: the settings make no sense.
        EngineError: the cluster cannot be reached, or its workers differ from this process; see
            ``cluster.open_cluster``.
    """
    _refuse_nonsense(settings)
    if settings.kind == "in_process":
        yield InProcess()
    elif settings.kind == "processes":
        from skip_pipeline.engine.processes import Processes

        processes = Processes(settings)
        try:
            yield processes
        finally:
            processes.close()
    else:
        try:
            from skip_pipeline.engine.cluster import open_cluster
        except ModuleNotFoundError as missing:
            if missing.name not in {"dask", "distributed"}:
                raise
            raise EngineError(
                f"Engine 'dask' needs the package {missing.name}, which is not installed; "
                "install the extra: pip install 'skip-pipeline[cluster]'"
            ) from missing
        with open_cluster(settings) as cluster:
            yield cluster


def _refuse_nonsense(settings: EngineSettings) -> None:
    if settings.kind not in get_args(EngineKind):
        raise RefusedError(f"There is no engine {settings.kind!r}; choose in_process, processes or dask")
    if settings.address and settings.kind != "dask":
        raise RefusedError(
            f"Engine {settings.kind!r} was given the scheduler address {settings.address!r}, which only "
            "engine 'dask' uses; set that kind or leave the address empty"
        )
    for name, least in (("workers", 1), ("shards_ahead", 1), ("retries", 0), ("connect_seconds", 0)):
        value = getattr(settings, name)
        if value is not None and value < least:
            raise RefusedError(f"Engine setting {name} is {value}; it has to be at least {least}")
