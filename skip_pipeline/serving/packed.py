"""What a served model says of the sessions of today's bundles, scored as its own server would.

It is read from its packed folder, so that what is judged is what would be served: the ONNX network, the
calibration, and the tracks that the model knows in its own scaling. The log branch holds counts and flags and
needs no scaling, so today's parts serve a model of any night.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skip_pipeline import schema
from skip_pipeline.flow.calibrate import Calibration
from skip_pipeline.flow.gather import Bundle
from skip_pipeline.flow.onnx_model import open_onnx, predict_onnx
from skip_pipeline.flow.parts import TRACKS, open_array, open_tracks
from skip_pipeline.serving.package import NEUTRAL_TRACK, TRACK_IDS, describe, load
from skip_pipeline.serving.tracks import sorted_ids
from skip_pipeline.settings import (
    CALIBRATION_FILE,
    DECISION_THRESHOLD,
    ONNX_FILE,
    TRACK_TABLE,
    DataLayout,
    DataSource,
)
from skip_pipeline.storage import read_json, read_table


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
        load(folder)
        described = describe(folder)
        self.data_source: DataSource = described.data_source
        self.fingerprint = described.fingerprint
        self.bundles = described.bundles
        self._network = open_onnx(folder / ONNX_FILE)
        self._matrix = open_tracks(folder / TRACKS)
        self._ids = open_array(folder / TRACK_IDS)
        self._neutral = open_array(folder / NEUTRAL_TRACK)
        corrected = CALIBRATION_FILE in {record.name for record in described.files}
        self._calibration = Calibration.from_json(read_json(folder / CALIBRATION_FILE)) if corrected else None

    @property
    def threshold(self) -> float:
        """Probability from which on it predicts "not skipped"."""
        return self._calibration.threshold if self._calibration else DECISION_THRESHOLD

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
        rows, known = self._rows(track_ids)
        matrix = np.where(known[:, None], self._matrix[rows], self._neutral)  # (tracks, 31), today's order
        own = Bundle(matrix, list(sessions.parts))
        inputs = own if chosen is None else {name: own[name][chosen] for name in schema.BRANCH_SHAPES}
        p = predict_onnx(self._network, inputs)
        return p if self._calibration is None else self._calibration.apply(p)

    def _rows(self, track_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row of each track, any for one that it does not know, and whether it knows it."""
        at = np.minimum(np.searchsorted(self._ids, track_ids), len(self._ids) - 1)
        return at, self._ids[at] == track_ids


def todays_track_ids(layout: DataLayout) -> np.ndarray:
    """Ids of the track table in its order, UTF-8 bytes (tracks,).

    Raises:
        MissingInputError, ContractError: see ``storage.read_table``.
    """
    table = read_table(layout.merged / TRACK_TABLE, schema.TRACK_FEATURES, columns=[schema.TRACK_ID])
    return sorted_ids(table[schema.TRACK_ID])
