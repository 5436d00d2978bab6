"""A server of several processes: one address, one end, and a process that dies is replaced."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from skip_pipeline.defs.registry import Registry
from skip_pipeline.serving.processes import Beside
from skip_pipeline_tests.serving.asking import Client, eventually
from skip_pipeline_tests.serving.small_models import SESSIONS, request

pytestmark = pytest.mark.slow

GOOD = request(SESSIONS[0])
SERVE = "from skip_pipeline.cli.main import app; app()"


def note(place: Path) -> None:
    (place / str(os.getpid())).touch()
    threading.Event().wait()


def noted(place: Path) -> set[int]:
    return {int(path.name) for path in place.iterdir()}


def test_a_process_that_ends_is_replaced_and_all_end_with_the_block(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Beside(partial(note, tmp_path), 2, stop_seconds=20) as beside:
        assert eventually(lambda: len(noted(tmp_path)) == 2)
        first = min(noted(tmp_path))
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: dead(first))
        beside.watch()
        assert eventually(lambda: len(noted(tmp_path)) == 3)
        beside.watch()
    assert [record.getMessage() for record in caplog.records] == [
        f"server process {first} ended with status -9, and is replaced"
    ]
    assert all(dead(pid) for pid in noted(tmp_path))


def dead(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def server(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server of two processes, and its port."""
    command = [
        sys.executable,
        "-c",
        SERVE,
        "serve",
        "--port",
        "0",
        "--processes",
        "2",
        "--model",
        str(folder),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        started = process.stdout.readline()
        yield process, int(started.rsplit(":", 1)[1].partition("/")[0])
        process.kill()


def serving(process: subprocess.Popen[str], port: int) -> set[int]:
    """Processes that have accepted a connection."""
    tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    return {
        one.pid
        for one in tree
        for connection in one.net_connections("tcp")
        if connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port == port
    }


def test_two_processes_answer_and_end_together(server: tuple[subprocess.Popen[str], int]) -> None:
    process, port = server
    clients: list[Client] = []

    def both_answer() -> bool:
        clients.append(Client(port))
        assert clients[-1].ask(GOOD)[0] == 200
        time.sleep(0.05)
        return len(serving(process, port)) == 2

    assert eventually(both_answer)
    tree = psutil.Process(process.pid).children(recursive=True)
    for client in clients:
        client.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert psutil.wait_procs(tree, timeout=20)[1] == []


def test_nothing_is_left_of_a_server_that_is_killed(server: tuple[subprocess.Popen[str], int]) -> None:
    process, _ = server
    tree = psutil.Process(process.pid).children(recursive=True)
    assert len(tree) >= 1
    process.kill()
    process.wait(20)
    assert psutil.wait_procs(tree, timeout=30)[1] == []


def test_a_registry_is_sent_to_another_process_without_its_client(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path / 'mlflow.db'}")
    registry.__dict__["_client"] = threading.Lock()  # cannot be pickled, as clients may not
    copy = pickle.loads(pickle.dumps(registry))  # noqa: S301 - what multiprocessing does
    assert copy.name == registry.name
    assert "_client" not in copy.__dict__
