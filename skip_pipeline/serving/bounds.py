"""Bounds on what one client can take of the server: bytes, connections and time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol


@dataclass(frozen=True)
class ServerSettings:
    """Address and bounds of the server; the reasons stand beside the values."""

    host: str = "127.0.0.1"  # the server has no log-in: whoever can reach it can use it
    port: int = 5001  # beside the 5000 of MLflow's own pages
    max_body_bytes: int = 4 * 2**20  # 400 sessions of the longest kind; more is work for `predict`
    max_head_bytes: int = 16 * 2**10  # what browsers send is below 8 KiB
    body_seconds: float = 30.0  # 4 MiB over a slow mobile network
    idle_seconds: float = 10.0  # until the head of the next request has arrived
    connections: int = 100  # open at a time, idle ones included; their bodies take 400 MiB at most
    poll_seconds: float = 2.0  # between two requests to the registry for the current version
    stop_seconds: float = 20.0  # for requests in progress to end when the server is stopped


class BoundedBodies:
    """ASGI middleware: refuses a body by its type, its size, or the time that it takes to arrive.

    The checks run when the application reads the body, so that an unknown path is still answered with 404.
    """

    def __init__(self, application: ASGIApp, settings: ServerSettings) -> None:
        self._application = application
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application with a bounded ``receive``."""
        if scope["type"] == "http":
            receive = self._bounded(dict(scope["headers"]), receive)
        await self._application(scope, receive, send)

    def _bounded(self, headers: dict[bytes, bytes], receive: Receive) -> Receive:
        limit, seconds = self._settings.max_body_bytes, self._settings.body_seconds
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        declared = headers.get(b"content-length", b"0")
        taken = 0
        deadline: float | None = None

        async def bounded() -> Message:
            nonlocal taken, deadline
            if kind != b"application/json":
                raise HTTPException(
                    415, "the body's type is not application/json; send JSON, and name it in Content-Type"
                )
            if not declared.isdigit() or int(declared) > limit:
                raise _too_large(limit)
            deadline = deadline or asyncio.get_running_loop().time() + seconds
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"the body took over {seconds:g} s; send it again") from None
            taken += len(message.get("body", b""))
            if taken > limit:
                raise _too_large(limit)
            return message

        return bounded


def _too_large(limit: int) -> HTTPException:
    return HTTPException(
        413,
        f"the body has more than {limit:,} bytes; send fewer sessions at a time, or score files with "
        "`skip-pipeline predict`",
    )


class BoundedConnection(H11Protocol):
    """A connection that is closed when no request arrives on it for ``idle_seconds``.

    uvicorn alone waits for ever for a first request, for the rest of a head, and for the rest of a body that
    was refused.
    """

    idle_seconds: float

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Start the timer."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.idle_seconds, self._close_if_idle, self.cycle)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._timer.cancel()
        super().connection_lost(exc)

    def _close_if_idle(self, before: object) -> None:
        """Close the connection if there is no new request, and the last one has been answered."""
        last = self.cycle
        if last is before and (last is None or last.response_complete):
            self.transport.close()
        else:
            self._timer = self.loop.call_later(self.idle_seconds, self._close_if_idle, last)
