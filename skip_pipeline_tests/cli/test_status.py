"""The commands ``status`` and ``doctor`` over data directories, as a person types them."""

import json
import os
import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from skip_pipeline.cli import doctor
from skip_pipeline.cli.main import app
from skip_pipeline.cli.status import gather
from skip_pipeline.code_version import ASSETS
from skip_pipeline.definitions import defs
from skip_pipeline.defs import history
from skip_pipeline.defs.champion_row import champion
from skip_pipeline.defs.registry import Registry
from skip_pipeline.errors import MissingInputError, NoChampionError, UnreachableError
from skip_pipeline.nightly.plan import NIGHT_JOB, NIGHT_SCHEDULE
from skip_pipeline.settings import DataLayout


def invoke(*arguments: object):
    answer = CliRunner().invoke(app, list(map(str, arguments)))
    assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
    return answer


# --- status ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_after_a_run_everything_is_up_to_date_and_the_decision_is_told(finished):
    project, outcome = finished
    root = project.layout.root
    answer = invoke("status", "--data-dir", root, "--json")
    status = json.loads(answer.stdout)
    registry = Registry(project.tracking_uri)

    assert status["data"] == "synthetic data"
    assert status["served"]["version"] == registry.current()
    assert status["served"]["kind"] == registry.tags(registry.current())["kind"]
    assert status["served"]["since"] == status["decision"]["decided_at"]
    assert status["decision"]["run_id"] == outcome.run_id
    assert status["night"] is None
    assert status["overdue"] == []
    assert answer.exit_code == 0


@pytest.mark.slow
def test_later_is_late_and_a_new_delivery_is_named(finished, tmp_path, monkeypatch):
    root = Path(shutil.copytree(finished[0].layout.root, tmp_path / "data"))
    monkeypatch.setenv("DAGSTER_HOME", str(root / "dagster"))
    os.utime(root / "01_raw" / "training_set" / "log_mini.csv", (2e9, 2e9))
    found = gather(DataLayout(root), now=datetime(2033, 5, 18, tzinfo=UTC))
    late = "\n".join(item.what for item in found.overdue)

    assert "training_set/log_mini.csv" in late
    assert "session logs were read" in late


def test_an_empty_directory_has_nothing_and_stays_empty(tmp_path):
    answer = invoke("status", "--data-dir", tmp_path)

    assert answer.exit_code == 3
    assert "it was never made: session_logs" in answer.stdout
    assert "own_listening_report" not in answer.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_time_zone_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("SKIP_PIPELINE_TIMEZONE", "Mars")
    answer = invoke("status", "--data-dir", tmp_path)

    assert answer.exit_code == 1
    assert answer.stderr.startswith("error: $SKIP_PIPELINE_TIMEZONE is 'Mars'")


def test_nights_and_looks_of_the_schedule_are_found(project):
    job = defs().resolve_job_def("retrain")
    instance = project.instance()
    assert history.last_night(instance) is None
    assert history.last_look(instance) is None

    for status in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE):
        run = instance.create_run_for_job(job, status=status)
    found = history.last_night(instance)

    assert found is not None
    assert (found.run_id, found.status) == (run.run_id, "failed")


def test_the_names_of_the_night_are_those_of_the_definitions():
    definitions = defs()

    assert definitions.resolve_job_def(NIGHT_JOB).name == "retrain"
    assert definitions.resolve_schedule_def(NIGHT_SCHEDULE).job_name == NIGHT_JOB
    names = {key.to_user_string() for key in definitions.resolve_asset_graph().materializable_asset_keys}
    assert names == set(ASSETS)


# --- The champion without MLflow ------------------------------------------------------------------------


def test_a_registry_without_a_champion_or_without_tables_or_behind_a_closed_port_is_told_apart(
    template, tmp_path
):
    with pytest.raises(NoChampionError, match="no version of skip_model is champion"):
        champion(f"sqlite:///{template}/mlflow/mlflow.db")
    (tmp_path / "other.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(MissingInputError, match=r"other\.db cannot be read"):
        champion(f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(UnreachableError, match="did not answer"):
        champion(f"sqlite:///{tmp_path}/no/folder.db")


# --- doctor ---------------------------------------------------------------------------------------------


def test_the_doctor_says_everything_once_as_lines_and_as_json(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "_answer", lambda *_: None)
    shown = invoke("doctor", "--data-dir", tmp_path / "new")
    answer = invoke("doctor", "--data-dir", tmp_path / "new", "--json")
    findings = json.loads(answer.stdout)
    subjects = [finding["subject"] for finding in findings]

    for subject in (
        "Python",
        "libraries",
        "environment",
        "data directory",
        "disk",
        "memory",
        "registry",
        "clock",
    ):
        assert subject in subjects
        assert subject in shown.stdout
    assert [f for f in findings if f["level"] == "error"] == []
    assert answer.exit_code == shown.exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_ends_with_status_3_when_a_run_would_fail(tmp_path, monkeypatch):
    monkeypatch.setenv("SKIP_PIPELINE_TRAIN_DAYS", "some")
    logs = tmp_path / "01_raw" / "training_set"
    logs.mkdir(parents=True)
    (logs / "a\udcff.csv").touch()  # said by `run`
    answer = invoke("doctor", "--data-dir", tmp_path)

    assert answer.exit_code == 3
    assert "→ Correct it, or unset it" in answer.stdout


def test_a_data_directory_that_is_a_file_cannot_be_written(tmp_path):
    (tmp_path / "data").write_text("")

    assert doctor._problem_of(tmp_path / "data")
    assert not doctor._problem_of(tmp_path / "new" / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_port_is_asked_who_answers():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        number = other.getsockname()[1]
    assert doctor._answer(number, "MLflow", "/health", "OK") is None
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert doctor._answer(silent.getsockname()[1], "MLflow", "/health", "OK") == ""


def test_the_registry_is_found_missing_closed_or_without_a_champion(tmp_path, template, monkeypatch):
    none_yet = doctor._registry(DataLayout(tmp_path))
    empty = doctor._registry(DataLayout(template))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    closed = doctor._registry(DataLayout(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/no/folder.db")
    no_file = doctor._registry(DataLayout(tmp_path))

    assert (none_yet.level, "first run" in none_yet.fact) == ("ok", True)
    assert (empty.level, "no version is champion yet" in empty.fact) == ("ok", True)
    assert (closed.level, no_file.level) == ("error", "error")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["status", "doctor"])
def test_neither_command_imports_tensorflow_or_mlflow(command, tmp_path):
    (tmp_path / "dagster").mkdir()
    code = (
        "import sys\nfrom skip_pipeline.cli.main import app\n"
        f"try: app([{command!r}, '--data-dir', {str(tmp_path)!r}])\nexcept SystemExit: pass\n"
        "print({name.split('.')[0] for name in sys.modules} & {'tensorflow', 'keras', 'mlflow', 'sklearn'})"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert answer.stdout.splitlines()[-1] == "set()"


def test_the_newest_file_is_found_two_folders_deep(tmp_path):
    assert doctor._newest(tmp_path / "none") is None
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_text("")
    os.utime(tmp_path / "a" / "b", (2e9, 2e9))

    assert doctor._newest(tmp_path) == datetime.fromtimestamp(2e9, UTC)
