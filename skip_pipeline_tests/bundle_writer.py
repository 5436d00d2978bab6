"""Bundles written shard by shard in one process, for tests that start from tables in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.bundles.parts import PartRecord, write_parts
from skip_pipeline.bundles.tracks import write_tracks
from skip_pipeline.stages.bundle import bundle_shard, write_part


class BundleWriter:
    """Writes a bundle's shards one after another, in this process."""

    def __init__(self, bundles_dir: Path, tracks: np.ndarray) -> None:
        """Write the track matrix.

        Args:
            bundles_dir: gets a folder per shard.
            tracks: float32 (tracks, 31), ``track_matrix``.
        """
        self._folder = bundles_dir
        self._tracks = tracks
        self.parts: list[PartRecord] = []
        write_tracks(bundles_dir, tracks)

    @property
    def sessions(self) -> dict[str, int]:
        """Sessions so far, per split."""
        return {split: sum(part.sessions[split] for part in self.parts) for split in schema.SPLITS}

    def add(
        self, name: str, scaled: pa.Table, sessions: pa.Table, track_rows: pa.ChunkedArray | np.ndarray
    ) -> None:
        """Write one shard's part, see ``bundle_shard``."""
        part = bundle_shard(name, scaled, sessions, track_rows=track_rows, tracks=self._tracks)
        self.parts.append(write_part(self._folder, part))

    def close(self) -> None:
        """Write which parts there are; only now can the bundle be opened."""
        write_parts(self._folder, self.parts)
