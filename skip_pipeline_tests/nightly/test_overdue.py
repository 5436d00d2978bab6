"""What is late: stages, nights and deliveries."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from skip_pipeline.nightly.overdue import (
    MadeStage,
    RawFile,
    daily,
    deliveries,
    delivery_overdue,
    last_due,
    night_overdue,
    out_of_date,
    stages_overdue,
)
from skip_pipeline.settings import NIGHTLY_CRON

NOON = datetime(2018, 7, 16, 12, tzinfo=UTC)
TWO = time(2)
CODE = {"session_logs": "1", "merged_table": "1", "own_listening_report": "1"}


def stage(code="1", result="r", **inputs):
    return MadeStage(NOON, code, result, inputs)


def test_stages_of_the_present_code_and_inputs_are_up_to_date():
    made = {"session_logs": stage(), "merged_table": stage(session_logs="r")}

    assert out_of_date(made, CODE, optional=["own_listening_report"]) == {}


@pytest.mark.parametrize(
    ("merged", "reason"),
    [
        (stage(code="0", session_logs="r"), "its code has changed"),
        (stage(session_logs="older"), "session_logs has changed"),
        (stage(code="0", session_logs="older"), "its code has changed and session_logs has changed"),
    ],
)
def test_a_stage_of_other_code_or_inputs_is_out_of_date(merged, reason):
    made = {"session_logs": stage(), "merged_table": merged, "own_listening_report": stage()}

    assert out_of_date(made, CODE) == {"merged_table": reason}


def test_an_input_that_is_not_known_any_more_is_no_reason():
    made = {"session_logs": stage(gone="x"), "merged_table": stage(), "own_listening_report": stage()}

    assert out_of_date(made, CODE) == {}


def test_a_stage_that_was_never_made_is_named_unless_it_is_optional():
    found = out_of_date({"session_logs": stage()}, CODE, optional=["own_listening_report"])

    assert found == {"merged_table": "it was never made"}


def test_stages_of_one_reason_are_one_finding_and_deliveries_are_cut():
    reasons = {"merged_table": "its code has changed", "encoded_table": "its code has changed", "x": "y"}
    delivered, *stages = stages_overdue(reasons, [f"training_set/log_{n}.csv" for n in range(7)])

    assert delivered.what.endswith("training_set/log_4.csv and 2 more")
    assert [late.what for late in stages] == [
        "out of date, because its code has changed: merged_table, encoded_table",
        "out of date, because y: x",
    ]
    assert all("skip-pipeline run" in late.remedy for late in (delivered, *stages))
    assert list(stages_overdue({}, [])) == []


OLD, NEW, LONGER = RawFile(5, 0.0), RawFile(5, 9.0), RawFile(6, 0.0)
LOG, OTHER, TEST = "training_set/log_mini.csv", "training_set/log_2.csv", "test_set/log_input_1.csv"


@pytest.mark.parametrize(
    ("found", "names"),
    [
        ({LOG: OLD}, []),
        ({LOG: OLD, TEST: OLD}, []),
        ({LOG: NEW}, [LOG]),
        ({LOG: LONGER}, [LOG]),
        ({LOG: OLD, OTHER: OLD}, [OTHER]),
        ({LOG: OLD, TEST: NEW}, [TEST]),
        ({}, [f"{LOG} (removed)"]),
    ],
)
def test_files_that_are_new_changed_or_gone_are_named(found, names):
    assert deliveries(found, {LOG: 5}, 3.0) == names


def test_the_night_is_due_once_a_day_in_its_own_time_zone():
    stockholm = datetime(2018, 7, 16, 0, 30, tzinfo=UTC).astimezone(ZoneInfo("Europe/Stockholm"))

    assert daily(NIGHTLY_CRON) == TWO
    assert last_due(NOON, TWO) == datetime(2018, 7, 16, 2, tzinfo=UTC)
    assert last_due(stockholm, TWO) == datetime(2018, 7, 16, 0, tzinfo=UTC)
    assert last_due(NOON.replace(hour=1), TWO) == datetime(2018, 7, 15, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "look", "missed"),
    [
        (NOON, datetime(2018, 7, 16, 2, tzinfo=UTC), False),
        (NOON, datetime(2018, 7, 15, 2, tzinfo=UTC), True),
        (NOON, None, False),
        (datetime(2018, 7, 16, 2, 5, tzinfo=UTC), datetime(2018, 7, 15, 2, tzinfo=UTC), False),
        (datetime(2018, 7, 16, 2, 11, tzinfo=UTC), datetime(2018, 7, 15, 2, tzinfo=UTC), True),
    ],
)
def test_a_night_is_missed_when_the_schedule_did_not_look(now, look, missed):
    found = list(night_overdue(now, TWO, look, ""))

    assert bool(found) == missed
    if missed:
        assert found[0].what.startswith("the night of 16 July 2018, 02:00 UTC was missed")
        assert "skip-pipeline ui" in found[0].remedy


def test_a_failed_night_is_overdue_with_its_run():
    (found,) = night_overdue(NOON, TWO, None, "4711")

    assert found.what == "the last night failed, run 4711"


@pytest.mark.parametrize(
    ("hours", "words"), [(26, ""), (27, "27 hours ago"), (37, "above the last limit of 36")]
)
def test_a_delivery_is_late_by_dagsters_limits(hours, words):
    found = [late.what for late in delivery_overdue(NOON, NOON - timedelta(hours=hours))]

    assert len(found) == bool(words)
    assert words in "".join(found)
    assert list(delivery_overdue(NOON, None)) == []
