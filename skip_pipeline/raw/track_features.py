"""Reading the delivered track features: all files as one table, in the order of the tracks' codes."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError
from skip_pipeline.raw.csv_file import column_names, read_csv
from skip_pipeline.raw.diagnosis import ROWS, rows_text, shown_value
from skip_pipeline.raw.oddities import without_midnight
from skip_pipeline.raw.spelling import typed
from skip_pipeline.raw.text_columns import DICTIONARY, dictionary_text, take_rows

TRACK_FEATURES: Final = dictionary_text(schema.TRACK_FEATURES, plain=schema.TRACK_ID)
"""``schema.TRACK_FEATURES`` in memory; ids come once each, so a dictionary of them would save nothing."""


_YEAR: Final = TRACK_FEATURES.field("release_year")
_DATE: Final = pa.field(schema.RELEASE_DATE, DICTIONARY)
_DATE_FORM: Final = r"^\d{4}(\.0*|(-\d{2}){0,2})$"  # of years alone, pandas may write 1962.0


def read_track_features(paths: Sequence[Path], *, may_be_empty: Collection[str] = ()) -> pa.Table:
    """Read all track feature files as one table of 30 columns (``TRACK_FEATURES``), sorted by track id.

    A track's row number in it is the track's ordinal code. A file of the release with names is read too
    (``schema.RELEASE_DATE``); its names are not read.

    Args:
        may_be_empty: columns in which a value may be missing (``raw.own_listening``).

    Raises:
        MissingInputError: a file is not there.
        BadInputError: a file breaks the contract (see ``read_csv``), or a track is listed twice.
    """
    tables = [_read(path, may_be_empty) for path in paths]
    everything = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    ids = everything[schema.TRACK_ID].chunk(0)
    if pc.all(pc.less(ids[:-1], ids[1:]), min_count=0).as_py():  # as each published file is
        return everything
    order = pc.sort_indices(ids)
    ordered = ids.take(order)
    repeated = ordered[1:].filter(pc.equal(ordered[1:], ordered[:-1]))
    if len(repeated):
        raise BadInputError(_listed_twice(dict(zip(paths, tables, strict=True)), repeated.unique()))
    return take_rows(everything, order.to_numpy())


def _read(path: Path, may_be_empty: Collection[str]) -> pa.Table:
    """One file, of either release, as ``TRACK_FEATURES``."""
    names = column_names(path)
    ids = (schema.TRACK_ID,)
    if schema.RELEASE_DATE not in names or _YEAR.name in names:
        return read_csv(path, TRACK_FEATURES, {}, ids=ids, may_be_empty=may_be_empty)
    dated = pa.schema(_DATE if field == _YEAR else field for field in TRACK_FEATURES)
    table = read_csv(path, dated, {}, ids=ids, may_be_empty=may_be_empty, ignored=schema.TRACK_NAMES)
    place = TRACK_FEATURES.get_field_index(_YEAR.name)
    return table.set_column(place, _YEAR, _years(path, table[schema.RELEASE_DATE], may_be_empty))


def _years(path: Path, dates: pa.ChunkedArray, may_be_empty: Collection[str]) -> pa.ChunkedArray:
    dates = without_midnight(dates).cast(pa.string())
    good = pc.match_substring_regex(dates, _DATE_FORM)
    if _YEAR.name in may_be_empty:
        good = pc.or_(good, pc.equal(dates, ""))
    wrong = np.flatnonzero(pc.invert(good))
    if len(wrong):
        raise BadInputError(
            f"{path}: column {schema.RELEASE_DATE} is not a date as 1962, 1962-05 or 1962-05-14 in "
            f"{rows_text(wrong, dates)}; correct {ROWS}"
        )
    return typed(pc.utf8_slice_codeunits(dates, 0, 4), _YEAR.type)


def _listed_twice(tables: dict[Path, pa.Table], repeated: pa.Array) -> str:
    of_file = {p: np.flatnonzero(pc.equal(t[schema.TRACK_ID], repeated[0])) for p, t in tables.items()}
    places = "; ".join(f"{path} {rows_text(rows)}" for path, rows in of_file.items() if len(rows))
    others = len(repeated) - 1
    more = f", and {others} other track{'' if others == 1 else 's'}" if others else ""
    return (
        f"column {schema.TRACK_ID} lists {shown_value(repeated[0].as_py())} more than once ({places}){more}; "
        "expected each track once. Remove the repeated rows"
    )
