"""The HTTP API of a model that may change while the server runs; it takes MLflow's JSON.

    POST /invocations    sessions in, predictions out
    GET  /ping, /health  200 while a model is served and followed, else 503
    GET  /version        which model answers
    GET  /openapi.json   the schema of all this; /docs shows it as a page

MLflow's own scoring server also serves the model. It loads one version for good, and reads a request of any
size into memory.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import Annotated, Any, Final

import uvicorn
from fastapi import Body, FastAPI, Response
from fastapi import Request as HttpRequest
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException as RoutingError

from skip_pipeline.errors import RefusedError
from skip_pipeline.serving.bounds import BoundedBodies, BoundedConnection, ServerSettings
from skip_pipeline.serving.example import EXAMPLE
from skip_pipeline.serving.follow import Follower, Served
from skip_pipeline.serving.model import cores
from skip_pipeline.serving.requests import Request, arrays_of, not_json, refusal_text
from skip_pipeline.serving.schema_page import schema_page

_log = logging.getLogger(__name__)

_CODES: Final = {400: "INVALID_PARAMETER_VALUE", 404: "ENDPOINT_NOT_FOUND", 413: "REQUEST_TOO_LARGE"}
"""MLflow's codes; ``BAD_REQUEST`` for any other status."""


class Prediction(BaseModel):
    """The answer for one session."""

    session_id: str
    p_skip: Annotated[float, Field(ge=0, le=1, description="probability that the next track is skipped")]
    known_track: Annotated[bool, Field(description="whether the features of the next track were known")]
    model_version: Annotated[str, Field(description="version in the registry, or start of a fingerprint")]


class Answer(BaseModel):
    """Predictions, one for each session, in order."""

    predictions: list[Prediction]
    data_source: Annotated[str, Field(description="of the model's training data: real or synthetic")]
    unknown_levels: Annotated[int, Field(description="values outside the vocabulary in all sessions")]


class Refusal(BaseModel):
    """Why a request was refused, in MLflow's form."""

    error_code: str
    message: str


class Version(BaseModel):
    """Which model answers."""

    model_version: str
    data_source: str
    fingerprint: str
    skip_pipeline: str


def application(follower: Follower, settings: ServerSettings) -> FastAPI:
    """The ASGI application. While it runs, it exchanges the model whenever another version is current."""
    workers = ThreadPoolExecutor(cores())  # so that a long request does not stop the event loop
    following: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        following.append(asyncio.create_task(_follow(follower, settings.poll_seconds)))
        following[0].add_done_callback(_log_failure)
        yield
        if following[0].cancel():
            with suppress(asyncio.CancelledError):
                await following[0]
        workers.shutdown()

    api = FastAPI(
        title="Skip predictions",
        version=version("skip-pipeline"),
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own pages load scripts from another server
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    api.add_middleware(BoundedBodies, settings=settings)
    api.exception_handler(RequestValidationError)(_invalid)
    api.exception_handler(RoutingError)(_refused)

    refusals: dict[int | str, dict[str, Any]] = {code: {"model": Refusal} for code in (400, 408, 413, 415)}

    @api.post("/invocations", response_model=Answer, responses=refusals)
    async def invocations(
        body: Annotated[Request, Body(examples=[{"dataframe_records": [EXAMPLE]}])],
    ) -> Any:
        """How likely each session's next track is to be skipped."""
        return await asyncio.get_running_loop().run_in_executor(workers, answer, follower.served, body)

    async def ping() -> Response:
        """200 while a model is served and followed, else 503."""
        alive = bool(following) and not following[0].done()
        return Response("\n", status_code=200 if alive else 503, media_type="application/json")

    for path in ("/ping", "/health"):
        api.get(path, response_class=Response)(ping)
        api.head(path, include_in_schema=False)(ping)

    async def which() -> Version:
        """Which model answers."""
        served = follower.served
        return Version(
            model_version=served.version,
            data_source=served.model.data_source,
            fingerprint=served.model.fingerprint,
            skip_pipeline=version("skip-pipeline"),
        )

    api.get("/version")(which)
    api.head("/version", include_in_schema=False)(which)

    @api.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(schema_page(api.openapi()))

    return api


def answer(served: Served, body: Request) -> dict[str, Any]:
    """Score a request; the result becomes an ``Answer``."""
    sessions = arrays_of(body.sessions)
    scores = served.model.score(sessions)
    rows = zip(sessions.session_id, scores.p_skip.tolist(), scores.known_track.tolist(), strict=True)
    return {
        "predictions": [
            {"session_id": name, "p_skip": p, "known_track": known, "model_version": served.version}
            for name, p, known in rows
        ],
        "data_source": served.model.data_source,
        "unknown_levels": scores.unknown_levels,
    }


async def _follow(follower: Follower, poll_seconds: float) -> None:
    while True:
        await asyncio.sleep(poll_seconds)
        await asyncio.to_thread(follower.refresh)


def _log_failure(following: asyncio.Task[None]) -> None:
    if not following.cancelled() and (failure := following.exception()):
        _log.error("no other version will be served until a restart", exc_info=failure)


async def _invalid(_: HttpRequest, failure: RequestValidationError) -> Response:
    error = failure.errors()[0]
    if error["type"] in ("json_invalid", "missing"):  # "missing" for an empty body
        return _refusal(400, str(not_json(failure.__cause__ or "it is empty")))
    return _refusal(400, refusal_text(error))


async def _refused(_: HttpRequest, failure: RoutingError) -> Response:
    if failure.status_code == 400:  # FastAPI's answer to whatever else the JSON parser raises
        return _refusal(400, str(not_json(failure.__cause__ or failure.detail)))
    return _refusal(failure.status_code, failure.detail, failure.headers)


def _refusal(status: int, message: str, headers: Any = None) -> Response:
    content = Refusal(error_code=_CODES.get(status, "BAD_REQUEST"), message=message)
    return JSONResponse(content.model_dump(), status, headers)


def configuration(follower: Follower, settings: ServerSettings) -> uvicorn.Config:
    """How uvicorn runs the server."""
    return uvicorn.Config(
        application(follower, settings),
        # h11 bounds the head of a request; httptools, which uvicorn would prefer, does not.
        http=type("Connection", (BoundedConnection,), {"idle_seconds": settings.idle_seconds}),
        h11_max_incomplete_event_size=settings.max_head_bytes,
        ws="none",
        log_level="warning",
        access_log=False,
        lifespan="on",
        limit_concurrency=settings.connections,
        timeout_graceful_shutdown=int(settings.stop_seconds),
    )


def serve(follower: Follower, settings: ServerSettings, started: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM. Requests in progress are answered first.

    Args:
        started: called with the server's address when it is bound.

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
    for stop in (signal.SIGINT, signal.SIGTERM):  # uvicorn stops on both, then raises them again
        signal.signal(stop, signal.default_int_handler)
    with bound, suppress(KeyboardInterrupt):
        host, port = bound.getsockname()[:2]
        started(f"http://{host}:{port}")
        uvicorn.Server(configuration(follower, settings)).run(sockets=[bound])
