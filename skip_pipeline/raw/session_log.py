"""Reading one session log, checking the rules between its rows, and adding up all logs.

The rules for single values are checked while reading (``raw.csv_file``).
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError, BrokenSessionError
from skip_pipeline.raw.csv_file import read_csv
from skip_pipeline.raw.diagnosis import WHOLE_SESSIONS, listed, rows_text, shown_value
from skip_pipeline.raw.oddities import is_junk_date, unknown_levels, without_midnight
from skip_pipeline.raw.text_columns import codes_of, dictionary_of, dictionary_text, take_rows, value_counts

SESSION_LOG: Final = dictionary_text(schema.SESSION_LOG, plain=schema.LOG_TRACK_ID)
"""``schema.SESSION_LOG`` in memory. Track ids stay strings: a dictionary of them would be nearly as long."""


@dataclass(frozen=True)
class SessionLogSummary:
    """What one or more session logs hold; ``combine`` adds summaries up."""

    rows: int
    sessions: int
    lengths: Mapping[int, int]  # sessions by length
    unknown_levels: Mapping[str, Mapping[str, int]]  # by categorical column, rows by unknown level
    junk_dates: Mapping[str, int]  # rows by value that is no date, or no plausible one
    dates: Mapping[str, int]  # rows by plausible date, in order
    reordered: bool  # whether rows had to be sorted by session and position
    session_hashes: np.ndarray = field(repr=False, compare=False)  # uint64 (sessions,); combined: empty

    def to_json(self) -> dict[str, Any]:
        """All but the hashes, for JSON."""
        return {name: value for name, value in vars(self).items() if name != "session_hashes"}

    @classmethod
    def from_json(cls, content: Mapping[str, Any], session_hashes: np.ndarray) -> SessionLogSummary:
        """Inverse of ``to_json``, after JSON has made texts of the lengths."""
        lengths = {int(length): count for length, count in content["lengths"].items()}
        return cls(**{**content, "lengths": lengths}, session_hashes=session_hashes)


def read_session_log(path: Path, *, may_be_empty: Collection[str] = ()) -> pa.Table:
    """Read one session log with ``read_csv``: 21 columns (``SESSION_LOG``), rows in file order."""
    ids = (schema.SESSION_ID, schema.LOG_TRACK_ID)
    log = read_csv(
        path, SESSION_LOG, schema.RAW_RANGES, ids=ids, may_be_empty=may_be_empty, remedy=WHOLE_SESSIONS
    )
    place = SESSION_LOG.get_field_index(schema.DATE)
    return log.set_column(place, SESSION_LOG.field(place), without_midnight(log[schema.DATE]))


def order_session_log(log: pa.Table) -> tuple[pa.Table, bool]:
    """Rows sorted by session id, as UTF-8 bytes, and position; and whether that changed anything."""
    ids = dictionary_of(log[schema.SESSION_ID])
    keys = pc.rank(ids.dictionary).to_numpy()[codes_of(ids)]
    positions = log[schema.POSITION].to_numpy()
    rising, same = keys[1:] > keys[:-1], keys[1:] == keys[:-1]
    if np.all(rising | (same & (positions[1:] >= positions[:-1]))):
        return log, False
    return take_rows(log, np.lexsort((positions, keys))), True


def load_session_log(
    path: Path, *, among: Sequence[Path], today: dt.date, may_be_empty: Collection[str] = ()
) -> tuple[pa.Table, SessionLogSummary]:
    """Read, order and judge one session log.

    Args:
        among: all session logs, to name the file that holds the rest of a broken session.
        today: dates after the day after it are junk.
        may_be_empty: columns in which a value may be missing (``raw.own_listening``).

    Returns:
        21 columns (``SESSION_LOG``), rows ordered by session and position; and their summary.

    Raises:
        MissingInputError: the file is not there.
        BadInputError: the file breaks the contract (see ``read_csv``), or a session lies in two files.
        BrokenSessionError: a length that differs within a session; positions that are not
            1, 2, … length, each once.
    """
    delivered = read_session_log(path, may_be_empty=may_be_empty)
    log, reordered = order_session_log(delivered)
    ids = dictionary_of(log[schema.SESSION_ID])
    codes = codes_of(ids)
    starts = session_starts(codes)
    counts = np.diff(np.append(starts, log.num_rows))
    broken = _broken_sessions(log, starts, counts)
    if len(broken):
        name = ids[int(starts[broken[0]])].as_py()
        for other in among:
            if other != path and len(_rows_of(other, name)):
                raise BadInputError(_split_message(name, path, other, 0))
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        fault = _what_is_broken(delivered, name)
        raise BrokenSessionError(f"{path}: session {shown_value(name)}{more}: {fault}")
    dates = value_counts(log[schema.DATE])
    junk = {date: rows for date, rows in dates.items() if is_junk_date(date, today)}
    return log, SessionLogSummary(
        rows=log.num_rows,
        sessions=len(starts),
        lengths=dict(sorted(Counter(counts.tolist()).items())),
        unknown_levels=unknown_levels(log, may_be_empty=may_be_empty),
        junk_dates=junk,
        dates={date: rows for date, rows in dates.items() if date not in junk},
        reordered=reordered,
        session_hashes=_hashes(ids.dictionary.take(pa.array(codes[starts]))),
    )


def _hashes(session_ids: pa.StringArray) -> np.ndarray:
    """A 64-bit hash of each id, uint64 (ids,)."""
    # Ids differ, so categorize=True would factorize them in vain.
    return pd.util.hash_array(session_ids.to_numpy(zero_copy_only=False), categorize=False)


def session_starts(codes: np.ndarray) -> np.ndarray:
    """First row of each session, int64 (sessions,), from the session codes of ordered rows.

    >>> session_starts(np.array([4, 4, 0, 0, 0])).tolist()
    [0, 2]
    """
    return np.flatnonzero(np.diff(codes, prepend=codes[:1] - 1))


def _broken_sessions(log: pa.Table, starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Numbers of the sessions whose length varies or whose positions are not 1 to that length."""
    expected = np.arange(log.num_rows) - np.repeat(starts, counts) + 1
    wrong = log[schema.POSITION].to_numpy() != expected
    wrong |= log[schema.LENGTH].to_numpy() != np.repeat(counts, counts)
    return np.unique(np.searchsorted(starts, np.flatnonzero(wrong), side="right") - 1)


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
    positions = delivered[schema.POSITION].to_numpy()
    rows = rows[np.argsort(positions[rows], kind="stable")]
    present = Counter(positions[rows].tolist())
    facts = []
    for fact, wrong in (
        ("repeats", [p for p, count in present.items() if count > 1]),
        ("goes beyond its length with", [p for p in present if p > length]),
    ):
        if wrong:
            where = rows_text(rows[np.isin(positions[rows], wrong)], delivered[schema.POSITION])
            facts.append(f"{fact} {listed(wrong)} in {where}")
    if missing := [p for p in range(1, length + 1) if p not in present]:
        facts.append(f"lacks {listed(missing)}" + ("" if facts else f" among {rows_text(np.sort(rows))}"))
    return (
        f"column {schema.POSITION} {'; '.join(facts)}. Expected 1 to {length} ({schema.LENGTH}), each once, "
        "all in this file. Deliver the session whole, or remove its rows"
    )


def combine(summaries: Mapping[Path, SessionLogSummary]) -> SessionLogSummary:
    """Add up the summaries of all logs; the hashes are compared, and left out.

    Raises:
        BadInputError: a session has rows in two files.
    """
    _refuse_shared_sessions({path: summary.session_hashes for path, summary in summaries.items()})
    parts = summaries.values()
    columns = dict.fromkeys(column for s in parts for column in s.unknown_levels)

    def added(counts: Iterable[Mapping[Any, int]]) -> dict[Any, int]:
        return dict(sorted(sum(map(Counter, counts), Counter[Any]()).items()))

    return SessionLogSummary(
        rows=sum(s.rows for s in parts),
        sessions=sum(s.sessions for s in parts),
        lengths=added(s.lengths for s in parts),
        unknown_levels={name: added(s.unknown_levels.get(name, {}) for s in parts) for name in columns},
        junk_dates=added(s.junk_dates for s in parts),
        dates=added(s.dates for s in parts),
        reordered=any(s.reordered for s in parts),
        session_hashes=np.empty(0, np.uint64),
    )


_HASHES_AT_ONCE: Final = 4_000_000
"""Hashes compared together, in 32 MB and as much again to sort them, however many sessions there are."""


def _refuse_shared_sessions(hashes: Mapping[Path, np.ndarray]) -> None:
    shares = -(-sum(map(len, hashes.values())) // _HASHES_AT_ONCE)
    for share in range(shares):
        own = {path: found[found % shares == share] for path, found in hashes.items()}
        values, counts = np.unique_counts(np.concatenate(list(own.values())))
        repeated = values[counts > 1]
        # Two ids may have one hash, so the ids are read again.
        places: dict[str, list[Path]] = {}
        for path, found in own.items():
            if len(wanted := found[np.isin(found, repeated)]):
                ids = dictionary_of(_ids_in(path)).dictionary
                for name in ids.filter(pa.array(np.isin(_hashes(ids), wanted))).to_pylist():
                    places.setdefault(name, []).append(path)
        shared = {name: paths for name, paths in places.items() if len(paths) > 1}
        for name, (first, second, *_) in shared.items():
            raise BadInputError(_split_message(name, first, second, len(shared) - 1))


def _split_message(session_id: str, first: Path, second: Path, others: int) -> str:
    more = f", and so have {others} more" if others else ""
    places = [f"{path} ({rows_text(_rows_of(path, session_id))})" for path in (first, second)]
    return (
        f"session {shown_value(session_id)} (column {schema.SESSION_ID}) has rows in both {places[0]} and "
        f"{places[1]}{more}; expected every session whole in one file. Remove the copy, or join its rows "
        "in one file"
    )


def _rows_of(path: Path, session_id: str) -> np.ndarray:
    """Indices of a session's rows as they stand in the file; only for a file that is being refused."""
    return np.flatnonzero(pc.equal(_ids_in(path), session_id).to_numpy())


def _ids_in(path: Path) -> pa.ChunkedArray:
    """Session ids of a file's rows; which of its other values are missing is judged elsewhere."""
    return read_session_log(path, may_be_empty=schema.MAY_BE_UNKNOWN)[schema.SESSION_ID]
