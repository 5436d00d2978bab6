"""A server process: started, waited for, measured and stopped."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import psutil

from benchmarks import measure
from benchmarks.measure import ChildFailedError
from benchmarks.memory import TreeMemory

START_SECONDS: Final = 180.0  # a server without an answer by then is given up; MLflow needs about 10
STOP_SECONDS: Final = 30.0  # until it is killed
LOOK_SECONDS: Final = 0.01  # between two attempts; the error of the start time
ANSWER_SECONDS: Final = 60.0  # of the first answer, once the server has taken the request


@dataclass(frozen=True)
class Server:
    """A server that has answered.

    Attributes:
        port: on 127.0.0.1.
        seconds: from its start to its first answer of status 200.
        memory: of its tree, watched since its start.
    """

    port: int
    seconds: float
    memory: TreeMemory
    pid: int

    @property
    def url(self) -> str:
        """Where it takes requests."""
        return f"http://127.0.0.1:{self.port}/invocations"

    def libraries_of(self, package: str) -> int:
        """Files of a Python package that are mapped into the processes of its tree; Linux only."""
        mapped = set()
        for process in _tree(self.pid):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                lines = Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8").splitlines()
                mapped |= {line.partition("/")[2] for line in lines if f"/{package}/" in line}
        return len(mapped)


@contextmanager
def running(
    command: Callable[[int], Sequence[str]], environment: Mapping[str, str], body: bytes
) -> Iterator[Server]:
    """Start a server and wait until it has answered; stop it and all that it has started in the end.

    Args:
        command: for a port.
        environment: of the process.
        body: of the request that it has to answer first.

    Raises:
        ChildFailedError: it ended, or did not answer in time.
    """
    port = free_port()
    with tempfile.TemporaryFile("w+") as log:
        started = time.perf_counter()
        process = subprocess.Popen(
            command(port),
            cwd=measure.ROOT,
            env=dict(environment),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        memory = TreeMemory(process.pid)
        try:
            _wait(process, port, body, started, log)
            yield Server(port, time.perf_counter() - started, memory, process.pid)
        finally:
            memory.stop()
            _stop(process)


def _wait(process: subprocess.Popen[bytes], port: int, body: bytes, started: float, log: IO[str]) -> None:
    said = "no answer"
    while time.perf_counter() - started < START_SECONDS and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
        try:
            connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            said = f"status {response.status}: {response.read()[:500]!r}"
            if response.status == 200:
                return
        except (OSError, http.client.HTTPException) as refusal:
            said = repr(refusal)
        finally:
            connection.close()
        time.sleep(LOOK_SECONDS)
    log.seek(0)
    last = "\n".join(log.read().splitlines()[-15:])
    raise ChildFailedError(f"{process.args!r} did not serve ({said}):\n{last}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the process group, then kill what is left of the tree."""
    left = _tree(process.pid)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    _, alive = psutil.wait_procs(left, timeout=STOP_SECONDS)
    for stubborn in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            stubborn.kill()
    process.wait()


def _tree(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
        return port
