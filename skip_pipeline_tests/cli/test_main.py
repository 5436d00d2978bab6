"""The commands as a person types them."""

import errno
import json
import logging
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from types import SimpleNamespace

import pytest
import typer
from rich.console import Console
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from skip_pipeline import settings
from skip_pipeline.cli import run, ui
from skip_pipeline.cli.main import app
from skip_pipeline.cli.progress import RunProgress
from skip_pipeline.defs.launch import Outcome, prepare_home
from skip_pipeline.errors import RefusedError
from skip_pipeline.settings import DataLayout
from skip_pipeline.training.history import EpochReport

SMALL = ("--sessions", "30", "--tracks", "40")


@pytest.fixture
def cli(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments):
        answer = CliRunner().invoke(app, list(map(str, arguments)))
        assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
        assert "Traceback" not in answer.output
        return answer

    return invoke


@pytest.mark.slow
def test_a_process_of_its_own_refuses_in_one_line(tmp_path):
    code = "from skip_pipeline.cli.main import app; app()"
    answer = subprocess.run(
        [sys.executable, "-c", code, "run", "--data-dir", tmp_path, "--select", "no_such_asset"],
        capture_output=True,
        text=True,
    )

    assert answer.returncode == 1
    assert answer.stderr.startswith("error: --select 'no_such_asset'")
    assert "trained_model" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("named", [("--data-dir=~/me",), ()], ids=["option", "variable"])
def test_a_data_directory_may_begin_with_the_home_directory(cli, tmp_path, monkeypatch, named):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(settings.DATA_DIR_VARIABLE, "~/me")
    answer = cli("status", "--json", *named)
    assert json.loads(answer.output)["data_directory"] == str(tmp_path / "home" / "me")
    assert not (tmp_path / "~").exists()


def test_a_working_directory_that_was_removed_is_named(cli, tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.delenv(settings.DATA_DIR_VARIABLE, raising=False)
    answer = cli("status")
    assert answer.exit_code == 1
    assert "which has been removed" in answer.output


@pytest.mark.parametrize("folder", ["~no_such_user/x", "", "s3://bucket/x"])
def test_a_data_directory_that_is_no_folder_of_this_machine_is_refused(cli, folder):
    answer = cli("status", "--data-dir", folder)
    assert answer.exit_code in (1, 2)
    assert any(part in answer.output for part in ("is not known", "names no folder", "is a URL"))


@pytest.mark.parametrize(
    ("failure", "remedy"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n 4096"),
        (MemoryError(), "fewer workers"),
        (ImportError("a.so: failed to map segment from shared object"), "fewer workers"),
    ],
)
def test_what_the_system_does_not_give_ends_a_command_in_one_line(monkeypatch, capsys, failure, remedy):
    def lacks(*_given, **_options):
        raise failure

    monkeypatch.setattr(typer.Typer, "__call__", lacks)
    with pytest.raises(SystemExit) as ended:
        app()
    assert ended.value.code == 1
    assert remedy in capsys.readouterr().err


@pytest.mark.parametrize("failure", [OSError(errno.ENOENT, "no such file"), ImportError("no such module")])
def test_other_errors_are_not_called_a_lack_of_files_or_memory(monkeypatch, failure):
    def fails(*_given, **_options):
        raise failure

    monkeypatch.setattr(typer.Typer, "__call__", fails)
    with pytest.raises(type(failure)):
        app()


@pytest.mark.slow
def test_a_process_of_its_own_refuses_a_name_that_is_not_utf_8():
    code = "from skip_pipeline.cli.main import app; app()"
    answer = subprocess.run(
        [sys.executable, "-c", code, "predict", os.fsdecode(b"a\xff.csv")], capture_output=True, text=True
    )

    assert answer.returncode == 2
    assert answer.stderr == "error: a\\udcff.csv is not UTF-8; expected names in UTF-8. Rename the file\n"


@pytest.mark.slow
def test_a_run_without_raw_files_fails_and_says_what_to_do(cli, template, tmp_path, monkeypatch):
    root = shutil.copytree(template, tmp_path / "elsewhere")
    monkeypatch.setenv("SKIP_PIPELINE_DATA_DIR", str(root))
    answer = cli("run", "--select", "session_logs")

    assert answer.exit_code == 1
    assert "error: session_logs: " in answer.stderr
    assert str(root / "01_raw") in answer.stderr
    assert "skip-pipeline synthesize" in answer.stderr
    assert f"skip-pipeline ui --data-dir {root}" in answer.stderr


def test_without_a_command_the_help_is_shown(cli):
    answer = cli()

    names = ("synthesize", "import-history", "run", "train-worker", "ui", "rollback", "serve", "predict")
    for name in (*names, "challenge"):
        assert name in answer.output


def test_synthesize_writes_every_file_and_names_the_folder(cli, tmp_path):
    answer = cli("synthesize", "--out", tmp_path, *SMALL, "--test-sessions", "7")
    words = " ".join(answer.output.split())

    assert answer.exit_code == 0
    assert "30 synthetic sessions" in words
    assert "7 sessions to be scored" in words
    assert (tmp_path / "training_set" / "log_mini.csv").is_file()
    assert (tmp_path / "track_features" / "tf_mini.csv").is_file()
    assert len(list((tmp_path / "test_set").glob("log_*.csv"))) == 2


@pytest.mark.parametrize(
    ("option", "value"), [("--sessions", "0"), ("--tracks", "0"), ("--seed", "-1"), ("--laws", "weather")]
)
def test_synthesize_refuses_the_impossible_in_one_line(cli, tmp_path, option, value):
    answer = cli("synthesize", "--out", tmp_path / "raw", option, value)

    assert answer.exit_code == 1
    assert answer.stderr.startswith("error: ")
    assert not (tmp_path / "raw" / "training_set").exists()


def test_synthesize_lists_the_laws_and_writes_by_one_of_them(cli, tmp_path):
    shown = cli("synthesize", "--help").output
    assert cli("synthesize", "--out", tmp_path, *SMALL, "--laws", "regions").exit_code == 0

    for name in ("calibrated", "changing_states", "track_appeal", "regions", "habits", "mixture"):
        assert f"{name}:" in shown
    assert '"law": "regions"' in (tmp_path / "SYNTHETIC.json").read_text()


@pytest.mark.parametrize(("folder", "reason"), [("", "names no folder"), ("s3://bucket/raw", "a URL")])
def test_synthesize_refuses_what_is_no_folder_of_this_machine(cli, folder, reason):
    answer = cli("synthesize", "--out", folder)

    assert answer.exit_code == 2
    assert reason in answer.output


def test_a_rollback_where_no_model_has_been_recorded_is_refused(cli, tmp_path):
    answer = cli("rollback", "--data-dir", tmp_path)

    assert answer.exit_code == 1
    assert "holds no record of any model" in answer.stderr
    assert not (tmp_path / "mlflow").exists()


@pytest.mark.slow
def test_run_materializes_and_shows_every_asset_and_what_it_has_counted_as_odd(cli, template, tmp_path):
    root = shutil.copytree(template, tmp_path / "data")
    assert cli("synthesize", "--out", root / "01_raw", *SMALL).exit_code == 0
    log = root / "01_raw" / "training_set" / "log_mini.csv"
    log.write_text(log.read_text().replace("catalog", "smart_speaker").replace("2018-07-15", "1969-12-31"))

    engine = ("--engine", "processes", "--workers", "1")
    answer = cli("run", "--data-dir", root, "--select", "session_logs, track_features, merged_table", *engine)

    assert answer.exit_code == 0, answer.output
    for asset in ("session_logs", "track_features", "merged_table"):
        assert f"✓ {asset}" in answer.stdout
    assert answer.stdout.count("known_levels failed (context_type: 'smart_speaker'") == 1
    assert "plausible_dates failed (date: '1969-12-31'" in answer.stdout
    assert (root / "02_merged" / "log_mini.parquet").is_file()
    assert (root / "dagster" / "libraries.log").is_file()


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ('group:"nothing"', ("nothing matches",)),
        ("+(", ("selects no assets", "trained_model+")),
        (" ", ("selects no assets",)),
    ],
)
def test_run_refuses_a_selection_that_matches_nothing(cli, tmp_path, text, facts):
    answer = cli("run", "--data-dir", tmp_path, "--select", text)

    assert answer.exit_code == 1
    for fact in facts:
        assert fact in answer.stderr


def test_run_refuses_a_preset_that_does_not_exist(cli, tmp_path):
    answer = cli("run", "--data-dir", tmp_path, "--preset", "enormous")

    assert answer.exit_code == 2
    assert "enormous" in answer.stderr


def test_run_refuses_a_data_directory_that_cannot_hold_data(cli, tmp_path):
    (tmp_path / "data").write_text("")
    file, odd = cli("run", "--data-dir", tmp_path / "data"), cli("run", "--data-dir", tmp_path / "100%20")

    assert file.exit_code == odd.exit_code == 1
    assert file.stderr.startswith(f"error: {tmp_path / 'data'} cannot hold data")
    assert "100%20 has a ? or a % code" in odd.stderr
    assert "that is not UTF-8 in its path" in cli("run", "--data-dir", tmp_path / "a\udcff").stderr


def test_run_refuses_a_data_directory_that_has_become_read_only(cli, tmp_path, monkeypatch):
    def refuse(**_where):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(tmp_path))

    monkeypatch.setattr("skip_pipeline.defs.launch.TemporaryFile", refuse)
    answer = cli("run", "--data-dir", tmp_path)

    assert answer.exit_code == 1
    assert answer.stderr.startswith(f"error: {tmp_path} cannot hold data (Read-only file system")
    assert "Give this user the right" in answer.stderr


def test_a_run_whose_records_find_no_space_is_refused(cli, tmp_path, monkeypatch):
    def refuse(*_arguments, **_options):
        raise OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

    cli("synthesize", "--out", tmp_path / "01_raw", *SMALL)
    monkeypatch.setattr("dagster.DagsterInstance.create_run_for_job", refuse)
    answer = cli("run", "--select", "track_features", "--data-dir", tmp_path)

    assert answer.exit_code == 1
    assert "cannot hold Dagster's records of the run (database or disk is full)" in answer.stderr
    assert "Free some space" in answer.stderr


def test_an_instance_of_the_users_own_has_to_be_there(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "mine"))
    with pytest.raises(RefusedError, match=r"DAGSTER_HOME is .*mine.*Make it, or unset"):
        prepare_home(DataLayout(tmp_path))
    (tmp_path / "mine").mkdir()

    assert prepare_home(DataLayout(tmp_path)) == tmp_path / "mine"
    assert list((tmp_path / "mine").iterdir()) == []


def test_the_training_is_configured_where_it_is_selected(tmp_path, monkeypatch):
    configs = []

    def materialize(_definitions, _assets, config, _on_event):
        configs.append(config)
        return Outcome("1", True, (), ())

    monkeypatch.setattr(run, "materialize", materialize)
    monkeypatch.setattr(run, "prepare_home", lambda _layout: tmp_path)
    monkeypatch.setattr(run, "open_instance", lambda: None)
    monkeypatch.setattr(run, "step_seconds", lambda _instance: {})
    training = {"preset": "fast", "seed": 1, "train_days": None, "batch_size": 64}
    for selection in ("trained_model", "tensor_bundles"):
        run.run(DataLayout(tmp_path), selection, training, {})

    assert configs == [
        {"ops": {"trained_model": {"config": {"preset": "fast", "seed": 1, "batch_size": 64}}}},
        {},
    ]


def test_an_epoch_is_shown_beside_the_bar():
    epoch = EpochReport(
        epoch=3, max_epochs=10, seconds=2.0, seconds_left_at_most=14.0, loss=0.51234, accuracy=0.7,
        validation_loss=0.49, validation_accuracy=0.71, learning_rate=0.008,
    )  # fmt: skip
    console = Console(record=True, force_terminal=True, width=160)
    with RunProgress(console, ["trained_model"]) as progress:
        progress.started("trained_model")
        training = progress._bar.tasks[0]
        logging.getLogger("skip_pipeline.training.train").info("an epoch", extra={"epoch_report": epoch})
        logging.getLogger("skip_pipeline.training.train").info("something else")
        shown = str(training.fields["detail"])

    assert "epoch 3 of at most 10" in shown
    assert "loss 0.5123" in shown
    assert "14 s left" in shown


def test_an_asset_that_had_nothing_to_make_advances_the_bar_without_a_line():
    console = Console(record=True, force_terminal=True, width=160)
    with RunProgress(console, ["evaluation_report", "own_listening_report"]) as progress:
        progress.finished("evaluation_report", "1.0 s")
        progress.ended("evaluation_report")
        progress.ended("evaluation_report_checks")
        assert progress._bar.tasks[0].completed == 1
        progress.ended("own_listening_report")
        assert progress._bar.tasks[0].completed == 2

    assert "✓ own_listening_report" not in console.export_text()


def test_the_time_left_is_told_if_every_asset_was_made_before():
    console = Console(record=True, width=160)
    expected = {"merged_table": 2.0, "merged_table_checks": 1.0, "trained_model": 40.0, "other": 99.0}
    with RunProgress(console, ["merged_table", "trained_model"], expected) as progress:
        progress.started("merged_table")
        progress.finished("merged_table", "2.0 s")
        progress.ended("merged_table_checks")
        assert progress.time_left() == "about 40 s left"
        progress.finished("trained_model", "40.0 s")
    with RunProgress(console, ["merged_table", "best_model"], expected) as progress:
        progress.finished("merged_table", "2.0 s")

    first, last, unknown = (line for line in console.export_text().splitlines() if line.strip())
    assert first.endswith("about 41 s left")
    assert not last.endswith("left")
    assert not unknown.endswith("left")


@pytest.mark.parametrize("success", [True, False])
def test_run_ends_with_one_json_object_and_the_same_exit_status(cli, tmp_path, monkeypatch, success):
    outcome = Outcome("4711", success, ("session_logs", "champion_model"), () if success else ("x: broken",))
    monkeypatch.setattr(run, "materialize", lambda *_: outcome)
    monkeypatch.setattr(run, "prepare_home", lambda _layout: tmp_path)
    monkeypatch.setattr(run, "open_instance", lambda: None)
    monkeypatch.setattr(run, "step_seconds", lambda _instance: {})
    answer = cli("run", "--data-dir", tmp_path, "--json")
    found = json.loads(answer.stdout)

    assert answer.exit_code == (0 if success else 1)
    assert (found["run_id"], found["success"]) == ("4711", success)
    assert found["files"] == {"promotion": str(tmp_path / "07_promotion" / "promotion.json")}


def test_results_of_other_commands_are_json_when_asked(cli, tmp_path):
    made = json.loads(
        cli("synthesize", "--out", tmp_path / "raw", *SMALL, "--test-sessions", "7", "--json").stdout
    )
    log = tmp_path / "raw" / "training_set" / "log_mini.csv"
    cut = json.loads(cli("challenge", "split", log, "--out", tmp_path / "cut", "--json").stdout)
    sets = tmp_path / "cut" / "test_set"
    submission = tmp_path / "s.txt"
    told = json.loads(
        cli("challenge", "submit", sets, "--rule", "majority", "--out", submission, "--json").stdout
    )
    scored = json.loads(cli("challenge", "evaluate", tmp_path / "cut" / "truth", submission, "--json").stdout)

    assert made["sessions"] == 30
    assert cut["sessions"] == told["sessions"] == scored["sessions"] == 30
    assert cut["data_source"] == scored["data_source"] == "synthetic"
    assert set(scored["scores"][0]["maa"]) >= {"value", "low", "high"}


# --- ui -------------------------------------------------------------------------------------------------


def sleeping(seconds: float, code: int = 0) -> list[str]:
    return [sys.executable, "-S", "-c", f"import sys, time; time.sleep({seconds}); sys.exit({code})"]


@pytest.fixture
def quick_ui(template, tmp_path, monkeypatch):
    """Runs ``ui`` with stand-ins for the two servers."""
    layout = DataLayout(shutil.copytree(template, tmp_path / "data"))
    monkeypatch.setenv(settings.DATA_DIR_VARIABLE, str(layout.root))
    console = Console(record=True, width=200)
    monkeypatch.setattr(ui, "OUT", console)

    def serve(*ports, **servers):
        monkeypatch.setattr(ui, "commands", lambda *_: servers)
        ui.serve(layout, *(ports or (0, 0)))  # any free ports
        return console.export_text()

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield serve
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.slow
def test_the_ui_ends_both_servers_when_one_ends_by_itself(quick_ui):
    with pytest.raises(RefusedError, match="Dagster ended by itself"):
        quick_ui(Dagster=sleeping(0, 3), MLflow=sleeping(60))


@pytest.mark.slow
def test_the_ui_ends_on_ctrl_c(quick_ui, monkeypatch):
    def interrupted(_seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(ui, "time", SimpleNamespace(sleep=interrupted))
    shown = quick_ui(Dagster=sleeping(60), MLflow=sleeping(60))

    assert "Dagster: http://127.0.0.1:0/asset-groups" in shown
    assert (
        "MLflow: http://127.0.0.1:0/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=nights"
        in shown
    )


@pytest.mark.slow
def test_the_ui_refuses_a_port_that_is_taken_and_starts_nothing(quick_ui):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(RefusedError, match=rf"port {taken} .*in use.* MLflow.*--mlflow-port"):
            quick_ui(0, taken, Dagster=sleeping(60), MLflow=sleeping(60))


@pytest.mark.slow
def test_dagster_starts_where_no_other_project_has_a_file_of_variables(quick_ui, tmp_path):
    note = "import os; print(os.getcwd(), file=open(os.environ['SKIP_PIPELINE_DATA_DIR'] + '/place', 'w'))"
    quick_ui(Dagster=[sys.executable, "-S", "-c", note], MLflow=sleeping(60))
    assert (tmp_path / "data" / "place").read_text().strip() == str(tmp_path / "data" / "dagster")


@pytest.mark.slow
def test_a_server_that_does_not_end_is_killed(quick_ui, monkeypatch):
    monkeypatch.setattr(ui, "_STOP_SECONDS", 0.1)
    code = "import signal, time; signal.signal(2, lambda *_: 0); time.sleep(60)"
    stubborn = [sys.executable, "-S", "-c", code]
    with pytest.raises(RefusedError, match="MLflow ended by itself"):
        quick_ui(Dagster=stubborn, MLflow=sleeping(0, 1))


def test_the_ui_serves_no_mlflow_beside_a_running_server(tmp_path, monkeypatch):
    assert set(ui.commands(DataLayout(tmp_path), 3000, 5000)) == {"Dagster", "MLflow"}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example")

    assert set(ui.commands(DataLayout(tmp_path), 3000, 5000)) == {"Dagster"}
