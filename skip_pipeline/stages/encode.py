"""Encoding: categories as 0/1 indicators, ids as ordinal codes, booleans as 0/1; 69 columns.

A hash of each session's id decides its split here, for good.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.raw.oddities import unknown_levels
from skip_pipeline.raw.text_columns import codes_of, dictionary_of, text_of
from skip_pipeline.settings import SESSIONS_FOLDER, SPLIT_HASH_KEY, SPLIT_SHARES, DataSource
from skip_pipeline.stages.track_table import track_columns
from skip_pipeline.storage import Made, Manifest, read_table, write_table

_HASH_RANGE: Final = 2.0**64

_ZERO_IF_UNKNOWN: Final = tuple(
    name for name in schema.MAY_BE_UNKNOWN if name not in (*schema.NULL_IN_ENCODED, *schema.LEVELS)
)


def encode(merged: pa.Table, track_ids: pa.ChunkedArray) -> pa.Table:
    """Encode one shard of the merged table: ``schema.ENCODED``, rows unchanged in number and order.

    Session codes count from 0 within the shard in order of appearance. A level outside ``schema.LEVELS`` is 0
    in all its indicators. A value that is null is 0, or stays null in ``schema.NULL_IN_ENCODED``.

    Args:
        merged: the columns of ``schema.MERGED``, of which the date is not needed; rows ordered by session
            and position; text as strings or dictionaries.
        track_ids: every track id, sorted; a track's code is its index here.
    """
    columns = {name: merged[name] for name in merged.column_names}
    columns[schema.SESSION_ID] = _sessions(merged)[0]
    played = dictionary_of(merged[schema.LOG_TRACK_ID])
    columns[schema.LOG_TRACK_ID] = pc.index_in(played.dictionary, value_set=track_ids).take(played.indices)
    for column in schema.LEVELS:
        columns.update(_indicators(merged[column], column))
    for name in _ZERO_IF_UNKNOWN:
        if columns[name].null_count:
            columns[name] = columns[name].fill_null(0)
    cast = [columns[field.name].cast(field.type) for field in schema.ENCODED]
    return pa.Table.from_arrays(cast, schema=schema.ENCODED)


def sessions(merged: pa.Table) -> pa.Table:
    """The sessions of one shard, ``schema.SESSIONS``: one row per session, in order of code."""
    _, ids = _sessions(merged)
    splits = split_of(ids.to_numpy(zero_copy_only=False))
    split = pa.DictionaryArray.from_arrays(pa.array(splits, pa.int8()), pa.array(schema.SPLITS))
    codes = pa.array(np.arange(len(ids), dtype=np.int32))
    return pa.Table.from_arrays([ids, codes, split], schema=schema.SESSIONS)


def split_of(session_ids: np.ndarray) -> np.ndarray:
    """Index into ``schema.SPLITS`` (int8) of each session id (object array of str).

    The id's 64-bit SipHash, as a fraction of its range, falls into the cumulated shares of
    ``settings.SPLIT_SHARES``. It depends on the id alone, so a session never changes side as data grows.
    """
    ids = np.asarray(session_ids, dtype=object)
    hashes = pd.util.hash_array(ids, hash_key=SPLIT_HASH_KEY, categorize=False)
    edges = np.cumsum([SPLIT_SHARES[name] for name in schema.SPLITS])[:-1]
    return np.searchsorted(edges, hashes / _HASH_RANGE, side="right").astype(np.int8)


def _sessions(merged: pa.Table) -> tuple[pa.Array, pa.StringArray]:
    """Each row's session code, int32 (rows,), and the sessions' ids, in order of first appearance."""
    ids = dictionary_of(merged[schema.SESSION_ID])
    values = codes_of(ids)
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    # Arrow numbers dictionary values in order of first appearance.
    runs = pa.array(values[starts]).dictionary_encode()
    codes = np.repeat(codes_of(runs), np.diff(starts, append=len(values)))
    return pa.array(codes), ids.dictionary.take(runs.dictionary)


def _indicators(values: pa.ChunkedArray, column: str) -> dict[str, pa.Array]:
    """One int8 column per level; the vocabulary is fixed, so unseen levels are all zeros."""
    text = dictionary_of(values)
    levels = pc.index_in(text.dictionary, value_set=pa.array(schema.LEVELS[column]))
    codes = levels.fill_null(-1).to_numpy().astype(np.int8)[codes_of(text)]
    return {
        name: pa.array((codes == code).view(np.int8)) for code, name in enumerate(schema.indicators(column))
    }


def feature_range(
    encoded: pa.Table, sessions: pa.Table, incomplete: Collection[str] = ()
) -> dict[str, Any] | None:
    """Smallest and largest value of each scaled feature over one shard's rows of training sessions.

    These are ``low`` and ``high``, in the order of ``schema.SCALED_FEATURES``, as JSON values; None where a
    feature is known of no row. ``sum`` and ``known`` are sum and number of the known values of each feature
    of ``incomplete``, by name. None in place of all where no session is for training.
    """
    training = sessions["split"].to_numpy() == "train"
    rows = training[encoded[schema.SESSION_ID].to_numpy()]
    if not rows.any():
        return None
    table = encoded.select(schema.SCALED_FEATURES).filter(pa.array(rows))
    values = [(of.drop_null() if of.null_count else of).to_numpy() for of in table.columns]
    summed = {name: values[schema.SCALED_FEATURES.index(name)] for name in incomplete}
    return {
        "low": [float(of.min()) if len(of) else None for of in values],
        "high": [float(of.max()) if len(of) else None for of in values],
        "sum": {name: float(of.sum(dtype=np.float64)) for name, of in summed.items()},
        "known": {name: len(of) for name, of in summed.items()},
    }


def encode_shard(
    shard: str,
    merged: Manifest,
    *,
    tracks: Path,
    out: Path,
    unknown: Collection[str],
    incomplete: Collection[str],
    data_source: DataSource,
) -> Made:
    """Encode one shard of the merged table, list its sessions, and take its range of features in training.

    Args:
        unknown: columns of the merged table in which a value may be missing.
        incomplete: features that are null for a track (``track_table.incomplete_features``).
    """
    columns = [name for name in schema.MERGED.names if name != schema.DATE]
    text = text_of(schema.MERGED)
    table = read_table(merged.path(shard), schema.MERGED, columns=columns, dictionaries=text)
    encoded = encode(table, track_columns(tracks, schema.TRACK_ID)[schema.TRACK_ID])
    own_sessions = sessions(table)
    write_table(
        encoded, out / shard, schema.ENCODED, data_source=data_source, may_be_null=schema.NULL_IN_ENCODED
    )
    (out / SESSIONS_FOLDER).mkdir()
    write_table(own_sessions, out / SESSIONS_FOLDER / shard, schema.SESSIONS, data_source=data_source)
    levels = unknown_levels(table, may_be_empty=unknown)
    summary = {
        "rows": encoded.num_rows,
        "values_of_unknown_level": sum(sum(counts.values()) for counts in levels.values()),
        "training_range": feature_range(encoded, own_sessions, incomplete),
    }
    return Made((shard, f"{SESSIONS_FOLDER}/{shard}"), summary)
