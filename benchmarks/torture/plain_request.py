"""Whether a body is a request that the server has to answer, decided the obvious way, value by value."""

import json
import math
from typing import Any, Final

import numpy as np
import pyarrow as pa

from skip_pipeline import schema

_FLAGS: Final = (
    "skip_1",
    "skip_2",
    "skip_3",
    "not_skipped",
    "context_switch",
    "hist_user_behavior_is_shuffle",
)
_PAUSES: Final = tuple(f"{length}_pause_before_play" for length in ("no", "short", "long"))
_SEEKS: Final = ("hist_user_behavior_n_seekfwd", "hist_user_behavior_n_seekback")
_TEXTS: Final = (
    *("track_id_clean", "context_type"),
    *("hist_user_behavior_reason_start", "hist_user_behavior_reason_end"),
)
_FIELDS: Final = ("session_id", "history")
_NEXTS: Final = ("next_track_id", "next_track", "candidates")


def is_right(body: bytes) -> bool:
    """Whether a body is JSON in one of the forms, and every session of it is as documented."""
    try:
        content = json.loads(body, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        return False
    forms = [form for form in ("dataframe_records", "dataframe_split", "inputs") if form in content]
    if not isinstance(content, dict) or len(forms) != 1:
        return False
    records = content[forms[0]]
    if forms == ["inputs"] and isinstance(records, dict):
        records = [records]
    if forms == ["dataframe_split"]:
        records = _of_frame(records)
    return isinstance(records, list) and len(records) > 0 and all(map(_is_session, records))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name twice")
    return dict(pairs)


def _of_frame(frame: Any) -> Any:
    try:
        names, rows = frame["columns"], frame["data"]
        if len(set(names)) == len(names) and all(isinstance(name, str) for name in names):
            return [dict(zip(names, row, strict=True)) for row in rows if isinstance(row, list) or 1 / 0]
    except (TypeError, KeyError, ValueError, ZeroDivisionError):
        pass
    return None


def _is_session(record: Any) -> bool:
    if not isinstance(record, dict) or not {*_FIELDS} <= {*record} <= {*_FIELDS, *_NEXTS}:
        return False
    given = {name: record[name] for name in _NEXTS if name in record and not _is_unknown(record[name])}
    history = record["history"]
    if len(given) != 1 or not _is_text(record["session_id"]) or not isinstance(history, list):
        return False
    if not 1 <= len(history) <= 19 or not all(map(_is_row, history)):
        return False
    if [row["session_position"] for row in history] != [*range(1, len(history) + 1)]:
        return False
    if any(row.get("session_id", record["session_id"]) != record["session_id"] for row in history):
        return False
    lengths = {None if _is_unknown(row.get("session_length")) else row["session_length"] for row in history}
    if len(lengths) > 1 or not (lengths == {None} or _is_whole(lengths.pop(), len(history) + 1, 20)):
        return False
    ((name, track),) = given.items()
    if name != "candidates":
        return _is_text(track) if name == "next_track_id" else _is_track(track)
    if not isinstance(track, list) or not 1 <= len(track) <= 1_000:
        return False
    keys = [_key(one) for one in track]
    return all(_is_text(one) or _is_track(one) for one in track) and len(set(keys)) == len(keys)


def _key(track: Any) -> Any:
    return (
        repr(track)
        if not isinstance(track, dict)
        else tuple(map(str, map(track.get, schema.TRACK_ATTRIBUTES)))
    )


def _is_row(row: Any) -> bool:
    if not isinstance(row, dict):
        return False
    missing = object()
    return (
        _is_whole(row.get("session_position", missing), 1, 19)
        and all(_is_flag(row.get(name, missing)) for name in (*_FLAGS, *_PAUSES))
        and all(_is_whole(row.get(name, missing), 0, 2**31 - 1) for name in _SEEKS)
        and all(_is_text(row.get(name, missing)) for name in _TEXTS)
        and (_is_unknown(row.get("hour_of_day")) or _is_whole(row["hour_of_day"], 0, 23))
        and (_is_unknown(row.get("premium")) or _is_flag(row["premium"]))
        and (_is_unknown(row.get("session_length")) or _is_whole(row["session_length"], 2, 20))
    )


def _is_track(track: Any) -> bool:
    return isinstance(track, dict) and all(
        name in track and _is_feature(track[name], schema.TRACK_FEATURES.field(name).type)
        for name in schema.TRACK_ATTRIBUTES
    )


def _is_feature(value: Any, kind: pa.DataType) -> bool:
    if pa.types.is_string(kind):
        return _is_text(value)
    if pa.types.is_integer(kind):
        bounds = np.iinfo(kind.to_pandas_dtype())
        return _is_whole(value, bounds.min, bounds.max)
    largest = float(np.finfo(np.float32).max)
    return type(value) in (int, float) and -largest <= value <= largest


def _is_unknown(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _is_text(value: Any) -> bool:
    if not isinstance(value, str) or not value:
        return False
    return not any(0xD800 <= ord(c) <= 0xDFFF for c in value)


def _is_whole(value: Any, low: int, high: int) -> bool:
    return type(value) in (int, float) and low <= value <= high and value == int(value)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool) or _is_whole(value, 0, 1)
