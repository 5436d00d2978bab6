"""No process of ours writes outside its data directory, or speaks to another machine.

An audit hook in every Python process notes both. It does not see native code: what ONNX Runtime would write
lands in an empty home directory, which is listed afterwards.
"""

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

import skip_pipeline
from benchmarks.server_process import free_port
from skip_pipeline.settings import DataLayout
from skip_pipeline_tests.builders import deliver
from skip_pipeline_tests.defs.test_browser import wait_for
from skip_pipeline_tests.serving.registry import Registry
from skip_pipeline_tests.serving.small_models import SESSIONS, data_directory, pack

pytestmark = pytest.mark.slow

HOOK = """
import os, sys
own = [os.path.realpath(os.environ[name]) for name in ("WATCHED_ROOT", "TMPDIR")] + ["/dev", "/proc"]
told = os.open(os.environ["WATCHED_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
here = ("", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::", None)

def watch(event, given):
    if event in ("socket.connect", "socket.sendto") and isinstance(given[1], tuple):
        strange = None if given[1][0] in here else given[1][0]
    elif event == "socket.getaddrinfo":
        strange = None if given[0] in here else given[0]
    elif event == "open" and isinstance(given[0], str) and given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        strange = own_or(given[0])
    elif event == "os.mkdir":
        strange = own_or(os.fspath(given[0]))
    else:
        return
    if strange is not None:
        os.write(told, f"{event} {strange} {sys.argv}\\n".encode())

def own_or(path):
    real = os.path.realpath(path)
    return None if real.startswith(tuple(own)) or ".coverage" in real or "__pycache__" in real else real

sys.addaudithook(watch)
"""
MAIN = (sys.executable, "-c", "from skip_pipeline.cli.main import app; app()")
FONTS = {".cache", ".config"}  # where Matplotlib, and nothing else here, keeps what it knows of fonts
FONT_FOLDERS = ((), ("matplotlib",))
STRANGE = """
import os, socket
open(os.environ["HOME"] + "/x", "w").close()
socket.getaddrinfo("192.0.2.1", 9)
"""


@pytest.fixture
def layout(tmp_path: Path, template: Path) -> DataLayout:
    """A data directory with a champion."""
    layout = data_directory(tmp_path / "data")
    registry = Registry(layout.mlflow)
    registry.promote(registry.register(pack(layout)))
    return layout


@pytest.fixture
def watched(tmp_path: Path, layout: DataLayout) -> Mapping[str, str]:
    """The environment of a watched process; nothing in it tells a library that this is a test."""
    for name in ("home", "temporary", "site"):
        (tmp_path / name).mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(HOOK)
    code = (str(tmp_path / "site"), str(Path(skip_pipeline.__file__).parents[1]))
    kept = {name: os.environ[name] for name in ("PATH", "COVERAGE_PROCESS_START") if name in os.environ}
    return kept | {
        "PYTHONPATH": os.pathsep.join(code),
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "temporary"),
        "WATCHED_ROOT": str(layout.root),
        "WATCHED_NOTES": str(tmp_path / "notes"),
    }


def assert_kept_to_itself(tmp_path: Path) -> None:
    assert (tmp_path / "notes").read_text() == ""
    left = {path.relative_to(tmp_path / "home").parts for path in (tmp_path / "home").rglob("*")}
    assert {parts for parts in left if parts[0] not in FONTS or parts[1:2] not in FONT_FOLDERS} == set()


@contextmanager
def running(
    words: list[str], environment: Mapping[str, str], stop: signal.Signals
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([*MAIN, *words], env=environment, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(stop)
        process.wait(60)


def test_the_hook_notes_a_file_and_a_connection(tmp_path: Path, watched: Mapping[str, str]) -> None:
    subprocess.run([sys.executable, "-c", STRANGE], env=watched, check=True)

    noted = (tmp_path / "notes").read_text().splitlines()
    assert [line.split()[0] for line in noted] == ["open", "socket.getaddrinfo"]


def test_commands_and_the_server_keep_to_themselves(
    tmp_path: Path, layout: DataLayout, watched: Mapping[str, str]
) -> None:
    log = deliver(tmp_path / "log.csv", [row for rows in SESSIONS for row in rows])
    of_data = ("--data-dir", str(layout.root))
    for words in (("run", "--select", "skip_predictions"), ("predict", str(log))):
        subprocess.run([*MAIN, *words, *of_data], env=watched, check=True, stdout=subprocess.DEVNULL)
    port = free_port()
    with running(["serve", *of_data, "--port", str(port)], watched, signal.SIGINT) as server:
        wait_for(f"http://127.0.0.1:{port}/ping", server)

    assert_kept_to_itself(tmp_path)


def test_the_pages_of_dagster_and_mlflow_keep_to_themselves(
    tmp_path: Path, layout: DataLayout, watched: Mapping[str, str]
) -> None:
    dagster, mlflow = free_port(), free_port()
    ports = ("--dagster-port", str(dagster), "--mlflow-port", str(mlflow))
    with running(["ui", "--data-dir", str(layout.root), *ports], watched, signal.SIGTERM) as servers:
        for port in (dagster, mlflow):
            wait_for(f"http://127.0.0.1:{port}", servers)
        question = f"http://127.0.0.1:{mlflow}/ajax-api/3.0/mlflow/ui-telemetry"
        with urllib.request.urlopen(question) as answer:
            said = answer.read()

    assert b'"disable_ui_telemetry":true' in said.replace(b" ", b"")
    assert_kept_to_itself(tmp_path)
