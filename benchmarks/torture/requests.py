"""Requests to a server mutated at random: each is answered as ``plain_request`` says, or refused with 4xx."""

import gzip
import json
import socket
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from benchmarks.torture.plain_request import is_right
from benchmarks.torture.tally import READ, REFUSED, Tally
from skip_pipeline import schema
from skip_pipeline.serving.examples import EXAMPLE, EXAMPLE_OF_CANDIDATES

FEATURES: Final = {
    name: "major" if name == "mode" else 4 if name in ("key", "time_signature") else 1999.0
    for name in schema.TRACK_ATTRIBUTES
}
RECORDS: Final[tuple[dict[str, Any], ...]] = (
    dict(EXAMPLE),
    dict(EXAMPLE_OF_CANDIDATES),
    {name: value for name, value in EXAMPLE.items() if name != "next_track_id"} | {"next_track": FEATURES},
)
VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, 2, -1, 20, 0.0, 1.0, 1.5, float("nan"), float("inf"), 1e308, 2**31, 2**70),
    *(10**400, "", "0", "true", "t_1", "音楽", "\ud800", "\0", "x" * 5_000, [], {}, [[]], [1], {"a": 1}),
    [None] * 1_001,
)  # fmt: skip
HEAD: Final = (
    "POST /invocations HTTP/1.1",
    "Host: localhost",
    "Connection: close",
    "Content-Type: application/json",
)
ANSWER_SECONDS: Final = 60.0  # more than any answer takes, on any machine
_PATIENCE: Final = 0.3  # seconds for an answer to what may be only a part of a request


@dataclass(frozen=True)
class Sent:
    """A request as bytes.

    Attributes:
        content: head and body.
        right: whether the request has to be answered; None if it may be answered or refused.
        same: whether an answer, if there is one, has to be that of the record before the mutation.
    """

    content: bytes
    right: bool | None
    same: bool = False


def _message(body: bytes, *headers: str, head: tuple[str, ...] = HEAD) -> bytes:
    lines = [*head, *headers, f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def _body(record: Mapping[str, Any]) -> bytes:
    return json.dumps({"inputs": record}).encode()


def _copy(record: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(record))
    return made


# --- Mutations ----------------------------------------------------------------------------------------------


def rewritten(random: Random, record: Mapping[str, Any]) -> Sent:
    """The same request as other clients write and send it."""
    made = _copy(record)
    for row in made["history"]:
        for name in [name for name in row if random.random() < 0.2]:
            if isinstance(row[name], bool | int):
                row[name] = random.choice([float(row[name]), int(row[name])])
        row |= random.choice(
            [{}, {"mood": [1]}, {"date": None}, {"hour_of_day": None, "premium": float("nan")}]
        )
    made["history"] = [dict(random.sample([*row.items()], len(row))) for row in made["history"]]
    content: dict[str, Any] = random.choice(
        [
            {"inputs": made},
            {"inputs": [made]},
            {"dataframe_records": [made]},
            {"dataframe_split": {"columns": [*made], "data": [[*made.values()]]}, "params": {}},
        ]
    )
    text = json.dumps(content, indent=random.choice([None, 2, "\t"]), ensure_ascii=random.random() < 0.5)
    body = text.encode(random.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32"]))
    first = random.choice([HEAD[0], HEAD[0].replace(" /", " http://localhost:5001/")])
    head = (first, *HEAD[1:3], random.choice([HEAD[3], "content-type: Application/JSON; charset=utf-8"]))
    match random.randrange(5):
        case 0:
            return Sent(
                _message(gzip.compress(body), "Content-Encoding: gzip", head=head), right=True, same=True
            )
        case 1:
            packed = zlib.compress(body)
            return Sent(_message(packed, "Content-Encoding: deflate", head=head), right=True, same=True)
        case 2:
            at = random.randrange(1, len(body))
            chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (body[:at], body[at:]))
            start = "\r\n".join([*head, "Transfer-Encoding: chunked"]).encode()
            return Sent(start + b"\r\n\r\n" + chunks + b"0\r\n\r\n", right=True, same=True)
        case _:
            return Sent(
                _message(body, *random.choice([(), ("X-More: 1",)]), head=head), right=True, same=True
            )


def with_another_value(random: Random, record: Mapping[str, Any]) -> Sent:
    """A value, or a name, anywhere in the JSON replaced, taken away or added."""
    content: dict[str, Any] = {"inputs": _copy(record)}
    places: list[tuple[Any, Any]] = []

    def walk(within: Any) -> None:
        for step in within if isinstance(within, dict) else range(len(within)):
            places.append((within, step))
            if isinstance(within[step], dict | list):
                walk(within[step])

    walk(content)
    for _ in range(random.choice([1, 1, 2])):
        within, step = random.choice(places)
        try:
            match random.randrange(8):
                case 0:
                    del within[step]
                case 1 if isinstance(within, dict):
                    within[random.choice(["x", "session_id", "candidates", "next_track", "\ud800"])] = within[
                        step
                    ]
                case _:
                    within[step] = random.choice(VALUES)
        except (KeyError, IndexError):  # taken away before
            continue
    body = json.dumps(content).encode()
    return Sent(_message(body), is_right(body))


def with_other_bytes(random: Random, record: Mapping[str, Any]) -> Sent:
    """Bytes of the body changed, lost, repeated or inserted; the head is right."""
    body = bytearray(_body(record))
    for _ in range(random.choice([1, 1, 2, 10])):
        at = random.randrange(len(body))
        match random.randrange(4):
            case 0:
                body[at] ^= 1 << random.randrange(8)
            case 1:
                body[at] = random.choice(b'",{}[]:\\ 0e-.\xff\0')
            case 2:
                del body[at : at + random.choice([1, 2, 60])]
            case _:
                body[at:at] = random.choice(
                    [b"[" * 5_000, b"9" * 5_000, b"NaN", b",", b'"', random.randbytes(4)]
                )
    return Sent(_message(bytes(body)), is_right(bytes(body)))


def cut_short(random: Random, record: Mapping[str, Any]) -> Sent:
    """A body that ends early, in a message that is whole."""
    body = _body(record)
    return Sent(_message(body[: random.randrange(len(body))]), right=False)


def packed_wrongly(random: Random, record: Mapping[str, Any]) -> Sent:
    """A packed body that is damaged, cut, called otherwise, or too large when unpacked."""
    body = _body(record)
    coding = random.choice(["gzip", "deflate"])
    packed = bytearray(gzip.compress(body) if coding == "gzip" else zlib.compress(body))
    match random.randrange(5):
        case 0:
            packed[random.randrange(len(packed))] ^= 1 << random.randrange(8)
        case 1:
            del packed[random.randrange(len(packed)) :]
        case 2:
            packed = packed * 2
        case 3:
            coding = random.choice(
                ["br", "zstd", "gzip, gzip", "x", "deflate" if coding == "gzip" else "gzip"]
            )
        case _:
            packed = bytearray(zlib.compress(bytes(random.choice([5, 50]) * 2**20)))
            coding = "deflate"
    return Sent(_message(bytes(packed), f"Content-Encoding: {coding}"), right=None, same=True)


def with_another_head(random: Random, record: Mapping[str, Any]) -> Sent:
    """The request line or headers changed, lost, repeated or damaged."""
    body = _body(record)
    lines = [*HEAD, f"Content-Length: {len(body)}"]
    at = random.randrange(len(lines))
    match random.randrange(8):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, random.choice(lines[1:]))
        case 2:
            lines[-1] = (
                f"Content-Length: {random.choice([0, -1, 5, len(body) - 1, len(body) + 9, 10**12, 'x', ''])}"
            )
        case 3:
            lines.append(
                random.choice(["Transfer-Encoding: chunked", "Transfer-Encoding: x", "Expect: 100-continue"])
            )
        case 4:
            lines[0] = random.choice(["GET", "HEAD", "PUT", "OPTIONS", "CONNECT", "X" * 300]) + lines[0][4:]
        case 5:
            lines[0] = f"POST {random.choice(['*', '/', '//', '/ping', '/%00', 'x', '/' * 20_000])} HTTP/1.1"
        case 6:
            lines.append(f"X-Long: {'x' * random.choice([10, 8_000, 100_000])}")
        case _:
            head = bytearray("\r\n".join(lines).encode())
            for _ in range(random.choice([1, 3])):
                head[random.randrange(len(head))] = random.randrange(256)
            return Sent(bytes(head) + b"\r\n\r\n" + body, right=None, same=True)
    return Sent("\r\n".join(lines).encode() + b"\r\n\r\n" + body, right=None, same=True)


Mutation = Callable[[Random, Mapping[str, Any]], Sent]

MUTATIONS: Final[dict[str, Mutation]] = {
    "written and sent otherwise": rewritten,
    "values and names replaced": with_another_value,
    "bytes of the body changed, lost or inserted": with_other_bytes,
    "body cut short": cut_short,
    "body packed wrongly": packed_wrongly,
    "request line or headers changed": with_another_head,
}


# --- Trying them --------------------------------------------------------------------------------------------


def torture(port: int, *, times: int, seed: int) -> list[Tally]:
    """Send mutated requests to a server of this machine, so many in all, each kind in turn."""
    tallies = {name: Tally(f"HTTP request: {name}", seed) for name in MUTATIONS}
    answers = [_predictions(exchange(port, _message(_body(record)), ANSWER_SECONDS)) for record in RECORDS]
    for number in range(times):
        name = list(MUTATIONS)[number % len(MUTATIONS)]
        base = number // len(MUTATIONS) % len(RECORDS)
        sent = MUTATIONS[name](Random(f"{seed} {number}"), RECORDS[base])
        answer = exchange(port, sent.content, ANSWER_SECONDS if sent.right is not None else _PATIENCE)
        status = _status(answer)
        tally, title = tallies[name], f"seed {seed}, number {number}"
        if status == 200 and sent.right is not False:
            if sent.same and _predictions(answer) != answers[base]:
                tally.lost.append(f"{title}: answered wrongly")
            else:
                tally.count(READ)
        elif (status is None or 400 <= status < 500) and sent.right is not True:
            tally.count(REFUSED)
        else:
            tally.lost.append(
                f"{title}: status {status}, and the request is {'right' if sent.right else 'wrong'}"
            )
    if _status(exchange(port, _message(_body(RECORDS[0])), ANSWER_SECONDS)) != 200:
        next(iter(tallies.values())).lost.append("the server no longer answers")
    return list(tallies.values())


def exchange(port: int, content: bytes, patience: float) -> bytes:
    """What a server answers until it closes the connection; after ``patience`` seconds the client leaves."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS) as connection:
        try:
            connection.sendall(content)
            connection.settimeout(patience)
            while piece := connection.recv(65_536):
                received += piece
        except (TimeoutError, ConnectionError):  # a part of a request; or refused before it was sent whole
            pass
    return received


def _status(answer: bytes) -> int | None:
    """Status of the last answer that is not interim; None without one."""
    while answer.startswith(b"HTTP/1.1 1"):
        answer = answer.partition(b"\r\n\r\n")[2]
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else None


def _predictions(answer: bytes) -> list[float]:
    body = json.loads(answer[answer.index(b'{"predictions"') :])
    return [round(row["p_skip"], 9) for row in body["predictions"]]
