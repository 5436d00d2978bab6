"""Reading the delivered track features: all files as one table, in the order of the tracks' codes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError
from skip_pipeline.raw.csv_file import read_csv
from skip_pipeline.raw.diagnosis import rows_text, shown_value
from skip_pipeline.raw.text_columns import dictionary_text, take_rows

TRACK_FEATURES: Final = dictionary_text(schema.TRACK_FEATURES, plain=schema.TRACK_ID)
"""``schema.TRACK_FEATURES`` in memory; ids come once each, so a dictionary of them would save nothing."""


def read_track_features(paths: Sequence[Path], *, may_be_empty: Collection[str] = ()) -> pa.Table:
    """Read all track feature files as one table of 30 columns (``TRACK_FEATURES``), sorted by track id.

    A track's row number in it is the track's ordinal code.

    Args:
        may_be_empty: columns in which a value may be missing (``raw.own_listening``).

    Raises:
        MissingInputError: a file is not there.
        BadInputError: a file breaks the contract (see ``read_csv``), or a track is listed twice.
    """
    tables = [
        read_csv(path, TRACK_FEATURES, {}, ids=(schema.TRACK_ID,), may_be_empty=may_be_empty)
        for path in paths
    ]
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


def _listed_twice(tables: dict[Path, pa.Table], repeated: pa.Array) -> str:
    of_file = {p: np.flatnonzero(pc.equal(t[schema.TRACK_ID], repeated[0])) for p, t in tables.items()}
    places = "; ".join(f"{path} {rows_text(rows)}" for path, rows in of_file.items() if len(rows))
    others = len(repeated) - 1
    more = f", and {others} other track{'' if others == 1 else 's'}" if others else ""
    return (
        f"column {schema.TRACK_ID} lists {shown_value(repeated[0].as_py())} more than once ({places}){more}; "
        "expected each track once. Remove the repeated rows"
    )
