"""How the nights are told; the tests of ``defs`` play them, with a model that is trained in a moment."""

from __future__ import annotations

from pathlib import Path

from benchmarks.nights import _cut_short

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


def test_a_log_is_cut_between_sessions(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("session_id,position\na,1\na,2\nb,1\nb,2\nc,1\n")
    _cut_short(log, 2)

    assert log.read_text() == "session_id,position\na,1\na,2\nb,1\nb,2\n"
