"""The track table as the stages use it: its columns, what identifies its codes, what a new one changes."""

import hashlib
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.storage import read_columns, read_table


@lru_cache(maxsize=1)
def track_columns(path: Path, *columns: str) -> pa.Table:
    """Columns of the track table, read once for all shards that a process works on."""
    return read_table(path, schema.TRACK_FEATURES, columns=list(columns), dictionaries=["mode"])


@lru_cache(maxsize=2)  # two stages of a run need that of all tracks, and a stored file never changes
def codes_digest(path: Path, first: int) -> str:
    """Digest of the first ids in their order, and so of these tracks' codes, their row numbers."""
    ids = track_columns(path, schema.TRACK_ID)[schema.TRACK_ID].combine_chunks()[:first]
    joined = pc.binary_join(pa.ListArray.from_arrays([0, len(ids)], ids), "\n")
    return hashlib.sha256(joined[0].as_buffer()).hexdigest()


def incomplete_features(path: Path) -> tuple[str, ...]:
    """Numeric features that are null for a track of the table."""
    columns, _ = read_columns(path)
    return tuple(name for name in schema.NUMERIC_TRACK_FEATURES if columns.field(name).nullable)


def changed_tracks(before: Path, after: Path) -> pa.Array:
    """Ids of the tracks of one track table that are not in another, or have other features there."""
    ids = _column(before, schema.TRACK_ID)
    rows = pc.index_in(ids, value_set=_column(after, schema.TRACK_ID))
    same = rows.is_valid()
    for name in schema.TRACK_FEATURES.names:  # one column of both tables is in memory at a time
        old, new = _column(before, name), _column(after, name).take(rows)
        both_unknown = pc.and_(old.is_null(), new.is_null()) if old.null_count else False
        same = pc.and_(same, pc.coalesce(pc.equal(old, new), both_unknown))
    return ids.filter(pc.invert(same))


def _column(path: Path, name: str) -> pa.Array:
    column = read_table(path, schema.TRACK_FEATURES, columns=[name])[name].combine_chunks()
    # As integers, 0.0 and -0.0 differ.
    return column.view(pa.int32()) if pa.types.is_float32(column.type) else column
