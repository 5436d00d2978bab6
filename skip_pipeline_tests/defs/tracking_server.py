"""MLflow's server on 127.0.0.1, in this process, which can be made to answer badly, for tests."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from werkzeug.serving import make_server

HANGS: Final = "no answer within 5 seconds"  # in place of a status
_REFUSAL: Final = b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "never"}'


class TrackingServer:
    """MLflow's application, and the fault that stands before it.

    Attributes:
        url: its address.
        asked: paths of the requests so far.
    """

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self._status = ""
        self._meets: Callable[[str], bool] = lambda _path: False
        self.url = ""
        self.asked: list[str] = []
        self.released = threading.Event()

    def fail(self, status: str, meets: Callable[[str], bool] = lambda _path: True) -> None:
        """Answer requests, or those whose path meets a condition, with a status or not at all."""
        self._status, self._meets = status, meets

    def fail_after(self, requests: int) -> None:
        """Answer so many requests more, and then none."""
        end = len(self.asked) + requests
        self.fail("503 Service Unavailable", lambda _path: len(self.asked) > end)

    def recover(self) -> None:
        self._meets = lambda _path: False

    def __call__(self, environment: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = str(environment["PATH_INFO"])
        self.asked.append(path)
        if not self._meets(path):
            return self._application(environment, start_response)
        if self._status == HANGS:
            self.released.wait(5)
        status = "503 Service Unavailable" if self._status == HANGS else self._status
        start_response(status, [("Content-Type", "application/json"), ("Retry-After", "3600")])
        return [_REFUSAL]


@contextmanager
def tracking_server(folder: Path) -> Iterator[TrackingServer]:
    """MLflow's server over a folder with ``mlflow.db``; one folder for each process of a test run."""
    own = {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder / 'mlflow.db'}",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "artifacts"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
    }
    with pytest.MonkeyPatch.context() as environment:
        for name, value in own.items():
            environment.setenv(name, value)
        from mlflow import MlflowClient
        from mlflow.server import app

        environment.setenv("MLFLOW_TRACKING_URI", "")  # so that undoing forgets what the server sets
        with _serving(TrackingServer(app)) as front:
            # On the first request it makes its store that of the whole process.
            client = MlflowClient(front.url, front.url)
            client.search_experiments(max_results=1)
            client.search_registered_models(max_results=1)
            yield front


@contextmanager
def _serving(front: TrackingServer) -> Iterator[TrackingServer]:
    server = make_server("127.0.0.1", 0, front, threaded=True)
    front.url = f"http://127.0.0.1:{server.port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield front
    finally:
        front.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
