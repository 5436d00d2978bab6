"""The mapping agrees, row by row, with one that follows the rules in plain loops."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pyarrow as pa
import pytest

from skip_pipeline.streaming_history.exports import Imported
from skip_pipeline.streaming_history.import_history import raw_tables
from skip_pipeline.streaming_history.raw_files import publish_raw
from skip_pipeline.streaming_history.sittings import CUT_OFF, SHORT, WITHOUT_TRACK
from skip_pipeline_tests.streaming_history import plain_mapping
from skip_pipeline_tests.streaming_history.plays_tables import drawn, table


def _written(raw: Path) -> dict[str, list[list[str]]]:
    logs = sorted((raw / "training_set").iterdir())
    return {path.name: list(csv.reader(io.StringIO(path.read_text())))[1:] for path in logs}


@pytest.mark.parametrize(
    ("seed", "zone", "pause_minutes"),
    [
        (0, "Europe/Stockholm", 30.0),
        (1, "America/St_Johns", 30.0),
        (2, "Pacific/Kiritimati", 1.0),
        (3, "Etc/UTC", 12.5),
    ],
)
def test_files_hold_what_the_plain_mapping_gives(tmp_path, seed, zone, pause_minutes):
    plays = table(drawn(seed))
    tables = raw_tables(Imported(plays, {"podcasts": 3}, 3), zone, pause_minutes)
    marker = publish_raw(tmp_path, tables.log, tables.tracks, tables.groups, tables.names, tables.marker)

    months, groups, names, left_out = plain_mapping.raw_rows(plays.to_pylist(), zone, pause_minutes)

    assert len(months) > 2
    expected = {f"log_0_{month}01_000000000000.csv": rows for month, rows in sorted(months.items())}
    assert _written(tmp_path) == expected
    tracks = [row.split(",") for row in (tmp_path / "track_features/tf_000000000000.csv").read_text().split()]
    assert tracks[1:] == [[f"t_{i:07d}", *[""] * 29] for i in range(len(groups))]
    assert list(zip(*tables.groups.to_pydict().values(), strict=True)) == [
        (f"t_{i:07d}", artist, album) for i, (artist, album) in enumerate(groups)
    ]
    assert list(zip(*tables.names.to_pydict().values(), strict=True)) == [
        (f"t_{i:07d}", f"spotify:track:{track}", *rest) for i, (track, *rest) in enumerate(names)
    ]
    assert dict(marker.left_out) == {
        "podcasts": 3,
        WITHOUT_TRACK: left_out["no track"],
        CUT_OFF: left_out["cut off"],
        SHORT: left_out["short"],
    }
    assert len(plays) == marker.plays + sum(left_out.values())


def test_drawn_plays_have_every_oddity():
    """What the comparison above compares on."""
    plays = table(drawn(0))
    start, heard, person = (plays[name].to_numpy() for name in ("start", "heard", "person"))
    gaps = (start[1:] - (start + heard)[:-1])[person[1:] == person[:-1]]
    months, _, _, left_out = plain_mapping.raw_rows(plays.to_pylist(), "Europe/Stockholm")
    rows = [row for month in months.values() for row in month]

    assert (gaps < 0).any()
    assert (start[1:] == start[:-1]).any()
    assert {1_800_000, 1_800_001, 5_000, 5_001, 15_000, 15_001} <= set(gaps.tolist())
    assert (heard == 0).any()
    assert plays["track"].null_count
    assert plays["reason_end"].null_count
    assert {"202312", "202401", "202403", "202404"} <= set(months)
    assert any(row[0].endswith("_001") for row in rows)
    assert all(left_out.values())
    assert len({tuple(row[4:8]) for row in rows}) == 5  # played, cut off, and the three depths of a skip


def test_a_table_in_pieces_gives_the_same():
    plays = table(drawn(1, 300))
    pieces = pa.concat_tables([plays.slice(0, 7), plays.slice(7, 0), plays.slice(7)])

    assert raw_tables(Imported(pieces, {}, 3), "UTC").log == raw_tables(Imported(plays, {}, 3), "UTC").log
