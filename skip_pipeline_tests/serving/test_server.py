"""The server, asked over sockets."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from skip_pipeline import schema, serving
from skip_pipeline.errors import MissingInputError, RefusedError
from skip_pipeline.serving import ServedModel
from skip_pipeline.serving.bounds import ServerSettings
from skip_pipeline.serving.follow import FolderSource, Follower
from skip_pipeline.serving.requests import USED
from skip_pipeline.serving.server import configuration, serve
from skip_pipeline.settings import DataLayout
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.serving.small_models import SESSIONS, pack, request

JSON = {"Content-Type": "application/json"}
QUICK = ServerSettings(port=0, max_body_bytes=100_000, body_seconds=0.2, poll_seconds=0.02)
GOOD = request(SESSIONS[0])


class MovingSource:
    """Versions in folders, of which one is current."""

    def __init__(self, folders: dict[str, Path], version: str) -> None:
        self.folders = folders
        self.version = version

    def current(self) -> str:
        if self.version == "unreachable":
            raise MissingInputError("the registry does not answer")
        return self.version

    @contextmanager
    def fetched(self, version: str) -> Iterator[Path]:
        yield self.folders[version]


class Client:
    """A connection that stays open."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def send(self, method: str, path: str, body: Any = None, headers: dict | None = None) -> tuple[int, Any]:
        content = body if body is None or isinstance(body, str | bytes) else json.dumps(body)
        self._connection.request(method, path, content, JSON if headers is None else headers)
        response = self._connection.getresponse()
        text = response.read().strip()
        is_json = response.headers["Content-Type"].startswith("application/json")
        return response.status, json.loads(text) if is_json and text else text.decode()

    def ask(self, *records: object) -> tuple[int, Any]:
        return self.send("POST", "/invocations", {"dataframe_records": list(records)})

    def close(self) -> None:
        self._connection.close()


@contextmanager
def running(follower: Follower, settings: ServerSettings = QUICK) -> Iterator[int]:
    """Serve in a thread; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        server = uvicorn.Server(configuration(follower, settings))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            yield bound.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(20)


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    with running(Follower(FolderSource(folder))) as port:
        yield port


@pytest.fixture
def client(port: int) -> Iterator[Client]:
    made = Client(port)
    yield made
    made.close()


def eventually(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.01)
    return False


# --- Answers ------------------------------------------------------------------------------------------------


def test_records_are_scored_as_the_model_scores_them(
    client: Client, model: ServedModel, folder: Path
) -> None:
    records = [request(rows) for rows in SESSIONS[:5]]
    status, answer = client.ask(*records)
    expected = model.score_records(records)
    version = serving.read_description(folder).fingerprint[:12]
    assert status == 200
    assert answer == {
        "predictions": [
            {
                "session_id": record["session_id"],
                "p_skip": pytest.approx(p),
                "known_track": True,
                "model_version": version,
            }
            for record, p in zip(records, expected.p_skip, strict=True)
        ],
        "data_source": "real",
        "unknown_levels": expected.unknown_levels,
    }


def test_every_form_gives_the_same_answer(client: Client) -> None:
    records = [request(rows) for rows in SESSIONS[:3]]
    names = ["history", "session_id", "next_track_id"]
    split = {"columns": names, "index": [7, 8, 9], "data": [[r[n] for n in names] for r in records]}
    expected = client.ask(*records)
    assert client.send("POST", "/invocations", {"inputs": records}) == expected
    assert client.send("POST", "/invocations", {"dataframe_split": split}) == expected
    assert client.send("POST", "/invocations", {"inputs": records[0]}) == client.ask(records[0])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_may_have_another_encoding(client: Client, encoding: str) -> None:
    body = json.dumps({"inputs": GOOD}).encode(encoding)
    assert client.send("POST", "/invocations", body) == client.ask(GOOD)


def test_health_and_version(client: Client, folder: Path) -> None:
    assert client.send("GET", "/ping")[0] == client.send("GET", "/health")[0] == 200
    assert client.send("HEAD", "/ping")[0] == 200
    status, version = client.send("GET", "/version")
    assert status == 200
    assert version["fingerprint"] == serving.read_description(folder).fingerprint
    assert version["data_source"] == "real"


def test_the_schema_and_its_page_name_every_field_and_load_nothing(client: Client) -> None:
    openapi = client.send("GET", "/openapi.json")[1]
    page = client.send("GET", "/docs")[1]
    assert set(USED) < set(openapi["components"]["schemas"]["Play"]["properties"])
    for name in (*USED, *schema.TRACK_ATTRIBUTES, "dataframe_split", "p_skip", "POST /invocations"):
        assert f">{name}" in page
    assert "http" not in page
    assert "<script" not in page


# --- Refusals: each one gives its reason, and the server goes on --------------------------------------------

BAD_BODIES = {
    "nothing": (b"", "not JSON"),
    "no JSON": (b"{", "not JSON"),
    "not UTF-8": (b'{"dataframe_records": "\xff"}', "not JSON"),
    "too deep": (b"[" * 90_000, "not JSON"),
    "too deep to show": (b"[" * 940 + b"]" * 940, "expected an object with one of"),
    "an endless number": (b'{"dataframe_records": ' + b"9" * 5_000 + b"}", "not JSON"),
    "a list": (b"[]", "one of dataframe_records, dataframe_split, inputs"),
    "no form": (b'{"instances": []}', "one of dataframe_records, dataframe_split, inputs"),
    "two forms": (b'{"dataframe_records": [], "dataframe_split": {}}', "expected an object with one of"),
    "no session": (b'{"dataframe_records": []}', "expected a list of sessions"),
    "null": (b'{"dataframe_records": null}', "expected a list of sessions"),
    "no input": (b'{"inputs": []}', "expected a list of sessions"),
    "an empty input": (b'{"inputs": {}}', "session 0 of the request lacks session_id"),
    "columns as inputs": (b'{"inputs": {"session_id": ["s"], "history": [[]]}}', "lacks next_track_id or"),
    "split is a list": (b'{"dataframe_split": []}', "dataframe_split lacks columns"),
    "a column twice": (b'{"dataframe_split": {"columns": ["a", "a"], "data": []}}', "twice"),
    "a short row": (b'{"dataframe_split": {"columns": ["a"], "data": [[]]}}', "rows of 1 values"),
    "no rows": (
        b'{"dataframe_split": {"columns": ["session_id", "history", "next_track_id"], "data": []}}',
        "expected a list of sessions",
    ),
    "other columns": (b'{"dataframe_split": {"columns": ["a"], "data": [[1]]}}', "lacks session_id"),
    "many faults": (b'{"dataframe_records": [' + b"1," * 40_000 + b"1]}", "session 0 of the request is 1"),
    "a row of another session": (
        json.dumps({"inputs": GOOD | {"history": [*SESSIONS[0][:2], SESSIONS[1][2]]}}).encode(),
        "history[2].session_id is 's1', expected 's0'",
    ),
    "a lone surrogate": (
        json.dumps({"inputs": GOOD | {"next_track_id": "\ud800"}}).encode(),
        r"next_track_id is '\ud800'",
    ),
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_a_bad_body_is_refused_with_its_reason(client: Client, case: str) -> None:
    body, reason = BAD_BODIES[case]
    status, answer = client.send("POST", "/invocations", body)
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert reason in answer["message"]
    assert client.ask(GOOD)[0] == 200


@pytest.mark.parametrize("kind", ["text/csv", "application/vnd.api+json", ""])
def test_another_content_type_is_refused(client: Client, kind: str) -> None:
    status, answer = client.send("POST", "/invocations", "{}", {"Content-Type": kind})
    assert status == 415
    assert "application/json" in answer["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/invocations", 405), ("POST", "/nowhere", 404)]
)
def test_other_methods_and_paths_are_refused(client: Client, method: str, path: str, status: int) -> None:
    assert client.send(method, path)[0] == status


def raw_exchange(port: int, head: str, pieces: list[bytes]) -> tuple[bytes, int]:
    """Send a request piece by piece until the server answers; the answer, and the number of pieces sent."""
    sent = 0
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head.encode())
        for piece in pieces:
            connection.settimeout(20)
            connection.sendall(piece)
            sent += 1
            connection.settimeout(0.005)
            try:
                return connection.recv(65_536), sent
            except TimeoutError:
                continue
        connection.settimeout(20)
        return connection.recv(65_536), sent


HEAD = "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize("length", [104_857_600, 100_001])
def test_a_body_that_is_declared_too_large_is_refused_unread(port: int, client: Client, length: int) -> None:
    answer, sent = raw_exchange(port, f"{HEAD}Content-Length: {length}\r\n\r\n", [])
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"more than 100,000 bytes" in answer
    assert sent == 0
    assert client.ask(GOOD)[0] == 200


def test_a_body_that_turns_out_too_large_is_refused_early(port: int, client: Client) -> None:
    chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    answer, sent = raw_exchange(port, f"{HEAD}Transfer-Encoding: chunked\r\n\r\n", [chunk] * 6_400)
    assert answer.startswith(b"HTTP/1.1 413")
    assert sent < 100  # of 100 MB, less than two were taken
    assert client.ask(GOOD)[0] == 200


def test_a_body_that_does_not_arrive_is_refused(port: int, client: Client) -> None:
    answer, _ = raw_exchange(port, f"{HEAD}Content-Length: 1000\r\n\r\n", [b"{"])
    assert answer.startswith(b"HTTP/1.1 408")
    assert client.ask(GOOD)[0] == 200


def test_a_head_without_end_is_refused(port: int, client: Client) -> None:
    answer, sent = raw_exchange(port, HEAD, [b"X-More: " + b"x" * 1_000] * 10_000)
    assert answer.startswith(b"HTTP/1.1 400")
    assert sent < 100
    assert client.ask(GOOD)[0] == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /invocations HTTP/1.1\r\nHost: localhost\r\n",
        f"{HEAD}Content-Length: 104857600\r\n\r\n".encode(),
    ],
    ids=["nothing", "half a head", "a body that was refused"],
)
def test_an_idle_connection_is_closed(folder: Path, sent: bytes) -> None:
    with (
        running(Follower(FolderSource(folder)), replace(QUICK, idle_seconds=0.1, connections=3)) as port,
        socket.create_connection(("127.0.0.1", port), timeout=20) as silent,
    ):
        silent.sendall(sent)
        received = b""
        while piece := silent.recv(65_536):  # until the server closes the connection
            received += piece
        assert received.startswith(b"HTTP/1.1 413" if b"104857600" in sent else b"")
        client = Client(port)
        assert client.ask(GOOD)[0] == 200
        client.close()


def test_a_request_in_progress_is_not_idle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = Follower(FolderSource(folder))
    quick = ServedModel.score

    def slow(*arguments: Any, **options: Any) -> Any:
        time.sleep(0.2)
        return quick(*arguments, **options)

    monkeypatch.setattr(ServedModel, "score", slow)
    with running(follower, replace(QUICK, idle_seconds=0.02)) as port:
        client = Client(port)
        assert client.ask(GOOD)[0] == 200
        client.close()


def test_a_client_that_disconnects_does_no_harm(port: int, client: Client) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{HEAD}Content-Length: 1000\r\n\r\n{{".encode())
    assert client.ask(GOOD)[0] == 200


def test_more_connections_than_allowed_get_503(folder: Path) -> None:
    with running(Follower(FolderSource(folder)), replace(QUICK, connections=2)) as port:
        clients = [Client(port) for _ in range(2)]
        statuses = [client.send("GET", "/ping")[0] for client in clients]
        for client in clients:
            client.close()
        assert statuses == [200, 503]
        last = Client(port)
        assert eventually(lambda: last.ask(GOOD)[0] == 200)
        last.close()


# --- Another version ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def versions(layout: DataLayout, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two models that disagree, one that cannot be opened, and one that gives NaN."""
    own = DataLayout(tmp_path_factory.mktemp("other") / "data")
    shutil.copytree(layout.root, own.root)
    broken = shutil.copytree(folder, own.root / "broken")
    (broken / "tracks.npy").write_bytes(b"")
    wrong = shutil.copytree(pack(own, weight=float("nan")), own.root / "wrong")
    return {"1": folder, "2": pack(own, weight=9.0), "broken": Path(broken), "wrong": Path(wrong)}


@contextmanager
def asked_all_along(port: int, models: dict[str, ServedModel]) -> Iterator[tuple[list[object], list[str]]]:
    """Four clients send requests without a pause; gives the failures, and the versions that answered.

    An answer of two versions, or with other scores than its version's, is a failure.
    """
    records = [request(rows) for rows in SESSIONS[:8]]
    expected = {version: model.score_records(records).p_skip.tolist() for version, model in models.items()}
    failures: list[object] = []
    seen: list[str] = []
    stop = threading.Event()

    def ask_on() -> None:
        client = Client(port)
        while not stop.is_set():
            status, answer = client.ask(*records)
            if status != 200:
                failures.append((status, answer))
                continue
            version, *others = {row["model_version"] for row in answer["predictions"]}
            scores = [row["p_skip"] for row in answer["predictions"]]
            if others or scores != pytest.approx(expected[version], abs=1e-6):
                failures.append(answer)
            seen.append(version)
        client.close()

    threads = [threading.Thread(target=ask_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield failures, seen
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)


@pytest.mark.parametrize("version", ["broken", "wrong", "unreachable"])
def test_a_version_that_cannot_be_opened_leaves_the_old_one(
    versions: dict[str, Path], version: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = MovingSource(versions, "1")
    follower = Follower(source)
    source.version = version
    assert [follower.refresh() for _ in range(3)] == [False] * 3
    assert follower.served.version == "1"
    assert [record.getMessage()[:25] for record in caplog.records] == ["still serving version 1: "]
    source.version = "2"
    assert follower.refresh()
    assert follower.served.version == "2"


def test_a_server_that_no_longer_follows_reports_it(
    versions: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    source = MovingSource(versions, "1")
    with running(Follower(source)) as port:
        client = Client(port)
        assert client.send("GET", "/ping")[0] == 200
        source.version = "no folder has this name"  # a KeyError: a defect, not a refusal
        assert eventually(lambda: client.send("GET", "/ping")[0] == 503)
        assert client.ask(GOOD)[0] == 200
        client.close()
    assert "no other version will be served" in caplog.text


# --- The start and the end ----------------------------------------------------------------------------------


def test_a_taken_port_is_refused(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = ServerSettings(port=taken.getsockname()[1])
        follower = Follower(FolderSource(folder))
        message = refusal(RefusedError, lambda: serve(follower, settings, lambda _: None))
    assert_says(message, f"127.0.0.1:{settings.port}", "--port")


PROGRAM = """
import sys, time
from skip_pipeline.cli.main import app
from skip_pipeline.serving import ServedModel
app(["predict", "request.json", "--model", sys.argv[1]], standalone_mode=False)
quick = ServedModel.score
def slow(self, sessions, **options):
    if sessions.session_id[0] == "s0":
        print("working", flush=True)
        time.sleep(0.5)
    return quick(self, sessions, **options)
ServedModel.score = slow
app(["serve", "--port", "0", "--model", sys.argv[1]], standalone_mode=False)
print("modules", *(name for name in ("tensorflow", "keras", "dagster", "mlflow") if name in sys.modules))
"""


def test_commands_need_nothing_heavy_and_sigterm_lets_requests_in_progress_end(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "request.json").write_text(json.dumps({"inputs": GOOD}))
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith('"session_id"')
        assert process.stdout.readline().startswith('"s0"')
        started = process.stdout.readline()
        assert_says(started, "Serving version", "real data", "http://127.0.0.1:")
        client = Client(int(started.rsplit(":", 1)[1].partition("/")[0]))
        answers: list[tuple[int, Any]] = []
        thread = threading.Thread(target=lambda: answers.append(client.ask(GOOD)))
        thread.start()
        assert process.stdout.readline() == "working\n"
        process.send_signal(signal.SIGTERM)
        thread.join(20)
        client.close()
        assert process.stdout.read() == "modules\n"
    assert process.returncode == 0
    assert [status for status, _ in answers] == [200]
