"""Bounds on what one client can take of the server: bytes, connections and time."""

import asyncio
import json
import re
import zlib
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, cast

import h11
import loky
from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState


@dataclass(frozen=True)
class ServerSettings:
    """Bounds of the server; the reasons stand beside the values."""

    max_body_bytes: int = 4 * 2**20  # 400 sessions of the longest kind; more is work for `predict`
    max_answers: int = 10_000  # more than 4 MiB of sessions of the shortest kind; an answer of 2 MB
    max_head_bytes: int = 16 * 2**10  # what browsers send is below 8 KiB
    body_seconds: float = 30.0  # 4 MiB over a slow mobile network
    idle_seconds: float = 10.0  # until the head of the next request is there, or more of an answer taken
    connections: int = 100  # of a process, idle ones included; their bodies take 400 MiB at most
    poll_seconds: float = 2.0  # between two requests to the registry for the current version
    stop_seconds: float = 20.0  # for requests in progress to end when the server is stopped
    hosts: Collection[str] | None = ()  # that requests may name beside those of loopback; None for any
    threads: int = field(default_factory=loky.cpu_count)  # that score requests


_CODINGS: Final = {"": None, "identity": None, "gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
"""Values of Content-Encoding that are understood."""

_GZIP: Final = 16 + zlib.MAX_WBITS
_ABSOLUTE: Final = re.compile(r"https?://[^/?#]*", re.IGNORECASE)


async def bounded_body(request: Request, settings: ServerSettings) -> bytes:
    """The body of a request as it was sent; ``decoded`` undoes its encoding.

    Raises:
        HTTPException: it is not JSON by its type, or encoded otherwise than by gzip or deflate (415), too
            large (413), does not arrive in time (408), or has two lengths (400).
    """
    limit, body = settings.max_body_bytes, bytearray()
    if "transfer-encoding" in request.headers and "content-length" in request.headers:
        raise HTTPException(
            400,
            "the head has Content-Length and Transfer-Encoding, by which a proxy and this server may find "
            "two ends of the request; expected one of them. Send it again with one",
            {"Connection": "close"},
        )
    if _coding(request) not in _CODINGS:
        raise HTTPException(
            415,
            f"the body's Content-Encoding is {_coding(request)!r}, expected gzip, deflate or none; send it "
            "in one of these",
            {"Accept-Encoding": "gzip, deflate, identity"},
        )
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(
            415, "the body's type is not application/json; send JSON, and name it in Content-Type"
        )
    declared = request.headers.get("content-length", "0")
    too_large = _too_large(limit)
    if not declared.isdigit() or int(declared) > limit:
        raise too_large
    try:
        async with asyncio.timeout(settings.body_seconds):
            async for piece in request.stream():
                body += piece
                if len(body) > limit:
                    raise too_large
    except TimeoutError:
        raise HTTPException(408, f"the body took over {settings.body_seconds:g} s; send it again") from None
    except ClientDisconnect:
        raise HTTPException(400, "the client closed the connection before the body's end") from None
    return bytes(body)


def decoded(request: Request, body: bytes, limit: int) -> bytes:
    """The body of a request without its Content-Encoding; never more than ``limit`` bytes are unpacked.

    Raises:
        HTTPException: it unpacks to more (413), or is not in its encoding, or ends too early (400).
    """
    coding = _CODINGS[_coding(request)]
    if coding is None:
        return body
    unpacking = zlib.decompressobj(_GZIP if coding == "gzip" else _deflate_window(body))
    try:
        unpacked = unpacking.decompress(body, limit + 1)
    except zlib.error as damage:
        raise HTTPException(
            400,
            f"the body is not {coding} as its Content-Encoding says ({damage}); encode it, or send it plain",
        ) from damage
    if len(unpacked) > limit:
        raise _too_large(limit)
    if not unpacking.eof or unpacking.unused_data:  # of several members each copies the rest: quadratic time
        fact = "bytes after the end of its" if unpacking.eof else "no end of its"
        raise HTTPException(400, f"the body has {fact} {coding} data; send it whole, in one piece")
    return unpacked


def _coding(request: Request) -> str:
    return ", ".join(request.headers.getlist("content-encoding")).strip().lower()


def _deflate_window(body: bytes) -> int:
    """The window of zlib data, which the standard calls deflate, or of bare deflate data, which some send."""
    is_zlib = len(body) > 1 and body[0] & 15 == zlib.DEFLATED and (body[0] << 8 | body[1]) % 31 == 0
    return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS


def _too_large(limit: int) -> HTTPException:
    return HTTPException(
        413,
        f"the body has more than {limit:,} bytes; send fewer sessions at a time, or score files with "
        "`skip-pipeline predict`",
    )


class PlainPath:
    """An ASGI application whose paths have other spellings: those that proxies and clients make of them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take scheme and authority off the path of a request, and slashes off its ends."""
        if path := scope.get("path"):
            if path[0] != "/" and (found := _ABSOLUTE.match(path)):
                path = path[found.end() :] or "/"
            scope = {**scope, "path": f"/{path.strip('/')}" if path[0] == "/" else path}
        await self._app(scope, receive, send)


FILES_OPEN: Final = 16_384
"""Descriptors that the server asks for, where the system's soft limit is lower: connections that are being
refused have one each, and 10,000 may arrive in that second."""


class BoundedConnection(H11Protocol):
    """A connection that takes only so much of the server.

    It is closed when no request arrives on it, or its client takes no answer, for ``idle_seconds``. uvicorn's
    ``timeout_keep_alive`` starts after an answer: there is no limit for a first request, for the rest of a
    head, or for the rest of a body that was refused.
    """

    def __init__(self, settings: ServerSettings, **of_server: Any) -> None:
        super().__init__(**of_server)
        self._idle_seconds = settings.idle_seconds
        self._is_ended = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Start the timer."""
        super().connection_made(transport)
        self._close_later(None, 0)

    def data_received(self, data: bytes) -> None:
        """Leave out empty lines before a request, as RFC 9112 (2.2) asks of servers; h11 refuses them."""
        if self.conn.their_state in (h11.IDLE, h11.DONE) and not self.conn.trailing_data[0]:
            data = data.lstrip(b"\r\n")
        if data:  # none would be the end of the connection
            super().data_received(data)

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn's closes the connection
        """Keep the connection if a whole request waits for its answer: its client may end its side first."""
        self._is_ended = True
        return self.cycle is not None and not (self.cycle.more_body or self.cycle.response_complete)

    def on_response_complete(self) -> None:
        """Go on, or close the connection of a client that has ended its side."""
        super().on_response_complete()
        if self._is_ended and self.cycle.response_complete:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuse a malformed request; where the answer has begun, the connection ends."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._timer.cancel()
        super().connection_lost(exc)

    def _close_later(self, last: object, unsent: int) -> None:
        close = partial(self._close_if_idle, last, unsent)
        self._timer = self.loop.call_later(self._idle_seconds, close)

    def _close_if_idle(self, before: object, unsent_before: int) -> None:
        """Close the connection if its client has neither asked nor taken anything since the last call.

        Args:
            before: the last request at that time.
            unsent_before: bytes of answers that the client had not taken then.
        """
        last, unsent = self.cycle, self.transport.get_write_buffer_size()
        if last is before and unsent and unsent == unsent_before:
            self.transport.abort()  # to close would wait for the client
        elif last is before and not unsent and (last is None or last.response_complete):
            self.transport.close()
        else:
            self._close_later(last, unsent)


_LINGER_SECONDS: Final = 1.0  # for a client that is refused to read why


class Arrival(asyncio.Protocol):
    """A new connection: a ``BoundedConnection``, or refused where too many are open.

    Refusing costs little, because thousands may come at once. uvicorn's own limit counts connections only
    when a request has arrived, and refuses old clients too.
    """

    def __init__(self, settings: ServerSettings, server_state: ServerState, **of_server: Any) -> None:
        self._open, self._most = server_state.connections, settings.connections
        self._connection = partial(BoundedConnection, settings, server_state=server_state, **of_server)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass the connection to a ``BoundedConnection``; refuse it where so many are open already."""
        stream = cast(asyncio.Transport, transport)
        if len(self._open) < self._most:
            connection = self._connection()
            stream.set_protocol(connection)
            connection.connection_made(stream)
            return
        stream.write(_FULL)
        stream.write_eof()
        # Closed at once, what the client is sending would be answered by a reset, which hides the 503.
        self._timer = asyncio.get_running_loop().call_later(_LINGER_SECONDS, stream.abort)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the client may do as it likes
        """Stop the timer."""
        self._timer.cancel()


def _answer(status: str, code: str, message: str) -> bytes:
    """An answer of the server as bytes, with which a connection ends."""
    body = json.dumps({"error_code": code, "message": message}).encode()
    head = (
        f"HTTP/1.1 {status}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Retry-After: 1",
        "Connection: close",
    )
    return "\r\n".join([*head, "", ""]).encode() + body


_FULL: Final = _answer(
    "503 Service Unavailable",
    "TEMPORARILY_UNAVAILABLE",
    "too many connections are open; ask again in a second, and keep connections open for several requests",
)
