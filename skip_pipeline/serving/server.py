"""An HTTP server for a model that may change while it runs; it speaks MLflow's JSON.

    POST /invocations   sessions, as ``answers`` says
    GET  /ping          200 while a model is served and followed; /health too
    GET  /version       which model answers

MLflow's own scoring server serves the model as well. It loads one version for good, and reads a request of
any size into memory.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from skip_pipeline.errors import BadInputError, RefusedError
from skip_pipeline.serving.answers import answer
from skip_pipeline.serving.follow import Follower
from skip_pipeline.serving.model import cores

_JSON: Final = "application/json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerSettings:
    """Bounds of what the server takes on; the reasons stand beside the values."""

    host: str = "127.0.0.1"  # whoever can reach the server can use it
    port: int = 5001  # beside the 5000 of MLflow's own pages
    max_body_bytes: int = 4 * 2**20  # 400 sessions of the longest kind; more is work for `predict`
    max_head_bytes: int = 16 * 2**10  # what browsers send is below 8 KiB
    body_seconds: float = 30.0  # 4 MiB over a slow mobile network
    idle_seconds: float = 10.0  # without a request that has begun; uvicorn ends kept-alive ones after 5
    connections: int = 100  # open at a time, idle ones included; their bodies take 400 MiB at most
    poll_seconds: float = 2.0  # between two looks at which version is current
    stop_seconds: float = 20.0  # that requests in flight get to end when the server is stopped


def application(follower: Follower, settings: ServerSettings) -> Starlette:
    """The server as an ASGI application; it follows the source while it runs."""
    endpoints = _Endpoints(follower, settings)
    return Starlette(
        routes=[
            Route("/invocations", endpoints.invocations, methods=["POST"]),
            Route("/ping", endpoints.ping),
            Route("/health", endpoints.ping),
            Route("/version", endpoints.which),
        ],
        lifespan=endpoints.following,
    )


class _Endpoints:
    def __init__(self, follower: Follower, settings: ServerSettings) -> None:
        self._follower = follower
        self._settings = settings
        self._at_work = anyio.CapacityLimiter(cores())
        self._follows: asyncio.Task[None] | None = None

    async def invocations(self, request: Request) -> Response:
        """Judge and score a request, in a thread, so that others are heard meanwhile."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
            return _refusal(415, f"the body's type is not {_JSON}; send JSON, and say so in Content-Type")
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                body = await _body(request, self._settings.max_body_bytes)
        except TimeoutError:
            return _refusal(408, f"the body took over {self._settings.body_seconds:g} s; send it again")
        except ClientDisconnect:
            return Response(status_code=400)  # which nobody reads
        if body is None:
            return _refusal(
                413,
                f"the body has more than {self._settings.max_body_bytes:,} bytes; send fewer sessions at a "
                "time, or score files with `skip-pipeline predict`",
            )
        try:
            content = await anyio.to_thread.run_sync(
                answer, self._follower.served, body, limiter=self._at_work
            )
        except BadInputError as refusal:
            return _refusal(400, str(refusal))
        return Response(content, media_type=_JSON)

    async def ping(self, _: Request) -> Response:
        """Whether a model is served and followed."""
        alive = self._follows is not None and not self._follows.done()
        return Response("\n", status_code=200 if alive else 503, media_type=_JSON)

    async def which(self, _: Request) -> Response:
        """Which model answers."""
        served = self._follower.served
        return JSONResponse(
            {
                "model_version": served.version,
                "data_source": served.model.data_source,
                "fingerprint": served.model.fingerprint,
                "skip_pipeline": version("skip-pipeline"),
            }
        )

    @asynccontextmanager
    async def following(self, _: Starlette) -> AsyncIterator[None]:
        """Follow the source while the server runs."""
        self._follows = asyncio.create_task(self._follow())
        self._follows.add_done_callback(_say_if_failed)
        yield
        if self._follows.cancel():
            with suppress(asyncio.CancelledError):
                await self._follows

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._settings.poll_seconds)
            await anyio.to_thread.run_sync(self._follower.refresh)


def _say_if_failed(follows: asyncio.Task[None]) -> None:
    if not follows.cancelled() and (failure := follows.exception()):
        _log.error("no other version will be served until a restart", exc_info=failure)


class _Connection(H11Protocol):
    """A connection that is closed when nobody asks anything on it.

    uvicorn waits without end for a first request, for the rest of a request's head, and for the rest of a
    body that was refused; a hundred such connections would be all that the server has.
    """

    idle_seconds: float

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self._next_look = self.loop.call_later(self.idle_seconds, self._look, self.cycle)

    def connection_lost(self, exc: Exception | None) -> None:
        self._next_look.cancel()
        super().connection_lost(exc)

    def _look(self, before: RequestResponseCycle | None) -> None:
        """Close it if the last request is still the one that it was before, and answered."""
        last = self.cycle
        if last is before and (last is None or last.response_complete):
            self.transport.close()
        else:
            self._next_look = self.loop.call_later(self.idle_seconds, self._look, last)


def configuration(follower: Follower, settings: ServerSettings) -> uvicorn.Config:
    """How uvicorn runs the server."""
    return uvicorn.Config(
        application(follower, settings),
        # By h11, which bounds the head of a request, whether or not the faster httptools is installed.
        http=type("Connection", (_Connection,), {"idle_seconds": settings.idle_seconds}),
        h11_max_incomplete_event_size=settings.max_head_bytes,
        ws="none",
        log_level="warning",
        access_log=False,
        lifespan="on",
        limit_concurrency=settings.connections,
        timeout_graceful_shutdown=int(settings.stop_seconds),
    )


def serve(follower: Follower, settings: ServerSettings, started: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM; requests in flight are answered first.

    Args:
        started: is told the address once it is bound.

    Raises:
        RefusedError: the address cannot be bound.
    """
    try:
        bound = socket.create_server((settings.host, settings.port), backlog=settings.connections)
    except OSError as failure:
        raise RefusedError(
            f"{settings.host}:{settings.port} cannot be served on ({failure}); expected a free port of this "
            "machine. Choose another with --port"
        ) from failure
    for stop in (signal.SIGINT, signal.SIGTERM):  # uvicorn stops on both, then passes them on
        signal.signal(stop, signal.default_int_handler)
    with bound, suppress(KeyboardInterrupt):
        host, port = bound.getsockname()[:2]
        started(f"http://{host}:{port}")
        uvicorn.Server(configuration(follower, settings)).run(sockets=[bound])


async def _body(request: Request, limit: int) -> bytes | None:
    """The body, or None where it has more bytes than allowed; no more than those are ever held."""
    said = request.headers.get("content-length", "0")
    if not said.isdecimal() or int(said) > limit:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


_CODES: Final = {400: "INVALID_PARAMETER_VALUE", 413: "REQUEST_TOO_LARGE"}


def _refusal(status: int, message: str) -> Response:
    """An error as MLflow spells it."""
    return JSONResponse({"error_code": _CODES.get(status, "BAD_REQUEST"), "message": message}, status)
