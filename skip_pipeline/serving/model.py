"""A served model in memory: sessions in, the probability of a skip out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.gather import Bundle
from skip_pipeline.bundles.track_memory import Remembered, TrackMemory
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.serving.requests import sessions_of_records
from skip_pipeline.serving.sessions import Sessions, branches
from skip_pipeline.serving.tracks import KnownTracks
from skip_pipeline.settings import DECISION_THRESHOLD, PREDICTION_BATCH_SIZE, DataSource
from skip_pipeline.training.onnx_model import predict_onnx, predict_tracks


@dataclass(frozen=True)
class Scores:
    """Answers for m sessions, in their order."""

    p_skip: np.ndarray  # float64 (m,), probability that the next track is skipped: 1 - p_not_skipped
    known_track: np.ndarray  # bool (m,), whether the next track is in the table, or its features are given
    unknown_levels: int  # values outside the vocabulary in all sessions


@dataclass(frozen=True)
class ServedModel:
    """A model opened by ``load``. Several threads may use it at once."""

    network: Any  # ONNX session
    tracks: KnownTracks
    calibration: Calibration | None  # None if the network's own probabilities are used
    data_source: DataSource  # of the training data
    fingerprint: str  # SHA-256 of the model's files, in hex
    bundles: str  # fingerprint of the bundles that the model was trained on

    @property
    def threshold(self) -> float:
        """The model predicts "not skipped" where ``p_not_skipped`` is at least this."""
        return self.calibration.threshold if self.calibration else DECISION_THRESHOLD

    def score_records(self, records: object) -> Scores:
        """Score a list of ``requests.Session`` objects; ``sessions_of_records`` refuses anything else."""
        return self.score(sessions_of_records(records))

    def score(self, sessions: Sessions, *, threads: int = 1) -> Scores:
        """Score sessions; the result does not depend on the number of threads."""
        track_rows = self.tracks.rows_of(sessions.track_ids)
        n = len(sessions)
        p_not_skipped = np.empty(n)

        def score(start: int) -> None:
            own = slice(start, min(start + PREDICTION_BATCH_SIZE, n))
            p_not_skipped[own] = predict_onnx(self.network, self._inputs(sessions, own, track_rows))

        with ThreadPoolExecutor(threads) as pool:
            list((pool.map if threads > 1 else map)(score, range(0, n, PREDICTION_BATCH_SIZE)))
        known = track_rows[sessions.next_track] >= 0
        known[list(sessions.next_features)] = True
        return Scores(1 - self._calibrated(p_not_skipped), known, sessions.unknown_levels)

    def inputs(self, sessions: Sessions) -> dict[str, np.ndarray]:
        """The network's inputs: float32 (m, …), ``schema.INPUT_SHAPES``."""
        return self._inputs(sessions, slice(0, len(sessions)), self.tracks.rows_of(sessions.track_ids))

    def predict_bundle(
        self, sessions: Bundle, track_ids: np.ndarray, chosen: np.ndarray | None = None
    ) -> np.ndarray:
        """``p_not_skipped`` of bundled sessions' last tracks, as the server would answer: float64 (n,)."""
        return self.predict_bundle_tracks(sessions, track_ids, chosen)[:, -1]

    def predict_bundle_tracks(
        self, sessions: Bundle, track_ids: np.ndarray, chosen: np.ndarray | None = None
    ) -> np.ndarray:
        """``p_not_skipped`` of every track of bundled sessions, from those before it: float64 (n, 20).

        All but the last column are NaN of a network that answers the last track alone. Values in padding have
        no meaning. The bundle may be newer than the model: tracks are found by id in the model's own table
        and scaling.

        Args:
            sessions: of a bundle.
            track_ids: ids of the bundle's tracks, UTF-8 bytes (tracks,), in its order.
            chosen: int (n,), numbers of sessions.
        """
        rows = self.tracks.rows_of_bytes(track_ids)
        matrix = np.where((rows >= 0)[:, None], self.tracks.matrix[np.maximum(rows, 0)], self.tracks.neutral)
        memory = TrackMemory(self.tracks.memory_of(rows), np.empty(0))
        bundle = Remembered(Bundle(matrix, list(sessions.parts)), memory)
        inputs = bundle if chosen is None else {name: bundle[name][chosen] for name in schema.INPUT_SHAPES}
        p_not_skipped = predict_tracks(self.network, inputs)
        answered = ~np.isnan(p_not_skipped)
        p_not_skipped[answered] = self._calibrated(p_not_skipped[answered])
        return p_not_skipped

    def _calibrated(self, p_not_skipped: np.ndarray) -> np.ndarray:
        return p_not_skipped if self.calibration is None else self.calibration.apply(p_not_skipped)

    def _inputs(self, sessions: Sessions, own: slice, track_rows: np.ndarray) -> dict[str, np.ndarray]:
        made = branches(sessions, own, track_rows, self.tracks)
        given = [number for number in sessions.next_features if own.start <= number < own.stop]
        if given:
            features = [sessions.next_features[number] for number in given]
            made["last_track"][np.array(given) - own.start] = self.tracks.scaled(features)
        return made
