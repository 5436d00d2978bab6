"""Workers of a Dask cluster: one that runs at its scheduler's address, or one started here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final, cast

from distributed import Client, KilledWorker, LocalCluster, rpc

from skip_pipeline.engine import Pool
from skip_pipeline.errors import EngineError
from skip_pipeline.settings import EngineSettings

_LOSSES: Final[dict[type[Exception], str]] = {
    KilledWorker: "several workers died, one after the other, while they had this shard. Most often memory "
    "is short: give the workers more or make the shards smaller; the log of a worker has the cause",
    CancelledError: "the connection to the Dask scheduler was lost; check that it runs, and start again",
}


@contextmanager
def dask_pool(settings: EngineSettings) -> Iterator[Pool]:
    """Connect to the cluster at ``settings.address``, or start one on 127.0.0.1 and stop it afterwards.

    A cluster at an address decides how often it repeats a shard whose worker died
    (``distributed.scheduler.allowed-failures``) and how many threads its workers have (start them with
    ``--nthreads 1``). Workers that are started here import the calling script again, so a script needs
    ``if __name__ == "__main__"``.

    Raises:
        EngineError: nothing answers at the address within ``settings.connect_seconds``, the cluster has no
            worker by then, or its Python, libraries or version of this package differ from this process's.
    """
    with ExitStack() as stack:
        address = settings.address or stack.enter_context(_local_cluster(settings)).scheduler_address
        client = stack.enter_context(_client(address, settings.connect_seconds))
        _refuse_different_workers(client, address, settings.connect_seconds)
        yield Pool(
            submit=partial(client.submit, pure=False),  # False: equal shards are not one task
            workers=lambda: sum(client.nthreads().values()),
            losses=_LOSSES,
        )


@contextmanager
def _local_cluster(settings: EngineSettings) -> Iterator[LocalCluster]:
    try:
        cluster = LocalCluster(
            n_workers=settings.workers,
            threads_per_worker=1,
            host="127.0.0.1",
            scheduler_kwargs={
                "allowed_failures": settings.retries,
                "dashboard": False,
                "dashboard_address": "127.0.0.1:0",  # health is still served, at any free port
            },
        )
    except RuntimeError as failure:
        raise EngineError(
            f"The workers of a Dask cluster on this machine did not start ({failure}). If the calling script "
            'does its work outside `if __name__ == "__main__"`, move the work there or use the engine '
            "'processes'; the output of the workers has the cause"
        ) from failure
    with cluster:
        yield cluster


async def _greet(address: str) -> None:
    async with rpc(address) as scheduler:
        await scheduler.identity()


@contextmanager
def _client(address: str, seconds: float) -> Iterator[Client]:
    try:
        # A client would wait for ever at an address that accepts the connection and never answers.
        with ThreadPoolExecutor(1) as thread:  # a thread, since the loop of a notebook is running already
            thread.submit(asyncio.run, asyncio.wait_for(_greet(address), seconds)).result()
        client = Client(address, timeout=seconds, set_as_default=False)
    except (OSError, ValueError, MemoryError) as failure:  # MemoryError: the answer is not Dask's protocol
        raise EngineError(
            f"No Dask scheduler answered at {address!r} within {seconds:g} s ({failure!r}). Expected the "
            "address that a running scheduler prints, e.g. tcp://10.0.0.5:8786; start one with `dask "
            "scheduler`, or leave the address empty for a cluster on this machine"
        ) from failure
    with client:
        yield client


def _refuse_different_workers(client: Client, address: str, seconds: float) -> None:
    try:
        client.wait_for_workers(1, timeout=seconds)
    except TimeoutError as none:
        raise EngineError(
            f"The Dask scheduler at {address} has no worker after {seconds:g} s; start one with "
            f"`dask worker {address} --nthreads 1`"
        ) from none
    found = cast(dict[str, Any], client.get_versions(packages=["pyarrow"]))
    workers = {worker: _versions(info) for worker, info in found["workers"].items()}
    _refuse_differences(_versions(found["client"]), workers, address)
    # Only now: another minor version of Python cannot read a function that is pickled by value.
    digest = _digest_of_sources()
    _refuse_differences(digest(), client.run(digest), address)


def _versions(info: Mapping[str, Any]) -> dict[str, str | None]:
    """Versions of the libraries, and of Python without its patch release, which changes no result."""
    packages = info["packages"]
    return {**packages, "python": ".".join(packages["python"].split(".")[:2])}


def _digest_of_sources() -> Callable[[], dict[str, str | None]]:
    """A function that is pickled by value, so that it also runs on workers without this package."""

    def digest() -> dict[str, str | None]:
        import hashlib
        import importlib.util
        import pathlib

        found = importlib.util.find_spec("skip_pipeline")
        if found is None or not found.origin:
            return {"the sources of skip_pipeline": None}
        folder = pathlib.Path(found.origin).parent
        sources = hashlib.sha256()
        for path in sorted(folder.rglob("*.py")):
            sources.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
        return {"the sources of skip_pipeline": sources.hexdigest()[:12]}

    return digest


def _refuse_differences(
    ours: Mapping[str, str | None], theirs: Mapping[str, Mapping[str, str | None]], address: str
) -> None:
    """Compare versions by name; ``theirs`` has those of each worker."""
    differences = [
        f"{worker} has {name} {versions[name] or 'missing'}, this process {ours[name] or 'missing'}"
        for worker, versions in theirs.items()
        for name in ours
        if versions[name] != ours[name]
    ]
    if differences:
        raise EngineError(
            f"The Dask cluster at {address} differs from this process, so results could differ: "
            f"{'; '.join(differences[:3])} ({len(differences)} differences in all). No work was sent. Start "
            "its workers from the same installation (the same skip-pipeline and the same constraints.txt)"
        )
