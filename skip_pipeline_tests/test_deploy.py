"""The commands of deploy/README.md, against PostgreSQL and an S3 server, from a clean start."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg2
import pytest
import s3fs
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage

import skip_pipeline
from benchmarks.server_process import free_port
from skip_pipeline_tests.defs.test_browser import ASSETS
from skip_pipeline_tests.postgres_server import MISSING, binaries, postgres_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(binaries() is None and not os.environ.get("CI"), reason=MISSING),
    pytest.mark.timeout(1000),
]

REPOSITORY = Path(skip_pipeline.__file__).parents[1]
SECTIONS = ("A clean start", "A night", "Serve")
PATIENCE_SECONDS = 900  # 60 s on an idle machine
SMALLER = {  # what the test changes in the commands
    "--sessions 2000 --tracks 2000": "--sessions 400 --tracks 600",
    "skip-pipeline run": "skip-pipeline run --batch-size 16",
    # Serving needs the tracking server alone.
    "skip-pipeline predict": "unset ${!PG@} ${!AWS@}; skip-pipeline predict",
}


def commands(text: str) -> str:
    """The shell commands of the page, in order, with smaller data."""
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    blocks = [b for name in SECTIONS for b in re.findall(r"```sh\n(.*?)```", sections[name], re.DOTALL)]
    script = "".join(["set -eu\n", *blocks])
    for command, changed in SMALLER.items():
        assert script.count(command) == 1, command
        script = script.replace(command, changed)
    return script


def wait_until_served(url: str, shell: subprocess.Popen[bytes], place: Path) -> None:
    """Wait for the last of the commands, a server."""
    for _ in range(PATIENCE_SECONDS * 2):
        if shell.poll() is not None:
            break
        try:
            urllib.request.urlopen(url).close()  # noqa: S310 - our own loopback address
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
        else:
            return
    pytest.fail("\n".join((place / name).read_text()[-5000:] for name in ("mlflow.log", "output")))


@dataclass(frozen=True)
class Night:
    """What a night on the servers has left, while they run."""

    output: str
    environment: Mapping[str, str]
    data: Path
    served: str  # address of the server of predictions
    bucket: s3fs.S3FileSystem

    def rows(self, database: str, question: str) -> list[tuple[Any, ...]]:
        names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
        given = {name: self.environment[variable] for name, variable in names.items()}
        with psycopg2.connect(dbname=database, **given) as connection, connection.cursor() as cursor:
            cursor.execute(question)
            return list(cursor.fetchall())


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, s3_environment: Mapping[str, str]) -> Iterator[Night]:
    place = tmp_path_factory.mktemp("team")
    for name in ("deploy", "docs"):
        (place / name).symlink_to(REPOSITORY / name)
    port = free_port()
    script = commands((REPOSITORY / "deploy" / "README.md").read_text())
    script = script.replace("skip-pipeline serve", f"exec skip-pipeline serve --port {port}")
    with postgres_server(free_port()) as postgres:
        environment = {
            **{
                name: value for name, value in os.environ.items() if not name.startswith(("SKIP_", "MLFLOW_"))
            },
            **s3_environment,
            **postgres,
            "BUCKET": "team",
            "MLFLOW_PORT": str(free_port()),
            "PYTHONPATH": str(REPOSITORY),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        environment.pop("DAGSTER_HOME", None)
        with (place / "output").open("wb") as log:
            shell = subprocess.Popen(
                ["bash", "-c", script],
                cwd=place,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                wait_until_served(f"http://127.0.0.1:{port}/ping", shell, place)
                address = s3_environment["AWS_ENDPOINT_URL"]
                yield Night(
                    (place / "output").read_text(),
                    environment,
                    place / "data",
                    f"http://127.0.0.1:{port}",
                    s3fs.S3FileSystem(key="testing", secret="testing", endpoint_url=address),  # noqa: S106
                )
            finally:
                os.killpg(shell.pid, signal.SIGTERM)
                shell.wait(60)


def test_dagster_keeps_runs_events_and_schedules_in_postgresql(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD"):
        monkeypatch.setenv(name, night.environment[name])
    monkeypatch.setenv("DAGSTER_HOME", str(night.data / "dagster"))
    with dg.DagsterInstance.get() as instance:
        assert isinstance(instance.run_storage, PostgresRunStorage)
        assert isinstance(instance.schedule_storage, PostgresScheduleStorage)
        (run,) = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.SUCCESS
        events = map(instance.get_latest_materialization_event, map(dg.AssetKey, ASSETS))
        assert all(event is not None and event.run_id == run.run_id for event in events)
    assert list(night.data.rglob("*.db")) == []


def test_mlflow_keeps_runs_and_versions_in_postgresql_and_their_files_in_s3(night: Night) -> None:
    runs = dict(night.rows("mlflow", "select name, status from runs"))
    versions = night.rows("mlflow", "select name, version from model_versions")
    aliases = dict(night.rows("mlflow", "select alias, version from registered_model_aliases"))
    kept = night.bucket.find("team/mlflow")

    assert set(ASSETS) <= runs.keys()
    assert set(runs.values()) == {"FINISHED"}
    assert versions == [("skip_model", 1)]
    assert aliases == {"champion": 1, "challenger": 1, "best_version": 1}
    assert {"report.html", "promotion.html", "history.json", "scaler.json"} <= {
        k.split("/")[-1] for k in kept
    }
    assert not (night.data / "mlflow").exists()


def test_tables_lie_in_s3_and_nothing_of_the_record_was_lost(night: Night) -> None:
    for stage in ("02_merged", "03_encoded", "04_scaled", "05_bundles"):
        assert night.bucket.glob(f"team/tables/{stage}/_manifests/*.json"), stage
        assert not (night.data / stage).exists()
    assert "mlflow_run" not in night.output
    assert "View run" not in night.output  # MLflow's own lines
    assert "Version 1 is promoted; version 1 serves" in night.output


def test_the_version_in_the_registry_answers_a_file_and_over_http(night: Night) -> None:
    assert '"0_example","t_example_4",0.' in night.output
    question = urllib.request.Request(  # noqa: S310 - our own loopback address
        f"{night.served}/invocations",
        (REPOSITORY / "docs" / "request.json").read_bytes(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(question) as answer:  # noqa: S310 - the same
        (prediction,) = json.load(answer)["predictions"]
    with urllib.request.urlopen(f"{night.served}/version") as answer:  # noqa: S310 - the same
        version = json.load(answer)

    assert 0 < prediction["p_skip"] < 1
    assert version["model_version"] == "1"


def test_no_file_record_or_output_holds_the_password(night: Night) -> None:
    password = night.environment["PGPASSWORD"].encode()
    for database in ("dagster", "mlflow"):
        dump = subprocess.run(["pg_dump", database], env=night.environment, check=True, capture_output=True)
        assert len(dump.stdout) > 10_000
        assert password not in dump.stdout
    for path in (p for p in night.data.parent.rglob("*") if p.is_file()):
        assert password not in path.read_bytes(), path
    for key in night.bucket.find("team"):
        assert password not in night.bucket.cat_file(key), key
