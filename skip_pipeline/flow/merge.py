"""Every log row with the features of its track: 21 + 29 = 50 columns, one row per log row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError
from skip_pipeline.raw_csv_diagnosis import rows_text
from skip_pipeline.settings import TRACK_FEATURES


def merge(log: pa.Table, tracks: pa.Table, *, shard: str) -> pa.Table:
    """Look up each row's track and append its attributes.

    Args:
        log: 21 columns (``schema.SESSION_LOG``), n rows.
        tracks: 30 columns (``schema.TRACK_FEATURES``), each track id once.
        shard: the log file, for messages.

    Returns:
        50 columns (``schema.MERGED``), n rows in the log's order.

    Raises:
        BadInputError: a track of the log is not among the track features.
    """
    row_of_track = pc.index_in(log[schema.LOG_TRACK_ID], value_set=tracks[schema.TRACK_ID])
    if row_of_track.null_count:
        raise BadInputError(_without_features(log[schema.LOG_TRACK_ID], row_of_track.is_null(), shard))
    attributes = tracks.select(list(schema.TRACK_ATTRIBUTES)).take(row_of_track)
    columns = [*log.columns, *attributes.columns]
    return pa.Table.from_arrays(columns, schema=schema.MERGED)


def _without_features(ids: pa.ChunkedArray, orphaned: pa.ChunkedArray, shard: str) -> str:
    orphans = np.flatnonzero(orphaned.to_numpy())
    names = ids.take(pa.array(orphans)).to_numpy()
    first = orphans[np.sort(np.unique(names, return_index=True)[1])]
    tracks = "1 track" if len(first) == 1 else f"{len(first)} tracks"
    return (
        f"{shard}: column {schema.LOG_TRACK_ID} names {tracks} without features, first in "
        f"{rows_text(first, ids)} (in order of session and position). Expected every track in a file of the "
        f"folder {TRACK_FEATURES}; deliver what is missing there, or remove those sessions"
    )
