"""The commands as a person types them."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from skip_pipeline.cli.main import app
from skip_pipeline.cli.run import training_config

COMMAND = [sys.executable, "-c", "from skip_pipeline.cli.main import app; app()"]


@pytest.fixture
def cli():
    return CliRunner()


def command(*arguments, **options):
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, **options)


def test_without_a_command_the_help_is_shown(cli):
    answer = cli.invoke(app, [])

    for name in ("synthesize", "run", "ui", "rollback"):
        assert name in answer.output


def test_synthesize_writes_both_files_and_says_so(cli, tmp_path):
    answer = cli.invoke(
        app, ["synthesize", "--out", str(tmp_path), "--sessions", "30", "--tracks", "40", "--seed", "2"]
    )

    assert answer.exit_code == 0
    assert "30 synthetic sessions" in answer.output
    assert (tmp_path / "training_set" / "log_mini.csv").is_file()
    assert (tmp_path / "track_features" / "tf_mini.csv").is_file()


def test_synthesize_writes_sessions_to_be_scored_if_asked_to(cli, tmp_path):
    sizes = ["--sessions", "30", "--tracks", "40", "--test-sessions", "7"]
    answer = cli.invoke(app, ["synthesize", "--out", str(tmp_path), *sizes])

    assert answer.exit_code == 0
    assert "7 sessions to be scored" in " ".join(answer.output.split())
    assert len(list((tmp_path / "test_set").glob("log_*.csv"))) == 2


def test_a_window_is_run_config_of_the_training_only_where_it_is_given():
    assert training_config("fast", 1) == {"ops": {"trained_model": {"config": {"preset": "fast", "seed": 1}}}}
    assert training_config("fast", 1, train_days=30)["ops"]["trained_model"]["config"]["train_days"] == 30


def test_a_rollback_where_no_model_has_been_recorded_is_refused(tmp_path):
    answer = command("rollback", "--data-dir", str(tmp_path))

    assert answer.returncode == 1
    assert "holds no record of any model" in " ".join(answer.stderr.split())
    assert not (tmp_path / "mlflow").exists()


@pytest.mark.parametrize(("option", "value"), [("--sessions", "0"), ("--tracks", "0"), ("--seed", "-1")])
def test_synthesize_refuses_the_impossible_in_one_line(tmp_path, option, value):
    answer = command("synthesize", "--out", str(tmp_path / "raw"), option, value)

    assert answer.returncode == 1
    assert answer.stderr.startswith("error: ")
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "raw" / "training_set").exists()


def test_run_without_raw_files_fails_and_says_what_to_do(tmp_path):
    answer = command("run", "--data-dir", str(tmp_path), "--select", "session_logs")

    assert answer.returncode == 1
    assert "error: session_logs: " in answer.stderr
    assert "skip-pipeline synthesize" in answer.stderr.replace("\n", " ")
    assert "Traceback" not in answer.stderr


def test_run_refuses_a_selection_that_matches_nothing(tmp_path):
    answer = command("run", "--data-dir", str(tmp_path), "--select", "no_such_asset")

    assert answer.returncode == 1
    assert "no_such_asset" in answer.stderr
    assert "trained_model" in answer.stderr


def test_run_refuses_a_preset_that_does_not_exist(tmp_path):
    answer = command("run", "--data-dir", str(tmp_path), "--preset", "enormous")

    assert answer.returncode == 2
    assert "enormous" in answer.stderr


def test_run_refuses_a_data_directory_that_is_a_file(tmp_path):
    (tmp_path / "data").write_text("")

    answer = command("run", "--data-dir", str(tmp_path / "data"))

    assert answer.returncode == 1
    assert answer.stderr.startswith(f"error: {tmp_path / 'data'} cannot hold data")
    assert "Traceback" not in answer.stderr


def test_run_shows_what_it_has_counted_as_odd(tmp_path):
    raw = tmp_path / "01_raw"
    assert command("synthesize", "--out", str(raw), "--sessions", "20", "--tracks", "30").returncode == 0
    log = raw / "training_set" / "log_mini.csv"
    log.write_text(log.read_text().replace("catalog", "smart_speaker").replace("2018-07-15", "1969-12-31"))

    answer = command("run", "--data-dir", str(tmp_path), "--select", "session_logs")

    assert answer.returncode == 0, answer.stderr
    assert "! session_logs, check known_levels failed (context_type: 'smart_speaker'" in answer.stdout
    assert "! session_logs, check plausible_dates failed (date: '1969-12-31'" in answer.stdout


def test_run_materializes_and_shows_every_asset(tmp_path):
    raw = tmp_path / "01_raw"
    assert command("synthesize", "--out", str(raw), "--sessions", "60", "--tracks", "50").returncode == 0

    answer = command(
        "run", "--select", "session_logs,track_features,merged_table", "--data-dir", str(tmp_path)
    )

    assert answer.returncode == 0, answer.stderr
    for asset in ("session_logs", "track_features", "merged_table"):
        assert f"✓ {asset}" in answer.stdout
    assert (tmp_path / "02_merged" / "log_mini.parquet").is_file()
    assert (tmp_path / "mlflow" / "mlflow.db").is_file()
    assert (tmp_path / "dagster" / "dagster.yaml").is_file()


def test_the_data_directory_can_be_named_by_a_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("SKIP_PIPELINE_DATA_DIR", str(tmp_path / "elsewhere"))

    answer = command("run", "--select", "session_logs", cwd=tmp_path)

    assert str(tmp_path / "elsewhere") in answer.stderr.replace("\n", "")
