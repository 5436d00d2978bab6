"""The track matrix of the bundles: every track of the track table, scaled once for all shards."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.bundles.parts import GROUPS, TRACKS
from skip_pipeline.stages.scale import Scaler
from skip_pipeline.storage import Made, map_array, read_json, read_table, write_array


def scale_tracks(tracks: pa.Table, scaler: Scaler) -> np.ndarray:
    """The track matrix, float32 (tracks, 31): bit for bit each track's features in the scaled table.

    Args:
        tracks: the track table (``schema.TRACK_FEATURES``), in the order of the tracks' codes.
    """
    matrix = np.empty((tracks.num_rows, len(schema.TRACK_BRANCH)), np.float32)
    wide = np.empty(tracks.num_rows)
    codes = {schema.LOG_TRACK_ID: pa.chunked_array([np.arange(tracks.num_rows)])}
    # TRACK_BRANCH is SCALED_FEATURES and the indicators of the mode.
    for i, name in enumerate(schema.SCALED_FEATURES):
        scaler.scale_column(i, codes[name] if name in codes else tracks[name], out=wide)
        matrix[:, i] = wide
    for i, level in enumerate(schema.LEVELS["mode"], len(schema.SCALED_FEATURES)):
        matrix[:, i] = pc.equal(tracks["mode"], level).to_numpy()
    return matrix


def make_matrix(*, tracks: Path, scaler: Path, out: Path) -> Made:
    """Write the track matrix below ``out``, from the track table and the JSON of the scaler."""
    matrix = scale_tracks(read_table(tracks, schema.TRACK_FEATURES), Scaler.from_json(read_json(scaler)))
    write_array(out / TRACKS, matrix)
    return Made((TRACKS,), {"tracks": len(matrix)})


def copy_groups(*, groups: Path, out: Path) -> Made:
    """Copy the groups of tracks, which lie in the order of the matrix."""
    write_array(out / GROUPS, map_array(groups))
    return Made((GROUPS,), {})
