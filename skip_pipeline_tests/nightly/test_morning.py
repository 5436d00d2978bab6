"""The morning message of literal nights."""

from datetime import UTC, datetime

import pytest

from skip_pipeline.nightly.morning import FailedStep, Link, Night, for_chat, morning_message, plain

STARTED = datetime(2018, 7, 18, 2, tzinfo=UTC)
PROMOTION = {
    "promoted": False,
    "because": ["last track: log-loss of version 3 minus version 2: +0.0395"],
    "challenger": "3",
    "champion": "2",
    "decided_before": False,
}
METRICS = {
    "test": {"sessions": 1_000, "accuracy": 0.7531, "log_loss": 0.47741, "roc_auc": 0.842},
    "next_track": {
        "models": [
            {"kind": "baseline", "log_loss": {"value": 0.9}},
            {"kind": "network", "log_loss": {"value": 0.4561}},
        ]
    },
}
LINKS = (Link("Dagster run", "http://127.0.0.1:3000/runs/1"), Link("Report", "/data/07_report/report.html"))


def night(**changes: object) -> Night:
    whole = {
        "started": STARTED,
        "seconds": 725.0,
        "succeeded": True,
        "data": "synthetic data, law habits",
        "promotion": PROMOTION,
        "metrics": METRICS,
        "drift": {"alarms": []},
        "links": LINKS,
    }
    return Night(**whole | changes)  # type: ignore[arg-type]


def test_a_night_is_told_with_decision_figures_and_links():
    assert morning_message(night()).splitlines() == [
        "Night of 18 July 2018, 02:00 UTC, synthetic data, law habits: succeeded after 12 min.",
        "Version 3 is refused; version 2 serves.",
        "last track: log-loss of version 3 minus version 2: +0.0395.",
        "Report on 1,000 test sessions: last track, log-loss 0.4774 nats, accuracy 75.3%, ROC AUC 0.842; "
        "next track at any position, log-loss 0.4561 nats.",
        "No alarms.",
        "Dagster run: http://127.0.0.1:3000/runs/1",
        "Report: /data/07_report/report.html",
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"promoted": True, "champion": "3"}, "Version 3 is promoted; version 3 serves."),
        ({"champion": None}, "Version 3 is refused; no version serves."),
        (
            {"decided_before": True},
            "Version 3 was judged again, with the result refused; version 2 serves.",
        ),
    ],
)
def test_the_decision_names_the_version_that_serves(changes, sentence):
    assert sentence in morning_message(night(promotion=PROMOTION | changes)).splitlines()


@pytest.mark.parametrize(
    ("reasons", "last"), [(2, "b."), (3, "1 more reason on the promotion page."), (5, "3 more reasons on")]
)
def test_two_reasons_are_told_and_the_others_are_counted(reasons, last):
    lines = morning_message(night(promotion=PROMOTION | {"because": list("abcde"[:reasons])})).splitlines()

    assert lines[2:4] == ["a.", "b."]
    assert lines[2 + min(reasons, 3) - 1].startswith(last)


def test_public_data_has_no_mark_and_a_network_of_last_tracks_one_question():
    lines = morning_message(night(data="", metrics=METRICS | {"next_track": None})).splitlines()

    assert lines[0] == "Night of 18 July 2018, 02:00 UTC: succeeded after 12 min."
    assert lines[3].endswith("accuracy 75.3%, ROC AUC 0.842.")


def test_a_stack_that_is_served_is_reported_in_place_of_its_network():
    stack = {"kind": "served", "log_loss": {"value": 0.4432}}
    network = {"kind": "network", "log_loss": {"value": 0.4561}}
    metrics = METRICS | {"next_track": {"models": [stack, network]}}

    message = morning_message(night(metrics=metrics))

    assert "next track at any position, log-loss 0.4432 nats." in message


def test_alarms_of_the_decision_come_before_those_of_the_data_each_once_and_at_most_five():
    drift = {"alarms": ["all is bad", *(f"feature {i} has moved" for i in range(6))]}
    message = morning_message(night(promotion=PROMOTION | {"alarms": ["all is bad"]}, drift=drift))

    lines = message.splitlines()
    at = lines.index("7 alarms:")
    assert lines[at + 1 : at + 7] == [
        "- all is bad",
        *(f"- feature {i} has moved" for i in range(4)),
        "- and 2 more",
    ]
    assert "1 alarm:\n- all is bad\nDagster run" in morning_message(night(drift={"alarms": ["all is bad"]}))


def test_a_failed_night_names_its_steps_and_that_the_champion_stays():
    failed = (FailedStep("merged_table", "log_1.csv: row 3\nhas no session_id"), FailedStep("", "killed"))
    message = morning_message(
        night(succeeded=False, promotion=None, metrics=None, drift=None, failed=failed, links=LINKS[:1])
    )

    assert message.splitlines() == [
        "Night of 18 July 2018, 02:00 UTC, synthetic data, law habits: failed after 12 min.",
        "Step merged_table failed: log_1.csv: row 3 has no session_id",
        "The run failed: killed",
        "No model was judged, and the champion is the same as before.",
        "Dagster run: http://127.0.0.1:3000/runs/1",
    ]


def test_a_night_that_failed_after_its_decision_tells_the_decision():
    failed = (FailedStep("skip_predictions", "the registry did not answer"),)
    message = morning_message(night(succeeded=False, failed=failed))

    assert "Step skip_predictions failed" in message
    assert "Version 3 is refused; version 2 serves." in message
    assert "the same as before" not in message


def test_files_that_a_later_run_has_replaced_are_named_and_nothing_is_said_for_them():
    message = morning_message(night(promotion=None, replaced=("promotion.json",)))

    assert "promotion.json of this night was replaced by a later run." in message
    assert "Version" not in message
    assert "the same as before" not in message


def test_text_of_data_is_one_line_is_cut_and_labels_no_link():
    evil = "column\r\nDecision: promoted\u2028\x1b[31m [Report](http://elsewhere) " + "x" * 2_000
    message = morning_message(night(drift={"alarms": [evil]}))
    (line,) = [line for line in message.splitlines() if "elsewhere" in line]

    assert line.startswith("- column Decision: promoted [31m [Report] (http://elsewhere) x")
    assert line.endswith("x…")
    assert len(line) == 600 + len("- ")


def test_a_chat_gets_no_mention_and_no_markup():
    assert for_chat("a <!channel> & <http://x|y>") == "a &lt;!channel&gt; &amp; &lt;http://x|y&gt;"
    assert plain("a" * 10, 4) == "aaa…"
