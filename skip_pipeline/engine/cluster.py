"""A Dask cluster: one that is there, at its scheduler's address, or one started here for the while."""

from __future__ import annotations

import asyncio
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, rpc
from distributed.versions import VersionMismatchWarning

from skip_pipeline.engine import versions
from skip_pipeline.engine.order import in_order
from skip_pipeline.engine.processes import usable_cores
from skip_pipeline.errors import EngineError
from skip_pipeline.settings import EngineSettings

T = TypeVar("T")
R = TypeVar("R")


class Cluster:
    """Sends every shard to a Dask scheduler as a task of its own."""

    def __init__(self, client: Client, settings: EngineSettings):
        self._client = client
        self._settings = settings

    @property
    def workers(self) -> int:
        """Threads of all workers at this moment; a worker should have one."""
        return sum(self._client.nthreads().values())

    def map(self, function: Callable[[T], R], shards: Sequence[T], *, label: str) -> Iterator[R]:
        """See ``engine.Engine.map``; on a scheduler's page the tasks appear under the label."""
        group = f"{label}-{uuid.uuid4().hex}"

        def submit(shard: T, title: str) -> _Task[R]:
            key = (group, title)  # of one group, so that the scheduler gives a worker one task at a time
            return _Task(self._client.submit(function, shard, key=key, pure=False), title)

        yield from in_order(
            submit, shards, label=label, at_once=max(1, self.workers) * self._settings.shards_ahead
        )


@dataclass(frozen=True)
class _Task(Generic[R]):
    future: Future[Any]
    title: str

    def result(self) -> R:
        try:
            return cast(R, self.future.result())
        except KilledWorker as killed:
            raise EngineError(
                f"{self.title}: {killed.allowed_failures + 1} workers died while they had it, the last one "
                f"{killed.last_worker.address}. Mostly that is a lack of memory: give the workers more or "
                "make the shards smaller; a worker's log or its machine's says more"
            ) from killed
        except CancelledError as lost:
            raise EngineError(
                f"{self.title}: the connection to the Dask scheduler was lost ({lost}). Shards that were "
                "finished are kept; see that the scheduler runs, and start again"
            ) from lost

    def cancel(self) -> None:
        self.future.cancel(force=True)


@contextmanager
def open_cluster(settings: EngineSettings) -> Iterator[Cluster]:
    """Connect to the cluster at ``settings.address``, or start one on 127.0.0.1 and stop it afterwards.

    A cluster at an address decides by its own settings how many deaths a shard is forgiven
    (``distributed.scheduler.allowed-failures``, 3 unless changed), and how many threads its workers have:
    start them with ``--nthreads 1``. One that is started here follows ``settings``. Its workers import the
    calling script again, as Python's own process pools do, so a script needs ``if __name__ == "__main__"``.

    Raises:
        EngineError: nothing answers at the address within ``settings.connect_seconds``, no worker has joined
            by then, or the workers' Python, libraries or version of this package are not this process's.
    """
    with ExitStack() as stack:
        address = settings.address or stack.enter_context(_local_cluster(settings)).scheduler_address
        client = stack.enter_context(_client(address, settings.connect_seconds))
        _check_workers(client, address, settings.connect_seconds)
        yield Cluster(client, settings)


@contextmanager
def _local_cluster(settings: EngineSettings) -> Iterator[LocalCluster]:
    try:
        # A task at a time for each worker, so that its death is not counted against one that only waited.
        with dask.config.set({"distributed.scheduler.worker-saturation": 1.0}):
            cluster = LocalCluster(
                n_workers=settings.workers or usable_cores(),
                threads_per_worker=1,
                host="127.0.0.1",
                scheduler_kwargs={
                    "allowed_failures": settings.retries,
                    "dashboard": False,
                    "dashboard_address": "127.0.0.1:0",  # its health is still served, at any free port
                },
            )
    except RuntimeError as failure:
        raise EngineError(
            f"The workers of a Dask cluster on this machine did not start ({failure}). Where the script that "
            'started this does its work outside `if __name__ == "__main__"`, move it there or use the engine '
            "'processes'; the workers' own output says more"
        ) from failure
    with cluster:
        yield cluster


async def _greet(address: str) -> None:
    async with rpc(address) as scheduler:
        await scheduler.identity()


@contextmanager
def _client(address: str, seconds: float) -> Iterator[Client]:
    try:
        # First, since a client waits without end where something accepts the connection and stays silent.
        with ThreadPoolExecutor(1) as thread:  # of its own: a notebook's has an event loop that runs already
            thread.submit(asyncio.run, asyncio.wait_for(_greet(address), seconds)).result()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VersionMismatchWarning)  # ours refuses, and says more
            client = Client(address, timeout=seconds, set_as_default=False)
    except (OSError, ValueError, MemoryError) as failure:  # MemoryError: an answer that begins with no length
        raise EngineError(
            f"No Dask scheduler answered at {address!r} within {seconds:g} s "
            f"({str(failure) or 'nothing came back'}). Expected the "
            "address of a running scheduler, as it prints it, e.g. tcp://10.0.0.5:8786; start one with "
            "`dask scheduler`, or leave the address empty for a cluster on this machine"
        ) from failure
    with client:
        yield client


def _check_workers(client: Client, address: str, seconds: float) -> None:
    try:
        client.wait_for_workers(1, timeout=seconds)
    except TimeoutError as none:
        raise EngineError(
            f"The Dask scheduler at {address} has no worker after {seconds:g} s; start some with "
            f"`dask worker {address} --nthreads 1`"
        ) from none
    found = cast(dict[str, Any], client.get_versions(packages=list(versions.LIBRARIES)))
    versions.refuse_others(
        versions.python_and_libraries(found["client"]),
        {worker: versions.python_and_libraries(info) for worker, info in found["workers"].items()},
        scheduler=address,
    )
    # Only now: a function pickled by value cannot be read by another minor version of Python.
    probe = versions.code_probe()
    versions.refuse_others(
        {versions.CODE: probe()},
        {worker: {versions.CODE: version} for worker, version in client.run(probe).items()},
        scheduler=address,
    )
