"""Any sessions: row by row as an obvious reference, whatever the order of rows, the shards and the chunks."""

from __future__ import annotations

import datetime as dt
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from skip_pipeline import schema
from skip_pipeline.raw.session_log import load_session_log
from skip_pipeline.stages.bundle import bundle_shard
from skip_pipeline.stages.encode import encode, feature_range, sessions
from skip_pipeline.stages.merge import merge
from skip_pipeline.stages.scale import fit_scaler
from skip_pipeline_tests.builders import TRACKS, Row, csv_bytes, log_table, session, track_table

IDS = track_table()["track_id"]
TODAY = dt.date(2018, 8, 1)

FLAGS = st.booleans()
LEVELS = {name: st.sampled_from([*schema.LEVELS[name], "unheard of"]) for name in list(schema.LEVELS)[:3]}
COLUMNS = {
    "track_id_clean": st.sampled_from([row["track_id"] for row in TRACKS]),
    **dict.fromkeys((*schema.OUTCOME_FLAGS, "hist_user_behavior_is_shuffle", "premium"), FLAGS),
    "hist_user_behavior_n_seekfwd": st.integers(0, 2**31 - 1),
    "hour_of_day": st.integers(0, 23),
    **LEVELS,
}


@st.composite
def logs(draw: st.DrawFn) -> list[list[Row]]:
    """One to five sessions; the first is for training."""
    numbers = draw(st.lists(st.integers(1, 99), max_size=4, unique=True))
    made = []
    for number in [0, *numbers]:
        length = draw(st.integers(10, 20))
        varied = draw(st.lists(st.sampled_from(list(COLUMNS)), max_size=4, unique=True))
        values = {name: draw(st.lists(COLUMNS[name], min_size=length, max_size=length)) for name in varied}
        made.append(session(f"s{number}", length, **values))
    return made


def scaled_shards(shards: list[pa.Table]) -> list[tuple[pa.Table, pa.Table, pa.ChunkedArray]]:
    """Scaled rows, sessions and tracks of each shard of a log."""
    merged = [merge(log, track_table(), shard="log.csv") for log in shards]
    encoded = [encode(table, IDS) for table in merged]
    own = [sessions(table) for table in merged]
    scaler = fit_scaler(feature_range(*pair) for pair in zip(encoded, own, strict=True))
    return [
        (scaler.apply(table)[0], ids, table[schema.LOG_TRACK_ID])
        for table, ids in zip(encoded, own, strict=True)
    ]


def by_session(shards: list[tuple[pa.Table, pa.Table, Any]]) -> dict[str, list[Row]]:
    """Scaled rows of each session, by its id; the code within the shard is left out."""
    found: dict[str, list[Row]] = {}
    for scaled, own, _ in shards:
        ids = own[schema.SESSION_ID].to_pylist()
        for row in scaled.to_pylist():
            found.setdefault(ids[row.pop(schema.SESSION_ID)], []).append(row)
    return found


def bundled(shards: list[tuple[pa.Table, pa.Table, pa.ChunkedArray]]) -> dict[bytes, list[Any]]:
    """Record and earlier rows of each session in the bundles, by its id."""
    tracks = np.zeros((len(TRACKS), len(schema.TRACK_BRANCH)), np.float32)
    for scaled, _, played in shards:
        tracks[played.to_numpy()] = np.column_stack([scaled[name].to_numpy() for name in schema.TRACK_BRANCH])
    found: dict[bytes, list[Any]] = {}
    for scaled, own, played in shards:
        parts = bundle_shard("log", scaled, own, track_rows=played, tracks=tracks)
        for part in parts.values():
            ends = np.cumsum(part.sessions["length"].astype(int) - 1)
            rows = np.split(part.rows, ends)  # the last is empty
            for i, name in enumerate(part.ids):
                found[name] = _fields(part.sessions[i]) + _fields(rows[i])
    return found


def _fields(records: Any) -> list[Any]:
    """The values of records by field; the width of counts depends on the largest of a shard."""
    return [records[name].tolist() for name in records.dtype.names]


def reference(log: list[list[Row]]) -> dict[str, list[Row]]:
    """What ``by_session`` has to be, one value after the other."""
    tracks = {row["track_id"]: {**row, schema.LOG_TRACK_ID: n} for n, row in enumerate(TRACKS)}
    split = {
        row[schema.SESSION_ID]: row["split"]
        for row in sessions(merge(log_table(*log), track_table(), shard="")).to_pylist()
    }
    training = [
        tracks[row[schema.LOG_TRACK_ID]]
        for rows in log
        for row in rows
        if split[row[schema.SESSION_ID]] == "train"
    ]
    found = {}
    for rows in log:
        found[rows[0][schema.SESSION_ID]] = [
            _scaled(row, tracks[row[schema.LOG_TRACK_ID]], training) for row in rows
        ]
    return found


def _scaled(row: Row, track: Row, training: list[Row]) -> Row:
    made: Row = {}
    for name in schema.SCALED.names:
        if name == schema.SESSION_ID:
            continue
        if name in schema.SCALED_FEATURES:
            values = [float(np.float32(one[name])) for one in training]
            low, high = min(values), max(values)
            value = (float(np.float32(track[name])) - low) / ((high - low) or 1.0)
            made[name] = float(np.float32(min(max(value, 0.0), 1.0)))
        elif name in row:
            made[name] = int(row[name])
        else:
            column = next(c for c in schema.LEVELS if name in schema.indicators(c))
            level = (track if column == "mode" else row)[column]
            made[name] = int(name == schema.indicator(column, level))
    return made


@given(logs())
@settings(deadline=None)
def test_every_row_is_as_in_the_row_by_row_reference(log):
    assert by_session(scaled_shards([log_table(*log)])) == reference(log)


@given(logs(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_rows_in_a_delivered_file_changes_nothing(log, random):
    rows = [row for own in log for row in own]
    shuffled = random.sample(rows, len(rows))
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.csv"
        for order in (rows, shuffled):
            path.write_bytes(csv_bytes(order))
            found.append(load_session_log(path, among=[path], today=TODAY)[0].to_pylist())
    assert found[0] == found[1]
    assert {row[schema.SESSION_ID] for row in found[0]} == {own[0][schema.SESSION_ID] for own in log}


@given(logs(), st.data())
@settings(deadline=None)
def test_cuts_into_shards_change_no_session(log, data):
    shard_of = data.draw(st.lists(st.integers(0, 2), min_size=len(log), max_size=len(log)))
    cut = [[own for own, at in zip(log, shard_of, strict=True) if at == shard] for shard in range(3)]
    whole = scaled_shards([log_table(*log)])
    parts = scaled_shards([log_table(*own) for own in cut if own])
    assert by_session(parts) == by_session(whole)
    assert bundled(parts) == bundled(whole)


@given(logs(), st.data())
@settings(deadline=None)
def test_chunks_of_a_table_change_nothing(log, data):
    table = log_table(*log)
    cuts = sorted(data.draw(st.sets(st.integers(1, table.num_rows - 1), max_size=4)))
    edges = [0, *cuts, table.num_rows]
    chunked = pa.concat_tables(table.slice(a, b - a) for a, b in pairwise(edges))
    assert chunked["premium"].num_chunks == len(cuts) + 1
    (whole,), (parts,) = scaled_shards([table]), scaled_shards([chunked])
    assert parts[0].equals(whole[0])
    assert parts[1].equals(whole[1])
    assert bundled([parts]) == bundled([whole])
