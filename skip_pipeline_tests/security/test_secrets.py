"""Secrets come from the environment, and stay there: none is in what a run writes, shows or records."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.server_process import free_port
from skip_pipeline import settings
from skip_pipeline.settings import DataLayout
from skip_pipeline_tests.builders import TRACKS, deliver, session
from skip_pipeline_tests.defs.test_browser import wait_for
from skip_pipeline_tests.environment import VARIABLES

pytestmark = pytest.mark.slow

PLANTED = "planted-0f7c9e"
SECRETS = {
    settings.WEBHOOK_VARIABLE: f"https://127.0.0.1:9/services/{PLANTED}-webhook",
    settings.MAIL_TO_VARIABLE: "night@example.org",
    settings.MAIL_FROM_VARIABLE: "pipeline@example.org",
    settings.MAIL_PASSWORD_VARIABLE: f"{PLANTED}-mail",
    settings.SMTP_HOST_VARIABLE: "127.0.0.1",
    "AWS_ACCESS_KEY_ID": f"{PLANTED}-key",
    "AWS_SECRET_ACCESS_KEY": f"{PLANTED}-s3",
    "AWS_SESSION_TOKEN": f"{PLANTED}-token",
    "DAGSTER_PG_URL": f"postgresql://dagster:{PLANTED}-pg@127.0.0.1/dagster",
}
MAIN = (sys.executable, "-c", "from skip_pipeline.cli.main import app; app()")


@pytest.fixture
def layout(tmp_path: Path) -> DataLayout:
    layout = DataLayout(tmp_path / "data")
    deliver(layout.raw / "training_set" / "log_mini.csv", session("a", 10) + session("b", 12))
    deliver(layout.raw / "track_features" / "tf_mini.csv", TRACKS)
    return layout


@contextmanager
def mlflow_server(folder: Path) -> Iterator[int]:
    """MLflow's own server, which takes any password; gives its port."""
    port = free_port()
    store = f"sqlite:///{folder / 'mlflow.db'}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    more = [
        "--workers",
        "1",
        "--backend-store-uri",
        store,
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true"}
    with subprocess.Popen(
        [*command, *more], env=os.environ | quiet, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            wait_for(f"http://127.0.0.1:{port}/health", server)
            yield port
        finally:
            server.terminate()
            server.wait(60)


def run(layout: DataLayout, tracking: str, *selected: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return subprocess.run(
        [*MAIN, "run", "--data-dir", str(layout.root), "--select", ",".join(selected)],
        env=kept | SECRETS | {settings.TRACKING_URI_VARIABLE: tracking},
        capture_output=True,
        text=True,
        check=False,
    )


def holding_secrets(folder: Path) -> list[Path]:
    """Files with a planted secret in them, plain or in UTF-16."""
    wanted = [PLANTED.encode(), PLANTED.encode("utf-16-le")]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if any(word in path.read_bytes() for word in wanted)]


def test_a_recorded_run_keeps_its_secrets(layout: DataLayout, tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with mlflow_server(tmp_path / "server") as port:
        tracking = f"http://{PLANTED}-user:{PLANTED}-password@127.0.0.1:{port}"
        done = run(layout, tracking, "session_logs", "track_features")
    assert done.returncode == 0, done.stderr
    assert PLANTED not in done.stdout + done.stderr
    assert b"track_features" in (tmp_path / "server" / "mlflow.db").read_bytes()  # it was recorded
    assert holding_secrets(tmp_path) == []


def test_a_failed_run_without_its_tracking_server_keeps_its_secrets(
    layout: DataLayout, tmp_path: Path
) -> None:
    (layout.raw / "training_set" / "log_mini.csv").write_text("x\n1\n")
    with socket.socket() as unused:  # bound, and not listening
        unused.bind(("127.0.0.1", 0))
        tracking = f"http://{PLANTED}-user:{PLANTED}-password@127.0.0.1:{unused.getsockname()[1]}"
        done = run(layout, tracking, "session_logs")
    assert done.returncode != 0
    assert PLANTED not in done.stdout + done.stderr
    assert holding_secrets(tmp_path) == []


def test_a_planted_secret_is_found(tmp_path: Path) -> None:
    for name, content in {"a": PLANTED.encode(), "b": PLANTED.encode("utf-16-le"), "c": b"x"}.items():
        (tmp_path / name).write_bytes(content)
    assert {path.name for path in holding_secrets(tmp_path)} == {"a", "b"}
