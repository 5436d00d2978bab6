"""Small literal inputs: sessions and tracks as rows, as typed tables and as the bytes of a delivered CSV."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from skip_pipeline import schema
from skip_pipeline.errors import SkipPipelineError
from skip_pipeline.raw.own_listening import FORMAT, SOURCE, ListedFile, OwnListening
from skip_pipeline.settings import OWN_LISTENING_MARKER
from skip_pipeline.stages.encode import encode, feature_range, sessions
from skip_pipeline.stages.merge import merge
from skip_pipeline.stages.scale import fit_scaler

Row = dict[str, Any]

SAMPLES = Path(__file__).parent / "samples"
PUBLISHED_ROWS = SAMPLES / "log_published_rows.csv"

TRAIN, VALIDATION, GATE, TEST = "s0", "s2", "s17", "s11"
"""Session ids whose hash puts them into the split that the name says."""


def session(session_id: str = "s0", length: int = 10, **columns: Any) -> list[Row]:
    """Rows of one whole session; a keyword sets a column, by one value or by a list with one per row."""
    rows: list[Row] = [
        {
            "session_id": session_id,
            "session_position": position,
            "session_length": length,
            "track_id_clean": f"t_{position:02}",
            "skip_1": False,
            "skip_2": False,
            "skip_3": False,
            "not_skipped": True,
            "context_switch": 0,
            "no_pause_before_play": 1,
            "short_pause_before_play": 0,
            "long_pause_before_play": 0,
            "hist_user_behavior_n_seekfwd": 0,
            "hist_user_behavior_n_seekback": 0,
            "hist_user_behavior_is_shuffle": True,
            "hour_of_day": 16,
            "date": "2018-07-15",
            "premium": True,
            "context_type": "radio",
            "hist_user_behavior_reason_start": "trackdone",
            "hist_user_behavior_reason_end": "fwdbtn",
        }
        for position in range(1, length + 1)
    ]
    for name, value in columns.items():
        values = value if isinstance(value, list) else [value] * length
        for row, cell in zip(rows, values, strict=True):
            assert name in row
            row[name] = cell
    return rows


def track(track_id: str = "t_01", **columns: Any) -> Row:
    """Features of one track; its numbers follow from the digits of its id, so that tracks differ."""
    number = int("".join(filter(str.isdigit, track_id)) or 0) % 100
    row: Row = {
        name: track_id if name == "track_id" else "major" if name == "mode" else number + 0.25
        for name in schema.TRACK_FEATURES.names
    }
    row |= {"release_year": 1950 + number % 70, "key": number % 12, "time_signature": 4}
    assert columns.keys() <= row.keys()
    return row | columns


TRACKS = [track(f"t_{i:02}") for i in range(1, 21)]
"""Features of every track that ``session`` plays."""


def table(rows: Sequence[Row], columns: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=columns)


def log_table(*parts: Iterable[Row]) -> pa.Table:
    return table([row for rows in parts for row in rows], schema.SESSION_LOG)


def track_table(*rows: Row) -> pa.Table:
    return table(rows or TRACKS, schema.TRACK_FEATURES)


def spell(value: object) -> str:
    """One value as the published files spell it, and None as own listening does."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def csv_bytes(rows: Iterable[Mapping[str, object]], header: Sequence[str] | None = None) -> bytes:
    """Rows as a delivered file: no quotes, ``true`` and ``false``, one line feed after every line."""
    rows = list(rows)
    names = list(rows[0]) if header is None else header
    lines = [",".join(names), *(",".join(spell(row[name]) for name in names) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


def deliver(path: Path, content: bytes | Iterable[Mapping[str, object]]) -> Path:
    """Write a CSV (rows or bytes) where it belongs, gzipped if its name says so."""
    data = content if isinstance(content, bytes) else csv_bytes(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def own_listening(raw: Path, *unknown: str, **fields: Any) -> OwnListening:
    """Put the marker of own listening into a raw folder."""
    files = {
        path.relative_to(raw).as_posix(): ListedFile(
            path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
        )
        for path in raw.rglob("*.csv")
    }
    made = OwnListening(
        data="real",
        source=SOURCE,
        people=1,
        first_day="2019-01-02",
        last_day="2024-03-31",
        time_zone="Europe/Berlin",
        pause_minutes=30.0,
        plays=60,
        sessions=3,
        tracks=20,
        unknown=unknown,
        left_out={},
        files=files,
    )
    made = replace(made, **fields)
    raw.mkdir(parents=True, exist_ok=True)
    (raw / OWN_LISTENING_MARKER).write_bytes(FORMAT.dump_json(made))
    return made


def merged_table(*parts: Iterable[Row]) -> pa.Table:
    return merge(log_table(*parts), track_table(), shard="log.csv")


def encoded_table(*parts: Iterable[Row]) -> tuple[pa.Table, pa.Table]:
    """One encoded shard and its sessions."""
    merged = merged_table(*parts)
    return encode(merged, track_table()["track_id"]), sessions(merged)


def scaled_table(*parts: Iterable[Row]) -> tuple[pa.Table, pa.Table]:
    """One scaled shard and its sessions; at least one must be for training."""
    encoded, own_sessions = encoded_table(*parts)
    return fit_scaler([feature_range(encoded, own_sessions)]).apply(encoded)[0], own_sessions


def replace_column(of: pa.Table, name: str, values: Sequence[Any] | np.ndarray) -> pa.Table:
    """The table with other values in one column, of the same dtype."""
    index = of.column_names.index(name)
    return of.set_column(index, of.schema.field(name), pa.array(values, of.schema.field(name).type))


def changed(of: pa.Table, name: str, row: int, value: object) -> pa.Table:
    """The table with another value in one cell."""
    values = of[name].to_pylist()
    values[row] = value
    return replace_column(of, name, values)


def required(contract: pa.Schema) -> pa.Schema:
    """A contract as its files declare it: no column may hold nulls."""
    return pa.schema(field.with_nullable(False) for field in contract)


def refusal(error: type[SkipPipelineError], attempt: Callable[[], object]) -> str:
    """What an attempt is refused with; it must be exactly this class."""
    with pytest.raises(error) as caught:
        attempt()
    assert type(caught.value) is error
    return str(caught.value)


def assert_says(message: str, *parts: str) -> None:
    """Every part must be in the message: fact (file, column, rows), expectation, remedy."""
    assert [part for part in parts if part not in message] == [], message
