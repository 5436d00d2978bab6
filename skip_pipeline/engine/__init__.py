"""Apply a stage's function to every shard: in this process, in local processes or on a Dask cluster.

    with open_engine(EngineSettings(kind="processes")) as engine:
        for summary in engine.map(encode_shard, shards, label="encoded_table"):
            total = total.merge(summary)

The results are the same bytes wherever the function runs. Only the libraries of the chosen kind are imported.
"""

import os
import signal
import textwrap
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar, get_args

from skip_pipeline.errors import EngineError, RefusedError
from skip_pipeline.settings import SINGLE_THREADED, EngineKind, EngineSettings

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Engine:
    """Applies functions to shards; open one with ``open_engine``."""

    submit: Callable[[Callable[[Any], Any], Any], Any]  # gives a future: of concurrent.futures, or Dask's
    workers: int  # shards that are worked on at the same time
    shards_ahead: int  # per worker
    losses: Mapping[type[Exception], str]  # what a future raises whose worker is lost, and the explanation
    retries: int  # how often lost shards are sent again before the loss is an error

    def map(self, function: Callable[[T], R], shards: Sequence[T], *, label: str) -> Iterator[R]:
        """Apply a function to every shard and give the results in the order of the shards.

        Few shards are sent ahead of the result in use, so memory does not grow with their number. When the
        loop ends early, shards not yet begun are cancelled. What the function raises for a shard gets a note
        with ``label`` (e.g. ``encoded_table``) and ``str(shard)``.

        Args:
            function: gives a small result and writes bulk data to storage. It must be idempotent, since it is
                repeated after the death of a worker. Libraries have one thread in a worker; a function whose
                last bits depend on the number of threads (matrix products, Arrow's sums) has to set it.

        Raises:
            EngineError: workers died on a shard again and again, or the cluster was lost.
        """
        names = (textwrap.shorten(str(shard), 200) for shard in shards)  # fits a path, not a long list
        titles = (f"{label}, shard {n} of {len(shards)}: {name}" for n, name in enumerate(names, start=1))
        titled = zip(shards, titles, strict=True)
        ahead: deque[tuple[Any, T, str]] = deque()
        try:
            while True:
                for shard, title in islice(titled, self.workers * self.shards_ahead - len(ahead)):
                    with _shard_named(title):
                        ahead.append((self.submit(function, shard), shard, title))
                if not ahead:
                    return
                result = self._result(function, *ahead[0])
                ahead.popleft()
                yield result
        finally:
            for future, _, _ in ahead:
                future.cancel()

    def _result(self, function: Callable[[T], R], future: Future[R], shard: T, title: str) -> R:
        """Wait for a result; send a shard again whose worker is lost (with it, all shards may be lost)."""
        losses = 0
        while True:
            try:
                with _shard_named(title):
                    return future.result()
            except tuple(self.losses) as lost:
                losses += 1
                if losses > self.retries:
                    reason = next(text for kind, text in self.losses.items() if isinstance(lost, kind))
                    details = f"Shards that were finished are kept. {' '.join(str(lost).split())}"
                    raise EngineError(f"{title}: {reason}. {details}") from lost
            future = self.submit(function, shard)


@contextmanager
def _shard_named(title: str) -> Iterator[None]:
    """Add the shard's name to an exception, whose type and message stay."""
    try:
        yield
    except Exception as error:  # whatever it is, it is raised again
        error.add_note(f"Raised for {title}")
        raise


def open_engine(settings: EngineSettings) -> AbstractContextManager[Engine]:
    """Start the workers that the settings ask for; stop them when the block ends, however it ends.

    Raises:
        RefusedError: the settings contradict one another or are out of range.
        EngineError: there is no Dask cluster, or it differs from this process.
    """
    if settings.kind not in get_args(EngineKind):
        raise RefusedError(f"There is no engine {settings.kind!r}; choose in_process, processes or dask")
    if settings.address and settings.kind != "dask":
        raise RefusedError(
            f"Engine {settings.kind!r} was given the scheduler address {settings.address!r}, which only "
            "engine 'dask' uses; choose engine 'dask' or leave the address empty"
        )
    if settings.workers is not None and settings.workers < 1:
        raise RefusedError(f"Engine setting workers is {settings.workers}; it has to be at least 1")
    if settings.kind == "in_process":
        return nullcontext(Engine(_submit_here, workers=1, shards_ahead=1, losses={}, retries=0))
    if settings.kind == "processes":
        return _local_processes(settings)
    try:
        from skip_pipeline.engine.dask_cluster import dask_cluster
    except ModuleNotFoundError as missing:
        if missing.name not in {"dask", "distributed"}:
            raise
        raise EngineError(
            f"Engine 'dask' needs the package {missing.name}, which is not installed; "
            "install the extra: pip install 'skip-pipeline[cluster]'"
        ) from missing
    return dask_cluster(settings)


def _submit_here(function: Callable[[T], R], shard: T) -> Future[R]:
    future: Future[R] = Future()
    future.set_result(function(shard))
    return future


@contextmanager
def _local_processes(settings: EngineSettings) -> Iterator[Engine]:
    """Use a pool whose processes start with the first shard; kill them when the block ends.

    The pool of ``concurrent.futures`` would import the caller's script again in each worker, which starts the
    work a second time if the script has no ``if __name__ == "__main__"``; it cannot kill its workers and
    refuses functions that have no importable name.
    """
    import loky

    workers = settings.workers or loky.cpu_count()
    environment = {name: os.environ.get(name, value) for name, value in SINGLE_THREADED.items()}
    # loky restarts workers that have grown by 300 MB; a large shard may need that much without a leak.
    environment["LOKY_MAX_MEMORY_LEAK_SIZE"] = "1e18"
    watched = {"initializer": _end_with_caller, "initargs": (os.getpid(),)}
    start = partial(loky.ProcessPoolExecutor, workers, env=environment, **watched)
    executor = start()

    def submit(function: Callable[[Any], Any], shard: Any) -> Any:
        nonlocal executor
        try:
            return executor.submit(function, shard)
        except BrokenExecutor:  # a worker died, and with it the pool
            executor = start()
            return executor.submit(function, shard)

    explanation = (
        "a worker process failed. If it was killed (SIGKILL), memory was most likely short: use fewer "
        "workers or smaller shards. Otherwise, the engine 'in_process' shows the failure"
    )
    losses: dict[type[Exception], str] = {BrokenExecutor: explanation}
    try:
        yield Engine(submit, workers, settings.shards_ahead, losses, settings.retries)
    finally:
        executor.shutdown(kill_workers=True)


def _end_with_caller(caller: int) -> None:
    """Leave Ctrl-C to the caller, and exit within a second of the caller's death, even by SIGKILL."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == caller:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
