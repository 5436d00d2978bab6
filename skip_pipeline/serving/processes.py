"""Several processes that take requests on one socket: Python uses one core of each."""

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.context import SpawnProcess
from typing import Final, Self

_SPAWN: Final = multiprocessing.get_context("spawn")  # a fork would copy locks of ONNX Runtime's threads
_log = logging.getLogger(__name__)


class Beside:
    """Processes beside this one that do the same work. One that ends is started again."""

    def __init__(self, work: Callable[[], None], number: int, stop_seconds: float) -> None:
        """Start nothing yet.

        Args:
            work: pickled for each process; it returns after SIGTERM.
            stop_seconds: after that, until a process is killed.
        """
        self._work, self._number, self._stop_seconds = work, number, stop_seconds
        self._running: list[SpawnProcess] = []

    def __enter__(self) -> Self:
        """Start the processes."""
        self._running = [self._start() for _ in range(self._number)]
        return self

    def __exit__(self, *_failure: object) -> None:
        """Stop the processes, and wait for them."""
        self.stop()
        for process in self._running:
            process.join(self._stop_seconds)
            if process.is_alive():
                process.kill()
                process.join()

    def stop(self) -> None:
        """Ask the processes to end."""
        for process in self._running:
            process.terminate()

    def watch(self) -> None:
        """Replace processes that have ended."""
        for i, process in enumerate(self._running):
            if not process.is_alive():
                _log.error(
                    "server process %s ended with status %s, and is replaced", process.pid, process.exitcode
                )
                self._running[i] = self._start()

    def _start(self) -> SpawnProcess:
        process = _SPAWN.Process(target=_until_the_parent_ends, args=(self._work,))
        process.start()
        return process


def _until_the_parent_ends(work: Callable[[], None]) -> None:
    """Do some work in a process that nothing is left of when its parent is killed."""

    def follow() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, daemon=True).start()
    work()
