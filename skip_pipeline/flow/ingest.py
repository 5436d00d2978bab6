"""Reading and judging the delivered files: session logs and track features.

What a single value must look like is checked while reading (``raw_csv``); here stand the rules between
rows and between files. Nothing is written: raw data stays as delivered.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import contracts, schema
from skip_pipeline.contracts import Finding
from skip_pipeline.errors import BadInputError, BrokenSessionError
from skip_pipeline.raw_csv import read_csv
from skip_pipeline.raw_csv_diagnosis import ROWS, WHOLE_SESSIONS, Remedy, listed, rows_text, shown_value
from skip_pipeline.settings import (
    EXAMPLES_SHOWN,
)


@dataclass(frozen=True)
class SessionLogSummary:
    """What one or more session logs hold; summaries of shards add up with ``combine``.

    Attributes:
        rows: log rows.
        sessions: sessions.
        lengths: sessions by length.
        unknown_levels: per categorical column, rows by level outside the vocabulary.
        junk_dates: rows by value that is no date, or no plausible one.
        reordered: rows were not sorted by session and position and have been sorted here.
        session_hashes: uint64 (sessions,), to notice a session in two files.
    """

    rows: int
    sessions: int
    lengths: Mapping[int, int]
    unknown_levels: Mapping[str, Mapping[str, int]]
    junk_dates: Mapping[str, int]
    reordered: bool
    session_hashes: np.ndarray = field(repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """All but the hashes, as JSON values."""
        return {
            "rows": self.rows,
            "sessions": self.sessions,
            "lengths": {str(length): count for length, count in self.lengths.items()},
            "unknown_levels": {column: dict(counts) for column, counts in self.unknown_levels.items()},
            "junk_dates": dict(self.junk_dates),
            "reordered": self.reordered,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], session_hashes: np.ndarray) -> SessionLogSummary:
        """Inverse of ``to_json``."""
        lengths = {int(length): count for length, count in content["lengths"].items()}
        return cls(**{**content, "lengths": lengths}, session_hashes=session_hashes)


# --- Session logs -------------------------------------------------------------------------------------


def read_session_log(path: Path) -> pa.Table:
    """Read one session log as delivered: 21 columns, typed, rows in file order.

    Raises:
        MissingInputError, BadInputError: see ``raw_csv.read_csv``.
    """
    return read_csv(path, schema.SESSION_LOG, schema.RAW_RANGES, remedy=WHOLE_SESSIONS)


def order_session_log(log: pa.Table) -> tuple[pa.Table, bool]:
    """Rows sorted by session id and position, and whether that changed anything.

    The published files are sorted already, so the usual cost is one comparison of neighbours.
    """
    ids = log[schema.SESSION_ID].combine_chunks()
    positions = log[schema.POSITION].to_numpy()
    if _is_ordered(ids, positions):
        return log, False
    keys = [(schema.SESSION_ID, "ascending"), (schema.POSITION, "ascending")]
    return log.take(pc.sort_indices(log, sort_keys=keys)), True


def _is_ordered(ids: pa.Array, positions: np.ndarray) -> bool:
    if len(ids) < 2:
        return True
    before, after = ids[:-1], ids[1:]
    rising = pc.less(before, after).to_numpy(zero_copy_only=False)
    same = pc.equal(before, after).to_numpy(zero_copy_only=False)
    return bool(np.all(rising | (same & (positions[1:] >= positions[:-1]))))


def load_session_log(
    path: Path, *, among: Sequence[Path], today: dt.date
) -> tuple[pa.Table, SessionLogSummary]:
    """Read, order and judge one session log.

    Args:
        among: all session logs, to say where the rest of a broken session is.
        today: dates after the day after it are junk.

    Returns:
        21 columns (``schema.SESSION_LOG``), rows ordered by session and position; and their summary.

    Raises:
        MissingInputError, BadInputError: see ``read_session_log``; an empty session or track id; a session
            that lies in two files.
        BrokenSessionError: a length that differs within a session; positions that are not
            1, 2, … length, each once.
    """
    delivered = read_session_log(path)
    _check_ids(delivered, (schema.SESSION_ID, schema.LOG_TRACK_ID), path, remedy=WHOLE_SESSIONS)
    log, reordered = order_session_log(delivered)
    ids = log[schema.SESSION_ID].combine_chunks()
    starts = session_starts(ids)
    broken = _broken_sessions(log, starts)
    if len(broken):
        name = ids[int(starts[broken[0]])].as_py()
        elsewhere = [p for p in among if p != path and len(_rows_of(p, name))]
        if elsewhere:
            raise BadInputError(_split_message(name, path, elsewhere[0], 0))
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        raise BrokenSessionError(f"{path}: session {name!r}{more}: {_what_is_broken(delivered, name)}")
    return log, _summarize(log, ids.take(pa.array(starts)), starts, today=today, reordered=reordered)


def _check_ids(table: pa.Table, columns: Iterable[str], path: Path, *, remedy: Remedy) -> None:
    """Refuse empty ids, before rows are put in order, so that the rows named are the file's."""
    for name in columns:
        empty = np.flatnonzero(pc.equal(table[name], "").to_numpy())
        if len(empty):
            raise BadInputError(
                f"{path}: column {name} is empty in {rows_text(empty)}; every row needs an id. {remedy.fill}"
            )


def _summarize(
    log: pa.Table, first_ids: pa.Array, starts: np.ndarray, *, today: dt.date, reordered: bool
) -> SessionLogSummary:
    """Count what a log holds, and what is odd in it without being wrong."""
    lengths, counts = np.unique(np.diff(np.append(starts, log.num_rows)), return_counts=True)
    return SessionLogSummary(
        rows=log.num_rows,
        sessions=len(starts),
        lengths=dict(zip(lengths.tolist(), counts.tolist(), strict=True)),
        unknown_levels=unknown_levels(log),
        junk_dates=junk_dates(log[schema.DATE], today=today),
        reordered=reordered,
        session_hashes=pd.util.hash_array(first_ids.to_numpy(zero_copy_only=False)),
    )


def session_starts(ids: pa.Array) -> np.ndarray:
    """Row index (int64) at which each session of an ordered id column begins."""
    changed = pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.flatnonzero(changed) + 1]).astype(np.int64)


def _broken_sessions(log: pa.Table, starts: np.ndarray) -> np.ndarray:
    """Numbers of the sessions whose length varies or whose positions are not 1 to that length."""
    counts = np.diff(np.append(starts, log.num_rows))
    positions = log[schema.POSITION].to_numpy().astype(np.int64)
    lengths = log[schema.LENGTH].to_numpy().astype(np.int64)
    expected = np.arange(log.num_rows) - np.repeat(starts, counts) + 1
    gaps = positions != expected
    uneven = lengths != np.repeat(lengths[starts], counts)
    short = np.repeat(counts != lengths[starts], counts)
    wrong = np.flatnonzero(uneven | gaps | short)
    return np.unique(np.searchsorted(starts, wrong, side="right") - 1)


def _what_is_broken(delivered: pa.Table, session_id: str) -> str:
    """Fact, expectation and remedy for one session, naming rows as they stand in the file."""
    rows = np.flatnonzero(pc.equal(delivered[schema.SESSION_ID], session_id).to_numpy())
    lengths = delivered[schema.LENGTH].to_numpy()[rows]
    length = Counter(lengths.tolist()).most_common(1)[0][0]
    odd = rows[lengths != length]
    if len(odd):
        return (
            f"column {schema.LENGTH} differs in {rows_text(odd, delivered[schema.LENGTH])} from the {length} "
            "of the other rows; expected one length throughout a session. Correct the lengths, or remove the "
            "session"
        )
    positions = delivered[schema.POSITION].to_numpy()[rows]
    by_position = np.argsort(positions, kind="stable")
    rows, positions = rows[by_position], positions[by_position]
    present = Counter(positions.tolist())
    facts = []
    for fact, wrong in (
        ("repeats", [p for p, count in present.items() if count > 1]),
        ("goes beyond its length with", [p for p in present if p > length]),
    ):
        if wrong:
            where = rows_text(rows[np.isin(positions, wrong)], delivered[schema.POSITION])
            facts.append(f"{fact} {listed(wrong)} in {where}")
    if missing := [p for p in range(1, length + 1) if p not in present]:
        facts.append(f"lacks {listed(missing)}" + ("" if facts else f" among {rows_text(np.sort(rows))}"))
    return (
        f"column {schema.POSITION} {'; '.join(facts)}. Expected 1 to {length} ({schema.LENGTH}), each once, "
        "all in this file. Deliver the session whole, or remove its rows"
    )


def unknown_levels(table: pa.Table) -> dict[str, dict[str, int]]:
    """Per categorical column of the table, rows by level outside the vocabulary; empty if none."""
    found = {}
    for column, levels in schema.LEVELS.items():
        if column not in table.column_names:
            continue
        counts = {v["values"]: v["counts"] for v in pc.value_counts(table[column]).to_pylist()}
        if unknown := {level: counts[level] for level in sorted(counts) if level not in levels}:
            found[column] = unknown
    return found


def junk_dates(dates: pa.ChunkedArray, *, today: dt.date) -> dict[str, int]:
    """Rows by date that is no ISO date, precedes the service, or follows the day after ``today``."""
    latest = (today + dt.timedelta(days=1)).isoformat()
    counts = {v["values"]: v["counts"] for v in pc.value_counts(dates).to_pylist()}
    return {
        text: counts[text]
        for text in sorted(counts)
        if not (_is_iso_date(text) and schema.FIRST_PLAUSIBLE_DATE <= text <= latest)
    }


def _is_iso_date(text: str) -> bool:
    try:
        return dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def combine(summaries: Mapping[Path, SessionLogSummary]) -> SessionLogSummary:
    """One summary of all shards.

    Raises:
        BadInputError: a session has rows in two files.
    """
    hashes = np.concatenate([s.session_hashes for s in summaries.values()])
    if len(np.unique(hashes)) != len(hashes):
        raise BadInputError(_split_sessions(summaries))
    parts = list(summaries.values())
    lengths = sum((Counter(dict(s.lengths)) for s in parts), Counter[int]())
    junk = sum((Counter(dict(s.junk_dates)) for s in parts), Counter[str]())
    unknown: dict[str, Counter[str]] = {}
    for summary in parts:
        for column, counts in summary.unknown_levels.items():
            unknown.setdefault(column, Counter()).update(counts)
    return SessionLogSummary(
        rows=sum(s.rows for s in parts),
        sessions=sum(s.sessions for s in parts),
        lengths=dict(sorted(lengths.items())),
        unknown_levels={column: dict(sorted(counts.items())) for column, counts in unknown.items()},
        junk_dates=dict(sorted(junk.items())),
        reordered=any(s.reordered for s in parts),
        session_hashes=hashes,
    )


def _split_sessions(summaries: Mapping[Path, SessionLogSummary]) -> str:
    paths = list(summaries)
    for i, first in enumerate(paths):
        for second in paths[i + 1 :]:
            shared = np.intersect1d(summaries[first].session_hashes, summaries[second].session_hashes)
            if len(shared):
                return _split_message(_name_of(first, int(shared[0])), first, second, len(shared) - 1)
    raise AssertionError("hashes repeat, yet no two files share one")


def _split_message(session_id: str, first: Path, second: Path, others: int) -> str:
    more = f", and so have {others} more" if others else ""
    places = [f"{path} ({rows_text(_rows_of(path, session_id))})" for path in (first, second)]
    return (
        f"session {session_id!r} (column {schema.SESSION_ID}) has rows in both {places[0]} and "
        f"{places[1]}{more}; expected every session whole in one file. Remove the copy, or join its rows "
        "in one file"
    )


def _rows_of(path: Path, session_id: str) -> np.ndarray:
    """Indices of a session's rows as they stand in the file; only for a file that is being refused."""
    return np.flatnonzero(pc.equal(read_session_log(path)[schema.SESSION_ID], session_id).to_numpy())


def _name_of(path: Path, hashed: int) -> str:
    ids = pc.unique(read_session_log(path)[schema.SESSION_ID]).to_numpy(zero_copy_only=False)
    return str(ids[pd.util.hash_array(ids) == np.uint64(hashed)][0])


LOG_FINDINGS: Final = (
    contracts.COLUMNS,
    contracts.SESSIONS_WHOLE,
    contracts.LENGTHS,
    contracts.LEVELS_KNOWN,
    contracts.DATES_PLAUSIBLE,
    contracts.MARKER_FITS,
)
TRACK_FINDINGS: Final = (
    contracts.COLUMNS,
    contracts.TRACKS_UNIQUE,
    contracts.COMPLETE,
    contracts.LEVELS_KNOWN,
)


def log_findings(summary: SessionLogSummary, doubt: str) -> tuple[Finding, ...]:
    """What session logs that could be read say of their contract, in the order of ``LOG_FINDINGS``.

    The last three are oddities to warn of; what the others name would have been refused while reading.

    Args:
        doubt: as ``marker_doubt`` says.
    """
    counted = {"sessions": summary.sessions, "rows": summary.rows}
    return (
        Finding(contracts.COLUMNS, True, {"columns": len(schema.SESSION_LOG)}),
        Finding(contracts.SESSIONS_WHOLE, True, counted),
        Finding(contracts.LENGTHS, True, {str(length): n for length, n in summary.lengths.items()}),
        Finding(contracts.LEVELS_KNOWN, not summary.unknown_levels, _oddities(summary.unknown_levels)),
        Finding(
            contracts.DATES_PLAUSIBLE, not summary.junk_dates, _oddities({schema.DATE: summary.junk_dates})
        ),
        Finding(contracts.MARKER_FITS, not doubt, {"doubt": doubt} if doubt else {}),
    )


def track_findings(tracks: pa.Table) -> tuple[Finding, ...]:
    """What track features that could be read say of their contract, in the order of ``TRACK_FINDINGS``."""
    unknown = unknown_levels(tracks)
    counted = {"tracks": tracks.num_rows}
    return (
        Finding(contracts.COLUMNS, True, {"columns": len(schema.TRACK_FEATURES)}),
        Finding(contracts.TRACKS_UNIQUE, True, counted),
        Finding(contracts.COMPLETE, True, counted),
        Finding(contracts.LEVELS_KNOWN, not unknown, _oddities(unknown)),
    )


def _oddities(counts: Mapping[str, Mapping[str, int]]) -> dict[str, str]:
    return {column: _counted(values) for column, values in counts.items() if values}


def _counted(values: Mapping[str, int]) -> str:
    shown = [
        f"{shown_value(value)} in {n} row{'' if n == 1 else 's'}"
        for value, n in list(values.items())[:EXAMPLES_SHOWN]
    ]
    more = len(values) - len(shown)
    return ", ".join(shown) + (f" and {more} more value{'' if more == 1 else 's'}" if more else "")


# --- Track features -----------------------------------------------------------------------------------


def read_track_features(paths: Sequence[Path]) -> pa.Table:
    """Read all track feature files as one table of 30 columns, sorted by track id.

    A track's row number in it is the track's ordinal code.

    Raises:
        MissingInputError, BadInputError: see ``raw_csv.read_csv``; an empty id; a track listed twice.
    """
    tables = [read_csv(path, schema.TRACK_FEATURES, {}, remedy=ROWS) for path in paths]
    for path, table in zip(paths, tables, strict=True):
        _check_ids(table, (schema.TRACK_ID,), path, remedy=ROWS)
    everything = pa.concat_tables(tables)
    ids = everything[schema.TRACK_ID].combine_chunks()
    order = pc.sort_indices(ids)
    ordered = ids.take(order)
    twins = pc.equal(ordered[1:], ordered[:-1]).to_numpy(zero_copy_only=False)
    if twins.any():
        raise BadInputError(_listed_twice(paths, tables, ordered.filter(pa.array(np.append(False, twins)))))
    return everything.take(order).combine_chunks()


def _listed_twice(paths: Sequence[Path], tables: Sequence[pa.Table], repeated: pa.Array) -> str:
    name = repeated[0]
    places = []
    for path, table in zip(paths, tables, strict=True):
        rows = np.flatnonzero(pc.equal(table[schema.TRACK_ID], name).to_numpy())
        if len(rows):
            places.append(f"{path} {rows_text(rows)}")
    others = len(pc.unique(repeated)) - 1
    more = f", and {others} other track{'' if others == 1 else 's'}" if others else ""
    return (
        f"column {schema.TRACK_ID} lists {name.as_py()!r} more than once ({'; '.join(places)}){more}; "
        "expected each track once. Remove the repeated rows"
    )
