"""Tables of plays for tests: from literal rows, and drawn with every oddity of an export."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from skip_pipeline.streaming_history.plays import PLAYS

REASONS = (
    *["trackdone"] * 8, *["fwdbtn"] * 5, "backbtn", "endplay", "clickrow", "click-row", "clickside",
    "nextbtn", "playbtn", "popup", "logout", "unexpected-exit", "unexpected-exit-while-paused", "remote",
    "unknown", "trackerror", "appload", "reload", "", None, "never seen before",
)  # fmt: skip


def at(text: str) -> int:
    """Milliseconds since the epoch of a UTC time such as ``2024-03-31 00:59:58``."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def spotify_id(number: int) -> str:
    """An id of 22 characters, as the export has them."""
    return f"T{number:021d}"


def play(
    start: int | str, heard: int = 200_000, track: int | None = 0, end: str | None = "trackdone", **other: Any
):
    """One row of a table of plays; names follow the track's number."""
    row: dict[str, Any] = {
        "person": 1,
        "start": at(start) if isinstance(start, str) else start,
        "heard": heard,
        "track": None if track is None else spotify_id(track),
        "track_name": None if track is None else f"Song {track}",
        "artist": None if track is None else f"Artist {track // 3}",
        "album": None if track is None else f"Album {track // 2}",
        "reason_start": "trackdone",
        "reason_end": end,
        "shuffle": False,
    }
    return row | other


def in_a_row(count: int, start: int | str = "2024-05-01 10:00:00", heard: int = 200_000, **other: Any):
    """Plays of tracks 0, 1, … each of which starts when the one before ends."""
    first = at(start) if isinstance(start, str) else start
    return [play(first + i * heard, heard, **({"track": i} | other)) for i in range(count)]


def table(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a table of the schema ``PLAYS``, sorted by person and start as a reader sorts them."""
    return pa.Table.from_pylist(sorted(rows, key=lambda row: (row["person"], row["start"])), PLAYS)


def drawn(seed: int, plays: int = 1500) -> list[dict[str, Any]]:
    """Plays of three people over a year's end and both changes of the clocks, with every oddity."""
    draw = random.Random(seed)  # noqa: S311 - for tests
    rows = []
    for person in (1, 2, 3):
        now = at("2023-12-28 20:00:00")
        for _ in range(plays // 3):
            now += draw.choice(
                # crossfade, another device, ties, the limits of the two pauses and of a sitting, days
                [-12_000, -90_000, -400_000, 0, 0, 0, 500, 2_000, 2_000, 5_000, 5_001, 15_000, 15_001, 60_000,
                 *([1_799_999, 1_800_000, 1_800_001] if draw.random() < 0.3 else []),
                 *([draw.randrange(1_800_001, 1_500_000_000)] if draw.random() < 0.3 else [])]
            )  # fmt: skip
            end = draw.choice(REASONS)
            heard = draw.choice([0, 1, 3_000, draw.randrange(30_000), draw.randrange(400_000), 5_000_000])
            if end == "trackdone" and draw.random() < 0.9:
                heard = draw.randrange(120_000, 300_000)
            track = None if draw.random() < 0.04 else int(draw.paretovariate(0.7)) % 60
            row = play(now, heard, track, end, person=person, shuffle=draw.random() < 0.3)
            row["reason_start"] = draw.choice(REASONS)
            for name in ("track_name", "artist", "album"):
                if draw.random() < 0.05:
                    row[name] = None
            rows.append(row)
            now += heard
    return rows
