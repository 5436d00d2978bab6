"""Log files as sessions.

In a whole log the last track of each session is predicted, as in training. In a pair of the published test
set (``raw.test_pairs``) every track of each session's second half is predicted.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skip_pipeline import schema
from skip_pipeline.bundles.records import CATEGORIES, FLAGS, SEEKS, SHUFFLE
from skip_pipeline.errors import BadInputError, BrokenSessionError, MissingInputError
from skip_pipeline.raw.csv_file import check_values, read_csv
from skip_pipeline.raw.diagnosis import WHOLE_SESSIONS, shown_value
from skip_pipeline.raw.session_log import order_session_log, read_session_log, session_starts
from skip_pipeline.raw.test_pairs import LOG_INPUT, LogPair
from skip_pipeline.raw.text_columns import codes_of, dictionary_of, take_rows
from skip_pipeline.serving.sessions import Sessions, ranges, row_records

_IDS: Final = (schema.SESSION_ID, schema.LOG_TRACK_ID)


def read_whole_log(path: Path) -> Sessions:
    """Sessions of a log, a CSV or parquet file. Their last tracks are predicted, from their ids alone.

    Raises:
        MissingInputError, BadInputError: the file is missing, lacks columns, or has values that do not fit.
        BrokenSessionError: a session has fewer than 2 or more than 20 rows, its positions are not 1, 2, …, or
            it has not as many rows as ``session_length``, as in a file that was cut.
    """
    log, _ = order_session_log(
        _read_parquet_log(path) if path.suffix == ".parquet" else read_session_log(path)
    )
    starts, counts = _sessions_of(log, path, least=2, most=schema.MAX_SESSION_LENGTH)
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
    return _sessions(log.filter(pa.array(earlier)), _names(log, starts), counts - 1, counts, next_ids)


def _read_parquet_log(path: Path) -> pa.Table:
    """A session log from a parquet file; its columns may have any types that hold their values."""
    names = schema.SESSION_LOG.names
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            lacking = [name for name in names if name not in file.schema_arrow.names]
            log = file.read(columns=[name for name in names if name not in lacking])
        if not lacking:
            log = log.select(names).cast(schema.SESSION_LOG)
            log.validate(full=True)
    except FileNotFoundError:
        raise MissingInputError(f"{path} is not there; expected a log with the published columns") from None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, KeyError, OSError) as refusal:
        raise BadInputError(
            f"{path} is no session log, or a damaged one ({refusal}); expected parquet with the published "
            "columns and values that fit them. Write or copy the file again"
        ) from refusal
    if lacking:
        raise BadInputError(
            f"{path} lacks the columns {', '.join(lacking)}, expected all {len(names)} as published: "
            f"{', '.join(names)}. Write the file with them"
        )
    if log.num_rows == 0:
        raise BadInputError(f"{path} has no rows; expected at least one session. Deliver the file again")
    check_values(path, log, schema.RAW_RANGES, _IDS, WHOLE_SESSIONS)
    return log


def read_log_pair(pair: LogPair) -> Sessions:
    """Sessions of a pair of the test set, in order of first appearance in its input file.

    Every track of a second half is predicted from the first half, wherever the session is cut.

    Raises:
        MissingInputError, BadInputError: a file cannot be read; or a session is in one file only, has another
            ``session_length`` in the two, or has not exactly one row in the input file for each track after
            its prehistory.
        BrokenSessionError: positions of a prehistory are not 1, 2, …, at most 19.
    """
    log, _ = order_session_log(read_session_log(pair.prehistory))
    asked = read_csv(pair.input, LOG_INPUT, schema.RAW_RANGES, ids=_IDS, remedy=WHOLE_SESSIONS)
    starts, counts = _sessions_of(log, pair.prehistory, least=1, most=schema.STEPS)
    names = _names(log, starts)
    session_of = _session_of(names, asked, pair)
    lengths = _lengths(log, names, starts, counts, pair)
    rows = _rows_after(names, counts, lengths, session_of, asked, pair)
    tracks = lengths - counts
    first_of = np.cumsum(tracks) - tracks
    order = np.argsort(np.minimum.reduceat(rows, first_of))
    if (np.diff(order) < 0).any():
        log = take_rows(log, ranges(starts[order], counts[order]))
        rows = rows[ranges(first_of[order], tracks[order])]
        names = names.take(pa.array(order))
        counts, lengths, tracks = counts[order], lengths[order], tracks[order]
    asked_ids = asked[schema.LOG_TRACK_ID].take(pa.array(rows))
    return replace(_sessions(log, names, counts, lengths, asked_ids), asked=tracks, following=True)


def _lengths(
    log: pa.Table, names: pa.Array, starts: np.ndarray, counts: np.ndarray, pair: LogPair
) -> np.ndarray:
    """``session_length`` of each session, int64 (sessions,), the same in each row of its prehistory."""
    told = log[schema.LENGTH].to_numpy().astype(np.int64)
    lengths = told[starts]
    if (wrong := np.flatnonzero(told != np.repeat(lengths, counts))).size:
        own = int(np.searchsorted(starts, wrong[0], side="right")) - 1
        fact = (
            f"has both {lengths[own]} and {told[wrong[0]]} in column {schema.LENGTH} of "
            f"{pair.prehistory.name}; expected the same number in every row"
        )
        raise _unlike(pair, names[own].as_py(), fact)
    return np.asarray(lengths)


def _session_of(names: pa.Array, asked: pa.Table, pair: LogPair) -> np.ndarray:
    """Number of the session of each row of the input file: int64 (rows,)."""
    text = dictionary_of(asked[schema.SESSION_ID])
    session_of = pc.index_in(text.dictionary, value_set=names).fill_null(-1).to_numpy()[codes_of(text)]
    if (strange := np.flatnonzero(session_of < 0)).size:
        row = int(strange[0])
        raise _unlike(pair, text[row].as_py(), f"is in {pair.input.name} only, from data row {row + 1}")
    if (lost := np.flatnonzero(np.bincount(session_of, minlength=len(names)) == 0)).size:
        raise _unlike(pair, names[int(lost[0])].as_py(), f"is in {pair.prehistory.name} only")
    return np.asarray(session_of, np.int64)


def _rows_after(
    names: pa.Array,
    counts: np.ndarray,
    lengths: np.ndarray,
    session_of: np.ndarray,
    asked: pa.Table,
    pair: LogPair,
) -> np.ndarray:
    """Rows of the input file, session after session in order of positions: int64 (rows,), after checks."""
    positions, told = (asked[name].to_numpy().astype(np.int64) for name in (schema.POSITION, schema.LENGTH))
    if (wrong := np.flatnonzero(told != lengths[session_of])).size:
        row = int(wrong[0])
        own = session_of[row]
        fact = (
            f"has {told[row]} in column {schema.LENGTH} of data row {row + 1}, and {lengths[own]} in "
            f"{pair.prehistory.name}; expected the same number in both"
        )
        raise _unlike(pair, names[int(own)].as_py(), fact)
    rows = np.lexsort((positions, session_of))
    expected = ranges(counts + 1, np.maximum(lengths - counts, 0))
    found = np.bincount(session_of, minlength=len(names))
    same = found == lengths - counts
    if same.all():
        same[session_of[rows[positions[rows] != expected]]] = False
    if (wrong := np.flatnonzero(~same)).size:
        own = int(wrong[0])
        listed = ", ".join(map(str, positions[rows[session_of[rows] == own]][: schema.STEPS].tolist()))
        fact = (
            f"has {counts[own]} rows in {pair.prehistory.name} and the positions {listed} in "
            f"{pair.input.name} (column {schema.POSITION}); expected each position from {counts[own] + 1} to "
            f"its {schema.LENGTH}, {lengths[own]}, once"
        )
        raise _unlike(pair, names[own].as_py(), fact)
    return np.asarray(rows)


def _unlike(pair: LogPair, session_id: str, fact: str) -> BadInputError:
    return BadInputError(
        f"{pair.input}: session {shown_value(session_id)} (column {schema.SESSION_ID}) {fact}. Deliver both "
        "files again, or remove the session from both"
    )


def _sessions_of(log: pa.Table, path: Path, *, least: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """First row and number of rows of each session, int64, after a check of the positions."""
    ids = dictionary_of(log[schema.SESSION_ID])
    starts = session_starts(codes_of(ids))
    counts = np.diff(np.append(starts, log.num_rows))
    positions = log[schema.POSITION].to_numpy()
    wrong = positions != np.arange(log.num_rows) - np.repeat(starts, counts) + 1
    broken = np.logical_or.reduceat(wrong, starts) | (counts < least) | (counts > most)
    if broken.any():
        first = int(broken.argmax())
        shown = ", ".join(map(str, positions[starts[first] :][: min(counts[first], most + 1)].tolist()))
        more = f" and {broken.sum() - 1} more" if broken.sum() > 1 else ""
        raise BrokenSessionError(
            f"{path}: session {shown_value(ids[int(starts[first])].as_py())}{more}: column {schema.POSITION} "
            f"is {shown}, expected 1, 2, … without gaps, {least} to {most} of them. Deliver the session "
            "whole, or remove its rows"
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
    columns = {name: rows[name].cast(pa.uint8()).to_numpy() for name in (*FLAGS, SHUFFLE)}
    columns |= {name: rows[name].to_numpy() for name in SEEKS}
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
        premium=rows["premium"].cast(pa.int64()).to_numpy()[first],
    )
