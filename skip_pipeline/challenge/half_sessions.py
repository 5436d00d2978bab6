"""Both files of a pair as whole sessions: what was heard, and the tracks to be decided."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError, BrokenSessionError
from skip_pipeline.raw.csv_file import read_csv
from skip_pipeline.raw.diagnosis import WHOLE_SESSIONS, listed, rows_text, shown_value
from skip_pipeline.raw.log_pairs import LOG_INPUT, LogPair
from skip_pipeline.raw.own_listening import unknown_columns
from skip_pipeline.raw.session_log import read_session_log
from skip_pipeline.raw.text_columns import codes_of, dictionary_of, take_rows

_IDS: Final = (schema.SESSION_ID, schema.LOG_TRACK_ID)
_REMEDY: Final = "Deliver both files again, or remove the session from both"


@dataclass(frozen=True)
class HalfSessions:
    """n sessions of a pair, in order of first appearance in the input file, which a submission has too."""

    log: pa.Table  # what was heard: ``raw.session_log.SESSION_LOG``, by session and position
    asked: pa.Table  # what is to be decided: ``LOG_INPUT``, by session and position
    heard: np.ndarray  # int64 (n,), number of each session's rows in ``log``, at least 1
    tracks: np.ndarray  # int64 (n,), number of each session's rows in ``asked``, at least 1

    def __len__(self) -> int:
        return len(self.tracks)

    @property
    def not_half(self) -> int:
        """Number of sessions whose prehistory is not the half of the session, rounded down."""
        return int(np.count_nonzero(self.heard != (self.heard + self.tracks) // 2))


def read_half_sessions(pair: LogPair) -> HalfSessions:
    """Read a pair, with rows in any order. A prehistory may be longer or shorter than half.

    Values that own listening does not know are nulls of ``log``.

    Raises:
        MissingInputError, BadInputError: a file cannot be read (``read_csv``); a session is in one file only,
            or has different lengths.
        BrokenSessionError: the positions of a session in the prehistory are not 1, 2, …, each once, or those
            in the input are not all later ones up to its length, each once.
    """
    unknown = unknown_columns(pair.prehistory.absolute().parent.parent)
    log = read_session_log(pair.prehistory, may_be_empty=unknown)
    asked = read_csv(pair.input, LOG_INPUT, schema.RAW_RANGES, ids=_IDS, remedy=WHOLE_SESSIONS)
    ids = dictionary_of(asked[schema.SESSION_ID])
    names, number = ids.dictionary, codes_of(ids)  # read from a file: in order of first appearance
    heard_ids = dictionary_of(log[schema.SESSION_ID])
    numbers = pc.index_in(heard_ids.dictionary, value_set=names).fill_null(-1).to_numpy()
    first = _Half(pair.prehistory, log, numbers[codes_of(heard_ids)])
    second = _Half(pair.input, asked, number)
    _check_sessions(first, second, names)
    first, second = first.ordered(), second.ordered()
    heard, tracks = (np.bincount(half.number, minlength=len(names)) for half in (first, second))
    lengths = second.column(schema.LENGTH)[np.cumsum(tracks) - tracks]
    _check_lengths(first, second, lengths, names)
    _check_positions(first, np.zeros_like(heard), np.minimum(heard, lengths - 1), names)
    _check_positions(second, heard, lengths, names)
    return HalfSessions(first.table, second.table, heard, tracks)


@dataclass(frozen=True)
class _Half:
    """One file of a pair."""

    path: Path
    table: pa.Table
    number: np.ndarray  # int (rows,), of each row's session in order of the input file; -1: not there
    row: np.ndarray | None = None  # int (rows,), of each row in the file, if it was another order

    def column(self, name: str) -> np.ndarray:
        return np.asarray(self.table[name].to_numpy().astype(np.int64))

    def ordered(self) -> _Half:
        """Rows by session and position."""
        position = self.column(schema.POSITION)
        later, same = self.number[1:] > self.number[:-1], self.number[1:] == self.number[:-1]
        if np.all(later | (same & (position[1:] >= position[:-1]))):
            return self
        row = np.lexsort((position, self.number))
        return _Half(self.path, take_rows(self.table, row), self.number[row], row)

    def rows(self, indices: np.ndarray) -> np.ndarray:
        """Rows as they stand in the file."""
        return indices if self.row is None else self.row[indices]


def _check_sessions(first: _Half, second: _Half, names: pa.StringArray) -> None:
    """Refuse a session that is in one file only."""
    unasked = np.flatnonzero(first.number < 0)
    unheard = np.flatnonzero(np.bincount(first.number[first.number >= 0], minlength=len(names)) == 0)
    if unasked.size:
        half, other = first, second
        name = first.table[schema.SESSION_ID][int(unasked[0])]
        rows = np.flatnonzero(pc.equal(first.table[schema.SESSION_ID], name))
    elif unheard.size:
        half, other = second, first
        name = names[int(unheard[0])]
        rows = np.flatnonzero(second.number == unheard[0])
    else:
        return
    raise BadInputError(
        f"{half.path}: session {shown_value(name)} (column {schema.SESSION_ID}, {rows_text(rows)}) is not in "
        f"{other.path.name}; expected the same sessions in both files of a pair. {_REMEDY}"
    )


def _check_lengths(first: _Half, second: _Half, lengths: np.ndarray, names: pa.StringArray) -> None:
    """Refuse a session whose length is not one number throughout both files."""
    for half in (first, second):
        own = half.column(schema.LENGTH)
        if (wrong := np.flatnonzero(own != lengths[half.number])).size:
            number = half.number[wrong[0]]
            wrong = wrong[half.number[wrong] == number]
            rows = np.sort(half.rows(wrong))
            start = int(np.searchsorted(second.number, number))
            raise BadInputError(
                f"{half.path}: session {shown_value(names[int(number)])}: column {schema.LENGTH} is "
                f"{own[wrong[0]]} in {rows_text(rows)}, and {lengths[number]} in "
                f"{rows_text(second.rows(np.array([start])))} of {second.path.name}; expected one length "
                f"throughout a session. {_REMEDY}"
            )


def _check_positions(half: _Half, after: np.ndarray, last: np.ndarray, names: pa.StringArray) -> None:
    """Refuse a session whose positions are not ``after + 1`` to ``last``, int (n,), each once."""
    counts = np.bincount(half.number, minlength=len(names))
    position = half.column(schema.POSITION)
    place = np.arange(len(position)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
    broken = counts != last - after
    broken[half.number[position != place + after[half.number]]] = True
    if not broken.any():
        return
    number = int(broken.argmax())
    rows = np.flatnonzero(half.number == number)
    wanted = range(int(after[number]) + 1, int(last[number]) + 1)
    found = Counter(position[rows].tolist())
    odd = rows[[p not in wanted or found[p] > 1 for p in position[rows].tolist()]]
    missing = [place for place in wanted if place not in found]
    facts = [f"lacks {listed(missing)}"] if missing else []
    if odd.size:
        in_file = np.argsort(half.rows(odd), kind="stable")
        values = dict(zip(half.rows(odd).tolist(), position[odd].tolist(), strict=True))
        facts.append(f"has other or repeated values in {rows_text(half.rows(odd)[in_file], values)}")
    more = f" and {broken.sum() - 1} more" if broken.sum() > 1 else ""
    raise BrokenSessionError(
        f"{half.path}: session {shown_value(names[number])}{more} ({rows_text(np.sort(half.rows(rows)))}): "
        f"column {schema.POSITION} {' and '.join(facts)}; expected {wanted.start} to {wanted[-1]}, each "
        f"once: the prehistory has the first ones, the input all others up to {schema.LENGTH}. {_REMEDY}"
    )
