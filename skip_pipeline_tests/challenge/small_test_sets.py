"""Small test sets: literal sessions as pairs of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skip_pipeline.raw.log_pairs import INPUT, LOG_INPUT, PREHISTORY, LogPair
from skip_pipeline_tests.builders import Row, deliver, session


def inputs(rows: Sequence[Row]) -> list[Row]:
    """Rows of an input file."""
    return [{name: row[name] for name in LOG_INPUT.names} for row in rows]


def deliver_pair(
    folder: Path, heard: Sequence[Row], asked: Sequence[Row], name: str = "1.csv", other: str = ""
) -> LogPair:
    """Write a pair; ``other`` is the name of the input if it differs."""
    return LogPair(
        deliver(folder / f"{PREHISTORY}{name}", heard),
        deliver(folder / f"{INPUT}{other or name}", inputs(asked)),
    )


def deliver_halves(folder: Path, sessions: Sequence[Sequence[Row]], name: str = "1.csv") -> LogPair:
    """Write sessions, cut in half."""
    heard = [row for rows in sessions for row in rows[: len(rows) // 2]]
    asked = [row for rows in sessions for row in rows[len(rows) // 2 :]]
    return deliver_pair(folder, heard, asked, name)


def skipping(session_id: str, skipped: str) -> list[Row]:
    """A session whose tracks are skipped where a digit is 1."""
    return session(session_id, len(skipped), skip_2=[digit == "1" for digit in skipped])
