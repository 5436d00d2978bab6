"""Workers of a Dask cluster: one that runs at its scheduler's address, or one started here."""

import asyncio
import hashlib
import sys
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path

from distributed import Client, KilledWorker, LocalCluster, rpc

import skip_pipeline
from skip_pipeline.engine import Engine
from skip_pipeline.errors import EngineError
from skip_pipeline.settings import EngineSettings

_LOSSES: dict[type[Exception], str] = {
    KilledWorker: "several workers died, one after the other, while they had this shard. Most often memory "
    "is short: give the workers more or make the shards smaller; the log of a worker has the cause",
    CancelledError: "the connection to the Dask scheduler was lost; check that it runs, and start again",
}


@contextmanager
def dask_cluster(settings: EngineSettings) -> Iterator[Engine]:
    """Connect to the cluster at ``settings.address``, or start one on 127.0.0.1 and stop it afterwards.

    A cluster at an address decides how often it repeats a shard whose worker died
    (``distributed.scheduler.allowed-failures``) and how many threads its workers have (start them with
    ``--nthreads 1``). Workers that are started here import the calling script again, so a script needs
    ``if __name__ == "__main__"``.
    """
    with ExitStack() as stack:
        address = settings.address or stack.enter_context(_local_cluster(settings)).scheduler_address
        client = stack.enter_context(_client(address, settings.connect_seconds))
        _refuse_different_workers(client, address, settings.connect_seconds)
        submit = partial(client.submit, pure=False)  # False: equal shards are not one task
        workers = max(1, sum(client.nthreads().values()))  # the last one may have left by now
        yield Engine(submit, workers, settings.shards_ahead, _LOSSES, retries=0)


def _local_cluster(settings: EngineSettings) -> LocalCluster:
    workers = {"n_workers": settings.workers, "threads_per_worker": 1, "host": "127.0.0.1"}
    # Health is served even without a dashboard, at any free port.
    options = {"dashboard": False, "dashboard_address": "127.0.0.1:0", "allowed_failures": settings.retries}
    try:
        return LocalCluster(scheduler_kwargs=options, **workers)
    except RuntimeError as failure:
        raise EngineError(
            f"The workers of a Dask cluster on this machine did not start ({failure}). If the calling script "
            'does its work outside `if __name__ == "__main__"`, move the work there or use the engine '
            "'processes'; the output of the workers has the cause"
        ) from failure


async def _greet(address: str) -> None:
    async with rpc(address) as scheduler:
        await scheduler.identity()


def _client(address: str, seconds: float) -> Client:
    try:
        # A client would wait for ever at an address that accepts the connection and never answers.
        with ThreadPoolExecutor(1) as thread:  # a thread, since the loop of a notebook is running already
            thread.submit(asyncio.run, asyncio.wait_for(_greet(address), seconds)).result()
        return Client(address, timeout=seconds, set_as_default=False)
    except (OSError, ValueError, MemoryError) as failure:  # MemoryError: the answer is not Dask's protocol
        raise EngineError(
            f"No Dask scheduler answered at {address!r} within {seconds:g} s ({failure!r}). Expected the "
            "address that a running scheduler prints, e.g. tcp://10.0.0.5:8786; start one with `dask "
            "scheduler`, or leave the address empty for a cluster on this machine"
        ) from failure


def _refuse_different_workers(client: Client, address: str, seconds: float) -> None:
    try:
        client.wait_for_workers(1, timeout=seconds)
    except TimeoutError as none:
        raise EngineError(
            f"The Dask scheduler at {address} has no worker after {seconds:g} s; start one with "
            f"`dask worker {address} --nthreads 1`"
        ) from none
    ours, differences = environment(), []
    for worker, theirs in client.run(environment, on_error="return").items():
        if isinstance(theirs, Exception):  # the worker has another version of skip_pipeline, or none
            theirs = ours | {"the sources of skip_pipeline": repr(theirs)}
        differing = [name for name in ours if theirs.get(name) != ours[name]]
        differences += [
            f"{worker} has {name} {theirs.get(name)}, this process {ours[name]}" for name in differing
        ]
    if differences:
        raise EngineError(
            f"The Dask cluster at {address} differs from this process, so results could differ: "
            f"{'; '.join(differences[:3])} ({len(differences)} differences in all). No work was sent. Start "
            "its workers from the same installation (the same skip-pipeline and the same constraints.txt)"
        )


def environment() -> dict[str, str]:
    """Versions that results depend on: Python without its patch release, libraries, package sources."""
    package = Path(skip_pipeline.__file__).parent
    sources = [bytes(path.relative_to(package)) + path.read_bytes() for path in sorted(package.rglob("*.py"))]
    libraries = ("distributed", "cloudpickle", "numpy", "pandas", "pyarrow")
    return {
        "Python": "{}.{}".format(*sys.version_info),
        **{name: version(name) for name in libraries},
        "the sources of skip_pipeline": hashlib.sha256(b"\0".join(sources)).hexdigest()[:12],
    }
