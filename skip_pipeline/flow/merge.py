"""Every log row with the features of its track: 21 + 29 = 50 columns, one row per log row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError
from skip_pipeline.raw_csv import rows_text


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
        orphans = np.flatnonzero(pc.is_null(row_of_track).to_numpy())
        ids = log[schema.LOG_TRACK_ID]
        raise BadInputError(
            f"{shard}: column {schema.LOG_TRACK_ID} names {len(pc.unique(ids.take(orphans)))} tracks without "
            f"features, in {rows_text(orphans, ids)} (in order of session and position). Expected every "
            "track in track_features; deliver the missing tracks, or remove those sessions"
        )
    attributes = tracks.select(list(schema.TRACK_ATTRIBUTES)).take(row_of_track)
    columns = [*log.columns, *attributes.columns]
    return pa.Table.from_arrays(columns, schema=schema.MERGED)
