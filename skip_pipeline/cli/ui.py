"""The command ``ui``: Dagster and MLflow over one data directory, on the loopback interface."""

import os
import signal
import socket
import subprocess
import sys
import time
from importlib.resources import files
from typing import Final

from skip_pipeline import settings
from skip_pipeline.cli.options import OUT
from skip_pipeline.definitions import mlflow_tracker
from skip_pipeline.defs.dead_runs import close_dead_runs
from skip_pipeline.defs.launch import open_instance, prepare_home
from skip_pipeline.defs.nights_view import nights_page
from skip_pipeline.environment import of_servers
from skip_pipeline.errors import RefusedError
from skip_pipeline.settings import DataLayout

_HOST: Final = "127.0.0.1"
_WORKSPACE: Final = files("skip_pipeline.defs") / "workspace.yaml"
"""It names the code location as all commands do."""

# `dg dev` needs a project, and this is a package.
_NOT_OURS: Final = "ignore:Function `dev_command` is superseded"
_GRAPH: Final = "/asset-groups"
_POLL_SECONDS: Final = 0.5
_STOP_SIGNALS: Final = {"Dagster": signal.SIGINT, "MLflow": signal.SIGTERM}  # on which each ends cleanly
_WANTED_ENDS: Final = (0, -signal.SIGINT, -signal.SIGTERM)  # exit status of a server that a person ended
_STOP_SECONDS: Final = 20  # for Dagster to end its daemon and code server


def commands(layout: DataLayout, dagster_port: int, mlflow_port: int) -> dict[str, list[str]]:
    """The command line of each server; none of MLflow if ``MLFLOW_TRACKING_URI`` names a running server."""
    python = [sys.executable, "-m"]
    dagster = [
        sys.executable, "-W", _NOT_OURS, "-m",
        "dagster", "dev", "-w", str(_WORKSPACE), "-h", _HOST, "-p", str(dagster_port),
        "--log-level", "warning",
    ]  # fmt: skip
    served = {"Dagster": dagster}
    tracker = mlflow_tracker(layout)
    if not tracker.is_server:
        served["MLflow"] = [
            *python, "mlflow", "server", "--host", _HOST, "--port", str(mlflow_port), "--workers", "1",
            "--uvicorn-opts", "--log-level warning",
        ]  # fmt: skip
    return served


def serve(layout: DataLayout, dagster_port: int, mlflow_port: int) -> None:
    """Run the servers until Ctrl-C or until one of them ends, then stop the others."""
    for stop in (signal.SIGINT, signal.SIGTERM):  # a shell's background job starts with Ctrl-C ignored
        signal.signal(stop, signal.default_int_handler)
    home = prepare_home(layout)
    close_dead_runs(open_instance())
    wanted = commands(layout, dagster_port, mlflow_port)
    ports = {"Dagster": dagster_port, "MLflow": mlflow_port}
    for name in wanted:
        _need_free(ports[name], name)
    pages = {"Dagster": _GRAPH}
    addresses = {"Dagster": f"http://{_HOST}:{dagster_port}"}
    if "MLflow" in wanted:
        addresses["MLflow"] = f"http://{_HOST}:{mlflow_port}"
        # Creates the store and the experiment, so that server and first run do not race to them.
        pages["MLflow"] = nights_page(mlflow_tracker(layout).experiment())
    environment = of_servers(settings.TRACKING_ENVIRONMENT | os.environ)
    environment[settings.DATA_DIR_VARIABLE] = str(layout.root)
    if layout.shared:
        environment[settings.STORAGE_VARIABLE] = str(layout.shared)
    # The links between the two must use these addresses.
    environment[settings.DAGSTER_URL_VARIABLE] = addresses["Dagster"]
    # Not on the command line, where every user of the machine could read a password in it.
    environment["MLFLOW_BACKEND_STORE_URI"] = mlflow_tracker(layout).tracking_uri
    environment[settings.MLFLOW_URL_VARIABLE] = addresses.get("MLflow") or mlflow_tracker(layout).mlflow_url
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in wanted.items():
            # Dagster reads a file `.env` of the folder that it starts in, which may be another project's.
            folder = home if name == "Dagster" else None
            running[name] = subprocess.Popen(command, env=environment, cwd=folder)  # noqa: S603 - no shell
            OUT.print(f"{name}: {addresses[name]}{pages[name]}")
        while all(server.poll() is None for server in running.values()):
            time.sleep(_POLL_SECONDS)
        ended = [name for name, server in running.items() if server.poll() not in (None, *_WANTED_ENDS)]
    except KeyboardInterrupt:
        return
    finally:
        _stop(running)
    if ended:
        raise RefusedError(
            f"{ended[0]} ended by itself, expected it to go on; its last lines above have the reason"
        )


def _need_free(port: int, server: str) -> None:
    """Refuse a port that another program uses: MLflow would say so in a log, and end as if all were well."""
    try:
        socket.create_server((_HOST, port)).close()
    except OSError as failure:
        raise RefusedError(
            f"port {port} of {_HOST}: {os.strerror(failure.errno or 0)}; expected a free one for {server}. "
            f"End the program that uses it, or choose another port with --{server.lower()}-port"
        ) from failure


def _stop(servers: dict[str, subprocess.Popen[bytes]]) -> None:
    for name, server in servers.items():
        if server.poll() is None:
            server.send_signal(_STOP_SIGNALS[name])
    for server in servers.values():
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
