"""A pool of local worker processes, each known by the shard it has in hand."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import Pipe
from threading import Lock
from typing import Any, Generic, TypeVar, cast

import cloudpickle

from skip_pipeline.engine.order import in_order
from skip_pipeline.errors import EngineError
from skip_pipeline.settings import SINGLE_THREADED, EngineSettings

T = TypeVar("T")
R = TypeVar("R")


class Processes:
    """Local workers; they start when first needed and stay for later maps until closed."""

    def __init__(self, settings: EngineSettings):
        self._settings = settings
        self._idle = _Idle()

    @property
    def workers(self) -> int:
        """Processes at most."""
        return self._settings.workers or usable_cores()

    def map(self, function: Callable[[T], R], shards: Sequence[T], *, label: str) -> Iterator[R]:
        """See ``engine.Engine.map``.

        What cannot be pickled by name (a lambda, a function of the calling script) is pickled by value.
        """
        shift: _Shift[T, R] = _Shift(function, self._idle, self.workers, retries=self._settings.retries)
        try:
            yield from in_order(
                shift.submit, shards, label=label, at_once=self.workers * self._settings.shards_ahead
            )
        finally:
            shift.end()

    def close(self) -> None:
        """Stop the workers."""
        while self._idle.workers:
            self._idle.workers.pop().stop()


def usable_cores() -> int:
    """Cores that this process may run on; fewer than the machine has, where a scheduler restricts it."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class _Idle:
    """Workers between two shards; maps that are read in turns share them, and with them the lock."""

    workers: list[_Worker] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)


class _Shift(Generic[T, R]):
    """The workers of one map, each driven by a thread of this process that waits for its answers.

    One shard in hand per worker, so that a death is counted against that shard alone.
    """

    def __init__(self, function: Callable[[T], R], idle: _Idle, workers: int, *, retries: int):
        self._function = bytes(cloudpickle.dumps(function))
        self._idle = idle.workers
        self._attempts = retries + 1
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="skip_pipeline.engine")
        self._lock = idle.lock  # held while a worker changes hands, and while the shift is ended
        self._busy: set[_Worker] = set()
        self._ended = False

    def submit(self, shard: T, title: str) -> Future[R]:
        return self._threads.submit(self._run, bytes(cloudpickle.dumps(shard)), title)

    def end(self) -> None:
        """Stop whatever still works; nothing does, if every result has been given."""
        with self._lock:
            self._ended = True
            for worker in self._busy:
                worker.kill()
        self._threads.shutdown(cancel_futures=True)

    def _run(self, shard: bytes, title: str) -> R:
        deaths = []
        for _ in range(self._attempts):
            worker = self._take()
            try:
                answer = worker.answer(self._function, shard)
            except (EOFError, OSError):
                deaths.append(worker.stop())
                with self._lock:
                    self._busy.discard(worker)
            else:
                self._give_back(worker)
                succeeded, value = pickle.loads(answer)  # noqa: S301  from a worker that we started
                if succeeded:
                    return cast(R, value)
                raise value
        raise EngineError(
            f"{title}: the worker process died {len(deaths)} times ({', then '.join(deaths)}), another "
            "one each time. SIGKILL is mostly the system's answer to a lack of memory: use fewer workers "
            "or smaller shards; for anything else, run the shard with the engine 'in_process'"
        )

    def _take(self) -> _Worker:
        with self._lock:
            if self._ended:
                raise CancelledError
            while self._idle and not self._idle[-1].alive:
                self._idle.pop().stop()
            worker = self._idle.pop() if self._idle else _Worker()
            self._busy.add(worker)
            return worker

    def _give_back(self, worker: _Worker) -> None:
        with self._lock:
            self._busy.discard(worker)
            self._idle.append(worker)


class _Worker:
    """A process that runs ``worker.serve``."""

    def __init__(self) -> None:
        self._pipe, theirs = Pipe()
        start = (
            f"import sys; sys.path[:] = {[entry for entry in sys.path if isinstance(entry, str)]!r}; "
            f"from skip_pipeline.engine.worker import serve; serve({theirs.fileno()})"
        )
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  this interpreter, our own module
                [sys.executable, "-c", start],
                stdin=subprocess.DEVNULL,
                env=SINGLE_THREADED | dict(os.environ),
                pass_fds=[theirs.fileno()],
            )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def answer(self, function: bytes, shard: bytes) -> Any:
        """Wait for the pickled answer; EOFError or OSError when the process dies."""
        self._pipe.send_bytes(function)
        self._pipe.send_bytes(shard)
        return self._pipe.recv_bytes()

    def kill(self) -> None:
        """Kill it whatever it does. Not SIGTERM: a library in the worker may handle or ignore that one."""
        self._process.kill()

    def stop(self) -> str:
        """Have it end, and say in a word how it ended."""
        self._pipe.close()
        try:
            status = self._process.wait(timeout=1)  # an idle one sees the closed pipe and leaves
        except subprocess.TimeoutExpired:
            self.kill()
            status = self._process.wait()
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"
