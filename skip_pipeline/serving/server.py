"""The HTTP API of a model that may change while the server runs; it takes MLflow's JSON.

    POST /invocations    sessions in, predictions out
    GET  /ping, /health  200 while a model is served and followed, else 503
    GET  /version        which model answers
    GET  /openapi.json   the schema of all this; /docs shows it as a page

MLflow's own scoring server also serves the model. It loads one version for good, and reads a request of any
size into memory.
"""

import asyncio
import logging
import math
import resource
import signal
import socket
from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib.metadata import version
from types import FrameType
from typing import Annotated, Any, Final, cast

import loky
import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Template
from pydantic import BaseModel, Field, TypeAdapter
from starlette.exceptions import HTTPException

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError, RefusedError
from skip_pipeline.serving import requests
from skip_pipeline.serving.bounds import FILES_OPEN, Arrival, PlainPath, ServerSettings, bounded_body, decoded
from skip_pipeline.serving.examples import EXAMPLE, EXAMPLE_OF_CANDIDATES
from skip_pipeline.serving.follow import Follower, Served, Source
from skip_pipeline.serving.hosts import KnownHosts, is_loopback
from skip_pipeline.serving.processes import Beside

_log = logging.getLogger(__name__)

_CODES: Final = {
    400: "INVALID_PARAMETER_VALUE",
    403: "PERMISSION_DENIED",
    404: "ENDPOINT_NOT_FOUND",
    413: "REQUEST_TOO_LARGE",
}
"""MLflow's codes; ``BAD_REQUEST`` for any other status."""

_REFERENCE: Final = "#/components/schemas/{model}"
_REQUEST: Final = {
    "schema": {"$ref": _REFERENCE.format(model="Request")},
    "examples": {
        "next track": {"value": {"dataframe_records": [EXAMPLE]}},
        "candidates": {"value": {"dataframe_records": [EXAMPLE_OF_CANDIDATES]}},
    },
}

_FLAG: Final = "null if the network predicts last tracks alone"

_SCHEMA_PAGE: Final = Template(
    """<!doctype html><meta charset=utf-8><title>Schema</title>
<style>body{font:15px sans-serif;margin:2em;max-width:60em} td{padding:.2em 1em .2em 0}</style>
<h1>{{ info.title }}</h1>
<table>{% for path, methods in paths.items() %}{% for method, operation in methods.items() %}
<tr><td>{{ method.upper() }} {{ path }}<td>{{ operation.description }}
{% endfor %}{% endfor %}</table>
{% for name, model in components.schemas.items() %}<h2>{{ name }}</h2><p>{{ model.description }}</p>
<table>{% for field, of in model.properties.items() %}
<tr><td>{{ field }}<td>{{ of.description or of.type or "" }}<td>{{ "required" if field in model.required }}
{% endfor %}</table>{% endfor %}""",
    autoescape=True,
)
"""The OpenAPI schema as a page that loads nothing; FastAPI's own pages load scripts from another server."""


_Probability = Annotated[float, Field(ge=0, le=1)]


class Prediction(BaseModel):
    """The answer for one next track."""

    session_id: str
    track_id: Annotated[str | None, Field(description="null where the track's features were given")]
    p_skip: Annotated[_Probability, Field(description="probability that the track is skipped")]
    p_skip_1: Annotated[_Probability | None, Field(description=f"only very briefly played; {_FLAG}")]
    p_skip_2: Annotated[_Probability | None, Field(description=f"only briefly played; {_FLAG}")]
    p_skip_3: Annotated[_Probability | None, Field(description=f"mostly played at best; {_FLAG}")]
    known_track: Annotated[bool, Field(description="whether the features of the track were known")]
    model_version: Annotated[str, Field(description="version in the registry, or start of a fingerprint")]


class Answer(BaseModel):
    """Predictions, one for each next track: session after session, candidates in their order."""

    predictions: list[Prediction]
    data_source: Annotated[str, Field(description="of the model's training data: real or synthetic")]
    unknown_levels: Annotated[int, Field(description="values outside the vocabulary in all sessions")]


class Refusal(BaseModel):
    """Why a request was refused, in MLflow's form."""

    error_code: str
    message: str


def application(follower: Follower, settings: ServerSettings) -> FastAPI:
    """The ASGI application. While it runs, it exchanges the model whenever another version is current."""
    workers = ThreadPoolExecutor(settings.threads)  # so that a long request does not stop the event loop
    following: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        nonlocal following
        following = asyncio.create_task(_follow(follower, settings.poll_seconds))
        following.add_done_callback(_log_failure)
        yield
        following.cancel()
        await asyncio.wait([following])
        workers.shutdown()

    api = FastAPI(
        title="Skip predictions",
        version=version("skip-pipeline"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # ``PlainPath`` takes them off; few clients follow with their body
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    api.exception_handler(HTTPException)(_refused)
    api.add_middleware(PlainPath)
    if settings.hosts is not None:
        api.add_middleware(KnownHosts, refuse=_unknown_host(), names=settings.hosts)

    @api.post(
        "/invocations",
        response_model=Answer,
        responses={code: {"model": Refusal} for code in (400, 408, 413, 415)},
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": _REQUEST}}},
    )
    async def invocations(request: Request) -> Any:
        """How likely each session's next track, or each of its candidates, is to be skipped."""
        body = await bounded_body(request, settings)
        answer = partial(_answer, follower.served, request, body, settings)
        return await asyncio.get_running_loop().run_in_executor(workers, answer)

    @api.head("/ping", include_in_schema=False)
    @api.head("/health", include_in_schema=False)
    @api.get("/ping", response_class=Response)
    @api.get("/health", response_class=Response)
    async def ping() -> Response:
        """200 while a model is served and followed, else 503."""
        alive = following is not None and not following.done()
        return Response("\n", status_code=200 if alive else 503, media_type="application/json")

    @api.head("/version", include_in_schema=False)
    @api.get("/version")
    async def which() -> dict[str, str]:
        """Which model answers."""
        served = follower.served
        return {
            "model_version": served.version,
            "data_source": served.model.data_source,
            "fingerprint": served.model.fingerprint,
            "skip_pipeline": version("skip-pipeline"),
        }

    @api.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(_SCHEMA_PAGE.render(api.openapi()))

    definitions = TypeAdapter(requests.Request).json_schema(ref_template=_REFERENCE)
    api.openapi()["components"]["schemas"] |= {**definitions.pop("$defs"), "Request": definitions}
    return api


def _answer(served: Served, request: Request, body: bytes, settings: ServerSettings) -> dict[str, Any]:
    """Score a request; the result becomes an ``Answer``."""
    most = settings.max_answers
    try:
        sessions = requests.sessions_of_json(decoded(request, body, settings.max_body_bytes))
        if (asked := len(sessions.next_track)) > most:
            raise HTTPException(
                413,
                f"the request asks for {asked:,} tracks, expected at most {most:,} in all its sessions; send "
                "fewer sessions or candidates at a time",
            )
        scores = served.model.score(sessions)
    except BadInputError as refusal:
        raise HTTPException(400, str(refusal)) from refusal
    flags = scores.p_flags.astype(object)
    flags[np.isnan(scores.p_flags)] = None
    columns = {
        "session_id": sessions.asked_ids,
        "track_id": sessions.next_track_ids,
        "p_skip": scores.p_skip.tolist(),
        **{f"p_{flag}": flags[:, i].tolist() for i, flag in enumerate(schema.OUTCOME_FLAGS[:-1])},
        "known_track": scores.known_track.tolist(),
        "model_version": [served.version] * asked,
    }
    return {
        "predictions": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)],
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


async def _refused(_: Request, failure: HTTPException) -> Response:
    return _refusal(failure)


def _refusal(failure: HTTPException) -> Response:
    content = Refusal(error_code=_CODES.get(failure.status_code, "BAD_REQUEST"), message=failure.detail)
    return JSONResponse(content.model_dump(), failure.status_code, failure.headers)


def _unknown_host() -> Response:
    return _refusal(
        HTTPException(
            403,
            "the request is for another host, or from a page of another site; expected Host, and Origin "
            "where there is one, to name this machine. Ask http://127.0.0.1, or name the host with "
            "--allow-host when the server is started",
        )
    )


def configuration(follower: Follower, settings: ServerSettings) -> uvicorn.Config:
    """How uvicorn runs the server."""
    return uvicorn.Config(
        application(follower, settings),
        # h11 bounds the head of a request; httptools, which uvicorn would prefer, does not.
        http=cast(type[asyncio.Protocol], partial(Arrival, settings)),
        h11_max_incomplete_event_size=settings.max_head_bytes,
        ws="none",
        workers=1,  # else WEB_CONCURRENCY, which may hold anything
        timeout_keep_alive=math.ceil(settings.idle_seconds),
        log_level="error",  # its warnings are of malformed requests, of which a client may send any number
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=int(settings.stop_seconds),
    )


def serve(
    follower: Follower,
    host: str,
    port: int,
    started: Callable[[str], None],
    *,
    processes: int = 1,
    allowed_hosts: Collection[str] = (),
) -> None:
    """Serve until Ctrl-C or SIGTERM. Requests in progress are answered first.

    Args:
        started: called with the server's address when it is bound.
        processes: that take requests, each with a model and limits of its own.
        allowed_hosts: names beside those of loopback; without any, a server that other machines can reach
            answers under every name.

    Raises:
        RefusedError: the address cannot be bound.
    """
    settings = ServerSettings(
        hosts=frozenset(allowed_hosts) if allowed_hosts or is_loopback(host) else None,
        threads=max(1, loky.cpu_count() // processes),
    )
    try:
        listening = bound(host, port)
    except OSError as failure:
        raise RefusedError(
            f"{host}:{port} cannot be served on ({failure}); expected a free port of this machine. Choose "
            "another with --port"
        ) from failure
    work = partial(_serve_beside, follower.source, listening, settings)
    beside = Beside(work, processes - 1, settings.stop_seconds)
    with listening, suppress(KeyboardInterrupt), beside:
        started(address_of(listening))
        _run(follower, listening, settings, beside)


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens on an address; ``::`` is any of this machine, of IPv4 too."""
    if ":" not in host:
        return socket.create_server((host, port))
    both = socket.has_dualstack_ipv6()
    return socket.create_server((host.strip("[]"), port), family=socket.AF_INET6, dualstack_ipv6=both)


def address_of(listening: socket.socket) -> str:
    """The URL of a socket that listens."""
    address, port = listening.getsockname()[:2]
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def _serve_beside(source: Source, listening: socket.socket, settings: ServerSettings) -> None:
    """Serve in another process, on a socket that all share: who is idle takes the next connection."""
    log_to_stderr()
    with listening, suppress(KeyboardInterrupt):
        _run(Follower(source), listening, settings)


def _run(
    follower: Follower, listening: socket.socket, settings: ServerSettings, beside: Beside | None = None
) -> None:
    for stop in (signal.SIGINT, signal.SIGTERM):  # uvicorn stops on both, then raises them again
        signal.signal(stop, signal.default_int_handler)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_OPEN if hard == resource.RLIM_INFINITY else min(FILES_OPEN, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    _Server(configuration(follower, settings), beside).run(sockets=[listening])


class _Server(uvicorn.Server):
    """A server with others beside it."""

    def __init__(self, config: uvicorn.Config, beside: Beside | None) -> None:
        super().__init__(config)
        self._beside = beside

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop all at once, so that each answers its requests in progress meanwhile."""
        if self._beside:
            self._beside.stop()
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Look after the others, once in ten ticks, which is every second."""
        if self._beside and counter % 10 == 0 and not self.should_exit:
            self._beside.watch()
        return await super().on_tick(counter)


def log_to_stderr() -> None:
    """Log the server's messages to standard error, with the time."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("skip_pipeline").setLevel(logging.INFO)
