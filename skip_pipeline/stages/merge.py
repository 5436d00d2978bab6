"""Every log row with the features of its track: 21 + 29 = 50 columns, one row per log row."""

import datetime as dt
from collections.abc import Collection
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError
from skip_pipeline.raw.diagnosis import rows_text
from skip_pipeline.raw.session_log import load_session_log
from skip_pipeline.raw.text_columns import dictionary_of, dictionary_text, text_of
from skip_pipeline.settings import TRACK_FEATURES, DataSource
from skip_pipeline.stages.shards import table_file, write_hashes
from skip_pipeline.stages.track_table import track_columns
from skip_pipeline.storage import Made, read_table, write_table

MERGED: Final = dictionary_text(schema.MERGED)
"""``schema.MERGED`` in memory."""


def merge(log: pa.Table, tracks: pa.Table, *, shard: str) -> pa.Table:
    """Look up each row's track and append its attributes: ``MERGED``, rows in the log's order.

    Args:
        log: ``schema.SESSION_LOG``; text as strings or dictionaries.
        tracks: ``schema.TRACK_FEATURES``, each track id once; text likewise.
        shard: the log file, for messages.

    Raises:
        BadInputError: a track of the log is not among the track features.
    """
    played = log[schema.LOG_TRACK_ID].cast(pa.string())
    ids = tracks[schema.TRACK_ID].cast(pa.string()).combine_chunks()
    row_of_track = pc.index_in(played, value_set=ids)
    if row_of_track.null_count:
        raise BadInputError(_without_features(played, row_of_track.is_null(), shard))
    rows = row_of_track.combine_chunks()
    features = tracks.select(schema.NUMERIC_TRACK_FEATURES).take(rows)
    mode = dictionary_of(tracks["mode"])
    columns = {name: log[name] for name in log.column_names}
    columns |= {n: dictionary_of(log[n]) for n in text_of(schema.SESSION_LOG) if n != schema.LOG_TRACK_ID}
    columns |= {name: features[name] for name in schema.NUMERIC_TRACK_FEATURES}
    columns[schema.LOG_TRACK_ID] = _played(ids, rows.to_numpy())
    columns["mode"] = pa.DictionaryArray.from_arrays(mode.indices.take(rows), mode.dictionary)
    return pa.Table.from_arrays([columns[name] for name in MERGED.names], schema=MERGED)


def _played(ids: pa.StringArray, rows: np.ndarray) -> pa.DictionaryArray:
    """Ids of the tracks in some rows of the track table; a dictionary of those alone, in its order."""
    played = np.zeros(len(ids), bool)
    played[rows] = True
    codes = np.cumsum(played, dtype=np.int32) - np.int32(1)
    return pa.DictionaryArray.from_arrays(pa.array(codes[rows]), ids.filter(pa.array(played)))


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


def merge_shard(
    raw: Path,
    *,
    among: tuple[Path, ...],
    tracks: Path,
    out: Path,
    today: dt.date,
    unknown: Collection[str],
    data_source: DataSource,
) -> Made:
    """Read and judge one session log (``load_session_log``), and merge it with the track table.

    Args:
        unknown: columns in which a value may be missing, and is null.
    """
    log, summary = load_session_log(raw, among=among, today=today, may_be_empty=unknown)
    name = table_file(raw)
    merged = merge(log, track_columns(tracks, *schema.TRACK_FEATURES.names), shard=str(raw))
    write_table(merged, out / name, schema.MERGED, data_source=data_source, may_be_null=unknown)
    return Made((name, write_hashes(out, name, summary.session_hashes)), summary.to_json())


def plays_any(shard: Path, tracks: pa.Array) -> bool:
    """Whether a merged shard holds a row of any of these tracks."""
    name = schema.LOG_TRACK_ID
    played = read_table(shard, schema.MERGED, columns=[name], dictionaries=[name])[name]
    return bool(pc.any(pc.is_in(dictionary_of(played).dictionary, value_set=tracks)).as_py())
