"""The morning message as the daemon's sensors send it, of nights through Dagster and MLflow."""

import html
import json
import shutil

import dagster as dg
import pytest

from benchmarks.server_process import free_port
from skip_pipeline import settings
from skip_pipeline.definitions import defs, mlflow_tracker
from skip_pipeline.defs.morning import morning_sensors
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.errors import RefusedError
from skip_pipeline.settings import DAGSTER_HOME_VARIABLE, OWN_LISTENING_MARKER, DataLayout
from skip_pipeline_tests.builders import assert_says
from skip_pipeline_tests.defs.chat_server import chat
from skip_pipeline_tests.projects import Project

pytestmark = pytest.mark.slow

NAMES = {
    dg.DagsterEventType.RUN_SUCCESS: "morning_message_of_success",
    dg.DagsterEventType.RUN_FAILURE: "morning_message_of_failure",
}
SCREEN = "http://127.0.0.1:3000"


def tick(project: Project, run_id: str) -> str:
    """What the sensor of a run that has ended says; the message is in the log of the run."""
    instance = project.instance()
    run = instance.get_run_by_id(run_id)
    assert run is not None
    ended = NAMES.keys() if run.status == dg.DagsterRunStatus.SUCCESS else reversed(NAMES.keys())
    event = dg.DagsterEvent(next(iter(ended)).value, job_name=run.job_name)
    sensors = {sensor.name: sensor for sensor in morning_sensors("UTC", SCREEN)}
    sensor = sensors[NAMES[dg.DagsterEventType(event.event_type_value)]]
    resources = {
        "data": DataDirectory(path=str(project.layout.root)),
        "tracker": mlflow_tracker(project.layout),
    }
    with dg.build_run_status_sensor_context(
        sensor.name, event, instance, run, resources=resources
    ) as context:
        result = sensor(context)
    assert isinstance(result, dg.SkipReason)
    return str(result.skip_message)


def logged(project: Project, run_id: str) -> list[str]:
    """What the sensor has written into the log of a run, in order."""
    events = project.instance().get_records_for_run(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT).records
    texts = [str(event.event_log_entry.get_dagster_event().message) for event in events]
    return [text for text in texts if text.startswith(("Night of", "Morning message"))]


@pytest.fixture(scope="module")
def night(first_run, tmp_path_factory) -> tuple[Project, str]:
    """A copy of a data directory in which everything has been materialized, and the id of that run."""
    root, outcome = first_run
    layout = DataLayout(shutil.copytree(root, tmp_path_factory.mktemp("morning") / "data"))
    return Project(layout), outcome.run_id


@pytest.fixture
def succeeded(night, monkeypatch) -> tuple[Project, str]:
    project, run_id = night
    monkeypatch.setenv(settings.DATA_DIR_VARIABLE, str(project.layout.root))
    monkeypatch.setenv(DAGSTER_HOME_VARIABLE, str(project.layout.dagster))
    return project, run_id


@pytest.fixture
def failed(project) -> tuple[Project, str]:
    """A night that failed, because a log is broken."""
    log = project.layout.raw / "training_set" / "log_mini.csv"
    log.write_text(log.read_text().replace(",true,", ",<!channel>,", 1))
    outcome = project.run("session_logs,track_features,merged_table")
    assert not outcome.success
    return project, outcome.run_id


def test_a_good_night_is_told_in_the_log_in_mlflow_and_in_the_chat(succeeded, monkeypatch):
    project, run_id = succeeded
    with chat() as server:
        monkeypatch.setenv(settings.WEBHOOK_VARIABLE, server.url)
        said = tick(project, run_id)

    message = logged(project, run_id)[-1]
    parent = project.mlflow_runs(run_id)[""]
    lines = message.splitlines()
    assert_says(said, "written into the log", "written into the MLflow run", "posted to 127.0.0.1")
    assert "T00" not in said
    assert [json.loads(body)["text"] for _, _, body in server.received] == [message]
    assert parent.data.tags["mlflow.note.content"].split("  \n") == lines
    assert_says(lines[0], "synthetic data", "UTC", "succeeded after")
    assert lines[1] == "Version 1 is promoted; version 1 serves."
    assert lines[2].endswith("by going by the last outcome.")
    assert_says(lines[4], "test sessions: last track, log-loss", "nats", "next track at any position")
    links = dict(line.split(": ", 1) for line in lines[-4:])
    judging = project.metadata("champion_model")["mlflow_run"]
    assert links["Dagster run"] == f"{SCREEN}/runs/{run_id}"
    assert links["MLflow run"].endswith(f"/runs/{parent.info.run_id}")
    assert links["Promotion page"] == f"{judging}/artifacts/promotion.html"
    assert links["Report"].endswith("/artifacts/report.html")


def test_without_a_webhook_the_message_is_in_the_log_alone(succeeded):
    project, run_id = succeeded
    said = tick(project, run_id)

    assert logged(project, run_id)[-1].startswith("Night of")
    assert "posted" not in said


def test_a_webhook_that_fails_costs_nothing_else_and_is_said(succeeded, monkeypatch):
    project, run_id = succeeded
    with chat(500) as server:
        monkeypatch.setenv(settings.WEBHOOK_VARIABLE, server.url)
        said = tick(project, run_id)

    message, lost = logged(project, run_id)[-2:]
    assert_says(said, "written into the MLflow run", "the webhook at 127.0.0.1 answered with status 500")
    assert message.startswith("Night of")
    assert_says(lost, "Morning message not posted", "status 500", "correct $SKIP_PIPELINE_WEBHOOK_URL")
    assert "T00" not in said + lost


def test_a_store_that_is_down_costs_the_link_and_the_note(succeeded, monkeypatch):
    project, run_id = succeeded
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:hidden@127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    said = tick(project, run_id)

    message = logged(project, run_id)[-1]
    assert "MLflow run: not recorded (the address of the run: no answer" in message
    assert "Version 1 is promoted; version 1 serves." in message
    assert "MLflow" not in said
    assert "hidden" not in message + said


def test_a_decision_that_a_later_run_has_replaced_is_not_told_as_this_nights(succeeded, monkeypatch):
    project, run_id = succeeded
    manifests = project.layout.promotion / "_manifests"
    newest = max(manifests.iterdir())
    content = json.loads(newest.read_text())
    later = manifests / f"{int(newest.stem) + 1:08}.json"
    content["files"][0]["sha256"] = "0" * 64
    later.write_text(json.dumps(content))
    try:
        tick(project, run_id)
    finally:
        later.unlink()

    message = logged(project, run_id)[-1]
    assert "promotion.json of this night was replaced by a later run." in message
    assert "Version 1" not in message


def test_a_failed_night_names_the_step_and_its_error_escaped_for_the_chat(failed, monkeypatch):
    project, run_id = failed
    with chat() as server:
        monkeypatch.setenv(settings.WEBHOOK_VARIABLE, server.url)
        tick(project, run_id)

    [message] = logged(project, run_id)
    lines = message.splitlines()
    [(_, _, body)] = server.received
    assert_says(lines[0], "synthetic data", "failed after")
    assert_says(lines[1], "Step session_logs failed: ", "log_mini.csv", "<!channel>")
    assert lines[2] == "No model was judged, and the champion is the same as before."
    assert [line.split(": ")[0] for line in lines[3:]] == ["Dagster run", "MLflow run"]
    assert "&lt;!channel&gt;" in json.loads(body)["text"]
    assert "<!channel>" not in json.loads(body)["text"]
    note = project.mlflow_runs(run_id)[""].data.tags["mlflow.note.content"]
    assert note.split("  \n") == [html.escape(line, quote=False) for line in lines]
    assert "<" not in note  # MLflow renders HTML in a note


def test_a_night_whose_process_died_is_told_and_a_broken_marker_is_no_further_failure(project):
    instance = project.instance()
    run = instance.create_run_for_job(defs().resolve_job_def("retrain"))
    instance.report_run_failed(run, "The process that carried out this run has ended without reporting it.")
    (project.layout.raw / settings.SYNTHETIC_MARKER).rename(project.layout.raw / OWN_LISTENING_MARKER)

    said = tick(project, run.run_id)

    [message] = logged(project, run.run_id)
    assert_says(
        message,
        "data of unknown source: failed after",
        "The run failed: The process that carried out this run has ended",
        "MLflow run: not recorded (MLflow has no such run)",
    )
    assert said == f"Morning message of run {run.run_id}: written into the log of the run"


def test_both_sensors_follow_the_nightly_job_and_are_switched_on():
    sensors = {sensor.name: sensor for sensor in defs().sensors or ()}
    for name in NAMES.values():
        assert sensors[name].default_status == dg.DefaultSensorStatus.RUNNING
    assert "mail_of_failed_night" not in sensors


@pytest.fixture
def mail(monkeypatch) -> None:
    monkeypatch.setenv(settings.MAIL_TO_VARIABLE, "a@example.org, b@example.org")
    monkeypatch.setenv(settings.MAIL_FROM_VARIABLE, "night@example.org")
    monkeypatch.setenv(settings.MAIL_PASSWORD_VARIABLE, "pass")
    monkeypatch.setenv(settings.SMTP_HOST_VARIABLE, "smtp.example.org")


def test_a_mail_that_is_half_configured_is_refused(mail, monkeypatch):
    monkeypatch.delenv(settings.MAIL_PASSWORD_VARIABLE)
    monkeypatch.delenv(settings.SMTP_HOST_VARIABLE)

    with pytest.raises(RefusedError, match=r"MAIL_TO is set and .*MAIL_PASSWORD and .*SMTP_HOST not"):
        morning_sensors("UTC", SCREEN)


def test_a_failed_night_is_mailed_by_dagsters_own_sensor(failed, mail, monkeypatch):
    project, run_id = failed
    sent: list[tuple[str, list[str], str]] = []

    class Server:
        def __init__(self, host: str, port: int, **_options: object) -> None:
            assert (host, port) == ("smtp.example.org", 465)

        def __enter__(self) -> "Server":
            return self

        def __exit__(self, *_failure: object) -> None:
            pass

        def login(self, user: str, password: str) -> None:
            assert (user, password) == ("night@example.org", "pass")

        def sendmail(self, sender: str, to: list[str], message: str) -> None:
            message.encode("ascii")  # as smtplib does
            sent.append((sender, to, message))

    monkeypatch.setattr("smtplib.SMTP_SSL", Server)
    instance = project.instance()
    run = instance.get_run_by_id(run_id)
    event = dg.DagsterEvent(dg.DagsterEventType.RUN_FAILURE.value, job_name=run.job_name)
    *_, sensor = morning_sensors("UTC", SCREEN)
    with dg.build_run_status_sensor_context(sensor.name, event, instance, run) as context:
        sensor(context.for_run_failure())

    [(sender, to, message)] = sent
    assert (sender, to) == ("night@example.org", ["a@example.org", "b@example.org"])
    assert_says(message, "Subject: skip_pipeline: the night has failed", "session_logs failed: ", run_id)
    assert "&lt;!channel&gt;" in message
    assert "<!channel>" not in message
