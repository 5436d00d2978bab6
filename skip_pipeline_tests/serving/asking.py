"""A server in a thread, and clients that ask it over sockets."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from skip_pipeline.serving.bounds import ServerSettings
from skip_pipeline.serving.follow import Follower
from skip_pipeline.serving.server import configuration

JSON = {"Content-Type": "application/json"}
QUICK = ServerSettings(max_body_bytes=100_000, body_seconds=0.2, poll_seconds=0.02)


class Client:
    """A connection that stays open."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def send(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
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
def running(
    follower: Follower, settings: ServerSettings = QUICK, *, send_buffer: int | None = None
) -> Iterator[int]:
    """Serve in a thread, with so many bytes for answers in the system; gives the port."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        if send_buffer is not None:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        server = uvicorn.Server(configuration(follower, settings))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            yield bound.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(20)


def eventually(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.01)
    return False
