"""Reading a table that somebody made of an Extended streaming history: CSV or parquet, one row per play."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from skip_pipeline.errors import BadInputError
from skip_pipeline.raw.csv_file import column_names
from skip_pipeline.raw.diagnosis import listed, rows_text, unreadable
from skip_pipeline.raw.parquet_file import is_parquet, read_parquet
from skip_pipeline.raw.spelling import refused_rows, typed
from skip_pipeline.raw.unpacking import open_table
from skip_pipeline.streaming_history.plays import LONGEST_PLAY, not_times, records

_NAMES: Final = {
    "ts": ("ts",),
    "ms_played": ("ms_played",),
    "spotify_track_uri": ("spotify_track_uri", "track_uri", "track_id"),
    "reason_start": ("reason_start",),
    "reason_end": ("reason_end",),
    "shuffle": ("shuffle",),
    "master_metadata_track_name": ("master_metadata_track_name", "track_name"),
    "master_metadata_album_artist_name": ("master_metadata_album_artist_name", "artist_name"),
    "master_metadata_album_album_name": ("master_metadata_album_album_name", "album_name"),
    "episode_name": ("episode_name",),
    "spotify_episode_uri": ("spotify_episode_uri",),
    "audiobook_title": ("audiobook_title",),
    "audiobook_uri": ("audiobook_uri",),
}
"""Names under which a column of the export is found; the first that is there is read."""

_NEEDED: Final = ("ts", "ms_played", "spotify_track_uri", "reason_start", "reason_end", "shuffle")
_NO_TEXT: Final = ("ts", "ms_played")
_TRUE: Final = ("true", "1", "1.0")
_FALSE: Final = ("false", "0", "0.0")

# As spreadsheets write times in America and Europe; which number is the day, the whole column tells.
_DAY_AND_MONTH: Final = (
    r"^(?P<a>\d{1,2})(?P<mark>[/.])(?P<b>\d{1,2})[/.](?P<year>(?:20)?\d{2}),? "
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?$"
)
_ZONE: Final = re.compile(r"(Z|[+-]\d{2}:?\d{2})$")
_ONE_FORM: Final = "times like 2023-01-31 18:05:59, UTC, all in one form"
_MONTHS: Final = 12
_CENTURY: Final = 2000
_RAGGED: Final = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")
_CORRECT: Final = "Correct or remove those rows"


def read_table(path: Path) -> pa.Table:
    """Records of a table, ``plays.RECORDS``.

    Columns have the names of the export, or ``track_id``, ``track_name``, ``artist_name``, ``album_name``;
    only names of tracks, artists, albums, episodes and audiobooks may be missing. A track is a URI or its 22
    characters. Times are UTC; a zone is applied, seconds may be missing. An empty ``shuffle`` is false in a
    column that holds no false, and unknown in any other.

    Raises:
        BadInputError: no well-formed CSV or parquet, a column that is needed and missing, or a value that is
            not what its column needs. Names file, column and rows.
    """
    found = _parquet(path) if is_parquet(path) else _csv(path)
    place = str(path)
    columns = {name: _text(place, name, values) for name, values in found.items() if name not in _NO_TEXT}
    columns["shuffle"] = _shuffle(place, columns["shuffle"])
    columns["ts"] = _ends(place, found["ts"])
    columns["ms_played"] = _lengths(place, found["ms_played"])
    return records(place, columns)


def _chosen(path: Path, names: Sequence[str]) -> dict[str, str]:
    """Column of the file by name in the export."""
    chosen = {
        name: present[0]
        for name, known in _NAMES.items()
        if (present := [one for one in known if one in names])
    }
    missing = [name for name in _NEEDED if name not in chosen]
    twice = [column for column in chosen.values() if names.count(column) > 1]
    if missing or twice:
        fact = f"misses {listed(missing)}" if missing else f"has {listed(twice)} more than once"
        raise BadInputError(
            f"{path} {fact} among its columns {listed(names)}; expected {', '.join(_NEEDED)}, as the "
            "Extended streaming history names them, separated by commas. Rename or add columns"
        )
    return chosen


def _parquet(path: Path) -> dict[str, pa.ChunkedArray]:
    read = read_parquet(path, lambda names: _chosen(path, names).values())
    return {name: read[column] for name, column in _chosen(path, read.column_names).items()}


def _csv(path: Path) -> dict[str, pa.ChunkedArray]:
    chosen = _chosen(path, column_names(path))
    try:
        with open_table(path) as stream:
            read = pacsv.read_csv(
                stream,
                pacsv.ReadOptions(use_threads=False),  # only then a ragged line is named by its number
                pacsv.ParseOptions(newlines_in_values=True),
                convert_options=pacsv.ConvertOptions(
                    include_columns=list(chosen.values()),
                    column_types=dict.fromkeys(chosen.values(), pa.string()),
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            )
    except pa.ArrowInvalid as refusal:
        ragged = _RAGGED.search(str(refusal))  # the parser's own words quote the row, which may be personal
        fact = "line {0} has {2} values, not {1}".format(*ragged.groups()) if ragged else str(refusal)
        raise BadInputError(
            f"{path} is not a well-formed table: {fact}; expected CSV (UTF-8, commas) or parquet. "
            "Save it again"
        ) from refusal
    except OSError as failure:
        raise unreadable(path, failure) from failure
    return {name: read[column] for name, column in chosen.items()}


def _text(place: str, name: str, values: pa.ChunkedArray) -> pa.Array:
    if len(wrong := refused_rows(values, pa.string())):
        raise _refused(place, name, wrong, values, "text in UTF-8")
    return typed(values, pa.string()).combine_chunks()


def _refused(place: str, name: str, wrong: np.ndarray, values: Any, expected: str) -> BadInputError:
    """Refuse the values whose indices or flags, bool (rows,), are given."""
    rows = rows_text(np.flatnonzero(wrong) if wrong.dtype == bool else wrong, values)
    return BadInputError(f"{place}: column {name} is wrong in {rows}; expected {expected}. {_CORRECT}")


def _shuffle(place: str, values: pa.Array) -> pa.Array:
    lower = pc.utf8_lower(values)
    true, false = (pc.is_in(lower, pa.array(words)) for words in (_TRUE, _FALSE))
    wrong = pc.and_(values.is_valid(), pc.invert(pc.or_(true, false))).to_numpy(zero_copy_only=False)
    if wrong.any():
        raise _refused(place, "shuffle", wrong, values, "true, false, or nothing")
    return pc.if_else(values.is_valid(), true, None) if pc.any(false).as_py() else true


def _lengths(place: str, values: pa.ChunkedArray) -> pa.Array:
    wrong = refused_rows(values, pa.int32())  # whose largest number is LONGEST_PLAY
    lengths = pa.nulls(0) if len(wrong) else typed(values, pa.int32()).combine_chunks()
    if len(wrong) or len(wrong := np.flatnonzero(pc.less(lengths, 0).fill_null(False))):
        expected = f"whole milliseconds from 0 to {LONGEST_PLAY:,}"
        raise _refused(place, "ms_played", wrong, values, expected)
    return lengths.cast(pa.int64())


def _ends(place: str, values: pa.ChunkedArray) -> pa.Array:
    """Times as milliseconds since the epoch."""
    if pa.types.is_timestamp(values.type):
        kind = pa.timestamp("ms", values.type.tz)
        return values.cast(kind, safe=False).cast(pa.int64()).combine_chunks()
    text = _text(place, "ts", values)
    first = next(filter(None, text.to_pylist()), "")
    if re.match(_DAY_AND_MONTH, first):
        return _of_spreadsheet(place, text)
    zone = "UTC" if _ZONE.search(first) else None
    dates = pc.fill_null(pc.invert(pc.match_substring(text, ":")), False).to_numpy(zero_copy_only=False)
    if dates.any():
        raise _refused(place, "ts", dates, text, "a day and a time of day, UTC")
    try:
        return text.cast(pa.timestamp("ms", zone)).cast(pa.int64())
    except pa.ArrowInvalid as refusal:
        raise _refused(place, "ts", not_times(text, zone), text, _ONE_FORM) from refusal


def _of_spreadsheet(place: str, text: pa.Array) -> pa.Array:
    parts = pc.extract_regex(text, _DAY_AND_MONTH)
    number = {
        name: pd.to_numeric(parts.field(name).to_pandas(), errors="coerce").to_numpy(np.float64)
        for name in ("a", "b", "year", "hour", "minute", "second")
    }
    day_first = pc.drop_null(parts.field("mark"))[0].as_py() == "." or np.nanmax(number["a"]) > _MONTHS
    if not day_first and np.nanmax(number["b"]) <= _MONTHS:
        every = text.is_valid().to_numpy(zero_copy_only=False)
        fault = "times like 2023-01-31 18:05, since days and months cannot be told apart"
        raise _refused(place, "ts", every, text, fault)
    day, month = ("a", "b") if day_first else ("b", "a")
    times = pd.to_datetime(
        pd.DataFrame(
            {
                "year": number["year"] % _CENTURY + _CENTURY,
                "month": number[month],
                "day": number[day],
                "hour": number["hour"],
                "minute": number["minute"],
                "second": np.nan_to_num(number["second"]),
            }
        ),
        errors="coerce",
    )
    wrong = text.is_valid().to_numpy(zero_copy_only=False) & times.isna().to_numpy()
    if wrong.any():
        raise _refused(place, "ts", wrong, text, _ONE_FORM)
    return pa.array(times).cast(pa.timestamp("ms")).cast(pa.int64())
