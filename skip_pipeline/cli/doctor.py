"""The command ``doctor``: whether this machine can run the pipeline, and the remedy if not."""

import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, distributions, requires
from pathlib import Path
from typing import Final
from urllib.error import HTTPError
from urllib.request import urlopen

import typer
from packaging.utils import canonicalize_name

import skip_pipeline
from skip_pipeline import settings
from skip_pipeline.cli import DROPPED, health
from skip_pipeline.cli.health import Finding
from skip_pipeline.cli.options import FOUND, OUT, AsJson, DataDir, refusals, show_json
from skip_pipeline.defs.mlflow_store import without_credentials
from skip_pipeline.defs.places import data_directory, has_store, tracking_uri
from skip_pipeline.errors import BadInputError, NoChampionError, SkipPipelineError
from skip_pipeline.settings import DataLayout

_HOST: Final = "127.0.0.1"
_ANSWER_SECONDS: Final = 1.0  # a server on this machine answers in milliseconds
_REMOTE_SECONDS: Final = 3.0
# Port, server, a page by which it is recognized and a word in that page, and the option for another port.
_PORTS: Final = (
    (3000, "Dagster", "/server_info", "dagster", "`skip-pipeline ui --dagster-port PORT`"),
    (5000, "MLflow", "/health", "OK", "`skip-pipeline ui --mlflow-port PORT`"),
    (5001, "skip-pipeline serve", "/version", "model_version", "`skip-pipeline serve --port PORT`"),
)


def doctor(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Look at this machine: variables, versions, data directory, disk, memory, ports, registry and clock.

    Each finding has its remedy. Nothing is changed. Exit status 3 if a finding is an error, 0 for warnings.
    """
    with refusals():
        layout = DataLayout(data_directory(data_dir))
    findings = list(examine(layout, os.environ))
    if as_json:
        show_json([asdict(finding) for finding in findings])
    else:
        for line in health.lines(findings):
            OUT.print(line)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(FOUND)


def examine(layout: DataLayout, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Everything that is to be said of this machine and a data directory."""
    yield health.python_version(sys.version_info[:2])
    yield from _libraries()
    yield from health.variables(environment, DROPPED)
    yield health.data_directory(layout.root, _problem_of(layout.root))
    yield health.disk(shutil.disk_usage(_existing(layout.root)).free, _raw_bytes(layout), layout.root)
    yield health.memory(_available_memory())
    for number, server, page, word, option in _PORTS:
        yield health.port(number, server, _answer(number, server, page, word), option)
    yield _registry(layout)
    zone = environment.get(settings.TIME_ZONE_VARIABLE) or settings.DEFAULT_TIME_ZONE
    yield health.clock(datetime.now().astimezone(), _newest(layout.root), zone)
    yield health.browser(shutil.which("chromium"))


def _libraries() -> Iterator[Finding]:
    installed: dict[str, str] = {
        canonicalize_name(found.name): found.version for found in distributions() if found.name
    }
    try:
        required = requires("skip-pipeline") or []
    except PackageNotFoundError:
        required = []
    file = Path(skip_pipeline.__file__).parents[1] / "constraints.txt"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    tested = dict(line.split("==") for line in lines if "==" in line)
    return health.libraries(required, installed, tested)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _problem_of(folder: Path) -> str:
    """Why no file could be made, linked and removed in a folder, or above it where it does not exist."""
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=_existing(folder)) as scratch:
            file = Path(scratch) / "file"
            file.write_bytes(b"")
            (Path(scratch) / "link").hardlink_to(file)
    except OSError as failure:
        return failure.strerror or str(failure)
    return ""


def _raw_bytes(layout: DataLayout) -> int:
    from skip_pipeline.raw.folder import delivered_csvs

    try:
        return sum(path.stat().st_size for path in delivered_csvs(layout.raw))
    except BadInputError:  # said by `run`
        return 0


def _newest(root: Path) -> datetime | None:
    """Time of the newest entry of the data directory and of its folders."""
    times = [path.stat().st_mtime for pattern in ("*", "*/*") for path in root.glob(pattern) if path.exists()]
    return datetime.fromtimestamp(max(times), UTC) if times else None


def _available_memory() -> int | None:
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    kilobytes = next(line.split()[1] for line in text.splitlines() if line.startswith("MemAvailable:"))
    return int(kilobytes) * 1024


def _answer(number: int, server: str, page: str, word: str) -> str | None:
    """None if a port is free; the server if its page answers there; else the empty string."""
    with suppress(OSError):
        socket.create_server((_HOST, number)).close()
        return None
    try:
        with urlopen(f"http://{_HOST}:{number}{page}", timeout=_ANSWER_SECONDS) as answer:
            return server if word.encode() in answer.read(10_000) else ""
    except (OSError, HTTPException):
        return ""


def _registry(layout: DataLayout) -> Finding:
    """Whether the store of runs and versions answers; MLflow itself takes seconds to import."""
    uri = tracking_uri(layout)
    if uri.startswith(("http://", "https://")):
        address = without_credentials(uri).rstrip("/")
        try:
            with urlopen(f"{address}/health", timeout=_REMOTE_SECONDS):  # noqa: S310 - http or https
                return health.registry(uri, "")
        except HTTPError as refusal:  # it asks who we are; MLflow's client has the credentials
            return health.registry(uri, "", state=f"answers ({refusal})")
        except (OSError, HTTPException, ValueError) as failure:
            return health.registry(uri, str(failure))
    if not has_store(layout):
        return health.registry(uri, "", state="is made by the first run")

    from skip_pipeline.defs.champion_row import champion

    try:
        return health.registry(uri, "", state=f"answers; version {champion(uri).version} is champion")
    except NoChampionError:
        return health.registry(uri, "", state="answers; no version is champion yet")
    except SkipPipelineError as problem:
        return health.registry(uri, str(problem))
