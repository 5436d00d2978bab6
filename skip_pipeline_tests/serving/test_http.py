"""HTTP as proxies and clients really speak it: encodings, absolute targets, chunks, malformed requests."""

import gzip
import http.client
import json
import logging
import os
import socket
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from skip_pipeline.serving import ServedModel
from skip_pipeline.serving.follow import FolderSource, Follower
from skip_pipeline_tests.builders import assert_says
from skip_pipeline_tests.serving.asking import JSON, QUICK, Client, running
from skip_pipeline_tests.serving.small_models import SESSIONS, request

pytestmark = pytest.mark.slow

BODY = json.dumps({"inputs": request(SESSIONS[0])}).encode()


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    with running(Follower(FolderSource(folder))) as port:
        yield port


@pytest.fixture
def client(port: int, caplog: pytest.LogCaptureFixture) -> Iterator[Client]:
    made = Client(port)
    server = logging.getLogger("uvicorn.error")
    server.addHandler(caplog.handler)
    yield made
    assert made.ask(request(SESSIONS[0]))[0] == 200  # whatever was asked, the server goes on
    made.close()
    server.removeHandler(caplog.handler)
    assert caplog.get_records("call") == []  # no client fills the log


def raw(body: bytes) -> bytes:
    made = zlib.compressobj(wbits=-15)
    return made.compress(body) + made.flush()


# --- Content-Encoding ---------------------------------------------------------------------------------------

ENCODED = {
    "gzip": gzip.compress(BODY),
    "x-gzip": gzip.compress(BODY),
    " GZip ": gzip.compress(BODY),
    "deflate": zlib.compress(BODY),
    "identity": BODY,
    "": BODY,
}


def encoded(client: Client, coding: str, body: bytes) -> tuple[int, Any]:
    return client.send("POST", "/invocations", body, JSON | {"Content-Encoding": coding})


@pytest.mark.parametrize(("coding", "body"), [*ENCODED.items(), ("deflate", raw(BODY))])
def test_an_encoded_body_is_answered_as_a_plain_one(client: Client, coding: str, body: bytes) -> None:
    status, answer = encoded(client, coding, body)
    assert status == 200
    assert answer == client.send("POST", "/invocations", BODY)[1]


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "gzip, br", "*"])
def test_other_encodings_are_refused_with_those_that_are_understood(port: int, coding: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/invocations", BODY, JSON | {"Content-Encoding": coding})
    response = connection.getresponse()
    assert (response.status, response.headers["Accept-Encoding"]) == (415, "gzip, deflate, identity")
    assert_says(json.loads(response.read())["message"], repr(coding), "expected gzip, deflate or none")
    connection.close()


@pytest.mark.parametrize(
    ("coding", "body", "status", "said"),
    [
        ("gzip", BODY, 400, "is not gzip as its Content-Encoding says"),
        ("deflate", BODY, 400, "is not deflate as"),
        ("gzip", gzip.compress(BODY)[:-9], 400, "has no end of its gzip data; send it whole"),
        ("gzip", b"", 400, "has no end of its gzip data"),
        ("gzip", gzip.compress(b""), 400, "not JSON (it is empty)"),
        ("gzip", gzip.compress(BODY) * 2, 400, "bytes after the end of its gzip data"),
        ("gzip", gzip.compress(bytes(100_001)), 413, "more than 100,000 bytes"),
        ("deflate", zlib.compress(bytes(10**8)), 413, "more than 100,000 bytes; send fewer"),
        ("gzip", gzip.compress(b"x" * 100_000), 400, "not JSON"),
    ],
)
def test_a_body_that_does_not_unpack_within_its_bounds_is_refused(
    client: Client, coding: str, body: bytes, status: int, said: str
) -> None:
    found, answer = encoded(client, coding, body)
    assert found == status
    assert_says(answer["message"], said)


def test_a_small_body_that_unpacks_to_90_mb_takes_bounded_memory(client: Client) -> None:
    packing = zlib.compressobj(9)
    piece = bytes(2**20)
    bomb = b"".join(packing.compress(piece) for _ in range(90)) + packing.flush()  # within the bound: 90 kB
    tracemalloc.start()
    status, _ = encoded(client, "deflate", bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert status == 413
    assert peak < 20 * QUICK.max_body_bytes


# --- Targets and methods ------------------------------------------------------------------------------------


def exchange(port: int, *sent: bytes) -> bytes:
    """What the server answers until it closes the connection, which the request asks for."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for piece in sent:
            connection.sendall(piece)
        received = b""
        while piece := connection.recv(65_536):
            received += piece
    return received


def head(line: str, *headers: str) -> bytes:
    lines = [line, "Host: localhost", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("GET http://localhost/ping HTTP/1.1", 200),
        ("GET HTTP://proxy.example:8080/version?x=1 HTTP/1.1", 200),
        ("GET https://[::1]:5001/health HTTP/1.1", 200),
        ("GET http://localhost HTTP/1.1", 404),
        ("GET http://localhost?x HTTP/1.1", 404),
        ("GET /http://localhost/ping HTTP/1.1", 404),
        ("GET ftp://localhost/ping HTTP/1.1", 404),
        ("GET /ping?x=%zz&y HTTP/1.1", 200),
        ("GET /ping/ HTTP/1.1", 200),
        ("GET //ping// HTTP/1.1", 200),
        ("GET http://localhost//ping/?x=/ HTTP/1.1", 200),
        ("GET /%70ing HTTP/1.1", 200),
        ("GET /ping#x HTTP/1.1", 404),
        ("GET / HTTP/1.1", 404),
        ("GET // HTTP/1.1", 404),
        ("GET //rebound.example/ HTTP/1.1", 404),
        ("GET /ping%00 HTTP/1.1", 404),
        ("GET /%c3%28 HTTP/1.1", 404),
        ("GET /../ping HTTP/1.1", 404),
        ("OPTIONS * HTTP/1.1", 404),
        ("OPTIONS /invocations HTTP/1.1", 405),
        ("HEAD /invocations HTTP/1.1", 405),
        ("PUT /invocations HTTP/1.1", 405),
        ("get /ping HTTP/1.1", 405),
        ("CONNECT localhost:80 HTTP/1.1", 404),
        ("TRACE /ping HTTP/1.1", 405),
        ("PROPFIND /invocations HTTP/1.1", 405),
        ("GET /ping HTTP/1.0", 200),
    ],
)
@pytest.mark.usefixtures("client")
def test_targets_and_methods(port: int, line: str, status: int) -> None:
    assert exchange(port, head(line)).startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.usefixtures("client")
def test_a_prediction_is_answered_at_a_whole_address(port: int) -> None:
    sent = head(
        "POST http://localhost:5001/invocations HTTP/1.1",
        "Content-Type: application/json",
        f"Content-Length: {len(BODY)}",
    )
    assert exchange(port, sent, BODY).startswith(b"HTTP/1.1 200")


def test_a_refused_method_names_those_that_are_allowed(port: int) -> None:
    answer = exchange(port, head("OPTIONS /invocations HTTP/1.1"))
    assert b"allow: POST" in answer
    assert b"BAD_REQUEST" in answer


# --- Bodies -------------------------------------------------------------------------------------------------


def test_a_client_may_end_its_side_before_it_is_answered(port: int) -> None:
    whole = posted(f"Content-Length: {len(BODY)}").replace(b"Connection: close\r\n", b"") + BODY
    for sent, answers in ((whole, 1), (whole * 3, 3), (whole + whole[:-1], 1), (whole[:-1], 0)):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            received = b""
            while piece := connection.recv(65_536):
                received += piece
        assert received.count(b"HTTP/1.1 200") == answers


@pytest.mark.parametrize("body", [BODY + b"\n", b"\xef\xbb\xbf" + BODY + b"\r\n", b" \n" + BODY])
def test_what_editors_and_shells_add_to_a_body_changes_nothing(client: Client, body: bytes) -> None:
    assert client.send("POST", "/invocations", body) == client.send("POST", "/invocations", BODY)


@pytest.mark.usefixtures("client")
def test_names_of_headers_and_types_have_no_case(port: int) -> None:
    sent = head("POST /invocations HTTP/1.1", "CONTENT-TYPE: Application/JSON; Charset=UTF-8")
    sent = sent[:-2] + b"content-LENGTH: %d\r\n\r\n" % len(BODY)
    assert exchange(port, sent, BODY).startswith(b"HTTP/1.1 200")


@pytest.mark.usefixtures("client")
def test_a_client_that_would_rather_speak_http_2_is_answered_in_http_1(port: int) -> None:
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    lines = ["GET /ping HTTP/1.1", "Host: localhost", *upgrade, "", ""]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall("\r\n".join(lines).encode())
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


def posted(*headers: str) -> bytes:
    return head("POST /invocations HTTP/1.1", "Content-Type: application/json; charset=utf-8", *headers)


@pytest.mark.usefixtures("client")
def test_a_body_in_chunks_is_read(port: int) -> None:
    chunks = [b"%x;name=value\r\n%s\r\n" % (len(piece), piece) for piece in (BODY[:1], BODY[1:])]
    answer = exchange(port, posted("Transfer-Encoding: chunked"), *chunks, b"0\r\nTrailer: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.usefixtures("client")
def test_a_client_that_asks_whether_to_continue_is_told_to(port: int) -> None:
    answer = exchange(port, posted("Expect: 100-continue", f"Content-Length: {len(BODY)}"), BODY)
    assert answer.startswith(b"HTTP/1.1 100")
    assert b"HTTP/1.1 200" in answer


@pytest.mark.usefixtures("client")
def test_a_client_that_asks_whether_to_continue_too_much_is_told_not_to(port: int) -> None:
    answer = exchange(port, posted("Expect: 100-continue", "Content-Length: 999999999"))
    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.usefixtures("client")
def test_requests_sent_before_the_answers_are_answered_in_turn(port: int) -> None:
    both = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3 + head("GET /version HTTP/1.1")
    assert exchange(port, both).count(b"HTTP/1.1 200") == 4


@pytest.mark.usefixtures("client")
def test_empty_lines_before_a_request_are_left_out(port: int) -> None:
    assert exchange(port, b"\r\n", b"\r\n\n" + head("GET /ping HTTP/1.1")).startswith(b"HTTP/1.1 200")


# --- Hosts --------------------------------------------------------------------------------------------------


def asked_of(port: int, *headers: str) -> bytes:
    return exchange(
        port, "\r\n".join(["GET /version HTTP/1.1", "Connection: close", *headers, "", ""]).encode()
    )


@pytest.mark.parametrize(
    "headers",
    [
        ["Host: localhost"],
        ["Host: LOCALHOST:5001"],
        ["Host: 127.0.0.1:5001"],
        ["Host: [::1]:5001"],
        ["Host: 127.0.0.1:5001", "Origin: http://127.0.0.1:5001"],
        ["Host: 127.0.0.1:5001", "Origin: http://localhost:3000"],
    ],
)
@pytest.mark.usefixtures("client")
def test_this_machine_by_its_own_names_is_answered(port: int, headers: list[str]) -> None:
    assert asked_of(port, *headers).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "headers",
    [
        ["Host: rebound.example:5001"],
        ["Host: localhost.example"],
        ["Host: 127.0.0.1.example"],
        ["Host: 192.0.2.1"],
        ["Host: "],
        ["Host: localhost@rebound.example"],
        ["Host: localhost", "Origin: https://other.example"],
        ["Host: localhost", "Origin: null"],
    ],
)
@pytest.mark.usefixtures("client")
def test_a_page_that_has_pointed_its_name_at_this_machine_reads_nothing(
    port: int, headers: list[str]
) -> None:
    answer = asked_of(port, *headers)
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"--allow-host" in answer
    assert b"model_version" not in answer


@pytest.mark.parametrize(("hosts", "status"), [(["Skips.example"], 200), (None, 200), ([], 403)])
def test_hosts_that_are_allowed(folder: Path, hosts: list[str] | None, status: int) -> None:
    with running(Follower(FolderSource(folder)), replace(QUICK, hosts=hosts)) as port:
        assert asked_of(port, "Host: skips.example").startswith(b"HTTP/1.1 %d" % status)


def test_a_defect_tells_clients_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise OSError(f"no space left for {folder}")

    follower = Follower(FolderSource(folder))
    monkeypatch.setattr(ServedModel, "score", broken)
    with running(follower) as port:
        sent = head(
            "POST /invocations HTTP/1.1", "Content-Type: application/json", f"Content-Length: {len(BODY)}"
        )
        answer = exchange(port, sent, BODY)
    assert answer.startswith(b"HTTP/1.1 500")
    assert answer.endswith(b"\r\n\r\nInternal Server Error")


MALFORMED = {
    "no HTTP": b"hello\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "a length and plain chunks": posted("Content-Length: 5", "Transfer-Encoding: chunked")
    + b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
    "a head of 17,000 bytes": posted("X: " + "x" * 17_000),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40) + b"\r\n\r\n",
    "two lengths": posted("Content-Length: 2", "Content-Length: 3") + b"{}",
    "a length and chunks": posted("Content-Length: 5", "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
    "two hosts": head("GET /ping HTTP/1.1", "Host: localhost"),
    "a transfer encoding that is no chunks": posted("Transfer-Encoding: gzip") + BODY,
    "a line of a proxy before the request": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
    + head("GET /ping HTTP/1.1"),
    "HTTP/0.9": b"GET /ping\r\n\r\n",
    "a target that is not ASCII": head("GET /pingé HTTP/1.1"),
    "a negative length": posted("Content-Length: -1"),
    "a length with a sign": posted("Content-Length: +5") + b"{}   ",
    "a length that is no number": posted("Content-Length: many"),
    "a length of 5,000 digits": posted("Content-Length: " + "9" * 5_000),
    "no length": posted(),
    "chunks of no size": posted("Transfer-Encoding: chunked") + b"zz\r\n{}\r\n",
    "a chunk of 2**70 bytes": posted("Transfer-Encoding: chunked") + b"4" + b"0" * 17 + b"\r\n{}",
    "a header without a colon": posted("Nonsense"),
    "a folded header": posted("X: a\r\n b"),
    "a header with a zero byte": posted("X: a\0b"),
    "no host": b"GET /ping HTTP/1.1\r\n\r\n",
    "a space before the colon": posted("X : a"),
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.usefixtures("client")
def test_what_is_malformed_is_refused(port: int, sent: bytes) -> None:
    assert exchange(port, sent).startswith(b"HTTP/1.1 4")


def test_a_name_that_stands_twice_is_refused(client: Client) -> None:
    body = BODY.replace(b'"next_track_id"', b'"next_track_id": "t_99", "next_track_id"')
    status, answer = client.send("POST", "/invocations", body)
    assert status == 400
    assert_says(answer["message"], "names 'next_track_id' twice in one object, expected once")


@pytest.mark.usefixtures("client")
def test_a_malformed_chunk_after_a_refusal_closes_the_connection(port: int) -> None:
    refused = "POST /invocations HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(refused.encode())
        assert connection.recv(65_536).startswith(b"HTTP/1.1 415")
        connection.sendall(b"zz\r\n")
        assert connection.recv(65_536) == b""


def test_a_machine_without_processor_affinity_serves(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As macOS is."""
    monkeypatch.delattr(os, "sched_getaffinity")
    with running(Follower(FolderSource(folder))) as port:
        client = Client(port)
        assert client.ask(request(SESSIONS[0]))[0] == 200
        client.close()
