"""Rules of the doctor: from facts to findings."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from skip_pipeline.cli import health

NOON = datetime(2018, 7, 16, 12, tzinfo=UTC)
REQUIRED = ["numpy>=2", "Universal_Pathlib>=0.3", 's3fs>=2024; extra == "s3"']
INSTALLED = {"numpy": "2.4.6", "universal-pathlib": "0.3.10"}


def levels(findings):
    return [finding.level for finding in findings]


@pytest.mark.parametrize(
    ("version", "level"), [((3, 10), "error"), ((3, 11), "ok"), ((3, 13), "ok"), ((3, 14), "error")]
)
def test_python(version, level):
    assert health.python_version(version).level == level


def test_versions_that_are_required_and_tested_are_fine():
    (found,) = health.libraries(REQUIRED, INSTALLED, {"numpy": "2.4.6", "moto": "5"})

    assert (found.level, found.fact) == ("ok", "versions that the tests passed with")


def test_a_missing_or_older_library_is_an_error_and_another_than_tested_a_warning():
    wrong, other = health.libraries(REQUIRED, {"numpy": "1.9"}, {"numpy": "2.4.6"})

    assert wrong.level == "error"
    assert wrong.fact == "missing: Universal_Pathlib>=0.3; numpy 1.9, required>=2"
    assert other.level == "warning"
    assert other.fact == "other versions than tested: numpy 1.9 (tested: 2.4.6)"
    assert "constraints.txt" in other.remedy


def test_set_variables_are_shown_without_secrets():
    environment = {
        "SKIP_PIPELINE_WEBHOOK_URL": "https://chat.example/secret",
        "MLFLOW_TRACKING_URI": "http://me:secret@tracking.example",
        "PATH": "/bin",
    }
    (found,) = health.variables(environment, ())

    assert found.level == "ok"
    assert "secret@" not in found.fact
    assert "chat.example" not in found.fact
    assert "MLFLOW_TRACKING_URI=http://tracking.example" in found.fact
    assert "PATH" not in found.fact


def test_a_misspelt_variable_is_an_error_with_the_name_that_was_meant():
    _, near, far = health.variables({"SKIP_PIPELINE_DATADIR": "x", "SKIP_PIPELINE_Q": "x"}, ())

    assert near.remedy == "Rename it to SKIP_PIPELINE_DATA_DIR, or unset it"
    assert (far.level, far.remedy) == ("error", "Unset it")


def test_variables_of_another_job_are_a_warning():
    _, found = health.variables({}, ("MLFLOW_RUN_ID",))

    assert (found.level, "MLFLOW_RUN_ID" in found.fact) == ("warning", True)


@pytest.mark.parametrize(
    ("environment", "fact", "remedy"),
    [
        ({"SKIP_PIPELINE_TIMEZONE": "Mars"}, "'Mars', which is not a time zone", "Correct or unset it"),
        ({"SKIP_PIPELINE_TRAIN_DAYS": "0"}, "'0', expected a whole", "Correct it, or unset it to train on"),
        ({"SKIP_PIPELINE_STORAGE_URL": "s3://me:secret@b/p"}, "holds a password", "Leave it out"),
        ({"DAGSTER_HOME": "relative"}, "DAGSTER_HOME is relative", "Make the folder"),
        (
            {"SKIP_PIPELINE_MAIL_TO": "a@b.example", "SKIP_PIPELINE_MAIL_FROM": "c@b.example"},
            "without SKIP_PIPELINE_MAIL_PASSWORD, SKIP_PIPELINE_SMTP_HOST",
            "Set them",
        ),
    ],
)  # fmt: skip
def test_a_value_that_a_run_would_refuse_is_an_error(environment, fact, remedy):
    _, found = health.variables(environment, ())

    assert found.level == "error"
    assert fact in found.fact
    assert found.remedy.startswith(remedy)
    assert "secret" not in found.fact


@pytest.mark.parametrize(("answer", "level"), [(None, "ok"), ("MLflow", "ok"), ("", "warning")])
def test_a_port_is_free_or_ours_or_taken(answer, level):
    found = health.port(5000, "MLflow", answer, "--mlflow-port PORT")

    assert (found.subject, found.level) == ("port 5000", level)
    assert ("--mlflow-port" in found.remedy) == (level == "warning")


@pytest.mark.parametrize(
    ("free", "raw", "level"),
    [
        (600_000_000, 0, "ok"),
        (499_000_000, 0, "error"),
        (3_900_000_000, 10**9, "warning"),
        (4 * 10**9, 10**9, "ok"),
    ],
)
def test_disk_space_is_judged_by_the_raw_data(free, raw, level):
    assert health.disk(free, raw, Path("data")).level == level


def test_memory():
    assert levels(map(health.memory, (None, 2_000_000_000, 1_999_999_999))) == ["ok", "ok", "warning"]


def test_a_data_directory_that_cannot_be_written_is_an_error():
    assert health.data_directory(Path("data"), "").level == "ok"
    found = health.data_directory(Path("data"), "Permission denied")
    assert found.level == "error"
    assert "Permission denied" in found.fact


def test_a_registry_that_does_not_answer_is_an_error_without_its_password():
    found = health.registry("http://me:secret@tracking.example", "refused")

    assert found.level == "error"
    assert "secret" not in found.fact
    assert health.registry("sqlite:///mlflow.db", "", state="is made by the first run").level == "ok"


@pytest.mark.parametrize(("minutes", "level"), [(None, "ok"), (-60, "ok"), (4, "ok"), (6, "error")])
def test_a_file_of_the_future_tells_of_a_wrong_clock(minutes, level):
    newest = None if minutes is None else NOON + timedelta(minutes=minutes)
    found = health.clock(NOON, newest, "Europe/Stockholm")

    assert found.level == level
    assert "nights follow Europe/Stockholm" in found.fact


def test_the_browser_is_never_a_problem():
    assert levels(map(health.browser, (None, "/usr/bin/chromium"))) == ["ok", "ok"]


def test_findings_are_shown_with_marks_remedies_and_a_sum():
    findings = [health.Finding("disk", "ok", "fine"), health.Finding("port 3000", "error", "taken", "End it")]

    assert health.lines(findings) == [
        "✓ disk       fine",
        "✗ port 3000  taken",
        "             → End it",
        "1 errors, 0 warnings",
    ]
    assert health.lines(findings[:1])[-1] == "Nothing to remedy"
