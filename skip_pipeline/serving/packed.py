"""What a served model says of the sessions of today's bundles, scored as its own server would.

It is read from its packed folder, so that what is judged is what would be served: the ONNX network, the
calibration, and the tracks that the model knows in its own scaling. The log branch holds counts and flags and
needs no scaling, so today's parts serve a model of any night.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.gather import Bundle
from skip_pipeline.serving.package import describe, load
from skip_pipeline.serving.tracks import sorted_ids
from skip_pipeline.settings import (
    DECISION_THRESHOLD,
    TRACK_TABLE,
    DataLayout,
    DataSource,
)
from skip_pipeline.storage import read_manifest, read_table
from skip_pipeline.training.onnx_model import predict_onnx


class PackedModel:
    """A served model's folder, opened to score bundles.

    Attributes:
        data_source: of what it was trained on.
        fingerprint: of its files.
        bundles: fingerprint of the bundles that it was trained on.
        threshold: probability from which on it predicts "not skipped".
    """

    def __init__(self, folder: Path) -> None:
        """Open it, after the checks that its server makes.

        Raises:
            MissingInputError, ContractError: see ``serving.package.load``.
        """
        self._served = load(folder)
        self.data_source: DataSource = self._served.data_source
        self.fingerprint = self._served.fingerprint
        self.bundles = describe(folder).bundles

    @property
    def threshold(self) -> float:
        """Probability from which on it predicts "not skipped"."""
        calibration = self._served.calibration
        return calibration.threshold if calibration else DECISION_THRESHOLD

    def knows(self, track_ids: np.ndarray) -> np.ndarray:
        """Whether each track is in its table.

        Args:
            track_ids: UTF-8 bytes (n,).

        Returns:
            bool (n,).
        """
        return self._rows(track_ids)[1]

    def predict(
        self, sessions: Bundle, track_ids: np.ndarray, chosen: np.ndarray | None = None
    ) -> np.ndarray:
        """Probability that each session's last track is played to its end, as served: float64 (n,).

        A track that it does not know stands as its neutral one.

        Args:
            sessions: of today's bundles.
            track_ids: of today's track table, UTF-8 bytes (tracks,), in its order.
            chosen: int (n,), which sessions; None for all.
        """
        own = self._served.tracks
        rows, known = self._rows(track_ids)
        matrix = np.where(known[:, None], own.matrix[rows], own.neutral)  # (tracks, 31), today's order
        bundle = Bundle(matrix, list(sessions.parts))
        inputs = bundle if chosen is None else {name: bundle[name][chosen] for name in schema.BRANCH_SHAPES}
        p = predict_onnx(self._served.network, inputs)
        return p if self._served.calibration is None else self._served.calibration.apply(p)

    def _rows(self, track_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row of each track, any for one that it does not know, and whether it knows it."""
        ids = self._served.tracks.ids
        at = np.minimum(np.searchsorted(ids, track_ids), len(ids) - 1)
        return at, ids[at] == track_ids


def todays_track_ids(layout: DataLayout) -> np.ndarray:
    """Ids of the track table in its order, UTF-8 bytes (tracks,).

    Raises:
        MissingInputError, ContractError: see ``storage.read_table``.
    """
    merged = read_manifest(layout.merged, made_by="merged_table")
    table = read_table(merged.path(TRACK_TABLE), schema.TRACK_FEATURES, columns=[schema.TRACK_ID])
    return sorted_ids(table[schema.TRACK_ID])
