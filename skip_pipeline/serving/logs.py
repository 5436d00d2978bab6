"""Log files as sessions.

In a whole log the last track of each session is predicted, as in training. In a pair of the published test
set (``raw.log_pairs``) every track of each session's second half is predicted.
"""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.bundles.records import CATEGORIES, FLAGS, SEEKS, SHUFFLE
from skip_pipeline.challenge.half_sessions import HalfSessions, read_half_sessions
from skip_pipeline.errors import BadInputError, BrokenSessionError
from skip_pipeline.raw.csv_file import check_values
from skip_pipeline.raw.diagnosis import WHOLE_SESSIONS, expected_text, header_fault, rows_text, shown_value
from skip_pipeline.raw.log_pairs import LogPair
from skip_pipeline.raw.own_listening import unknown_columns
from skip_pipeline.raw.parquet_file import is_parquet, read_parquet
from skip_pipeline.raw.session_log import order_session_log, read_session_log, session_starts
from skip_pipeline.raw.spelling import refused_rows, typed
from skip_pipeline.raw.text_columns import codes_of, dictionary_of
from skip_pipeline.serving.sessions import Sessions, row_records

_LEAST: Final = 2  # tracks of a session: one to predict from, and one to predict
_IDS: Final = (schema.SESSION_ID, schema.LOG_TRACK_ID)


def read_whole_log(path: Path) -> Sessions:
    """Sessions of a log, a CSV or parquet file. Their last tracks are predicted, from their ids alone.

    A log in the raw folder of own listening may have empty cells where its marker says so.

    Raises:
        MissingInputError, BadInputError: the file is missing, lacks columns, or has values that do not fit.
        BrokenSessionError: a session has fewer than 2 or more than 20 rows, its positions are not 1, 2, …, or
            it has not as many rows as ``session_length``, as in a file that was cut.
    """
    read = read_parquet_log if is_parquet(path) else read_session_log
    unknown = unknown_columns(path.absolute().parent.parent)
    log, _ = order_session_log(read(path, may_be_empty=unknown))
    starts, counts = _sessions_of(log, path)
    lengths = log[schema.LENGTH].to_numpy()
    if (wrong := np.flatnonzero(lengths != np.repeat(counts, counts))).size:
        number = int(np.searchsorted(starts, wrong[0], side="right")) - 1
        name = log[schema.SESSION_ID][int(wrong[0])].as_py()
        raise BrokenSessionError(
            f"{path}: session {shown_value(name)} has {counts[number]} rows, and {lengths[wrong[0]]} in "
            f"column {schema.LENGTH}; expected a row for each of its tracks. Deliver the session whole, or "
            "remove its rows"
        )
    last = starts + counts - 1
    next_ids = log[schema.LOG_TRACK_ID].take(pa.array(last))
    earlier = np.ones(log.num_rows, bool)
    earlier[last] = False
    rows = log.filter(pa.array(earlier))
    missing = sum(pc.sum(pc.equal(rows[name], "")).as_py() or 0 for name in CATEGORIES if name in unknown)
    found = _sessions(rows, _names(log, starts), counts - 1, counts, next_ids)
    return replace(found, levels_missing=missing)


def read_parquet_log(path: Path, *, may_be_empty: Collection[str] = ()) -> pa.Table:
    """A session log from a parquet file; its columns may have any types that hold their values."""
    published: list[str] = schema.SESSION_LOG.names

    def every(names: list[str]) -> list[str]:
        if not {*published} <= {*names}:
            raise BadInputError(f"{path}: {header_fault(names, published)}")
        return published

    log = read_parquet(path, every)
    if log.num_rows == 0:
        raise BadInputError(f"{path} has no rows; expected at least one session. Deliver the file again")
    columns = [_column(path, field, log[field.name]) for field in schema.SESSION_LOG]
    log = pa.Table.from_arrays(columns, schema=schema.SESSION_LOG)
    check_values(path, log, schema.RAW_RANGES, _IDS, WHOLE_SESSIONS, may_be_empty)
    return log


def _column(path: Path, field: pa.Field, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of a parquet file as its type; as in a CSV, a value between two of its type is refused."""
    if pa.types.is_timestamp(values.type) and pa.types.is_string(field.type):
        values = values.cast(pa.date32())  # as pandas has dates
    if len(rows := refused_rows(values, field.type)):
        wanted = expected_text(field.name, field.type, schema.RAW_RANGES)
        fact = f"column {field.name} is not {wanted} in {rows_text(rows, values)}"
        raise BadInputError(f"{path}: {fact}; correct {WHOLE_SESSIONS}")
    return typed(values, field.type)


def read_log_pair(pair: LogPair) -> Sessions:
    """Sessions of a pair of the test set; raises as ``challenge.half_sessions.read_half_sessions``."""
    return sessions_of_halves(read_half_sessions(pair))


def sessions_of_halves(halves: HalfSessions) -> Sessions:
    """Sessions in the same order. Every track of a second half is predicted, from what was heard alone."""
    first = np.cumsum(halves.heard) - halves.heard
    names, lengths = _names(halves.log, first), halves.heard + halves.tracks
    made = _sessions(halves.log, names, halves.heard, lengths, halves.asked[schema.LOG_TRACK_ID])
    return replace(made, asked=halves.tracks, following=True)


def _sessions_of(log: pa.Table, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """First row and number of rows of each session, int64, after a check of the positions."""
    ids = dictionary_of(log[schema.SESSION_ID])
    starts = session_starts(codes_of(ids))
    counts = np.diff(np.append(starts, log.num_rows))
    positions = log[schema.POSITION].to_numpy()
    wrong = positions != np.arange(log.num_rows) - np.repeat(starts, counts) + 1
    broken = np.logical_or.reduceat(wrong, starts) | (counts < _LEAST) | (counts > schema.MAX_SESSION_LENGTH)
    if broken.any():
        first = int(broken.argmax())
        some = positions[starts[first] :][: min(counts[first], schema.MAX_SESSION_LENGTH + 1)]
        shown = ", ".join(map(str, some.tolist()))
        more = f" and {broken.sum() - 1} more" if broken.sum() > 1 else ""
        raise BrokenSessionError(
            f"{path}: session {shown_value(ids[int(starts[first])].as_py())}{more}: column {schema.POSITION} "
            f"is {shown}, expected 1, 2, … without gaps, {_LEAST} to "
            f"{schema.MAX_SESSION_LENGTH} of them. Deliver the session whole, or remove its rows"
        )
    return starts, counts


def _names(log: pa.Table, starts: np.ndarray) -> pa.Array:
    return log[schema.SESSION_ID].take(pa.array(starts)).cast(pa.string()).combine_chunks()


def _sessions(
    rows: pa.Table, names: pa.Array, earlier: np.ndarray, length: np.ndarray, next_ids: pa.ChunkedArray
) -> Sessions:
    """Log rows of earlier tracks, session after session, and the next tracks as ``Sessions``."""
    ids = [*rows[schema.LOG_TRACK_ID].cast(pa.string()).chunks, *next_ids.cast(pa.string()).chunks]
    tracks = pa.chunked_array(ids).combine_chunks().dictionary_encode()
    track_codes, first = codes_of(tracks), np.cumsum(earlier) - earlier
    columns = {name: rows[name].cast(pa.uint8()).fill_null(0).to_numpy() for name in (*FLAGS, SHUFFLE)}
    columns |= {name: rows[name].fill_null(0).to_numpy() for name in SEEKS}
    codes = {}
    for name in CATEGORIES:
        text = dictionary_of(rows[name])
        levels = pc.index_in(text.dictionary, value_set=pa.array(schema.LEVELS[name]))
        codes[name] = levels.fill_null(-1).to_numpy()[codes_of(text)]
    return Sessions(
        session_id=names.to_pylist(),
        earlier=earlier,
        length=length,
        rows=row_records(track_codes[: rows.num_rows], columns, codes),
        next_track=track_codes[rows.num_rows :].astype(np.int64),
        track_ids=tracks.dictionary.to_pylist(),
        hour=rows["hour_of_day"].to_numpy()[first].astype(np.int64),
        premium=rows["premium"].cast(pa.int64()).fill_null(-1).to_numpy()[first],
    )
