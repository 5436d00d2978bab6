"""The server, asked over sockets."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from skip_pipeline import schema, serving
from skip_pipeline.errors import MissingInputError, RefusedError
from skip_pipeline.serving import ServedModel
from skip_pipeline.serving.follow import FolderSource, Follower
from skip_pipeline.serving.request_fields import USED
from skip_pipeline.serving.server import address_of, bound, configuration, serve
from skip_pipeline.settings import DataLayout
from skip_pipeline_tests.builders import TRACKS, assert_says, refusal
from skip_pipeline_tests.serving.asking import QUICK, Client, eventually, running
from skip_pipeline_tests.serving.small_models import SESSIONS, copied, pack, request, request_of

pytestmark = pytest.mark.slow

GOOD = request(SESSIONS[0])
HEAD = "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    with running(Follower(FolderSource(folder))) as port:
        yield port


@pytest.fixture
def client(port: int) -> Iterator[Client]:
    made = Client(port)
    yield made
    assert made.ask(GOOD)[0] == 200  # whatever was asked, the server goes on
    made.close()


# --- Answers ------------------------------------------------------------------------------------------------


def test_records_are_scored_as_the_model_scores_them(
    client: Client, model: ServedModel, folder: Path
) -> None:
    records = [request(rows) for rows in SESSIONS[:5]]
    status, answer = client.ask(*records)
    expected = model.score_records(records)
    version = serving.read_description(folder).fingerprint[:12]
    assert status == 200
    assert [row.pop("p_skip") for row in answer["predictions"]] == pytest.approx(expected.p_skip.tolist())
    for i, flag in enumerate(("p_skip_1", "p_skip_2", "p_skip_3")):
        found = [row.pop(flag) for row in answer["predictions"]]
        assert found == pytest.approx(expected.p_flags[:, i].tolist())
    assert answer == {
        "predictions": [
            {
                "session_id": record["session_id"],
                "track_id": record["next_track_id"],
                "known_track": True,
                "model_version": version,
            }
            for record in records
        ],
        "data_source": "real",
        "unknown_levels": expected.unknown_levels,
    }


def test_candidates_are_answered_in_their_order(client: Client) -> None:
    features = {name: value for name, value in TRACKS[0].items() if name != "track_id"}
    records = [request_of(SESSIONS[0], ["t_03", features, "t_new"]), request(SESSIONS[1])]
    rows = client.ask(*records)[1]["predictions"]
    assert [(row["session_id"], row["track_id"], row["known_track"]) for row in rows] == [
        ("s0", "t_03", True),
        ("s0", None, True),
        ("s0", "t_new", False),
        ("s1", SESSIONS[1][-1]["track_id_clean"], True),
    ]
    for row in rows:
        assert 0 < row["p_skip_1"] < row["p_skip_2"] < row["p_skip_3"] < row["p_skip"] < 1


def test_too_many_candidates_are_refused(client: Client) -> None:
    names = [f"{i}" for i in range(1_001)]
    status, answer = client.ask(request_of(SESSIONS[0], names))
    assert (status, answer["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert_says(answer["message"], "candidates is a list of 1,001", "1 to 1,000 tracks")
    one = request_of(SESSIONS[0][:2], names[:1_000])
    status, answer = client.ask(*[one] * 11)
    assert (status, answer["error_code"]) == (413, "REQUEST_TOO_LARGE")
    assert_says(answer["message"], "asks for 11,000 tracks, expected at most 10,000", "send fewer")


def test_every_form_and_encoding_gives_the_same_answer(client: Client) -> None:
    records = [request(rows) for rows in SESSIONS[:3]]
    names = ["history", "session_id", "next_track_id"]
    split = {"columns": names, "index": [7, 8, 9], "data": [[r[n] for n in names] for r in records]}
    expected = client.ask(*records)
    assert client.send("POST", "/invocations", {"inputs": records}) == expected
    assert client.send("POST", "/invocations", {"dataframe_split": split}) == expected
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        body = json.dumps({"inputs": records[0]}).encode(encoding)
        assert client.send("POST", "/invocations", body) == client.ask(records[0])


def test_health_and_version(client: Client, folder: Path) -> None:
    for method, path in (("GET", "/ping"), ("GET", "/health"), ("HEAD", "/ping")):
        assert client.send(method, path)[0] == 200
    status, version = client.send("GET", "/version")
    assert (status, version["data_source"]) == (200, "real")
    assert version["fingerprint"] == serving.read_description(folder).fingerprint


def test_the_schema_and_its_page_name_every_field_and_load_nothing(client: Client) -> None:
    openapi = client.send("GET", "/openapi.json")[1]
    page = client.send("GET", "/docs")[1]
    assert set(USED) < set(openapi["components"]["schemas"]["Play"]["properties"])
    named = ("dataframe_split", "candidates", "p_skip", "p_skip_1", "POST /invocations")
    for name in (*USED, *schema.TRACK_ATTRIBUTES, *named):
        assert f">{name}" in page
    assert ">a list of 1 to 1,000 tracks" in page
    assert "http" not in page
    assert "<script" not in page


# --- Refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text/csv", "application/vnd.api+json", ""])
def test_another_content_type_is_refused(client: Client, kind: str) -> None:
    status, answer = client.send("POST", "/invocations", "{}", {"Content-Type": kind})
    assert status == 415
    assert "application/json" in answer["message"]


def raw_exchange(port: int, head: str, pieces: list[bytes]) -> tuple[bytes, int]:
    """Send a request piece by piece until the server answers; the answer, and the number of pieces sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head.encode())
        for sent, piece in enumerate(pieces, start=1):
            connection.settimeout(20)
            connection.sendall(piece)
            connection.settimeout(0.005)
            try:
                return connection.recv(65_536), sent
            except TimeoutError:
                continue
        connection.settimeout(20)
        return connection.recv(65_536), len(pieces)


@pytest.mark.parametrize(
    ("head", "piece", "pieces", "status"),
    [
        (f"{HEAD}Content-Length: 104857600\r\n\r\n", b"", 0, b"413"),
        (f"{HEAD}Content-Length: 100001\r\n\r\n", b"", 0, b"413"),
        (f"{HEAD}Transfer-Encoding: chunked\r\n\r\n", b"4000\r\n" + b" " * 0x4000 + b"\r\n", 6_400, b"413"),
        (f"{HEAD}Content-Length: 1000\r\n\r\n", b"{", 1, b"408"),
        (HEAD, b"X-More: " + b"x" * 1_000, 10_000, b"400"),
    ],
    ids=[
        "far too large",
        "too large by a byte",
        "turns out too large",
        "does not arrive",
        "head without end",
    ],
)
@pytest.mark.usefixtures("client")
def test_what_goes_beyond_a_bound_is_refused_early(
    port: int, head: str, piece: bytes, pieces: int, status: bytes
) -> None:
    answer, sent = raw_exchange(port, head, [piece] * pieces)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert (b"more than 100,000 bytes" in answer) == (status == b"413")
    assert sent < 100  # of 100 MB, less than two were taken


@pytest.mark.usefixtures("client")
def test_a_client_that_disconnects_does_no_harm(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{HEAD}Content-Length: 1000\r\n\r\n{{".encode())
    assert not caplog.records


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
        running(Follower(FolderSource(folder)), replace(QUICK, idle_seconds=0.1)) as port,
        socket.create_connection(("127.0.0.1", port), timeout=20) as silent,
    ):
        silent.sendall(sent)
        received = b""
        while piece := silent.recv(65_536):  # until the server closes the connection
            received += piece
        assert received.startswith(b"HTTP/1.1 413" if b"104857600" in sent else b"")


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


def test_more_connections_than_allowed_get_503(folder: Path) -> None:
    with running(Follower(FolderSource(folder)), replace(QUICK, connections=2)) as port:
        clients = [Client(port) for _ in range(4)]
        answers = [client.ask(GOOD) for client in clients]
        assert [status for status, _ in answers] == [200, 200, 503, 503]
        assert_says(answers[2][1]["message"], "too many connections", "ask again in a second")
        assert clients[0].ask(GOOD)[0] == 200  # those that were there before are served
        for client in clients:
            client.close()
        last = Client(port)
        assert eventually(lambda: last.ask(GOOD)[0] == 200)
        last.close()


def test_a_client_that_takes_no_answer_is_cut_off(folder: Path) -> None:
    limits = replace(QUICK, idle_seconds=0.1, max_body_bytes=10**6, body_seconds=20.0)
    asked = [request_of(SESSIONS[0], [f"{i} {n}" for n in range(1_000)]) for i in range(9)]
    body = json.dumps({"inputs": asked}).encode()
    with (
        running(Follower(FolderSource(folder)), limits, send_buffer=4_096) as port,
        socket.socket() as deaf,
    ):
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        deaf.settimeout(20)
        deaf.connect(("127.0.0.1", port))
        deaf.sendall(f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = deaf.recv(1_024)
        time.sleep(1)  # ten times as long as a client may take nothing
        with suppress(ConnectionResetError):
            while piece := deaf.recv(65_536):
                answer += piece
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"content-length: 1" in answer[:200]  # 1.5 MB
    assert len(answer) < 1_000_000


# --- Another version ----------------------------------------------------------------------------------------


class MovingSource:
    """Versions in folders, of which one is current."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self.folders = folders
        self.version = "1"

    def current(self) -> str:
        if self.version == "unreachable":
            raise MissingInputError("the registry does not answer")
        return self.version

    @contextmanager
    def fetched(self, version: str) -> Iterator[Path]:
        yield self.folders[version]


@pytest.fixture(scope="module")
def versions(layout: DataLayout, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> MovingSource:
    """Two models that disagree, one that cannot be opened, and one that gives NaN."""
    own = copied(layout, tmp_path_factory.mktemp("other"))
    broken = shutil.copytree(folder, own.root / "broken")
    (broken / "tracks.npy").write_bytes(b"")
    wrong = shutil.copytree(pack(own, weight=float("nan")), own.root / "wrong")
    return MovingSource({"1": folder, "2": pack(own, weight=9.0), "broken": broken, "wrong": wrong})


@pytest.mark.parametrize("version", ["broken", "wrong", "unreachable"])
def test_a_version_that_cannot_be_opened_leaves_the_old_one(
    versions: MovingSource, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    versions.version = "1"
    follower = Follower(versions)
    versions.version = version
    assert [follower.refresh() for _ in range(3)] == [False] * 3
    assert follower.served.version == "1"
    assert [record.getMessage()[:25] for record in caplog.records] == ["still serving version 1: "]
    versions.version = "2"
    assert follower.refresh()
    assert follower.served.version == "2"


def test_a_server_that_no_longer_follows_reports_it(
    versions: MovingSource, caplog: pytest.LogCaptureFixture
) -> None:
    versions.version = "1"
    with running(Follower(versions)) as port:
        client = Client(port)
        assert client.send("GET", "/ping")[0] == 200
        versions.version = "no folder has this name"  # a KeyError: a defect, not a refusal
        assert eventually(lambda: client.send("GET", "/ping")[0] == 503)
        assert client.ask(GOOD)[0] == 200
        client.close()
    assert "no other version will be served" in caplog.text


# --- The start and the end ----------------------------------------------------------------------------------


def test_a_taken_port_is_refused(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        follower = Follower(FolderSource(folder))
        message = refusal(RefusedError, lambda: serve(follower, "127.0.0.1", port, lambda _: None))
    assert_says(message, f"127.0.0.1:{port}", "--port")


@pytest.mark.parametrize(("host", "asked"), [("::1", ["::1"]), ("[::]", ["::1", "127.0.0.1"])])
def test_an_address_of_ipv6_is_served(host: str, asked: list[str]) -> None:
    with bound(host, 0) as listening:
        for address in asked:
            socket.create_connection((address, listening.getsockname()[1]), timeout=20).close()
        assert address_of(listening) == f"http://[{host.strip('[]')}]:{listening.getsockname()[1]}"


def test_how_uvicorn_runs_the_server_is_no_matter_of_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "auto")
    made = configuration(Follower(FolderSource(folder)), QUICK)
    assert made.workers == 1
    assert made.timeout_keep_alive >= QUICK.idle_seconds  # a proxy may keep a connection for as long


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
heavy = ("tensorflow", "keras", "sklearn", "onnx", "dagster", "mlflow")
print("modules", *(name for name in heavy if name in sys.modules))
"""


def test_commands_need_nothing_heavy_and_sigterm_lets_requests_in_progress_end(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "request.json").write_text(json.dumps({"inputs": GOOD}))
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=os.environ
    ) as process:
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
