"""The track matrix of the bundles: every track of the track table, scaled once for all shards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.bundles.parts import TRACKS, write_tracks
from skip_pipeline.stages.scale import Scaler, scale_features
from skip_pipeline.storage import Made, read_json, read_table


def scale_tracks(tracks: pa.Table, scaler: Scaler) -> np.ndarray:
    """The track matrix: each track's features, bit for bit those of its rows in the scaled table.

    Args:
        tracks: the track table (``schema.TRACK_FEATURES``), in the order of the tracks' codes.

    Returns:
        float32 (tracks, 31), ``schema.TRACK_BRANCH``.
    """
    matrix = np.empty((tracks.num_rows, len(schema.TRACK_BRANCH)), np.float32)
    wide = np.empty(tracks.num_rows)
    for i, name in enumerate(schema.TRACK_BRANCH):
        if name in schema.SCALED_FEATURES:
            codes = name == schema.LOG_TRACK_ID
            values = np.arange(tracks.num_rows) if codes else tracks[name].to_numpy()
            feature = schema.SCALED_FEATURES.index(name)
            scale_features(values, scaler.low[feature], scaler.high[feature], out=wide)
            matrix[:, i] = wide
    for level, name in zip(schema.LEVELS["mode"], schema.indicators("mode"), strict=True):
        matrix[:, schema.TRACK_BRANCH.index(name)] = pc.equal(tracks["mode"], level).to_numpy()
    return matrix


def make_matrix(*, tracks: Path, scaler: Path, out: Path) -> Made:
    """Write the track matrix.

    Args:
        tracks: the track table, sorted by id.
        scaler: JSON of the scaler that has scaled the table.
        out: folder that gets the matrix.
    """
    matrix = scale_tracks(read_table(tracks, schema.TRACK_FEATURES), Scaler.from_json(read_json(scaler)))
    write_tracks(out, matrix)
    return Made((TRACKS,), {"tracks": len(matrix)})
