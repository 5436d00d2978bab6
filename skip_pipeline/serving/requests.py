"""From a request to sessions: JSON-like values, judged field by field, all rows of a request at once.

    session_id      text; comes back with the answer. May repeat, so that a session can be scored with several
                    tracks that may come next.
    history         1 to 19 objects, the tracks played so far in order; published names of the log's columns
    next_track_id   text; or, in its place,
    next_track      the raw features of the next track, published names of the feature columns

Of a history's columns those in ``USED`` are needed. A ``session_id`` in a row must be the session's, since
rows of two sessions may well add up to positions without gaps. ``session_length``, if it is there, is the
number of tracks in all, and says whether the next one is the last; without it nobody knows (see
``sessions``). The others may be there and mean nothing to the network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, Final, NoReturn

import numpy as np
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.bundles.records import (
    CATEGORIES,
    FLAGS,
    ROW,
    SEEKS,
    SHUFFLE,
    indicators,
    pack,
)
from skip_pipeline.errors import BadInputError
from skip_pipeline.raw.diagnosis import shown_value
from skip_pipeline.serving.sessions import LEVEL_CODES, Sessions

HISTORY: Final = "history"
NEXT_TRACK_ID: Final = "next_track_id"
NEXT_TRACK: Final = "next_track"
REQUIRED: Final = (schema.SESSION_ID, HISTORY)
EITHER: Final = (NEXT_TRACK_ID, NEXT_TRACK)
FIELDS: Final = f"{', '.join(REQUIRED)} and either {' or '.join(EITHER)}"

USED: Final = (schema.POSITION, schema.LOG_TRACK_ID, *FLAGS, SHUFFLE, *SEEKS, *CATEGORIES)
"""Columns of a log row that the network is given, in some form."""

_REMEDY: Final = "Correct the request"


def sessions_of_records(records: object) -> Sessions:
    """Read sessions from objects, such as the ``dataframe_records`` of MLflow's JSON.

    Raises:
        BadInputError: see ``sessions_of_columns``.
    """
    if not isinstance(records, list) or not records:
        raise BadInputError(
            f"the request holds {shown_value(records)}, expected a list of sessions, each an object with "
            f"{FIELDS}. {_REMEDY}"
        )
    for number, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise BadInputError(
                f"session {number} of the request is {shown_value(record)}, expected an object with "
                f"{FIELDS}. {_REMEDY}"
            )
        _refuse_names(record, f"session {number} of the request")
    names = (*REQUIRED, *EITHER)
    return sessions_of_columns({name: [record.get(name) for record in records] for name in names})


def sessions_of_columns(columns: Mapping[str, Sequence[Any]]) -> Sessions:
    """Read sessions from columns of one value per session.

    Args:
        columns: ``REQUIRED`` and one or both of ``EITHER``, m values each; where a session does without one
            of these, it has None there, or NaN as pandas puts it.

    Raises:
        BadInputError: a field is missing, or breaks what the module says; names session, field and reason.
    """
    _refuse_names(columns, "the request")
    ids, histories = columns[schema.SESSION_ID], columns[HISTORY]
    if len(ids) == 0:
        raise BadInputError(f"the request holds no session, expected at least one. {_REMEDY}")
    for number, text in enumerate(ids):
        if not isinstance(text, str) or not text:
            _refuse(ids, number, schema.SESSION_ID, text, "a text that is not empty")
    for number, history in enumerate(histories):
        _check_history(ids, number, history)
    earlier = np.fromiter(map(len, histories), np.int64, len(histories))
    objects = list(chain.from_iterable(histories))
    place = _Place(ids, earlier)
    _check_sessions(objects, place)
    rows = _rows(objects, place)
    played = [row[schema.LOG_TRACK_ID] for row in objects]
    features = _next_features(ids, columns.get(NEXT_TRACK))
    next_ids = _next_ids(ids, columns.get(NEXT_TRACK_ID), features)
    rows["track"] = np.arange(len(rows))
    length = _lengths(objects, earlier, place)
    return Sessions(
        session_id=list(ids),
        earlier=earlier,
        length=length,
        rows=rows,
        next_track=np.arange(len(ids)) + len(rows),
        track_ids=[*played, *next_ids],
        next_features=features,
    )


def _refuse_names(found: Mapping[str, Any], where: str) -> None:
    missing = [name for name in REQUIRED if name not in found]
    if not any(name in found for name in EITHER):
        missing.append(" or ".join(EITHER))
    if missing:
        raise BadInputError(f"{where} lacks {', '.join(missing)}, expected {FIELDS}. {_REMEDY}")
    if extra := [name for name in found if name not in (*REQUIRED, *EITHER)]:
        raise BadInputError(f"{where} has {shown_value(extra[0])}, expected {FIELDS}. {_REMEDY}")


def _check_history(ids: Sequence[str], number: int, history: Any) -> None:
    expected = f"a list of 1 to {schema.STEPS} earlier tracks"
    if not isinstance(history, list | tuple | np.ndarray):
        _refuse(ids, number, HISTORY, history, expected)
    if not 1 <= len(history) <= schema.STEPS:
        _refuse(ids, number, HISTORY, _Words(f"a list of {len(history)}"), expected)
    for i, row in enumerate(history):
        if not isinstance(row, Mapping):
            _refuse(ids, number, f"{HISTORY}[{i}]", row, "an object with the log's columns")


class _Place:
    """Where in the request the i-th of all rows stands, for messages."""

    def __init__(self, ids: Sequence[str], earlier: np.ndarray) -> None:
        self._ids = ids
        self._ends = np.cumsum(earlier)
        self.positions = np.arange(earlier.sum()) - np.repeat(self._ends - earlier, earlier) + 1

    def owners(self) -> Iterator[str]:
        """The session that each row is said to be of."""
        counts = np.diff(self._ends, prepend=0).tolist()
        return chain.from_iterable(map(repeat, self._ids, counts))

    def refuse(self, i: int, column: str, value: object, expected: str) -> NoReturn:
        number = int(np.searchsorted(self._ends, i, side="right"))
        _refuse(self._ids, number, f"{HISTORY}[{self.positions[i] - 1}].{column}", value, expected)


def _check_sessions(objects: Sequence[Mapping[str, Any]], place: _Place) -> None:
    """Refuse a row that says of itself that it is another session's."""
    for i, (row, owner) in enumerate(zip(objects, place.owners(), strict=True)):
        said = row.get(schema.SESSION_ID, owner)
        if not (isinstance(said, str) and said == owner):
            place.refuse(i, schema.SESSION_ID, said, f"{shown_value(owner)}: a history is one session's")


def _rows(objects: Sequence[Mapping[str, Any]], place: _Place) -> np.ndarray:
    """A record per row, ``ROW``; the track is left out."""
    rows = np.zeros(len(objects), ROW)
    columns = {name: _column(objects, name, place) for name in USED}
    positions = _integers(schema.POSITION, columns[schema.POSITION], place)
    if (wrong := np.flatnonzero(positions != place.positions)).size:
        expected = f"{place.positions[wrong[0]]}: positions count from 1, in order and without gaps"
        place.refuse(int(wrong[0]), schema.POSITION, int(positions[wrong[0]]), expected)
    flags = {name: _integers(name, columns[name], place) for name in (*FLAGS, SHUFFLE)}
    for name in SEEKS:
        rows[name] = _integers(name, columns[name], place)
    for name in (schema.LOG_TRACK_ID, *CATEGORIES):
        _check_texts(name, columns[name], place)
    codes = {
        name: np.array([LEVEL_CODES[name].get(level, -1) for level in columns[name]]) for name in CATEGORIES
    }
    rows["binary"] = pack(flags | indicators(codes))
    return rows


def _lengths(objects: Sequence[Mapping[str, Any]], earlier: np.ndarray, place: _Place) -> np.ndarray:
    """Tracks in all, int64 (m,): as every row of a session says, or the most there can be if none does."""
    said = [row.get(schema.LENGTH) for row in objects]
    starts = (np.cumsum(earlier) - earlier).tolist()
    for start, n in zip(starts, earlier.tolist(), strict=True):
        if all(length is None for length in said[start : start + n]):
            continue
        for i in range(start, start + n):
            if not _is_integer(said[i], n + 1, schema.MAX_SESSION_LENGTH, boolean=False):
                expected = (
                    f"a whole number from {n + 1} to {schema.MAX_SESSION_LENGTH}, the tracks of the whole "
                    "session, in every row, or in none where that is not known"
                )
                place.refuse(i, schema.LENGTH, said[i], expected)
            if said[i] != said[start]:
                place.refuse(i, schema.LENGTH, said[i], f"{said[start]} as in its first row")
    return np.array([said[i] or schema.MAX_SESSION_LENGTH for i in starts], np.int64)


def _column(objects: Sequence[Mapping[str, Any]], name: str, place: _Place) -> list[Any]:
    try:
        return [row[name] for row in objects]
    except KeyError:
        i = next(i for i, row in enumerate(objects) if name not in row)
        place.refuse(i, name, None, _expected(name))


_IS_FLAG: Final = frozenset((*FLAGS, SHUFFLE))
_BOUNDS: Final = {
    name: (0, 1) if name in _IS_FLAG else schema.RAW_RANGES[name] for name in (*FLAGS, SHUFFLE, *SEEKS)
} | {schema.POSITION: (1, schema.STEPS)}


def _expected(name: str) -> str:
    if name not in _BOUNDS:
        return "a text that is not empty"
    low, high = _BOUNDS[name]
    return "true or false (1 or 0)" if name in _IS_FLAG else f"a whole number from {low} to {high}"


def _integers(name: str, values: list[Any], place: _Place) -> np.ndarray:
    """A column of whole numbers, or of zeros and ones that may be spelt false and true: int64."""
    low, high = _BOUNDS[name]
    kinds = set(map(type, values))
    plain = kinds <= {int, bool} if name in _IS_FLAG else kinds == {int}
    if not (plain and low <= min(values) and max(values) <= high):
        i = _first(values, lambda value: not _is_integer(value, low, high, boolean=name in _IS_FLAG))
        if i is not None:
            place.refuse(i, name, values[i], _expected(name))
    return np.array(values, np.int64)


def _is_integer(value: object, low: int, high: int, *, boolean: bool) -> bool:
    if isinstance(value, bool | np.bool_):
        return boolean
    return isinstance(value, int | np.integer) and low <= int(value) <= high


def _check_texts(name: str, values: list[Any], place: _Place) -> None:
    if set(map(type, values)) != {str} or "" in values:
        i = _first(values, lambda value: not isinstance(value, str) or not value)
        if i is not None:
            place.refuse(i, name, values[i], _expected(name))


def _first(values: Sequence[Any], is_wrong: Callable[[Any], bool]) -> int | None:
    return next((i for i, value in enumerate(values) if is_wrong(value)), None)


# --- The next track -----------------------------------------------------------------------------------------


def _next_ids(ids: Sequence[str], given: Sequence[Any] | None, features: Mapping[int, Any]) -> list[str]:
    """Id of each session's next track, the empty text, which is no id, where its features are given."""
    texts = [None] * len(ids) if given is None else given
    for number, text in enumerate(texts):
        if number in features:
            if not _is_absent(text):
                found = _Words(f"{shown_value(text)} beside {NEXT_TRACK}")
                expected = f"either the id of a track, or its features as {NEXT_TRACK}"
                _refuse(ids, number, NEXT_TRACK_ID, found, expected)
        elif not isinstance(text, str) or not text:
            expected = f"a text that is not empty, or the track's features as {NEXT_TRACK}"
            _refuse(ids, number, NEXT_TRACK_ID, text, expected)
    return ["" if number in features else text for number, text in enumerate(texts)]


def _is_absent(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _next_features(ids: Sequence[str], given: Sequence[Any] | None) -> dict[int, Mapping[str, Any]]:
    """Raw features by number of the session."""
    found: dict[int, Mapping[str, Any]] = {}
    for number, features in enumerate(given if given is not None else ()):
        if _is_absent(features):
            continue
        if not isinstance(features, Mapping):
            _refuse(ids, number, NEXT_TRACK, features, "an object with the features' columns")
        found[number] = {
            name: _feature(ids, number, name, features.get(name)) for name in schema.TRACK_ATTRIBUTES
        }
    return found


def _feature(ids: Sequence[str], number: int, name: str, value: Any) -> float | int | str:
    dtype = schema.TRACK_FEATURES.field(name).type
    if not _is_feature(value, dtype):
        _refuse(ids, number, f"{NEXT_TRACK}.{name}", value, _EXPECTED_FEATURE[_kind(dtype)])
    made: float | int | str = {"text": str, "integer": int, "number": float}[_kind(dtype)](value)
    return made


_EXPECTED_FEATURE: Final = {
    "text": "a text that is not empty",
    "integer": "a whole number of its column's type",
    "number": "a finite number",
}


def _kind(dtype: pa.DataType) -> str:
    if pa.types.is_string(dtype):
        return "text"
    return "integer" if pa.types.is_integer(dtype) else "number"


def _is_feature(value: object, dtype: pa.DataType) -> bool:
    kind = _kind(dtype)
    if kind == "text":
        return isinstance(value, str) and bool(value)
    if isinstance(value, bool | np.bool_):
        return False
    if kind == "integer":
        limits = np.iinfo(dtype.to_pandas_dtype())
        return isinstance(value, int | np.integer) and limits.min <= int(value) <= limits.max
    largest = float(np.finfo(dtype.to_pandas_dtype()).max)
    return isinstance(value, int | float | np.integer | np.floating) and abs(float(value)) <= largest


class _Words(str):
    """What a message says of a value that is not shown itself."""

    __slots__ = ()


def _refuse(ids: Sequence[str], number: int, name: str, value: object, expected: str) -> NoReturn:
    words = _Words("missing") if value is None else value
    found = words if isinstance(words, _Words) else shown_value(words)
    raise BadInputError(
        f"session {number} of the request ({schema.SESSION_ID} {shown_value(ids[number])}): {name} is "
        f"{found}, expected {expected}. {_REMEDY}"
    )
