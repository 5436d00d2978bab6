"""Load on a fixed schedule, the search for the highest rate, and figures beside what is demanded of them."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks import load, served_world, serving
from benchmarks.measure import ChildFailedError
from benchmarks.server_process import running
from skip_pipeline.raw.log_pairs import log_pairs
from skip_pipeline.serving.logs import read_log_pair
from skip_pipeline.serving.requests import sessions_of_records

pytestmark = pytest.mark.slow


@contextmanager
def answering(status: int = 200, wait: float = 0.0) -> Iterator[str]:
    """A server that answers every request alike, by versions 1, 1, 2, 1, 1, 2, …; gives its URL."""
    count = iter(range(1_000_000))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(wait)
            version = "2" if next(count) % 3 == 2 else "1"
            content = json.dumps({"predictions": [{"model_version": version}]}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/invocations"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    path = tmp_path / "requests.json"
    path.write_text('[{"session_id": "a"}, {"session_id": "b"}]')
    return path


def offer(requests: Path, url: str, *, rate: float, seconds: float) -> load.Load:
    load.offer(requests, requests.parent, url=url, rate=rate, seconds=seconds)
    return load.Load(**json.loads((requests.parent / load.FIGURES).read_text()))


def test_every_request_is_sent_and_its_version_counted(requests: Path) -> None:
    with answering() as url:
        found = offer(requests, url, rate=100, seconds=0.6)
    assert (found.sent, found.failed) == (60, 0)
    assert sum(found.versions.values()) == 60
    assert found.versions["2"] == 20
    assert found.changes > 0


def test_the_time_in_which_a_server_does_nothing_counts(requests: Path) -> None:
    with answering(wait=0.05) as url:
        found = offer(requests, url, rate=100, seconds=0.2)
    assert found.p50_ms >= 50


def test_failures_are_counted_by_what_they_are(requests: Path) -> None:
    with answering(status=503) as url:
        found = offer(requests, url, rate=100, seconds=0.1)
    assert (found.failures, found.failed, found.versions) == ({"503": 10}, 10, {})
    gone = offer(requests, url, rate=100, seconds=0.1)
    assert gone.failures == {"ClientConnectorError": 10}


@pytest.mark.parametrize(
    ("limit", "held"), [(0, 0.0), (99, 87.5), (100, 100.0), (150, 150.0), (700, 700.0), (10**9, 6_400.0)]
)
def test_the_highest_rate_held_is_found_to_an_eighth(limit: float, held: float) -> None:
    asked: list[float] = []

    def is_held(rate: float) -> bool:
        asked.append(rate)
        return rate <= limit

    assert serving.highest_held(is_held) == held
    assert len(asked) < 12


def test_the_page_says_what_is_demanded_and_where_the_figures_are_from() -> None:
    environment = {"cores": 2, "date": "2026-01-02T03:04:05", "versions": {"python": "3.11.1"}}
    lines = serving.page(
        {"headline": {"pyfunc_p50_ms": 4.5, "x": 1}, "environment": environment}
    ).splitlines()
    assert "2 cores, 2026-01-02, Python 3.11.1, with a model trained on synthetic data" in lines[2]
    assert lines[-2:] == ["| `pyfunc_p50_ms` | 4.5 | below 5 | reached |", "| `x` | 1 |  |  |"]


def test_every_demand_is_of_a_figure_that_is_explained() -> None:
    readme = Path(serving.__file__).with_name("README.md").read_text()
    assert [name for name in serving.LIMITS if f"`{name}`" not in readme] == []


# --- What is measured on ------------------------------------------------------------------------------------


def test_requests_hold_whole_sessions_of_raw_rows(raw: Path, tmp_path: Path) -> None:
    served_world.write_requests(raw, tmp_path)
    records = json.loads((tmp_path / "requests.json").read_text())
    sessions = sessions_of_records(records)
    assert len(sessions) > 100
    assert {len(r["history"]) + 1 for r in records} == set(range(10, 21))
    assert {len(row) for record in records for row in record["history"]} == {21}


def test_the_same_sessions_ask_for_a_hundred_candidates(raw: Path, tmp_path: Path) -> None:
    served_world.write_requests(raw, tmp_path)
    one, several = (json.loads((tmp_path / f"{of}.json").read_text()) for of in ("requests", "candidates"))
    assert [record["history"] for record in several] == [record["history"] for record in one]
    assert [record["candidates"][0] for record in several] == [record["next_track_id"] for record in one]
    assert set(sessions_of_records(several).candidates.tolist()) == {100}


def test_the_test_set_is_cut_as_published(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "training_set").symlink_to(raw / "training_set")
    served_world.cut_test_set(tmp_path, tmp_path)
    (pair,) = log_pairs(tmp_path)
    sessions = read_log_pair(pair)
    (log,) = (raw / "training_set").iterdir()
    rows = log.read_text().splitlines()
    halves = [len(file.read_text().splitlines()) - 1 for file in (pair.prehistory, pair.input)]
    assert sum(halves) == len(rows) - 1
    assert set(sessions.earlier.tolist()) == set(range(5, 11))
    assert set(pair.prehistory.read_text().splitlines()) < {rows[0].replace('"', ""), *rows, *quoted(rows[0])}


def quoted(header: str) -> set[str]:
    return {",".join(f'"{name}"' for name in header.replace('"', "").split(","))}


# --- A server as a process ----------------------------------------------------------------------------------

SERVER = """
import http.server, sys, numpy
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.send_response(int(sys.argv[2]))
        self.end_headers()
        self.wfile.write(b"no such model")
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_server_is_waited_for_and_stopped() -> None:
    with running(lambda port: [sys.executable, "-c", SERVER, str(port), "200"], {}, b"{}") as server:
        assert server.seconds > 0
        assert server.libraries_of("numpy") > 0
        assert server.libraries_of("tensorflow") == 0
        assert psutil.pid_exists(server.pid)
    assert not psutil.pid_exists(server.pid)
    assert server.memory.stop().total > 0


def test_a_server_that_ends_is_said_with_its_words() -> None:
    code = "import sys; sys.exit('no model')"
    with (
        pytest.raises(ChildFailedError, match=r"did not serve(.|\n)*no model"),
        running(lambda _port: [sys.executable, "-c", code], {}, b"{}"),
    ):
        pass
