"""The server, spoken to over sockets."""

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

from skip_pipeline import serving
from skip_pipeline.errors import MissingInputError, RefusedError
from skip_pipeline.serving import ServedModel
from skip_pipeline.serving.follow import FolderSource, Follower
from skip_pipeline.serving.server import ServerSettings, configuration, serve
from skip_pipeline.settings import DataLayout
from skip_pipeline_tests.builders import TRACKS, assert_says, refusal
from skip_pipeline_tests.serving.small_models import SESSIONS, pack, request

JSON = {"Content-Type": "application/json"}
QUICK = ServerSettings(port=0, max_body_bytes=100_000, body_seconds=1.0, poll_seconds=0.02)


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
        return response.status, json.loads(text) if is_json and text else None

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
    assert status == 200
    assert answer["data_source"] == "real"
    assert [row["session_id"] for row in answer["predictions"]] == [r["session_id"] for r in records]
    assert [row["p_skip"] for row in answer["predictions"]] == pytest.approx(expected.p_skip.tolist())
    assert {row["known_track"] for row in answer["predictions"]} == {True}
    version = serving.describe(folder).fingerprint[:12]
    assert {row["model_version"] for row in answer["predictions"]} == {version}
    assert answer["unknown_levels"] == expected.unknown_levels


def test_inputs_are_the_same(client: Client) -> None:
    records = [request(rows) for rows in SESSIONS[:3]]
    assert client.send("POST", "/invocations", {"inputs": records}) == client.ask(*records)
    assert client.send("POST", "/invocations", {"inputs": records[0]}) == client.ask(records[0])


def test_a_split_frame_is_the_same(client: Client) -> None:
    records = [request(rows) for rows in SESSIONS[:3]]
    names = ["history", "session_id", "next_track_id"]
    split = {"columns": names, "index": [7, 8, 9], "data": [[r[n] for n in names] for r in records]}
    assert client.send("POST", "/invocations", {"dataframe_split": split}) == client.ask(*records)


def test_the_server_says_that_it_lives_and_what_it_serves(client: Client, folder: Path) -> None:
    assert client.send("GET", "/ping")[0] == client.send("GET", "/health")[0] == 200
    status, version = client.send("GET", "/version")
    assert status == 200
    assert version["fingerprint"] == serving.describe(folder).fingerprint
    assert version["data_source"] == "real"


# --- Refusals: each is answered with its reason, and the server goes on -------------------------------------


GOOD = request(SESSIONS[0])

FEATURES = {name: value for name, value in TRACKS[0].items() if name != "track_id"}

BAD_BODIES = {
    "nothing": (b"", "not JSON"),
    "no JSON": (b"{", "not JSON"),
    "not UTF-8": (b'{"dataframe_records": "\xff"}', "not JSON"),
    "too deep": (b"[" * 90_000, "not JSON"),
    "an endless number": (b'{"dataframe_records": ' + b"9" * 5_000 + b"}", "not JSON"),
    "a list": (b"[]", "one of dataframe_records, dataframe_split, inputs"),
    "no form": (b'{"instances": []}', "one of dataframe_records, dataframe_split, inputs"),
    "two forms": (b'{"dataframe_records": [], "dataframe_split": {}}', "expected an object with one of"),
    "no session": (b'{"dataframe_records": []}', "expected a list of sessions"),
    "no input": (b'{"inputs": []}', "expected a list of sessions"),
    "an empty input": (b'{"inputs": {}}', "session 0 of the request lacks session_id"),
    "columns as inputs": (b'{"inputs": {"session_id": ["s"], "history": [[]]}}', "lacks next_track_id or"),
    "split is a list": (b'{"dataframe_split": []}', "dataframe_split lacks columns"),
    "a column twice": (b'{"dataframe_split": {"columns": ["a", "a"], "data": []}}', "twice"),
    "a short row": (b'{"dataframe_split": {"columns": ["a"], "data": [[]]}}', "rows of 1 values"),
    "no rows": (
        b'{"dataframe_split": {"columns": ["session_id", "history", "next_track_id"], "data": []}}',
        "no session",
    ),
    "other columns": (b'{"dataframe_split": {"columns": ["a"], "data": [[1]]}}', "lacks session_id"),
    "NaN": (json.dumps({"dataframe_records": [GOOD | {"next_track_id": float("nan")}]}).encode(), "is nan"),
    "a row of another session": (
        json.dumps({"inputs": GOOD | {"history": [*SESSIONS[0][:2], SESSIONS[1][2]]}}).encode(),
        "history[2].session_id is 's1', expected 's0'",
    ),
    "features that lack a column": (
        json.dumps({"inputs": GOOD | {"next_track_id": None, "next_track": {"tempo": 1.0}}}).encode(),
        "next_track.duration is missing, expected a finite number",
    ),
    "id and features": (
        json.dumps({"inputs": GOOD | {"next_track": FEATURES}}).encode(),
        "beside next_track, expected either",
    ),
    "a level that is a number": (
        json.dumps({"inputs": GOOD | {"history": [SESSIONS[0][0] | {"context_type": 3}]}}).encode(),
        "history[0].context_type is 3",
    ),
    "empty history": (json.dumps({"dataframe_records": [GOOD | {"history": []}]}).encode(), "1 to 19"),
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_a_bad_body_is_refused_with_its_reason(client: Client, case: str) -> None:
    body, reason = BAD_BODIES[case]
    status, answer = client.send("POST", "/invocations", body)
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert reason in answer["message"]
    assert client.ask(GOOD)[0] == 200


def test_a_lone_surrogate_is_an_unknown_track(client: Client) -> None:
    history = [row | {"session_id": "\ud800"} for row in SESSIONS[0][:3]]
    record = {"session_id": "\ud800", "history": history, "next_track_id": "\udfff"}
    status, answer = client.ask(record)
    assert status == 200
    assert answer["predictions"][0]["session_id"] == "\ud800"
    assert answer["predictions"][0]["known_track"] is False


def test_another_content_type_is_refused(client: Client) -> None:
    status, answer = client.send("POST", "/invocations", "a,b", {"Content-Type": "text/csv"})
    assert status == 415
    assert "application/json" in answer["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/invocations", 405), ("POST", "/nowhere", 404)]
)
def test_other_ways_are_refused(port: int, method: str, path: str, status: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path)
    assert connection.getresponse().status == status
    connection.close()


def raw_exchange(port: int, head: str, pieces: Iterator[bytes] | list[bytes]) -> tuple[bytes, int]:
    """Send a request piece by piece until the server answers; the answer, and how many pieces it took."""
    sent = 0
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head.encode())
        connection.settimeout(0.01)
        for piece in pieces:
            try:
                connection.settimeout(20)
                connection.sendall(piece)
                sent += 1
                connection.settimeout(0.005)
                return connection.recv(65_536), sent
            except TimeoutError:
                continue
        connection.settimeout(20)
        return connection.recv(65_536), sent


HEAD = "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def test_a_body_that_says_it_is_large_is_refused_unread(port: int, client: Client) -> None:
    answer, sent = raw_exchange(port, f"{HEAD}Content-Length: 104857600\r\n\r\n", [])
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"more than 100,000 bytes" in answer
    assert sent == 0
    assert client.ask(GOOD)[0] == 200


def test_a_body_that_turns_out_large_is_refused_on_the_way(port: int, client: Client) -> None:
    chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    answer, sent = raw_exchange(port, f"{HEAD}Transfer-Encoding: chunked\r\n\r\n", [chunk] * 6_400)
    assert answer.startswith(b"HTTP/1.1 413")
    assert sent < 100  # of 100 MB, less than two were taken
    assert client.ask(GOOD)[0] == 200


def test_a_body_that_does_not_come_is_not_waited_for(port: int, client: Client) -> None:
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
def test_a_connection_on_which_nothing_is_asked_is_closed(folder: Path, sent: bytes) -> None:
    with (
        running(Follower(FolderSource(folder)), replace(QUICK, idle_seconds=0.1, connections=3)) as port,
        socket.create_connection(("127.0.0.1", port), timeout=20) as silent,
    ):
        silent.sendall(sent)
        said = b""
        while piece := silent.recv(65_536):  # until the server ends it
            said += piece
        assert said.startswith(b"HTTP/1.1 413" if b"104857600" in sent else b"")
        client = Client(port)
        assert client.ask(GOOD)[0] == 200
        client.close()


def test_a_request_that_is_at_work_is_not_idle(folder: Path) -> None:
    follower = Follower(FolderSource(folder))
    quick = follower.served.model.score

    def slow(*arguments: Any, **options: Any) -> Any:
        time.sleep(0.5)
        return quick(*arguments, **options)

    vars(follower.served.model)["score"] = slow
    with running(follower, replace(QUICK, idle_seconds=0.05)) as port:
        client = Client(port)
        assert client.ask(GOOD)[0] == 200
        client.close()


def test_a_client_that_goes_away_costs_nothing(port: int, client: Client) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{HEAD}Content-Length: 1000\r\n\r\n{{".encode())
    assert client.ask(GOOD)[0] == 200


# --- Another version ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def versions(layout: DataLayout, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two models that disagree, and one that cannot be opened."""
    own = DataLayout(tmp_path_factory.mktemp("other") / "data")
    shutil.copytree(layout.root, own.root)
    broken = shutil.copytree(folder, own.root / "broken")
    (broken / "tracks.npy").write_bytes(b"")
    wrong = shutil.copytree(pack(own, weight=float("nan")), own.root / "wrong")
    return {"1": folder, "2": pack(own, weight=9.0), "broken": Path(broken), "wrong": Path(wrong)}


@contextmanager
def asked_all_along(port: int, models: dict[str, ServedModel]) -> Iterator[tuple[list[object], list[str]]]:
    """Have four clients ask without a pause; gives failures, and the versions that have answered.

    An answer by two versions, or with other scores than its version's, is a failure.
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


def test_a_new_version_is_served_without_a_failed_request(versions: dict[str, Path]) -> None:
    source = MovingSource(versions, "1")
    models = {version: serving.load(versions[version]) for version in ("1", "2")}
    with (
        running(Follower(source)) as port,
        asked_all_along(port, models) as (failures, seen),
    ):
        for version in ("1", "2", "1", "2"):
            source.version = version
            assert eventually(lambda version=version: seen[-8:] == [version] * 8)
    assert failures == []
    assert set(seen) == {"1", "2"}


@pytest.mark.parametrize("version", ["broken", "wrong", "unreachable"])
def test_a_version_that_cannot_be_had_leaves_the_old_one(
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


def test_a_server_that_no_longer_follows_says_so(
    versions: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    source = MovingSource(versions, "1")
    with running(Follower(source)) as port:
        client = Client(port)
        assert client.send("GET", "/ping")[0] == 200
        source.version = "no folder has this name"  # a defect, not a refusal
        assert eventually(lambda: client.send("GET", "/ping")[0] == 503)
        assert client.ask(GOOD)[0] == 200
        client.close()
    assert "no other version will be served" in caplog.text


def test_more_connections_than_allowed_are_told_to_come_back(folder: Path) -> None:
    follower = Follower(FolderSource(folder))
    with running(follower, replace(QUICK, connections=2)) as port:
        clients = [Client(port) for _ in range(2)]
        statuses = [client.send("GET", "/ping")[0] for client in clients]
        for client in clients:
            client.close()
        assert statuses == [200, 503]
        last = Client(port)
        assert eventually(lambda: last.ask(GOOD)[0] == 200)
        last.close()


def test_nothing_to_serve_is_said_at_the_start(tmp_path: Path) -> None:
    assert_says(refusal(MissingInputError, lambda: FolderSource(tmp_path)), "no served model")


def test_a_taken_port_is_said(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = ServerSettings(port=taken.getsockname()[1])
        follower = Follower(FolderSource(folder))
        message = refusal(RefusedError, lambda: serve(follower, settings, lambda _: None))
    assert_says(message, f"127.0.0.1:{settings.port}", "--port")


# --- The end ------------------------------------------------------------------------------------------------

PROGRAM = """
import sys, time
from pathlib import Path
from skip_pipeline.serving.follow import FolderSource, Follower
from skip_pipeline.serving.server import ServerSettings, serve
follower = Follower(FolderSource(Path(sys.argv[1])))
model = follower.served.model
quick = model.score
def slow(sessions, **options):
    print("working", flush=True)
    time.sleep(1)
    return quick(sessions, **options)
model.score = slow
serve(follower, ServerSettings(port=0), lambda address: print(address, flush=True))
print("modules", *(name for name in ("tensorflow", "keras", "dagster", "mlflow") if name in sys.modules))
"""


def test_sigterm_lets_requests_in_flight_end(folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    with process:
        assert process.stdout is not None
        port = int(process.stdout.readline().rsplit(":", 1)[1])
        answers: list[tuple[int, Any]] = []
        client = Client(port)
        thread = threading.Thread(target=lambda: answers.append(client.ask(GOOD)))
        thread.start()
        assert process.stdout.readline() == "working\n"
        process.send_signal(signal.SIGTERM)
        thread.join(20)
        client.close()
        assert process.stdout.read() == "modules\n"  # nothing heavy was needed
    assert process.returncode == 0
    assert [status for status, _ in answers] == [200]
