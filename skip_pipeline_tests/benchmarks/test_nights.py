"""How the nights are told; the tests of ``defs`` play them, with a model that is trained in a moment."""

from __future__ import annotations

from pathlib import Path

from benchmarks.nights import Night, _cut_short, markdown

RUN = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"
FIRST = {
    "challenger": "1",
    "champion": "1",
    "promoted": True,
    "log_loss_difference": None,
}
BAD = {
    "challenger": "2",
    "champion": "1",
    "promoted": False,
    "log_loss_difference": {"value": 0.02, "low": 0.01, "high": 0.03},
}


def test_each_night_is_a_row_and_has_its_message() -> None:
    nights = [
        Night("log_0.csv", "no night has succeeded yet", FIRST, {"alarms": []}, "Version 1 serves."),
        Night(
            "log_1.csv",
            f"changed since run {RUN}: raw input",
            BAD,
            {"alarms": ["moved: hour"]},
            f"runs/{RUN}\nNo alarms.",
        ),
        Night("nothing", f"raw input is that of run {RUN}, the last night"),
    ]

    assert markdown(nights).splitlines()[2:] == [
        "| 1 | log_0.csv | version 1 | not compared | promoted | version 1 | 0 |",
        "| 2 | log_1.csv | version 2 | +0.0200 (+0.0100 to +0.0300) | refused | version 1 | 1 |",
        "| 3 | nothing | left out |  |  |  |  |",
        "",
        "Night 1, no night has succeeded yet:",
        "",
        "```",
        "Version 1 serves.",
        "```",
        "",
        "Night 2, changed since the run: raw input:",
        "",
        "```",
        "runs/…",
        "No alarms.",
        "```",
        "",
        "Night 3 was left out: raw input is that of the run, the last night.",
    ]


def test_a_log_is_cut_between_sessions(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("session_id,position\na,1\na,2\nb,1\nb,2\nc,1\n")
    _cut_short(log, 2)

    assert log.read_text() == "session_id,position\na,1\na,2\nb,1\nb,2\n"
