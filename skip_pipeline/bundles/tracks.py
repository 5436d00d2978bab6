"""Every track's scaled features, once: what a bundle's rows point into."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.bundles.parts import TRACKS
from skip_pipeline.locations import make_folder
from skip_pipeline.storage import write_array

_TRACKS_AT_ONCE: Final = 65_536  # scaled in 25 MB, whatever the number of tracks


class RowScaler(Protocol):
    """What scales encoded rows (``stages.scale.Scaler``)."""

    def apply(self, encoded: pa.Table) -> tuple[pa.Table, int]:
        """69 columns (``schema.ENCODED``) to 69 (``schema.SCALED``), and how many values were clipped."""
        ...


def track_matrix(tracks: pa.Table, scaler: RowScaler) -> np.ndarray:
    """Scaled features of every track, equal to those of its rows in the scaled table bit for bit.

    They are a function of the track alone, and computed by what scales the rows: the scaler sees a log in
    which every track is played once.

    Args:
        tracks: the track table (``schema.TRACK_FEATURES``), in the order of the tracks' codes.

    Returns:
        float32 (tracks, 31), ``schema.TRACK_BRANCH``.
    """
    matrix = np.empty((tracks.num_rows, len(schema.TRACK_BRANCH)), np.float32)
    for start in range(0, tracks.num_rows, _TRACKS_AT_ONCE):
        some = tracks.slice(start, _TRACKS_AT_ONCE)
        scaled, _ = scaler.apply(_played_once(some, first_code=start))
        for i, name in enumerate(schema.TRACK_BRANCH):
            matrix[start : start + some.num_rows, i] = scaled[name].to_numpy()
    return matrix


def _played_once(tracks: pa.Table, first_code: int) -> pa.Table:
    n = tracks.num_rows
    columns: dict[str, Any] = {name: tracks[name] for name in schema.NUMERIC_TRACK_FEATURES}
    columns[schema.LOG_TRACK_ID] = np.arange(first_code, first_code + n, dtype=np.int32)
    for level, name in zip(schema.LEVELS["mode"], schema.indicators("mode"), strict=True):
        columns[name] = pc.equal(tracks["mode"], level).cast(pa.int8())
    nothing = np.zeros(n, np.int8)
    return pa.table(
        {
            f.name: pa.array(nothing, f.type) if f.name not in columns else columns[f.name]
            for f in schema.ENCODED
        }
    ).cast(schema.ENCODED)


def write_tracks(bundles_dir: Path, tracks: np.ndarray) -> None:
    """Write the matrix that all parts share; the folder is made if it is not there."""
    make_folder(bundles_dir)
    write_array(bundles_dir / TRACKS, tracks)
