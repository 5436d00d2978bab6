"""Reading the delivered track features: all files as one table, in the order of the tracks' codes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError
from skip_pipeline.raw.csv_file import read_csv
from skip_pipeline.raw.diagnosis import ROWS, rows_text, shown_value
from skip_pipeline.raw.text_columns import dictionary_text, take_rows

TRACK_FEATURES: Final = dictionary_text(schema.TRACK_FEATURES, plain=(schema.TRACK_ID,))
"""``schema.TRACK_FEATURES`` in memory; ids come once each, so a dictionary of them would save nothing."""


def read_track_features(paths: Sequence[Path]) -> pa.Table:
    """Read all track feature files as one table of 30 columns (``TRACK_FEATURES``), sorted by track id.

    A track's row number in it is the track's ordinal code.

    Raises:
        MissingInputError, BadInputError: see ``csv_file.read_csv``; an empty id; a track listed twice.
    """
    tables = [read_csv(path, TRACK_FEATURES, {}, ids=(schema.TRACK_ID,), remedy=ROWS) for path in paths]
    everything = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    ids = everything[schema.TRACK_ID].chunk(0)
    if pc.all(pc.less(ids[:-1], ids[1:]), min_count=0).as_py():  # as each published file is
        return everything
    order = pc.sort_indices(ids)
    ordered = ids.take(order)
    twins = pc.equal(ordered[1:], ordered[:-1]).to_numpy(zero_copy_only=False)
    if twins.any():
        raise BadInputError(_listed_twice(paths, tables, ordered.filter(pa.array(np.append(False, twins)))))
    return take_rows(everything, order.to_numpy())


def _listed_twice(paths: Sequence[Path], tables: Sequence[pa.Table], repeated: pa.Array) -> str:
    name = repeated[0].as_py()
    places = []
    for path, table in zip(paths, tables, strict=True):
        rows = np.flatnonzero(pc.equal(table[schema.TRACK_ID], name).to_numpy())
        if len(rows):
            places.append(f"{path} {rows_text(rows)}")
    others = len(pc.unique(repeated)) - 1
    more = f", and {others} other track{'' if others == 1 else 's'}" if others else ""
    return (
        f"column {schema.TRACK_ID} lists {shown_value(name)} more than once ({'; '.join(places)}){more}; "
        "expected each track once. Remove the repeated rows"
    )
