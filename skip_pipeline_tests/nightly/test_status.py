"""The status in words and as JSON."""

from dataclasses import replace
from datetime import UTC, datetime

from skip_pipeline.nightly.overdue import Overdue
from skip_pipeline.nightly.status import Decision, LastNight, Served, Status, lines, served_since

WHEN = datetime(2018, 7, 16, 2, 12, tzinfo=UTC)
DECISION = Decision(WHEN, "4711", "refused", "3", "2", "Refused: worse.", "none")
FULL = Status(
    data_directory="/data",
    data="synthetic data",
    served=Served("2", "stack", "synthetic", WHEN),
    registry_problem="",
    decision=DECISION,
    night=LastNight("4711", WHEN, "succeeded"),
    overdue=(),
)
EMPTY = Status(
    "/data", "", None, "No model. Run it", None, None, (Overdue("no version is served", "Run it"),)
)


def test_a_status_is_five_lines():
    assert lines(FULL) == [
        "Data:     /data (synthetic data)",
        "Served:   version 2 (a stack of network, regression and trees, trained on synthetic data), "
        "since 16 July 2018, 02:12 UTC",
        "Decision: version 3, 16 July 2018, 02:12 UTC. Refused: worse.",
        "Night:    succeeded, run 4711, started 16 July 2018, 02:12 UTC",
        "Overdue:  nothing",
    ]


def test_what_is_not_there_is_said_with_its_remedy():
    shown = "\n".join(lines(EMPTY))

    for words in (
        "Data:     /data\n",
        "No model. Run it",
        "none yet",
        "no run yet",
        "✗ no version is served. Run it",
    ):
        assert words in shown


def test_alarms_and_an_alias_that_was_set_by_hand_are_said():
    alarmed = replace(
        FULL,
        decision=replace(DECISION, alarms="one\ntwo"),
        served=Served("1", "", "", None),
    )
    shown = "\n".join(lines(alarmed))

    assert "Alarms: one; two" in shown
    assert "Served:   version 1, set by hand or by a rollback" in shown


def test_the_time_from_which_a_version_serves_ends_with_the_decision_for_another():
    decisions = [
        replace(DECISION, champion=c, decided_at=WHEN.replace(day=d))
        for c, d in zip("2212", range(18, 14, -1), strict=True)
    ]

    assert served_since("2", decisions) == WHEN.replace(day=17)
    assert served_since("1", decisions) is None
    assert served_since("1", []) is None


def test_the_json_has_iso_times_and_lists():
    found = FULL.to_json()

    assert found["served"]["since"] == "2018-07-16T02:12:00+00:00"
    assert found["overdue"] == []
    assert EMPTY.to_json()["overdue"] == [{"what": "no version is served", "remedy": "Run it"}]
