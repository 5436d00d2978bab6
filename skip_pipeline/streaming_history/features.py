"""Track features that somebody has: any table with Spotify's track ids and some of the published columns."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError, MissingInputError
from skip_pipeline.raw.csv_file import column_names
from skip_pipeline.raw.diagnosis import listed, rows_text
from skip_pipeline.raw.parquet_file import is_parquet, read_parquet
from skip_pipeline.raw.spelling import refused_rows, typed
from skip_pipeline.raw.unpacking import open_table

ID_COLUMNS: Final = ("spotify_track_uri", "track_uri", "uri", "track_id", "id")
"""Names of a column of ids or uris, in the order of preference; a plain ``id`` may be a row number."""

ALIASES: Final = {"duration": "duration_ms", "release_year": "year"}
"""Names of Spotify's own interface and of public tables for the same quantity. Its ``popularity`` is none: it
ranks among all tracks of the day of the request, and the published estimate among those of 2018."""

_ID: Final = r"^(?:spotify:track:|https?://open\.spotify\.com/track/)?(?P<id>[0-9A-Za-z]{22})(?:\?.*)?$"
_MODES: Final = {  # the numbers are those of Spotify's interface
    "major": "major",
    "minor": "minor",
    "1": "major",
    "1.0": "major",
    "0": "minor",
    "0.0": "minor",
}

_NOT_FOUND: Final = {"duration": 0, "key": -1, "release_year": 0, "tempo": 0, "time_signature": 0}
"""Numbers by which tables of Spotify's interface say that a value is not known."""

_SHARES: Final = (  # by their definitions
    "acousticness",
    "danceability",
    "energy",
    "instrumentalness",
    "liveness",
    "speechiness",
    "valence",
)
_LARGEST: Final = float(np.finfo(np.float32).max)
_RANGES: Final = {
    "duration": (0.0, 86_400.0),  # seconds; milliseconds under this name are nearly always above
    "release_year": (0.0, 9999.0),
    "key": (-1.0, 11.0),
    "time_signature": (0.0, 127.0),
    **dict.fromkeys(_SHARES, (0.0, 1.0)),
}


@dataclass(frozen=True)
class Features:
    """Track features by Spotify's id.

    Attributes:
        ids: each once, of 22 characters.
        columns: those of ``schema.TRACK_FEATURES`` that the file has, with nulls where a value is missing.
        ignored: names of the file's other columns.
        repeated: rows that are left out, because an earlier row has their id.
    """

    ids: pa.Array
    columns: pa.Table
    ignored: tuple[str, ...]
    repeated: int

    def of(self, spotify: pa.Array) -> tuple[pa.Table, int]:
        """The features of tracks in their order, null where not known, and how many tracks were found."""
        at = pc.index_in(spotify, self.ids)
        return self.columns.take(at), len(at) - at.null_count


def read_features(path: Path) -> Features:
    """Read a CSV or parquet file with a column of ``ID_COLUMNS`` and columns of the track features.

    Of rows with the same id the first counts, as in public tables that list a track once for each genre.

    Raises:
        MissingInputError: the file is not there.
        BadInputError: it is no such table, or a value is not an id, not a number or out of its range.
    """
    table = _read(path)
    names = table.column_names
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise BadInputError(
            f"{path} names columns more than once: {listed(repeated)}; expected each once. Remove the others"
        )
    id_column = next((name for name in ID_COLUMNS if name in names), None)
    if id_column is None:
        raise BadInputError(
            f"{path} has the columns {listed(names)}; expected one of {', '.join(ID_COLUMNS)} with Spotify's "
            "ids or uris of tracks. Rename the column of ids"
        )
    spelled = {name: name if name in names else ALIASES.get(name, name) for name in schema.TRACK_ATTRIBUTES}
    used = {name: found for name, found in spelled.items() if found in names}
    if not used:
        raise BadInputError(
            f"{path} has none of the track features; expected some of {listed(schema.TRACK_ATTRIBUTES)}. "
            "Rename its columns, or leave out --features"
        )
    ids = _ids(path, id_column, table[id_column])
    first = np.unique(pc.index_in(ids, ids.unique()).to_numpy(), return_index=True)[1]
    columns = {name: _feature(path, name, found, table[found]) for name, found in used.items()}
    return Features(
        ids=ids.take(pa.array(first)),
        columns=pa.table(columns).take(pa.array(first)),
        ignored=tuple(name for name in names if name not in (id_column, *used.values())),
        repeated=len(ids) - len(first),
    )


def track_features(ids: pa.Array, spotify: pa.Array, features: Features | None) -> tuple[pa.Table, int]:
    """``schema.TRACK_FEATURES`` of tracks, null where nothing is known; and how many tracks were found.

    Args:
        ids: of the log, one per track.
        spotify: ids of the same tracks in the export.
    """
    known, found = features.of(spotify) if features else (None, 0)
    columns = [
        ids if field.name == schema.TRACK_ID
        else known[field.name].combine_chunks() if known is not None and field.name in known.column_names
        else pa.nulls(len(ids), field.type)
        for field in schema.TRACK_FEATURES
    ]  # fmt: skip
    return pa.Table.from_arrays(columns, schema=schema.TRACK_FEATURES), found


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        fact = "is a folder" if path.is_dir() else "is not there"
        raise MissingInputError(f"{path} {fact}; expected a CSV or parquet file of track features")
    if is_parquet(path):
        return read_parquet(path, lambda names: names)
    column_names(path)  # refuses other formats
    try:
        # Names of tracks may hold line breaks; a column with a value that is no number is read as text.
        with open_table(path) as stream:
            return pacsv.read_csv(
                stream,
                parse_options=pacsv.ParseOptions(newlines_in_values=True),
                convert_options=pacsv.ConvertOptions(column_types=dict.fromkeys(ID_COLUMNS, pa.string())),
            )
    except (pa.ArrowInvalid, OSError) as failure:
        raise BadInputError(
            f"{path} cannot be read as a table ({failure}); expected CSV in UTF-8 with a header line, or "
            "parquet. Save it as one of the two"
        ) from failure


def _ids(path: Path, name: str, column: pa.ChunkedArray) -> pa.Array:
    text = pc.fill_null(_text(path, name, column), "")
    ids = pc.struct_field(pc.extract_regex(text, _ID), "id")
    wrong = np.flatnonzero(ids.is_null())
    if len(wrong):
        raise BadInputError(
            f"{path}: column {name} is not a Spotify id of 22 characters, or a uri or address that ends with "
            f"one, in {rows_text(wrong, text)}; correct or remove those rows"
        )
    return ids


def _feature(path: Path, name: str, found: str, column: pa.ChunkedArray) -> pa.Array:
    """A column of the file as the track feature ``name``; the column is called ``found`` there."""
    kind = schema.TRACK_FEATURES.field(name).type
    if name == "mode":
        return _mode(path, found, column)
    _refuse(path, found, column, pa.float64(), "a number")
    values = typed(column, pa.float64()).combine_chunks()
    values = pc.if_else(pc.is_nan(values), None, values)
    if found == "duration_ms":
        values = pc.divide(values, 1000.0)
    low, high = _RANGES.get(name, (-_LARGEST, _LARGEST))
    good = pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high))
    if pa.types.is_integer(kind):
        good = pc.and_(good, pc.equal(pc.floor(values), values))
    wrong = np.flatnonzero(pc.fill_null(pc.invert(good), False))
    if len(wrong):
        whole = "whole " if pa.types.is_integer(kind) else ""
        unit = " seconds" if name == "duration" else ""
        raise BadInputError(
            f"{path}: column {found} is not a {whole}number from {low:g} to {high:g}{unit} in "
            f"{rows_text(wrong, column)}; correct or remove those rows"
        )
    if name in _NOT_FOUND:
        values = pc.if_else(pc.equal(values, _NOT_FOUND[name]), None, values)
    return values.cast(kind)


def _text(path: Path, name: str, column: pa.ChunkedArray) -> pa.Array:
    _refuse(path, name, column, pa.string(), "text in UTF-8")
    return typed(column, pa.string()).combine_chunks()


def _refuse(path: Path, name: str, column: pa.ChunkedArray, kind: pa.DataType, wanted: str) -> None:
    if len(wrong := refused_rows(column, kind)):
        remedy = "save the file as UTF-8" if pa.types.is_string(kind) else "correct or remove those rows"
        raise BadInputError(f"{path}: column {name} is not {wanted} in {rows_text(wrong, column)}; {remedy}")


def _mode(path: Path, name: str, column: pa.ChunkedArray) -> pa.Array:
    text = _text(path, name, column)
    values = pa.array(_MODES.values()).take(pc.index_in(text, pa.array(_MODES)))
    missing = pc.is_in(text, pa.array([None, "", "nan"], pa.string()))
    wrong = np.flatnonzero(pc.and_(values.is_null(), pc.invert(missing)))
    if len(wrong):
        raise BadInputError(
            f"{path}: column {name} is none of major, minor, 1 and 0 in {rows_text(wrong, text)}; correct or "
            "remove those rows"
        )
    return values
