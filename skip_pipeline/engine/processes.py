"""Local worker processes: a pool of ``loky``.

The pool of ``concurrent.futures`` imports the caller's script again in each worker, which starts the work a
second time if the script has no ``if __name__ == "__main__"``; it cannot kill its workers and refuses
functions that have no importable name. ``loky`` has the same interface without these limits.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from typing import Any, Final

import loky

from skip_pipeline.engine import Pool
from skip_pipeline.settings import SINGLE_THREADED, EngineSettings

_LOSSES: Final[dict[type[Exception], str]] = {
    BrokenExecutor: "a worker process failed. If it was killed (SIGKILL), memory was most likely short: use "
    "fewer workers or smaller shards. Otherwise, the engine 'in_process' shows the failure"
}


@contextmanager
def local_pool(settings: EngineSettings) -> Iterator[Pool]:
    """Open a pool whose processes start with the first shard; kill them when the block ends."""
    workers = settings.workers or loky.cpu_count()
    executor = _executor(workers)

    def submit(function: Callable[[Any], Any], shard: Any) -> Any:
        nonlocal executor
        try:
            return executor.submit(function, shard)
        except BrokenExecutor:  # a worker died, and with it the pool
            executor = _executor(workers)
            return executor.submit(function, shard)

    try:
        yield Pool(submit, lambda: workers, _LOSSES, settings.retries)
    finally:
        executor.shutdown(kill_workers=True)


def _executor(workers: int) -> Any:
    environment = {name: os.environ.get(name, value) for name, value in SINGLE_THREADED.items()}
    # loky restarts workers that have grown by 300 MB; a large shard may need that much without a leak.
    environment["LOKY_MAX_MEMORY_LEAK_SIZE"] = "1e18"
    return loky.ProcessPoolExecutor(
        workers, env=environment, initializer=_end_with_caller, initargs=(os.getpid(),)
    )


def _end_with_caller(caller: int) -> None:
    """Leave Ctrl-C to the caller, and exit within a second of the caller's death, even by SIGKILL."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == caller:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
