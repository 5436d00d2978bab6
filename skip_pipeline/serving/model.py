"""A served model in memory: sessions in, the probability of a skip out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.serving.requests import sessions_of_columns, sessions_of_records
from skip_pipeline.serving.sessions import Sessions, branches
from skip_pipeline.serving.tracks import KnownTracks
from skip_pipeline.settings import PREDICTION_BATCH_SIZE, DataSource
from skip_pipeline.training.onnx_model import predict_onnx


@dataclass(frozen=True)
class Scores:
    """Answers for m sessions, in their order.

    Attributes:
        p_skip: float64 (m,), probability that the next track is skipped: 1 less ``p_not_skipped``.
        known_track: bool (m,), whether the next track's features were known: from the track table, or given.
        unknown_levels: values outside the vocabulary among all sessions.
    """

    p_skip: np.ndarray
    known_track: np.ndarray
    unknown_levels: int


class ServedModel:
    """What ``load`` opens. Several threads may use it at once.

    A track that is not in the track table, earlier or next, stands as the mean of all plays in training.

    Attributes:
        network: takes the branches, gives ``p_not_skipped`` (``onnx_model.open_onnx``).
        tracks: that it knows.
        calibration: corrects the network's probabilities; None if they stay as they are.
        data_source: of what it was trained on.
        fingerprint: SHA-256 of its files, in hex.
    """

    def __init__(
        self,
        *,
        network: Any,
        tracks: KnownTracks,
        calibration: Calibration | None,
        data_source: DataSource,
        fingerprint: str,
    ) -> None:
        """Put the parts together."""
        self.network = network
        self.tracks = tracks
        self.calibration = calibration
        self.data_source = data_source
        self.fingerprint = fingerprint

    def score_records(self, records: object) -> Scores:
        """Score the sessions of a request given as objects.

        Raises:
            BadInputError: see ``requests.sessions_of_columns``.
        """
        return self.score(sessions_of_records(records))

    def score_columns(self, columns: Mapping[str, Sequence[Any]]) -> Scores:
        """Score the sessions of a request given as columns.

        Raises:
            BadInputError: see ``requests.sessions_of_columns``.
        """
        return self.score(sessions_of_columns(columns))

    def score(self, sessions: Sessions, *, threads: int = 1) -> Scores:
        """Score sessions.

        Args:
            threads: that share the work; the result is the same for any number of them.
        """
        track_rows = self.tracks.rows_of(sessions.track_ids)
        p_not_skipped = np.empty(len(sessions))

        def score(own: slice) -> None:
            inputs = self._inputs(sessions, own, track_rows)
            p_not_skipped[own] = predict_onnx(self.network, inputs)

        n = len(sessions)
        batches = [
            slice(start, min(start + PREDICTION_BATCH_SIZE, n))
            for start in range(0, n, PREDICTION_BATCH_SIZE)
        ]
        if threads == 1 or len(batches) == 1:
            list(map(score, batches))
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(score, batches))
        if self.calibration is not None:
            p_not_skipped = self.calibration.apply(p_not_skipped)
        known = track_rows[sessions.next_track] >= 0
        known[list(sessions.next_features)] = True
        return Scores(1 - p_not_skipped, known, sessions.unknown_levels)

    def inputs(self, sessions: Sessions) -> dict[str, np.ndarray]:
        """The network's inputs of all sessions: float32 (m, …), ``schema.BRANCH_SHAPES``."""
        return self._inputs(sessions, slice(0, len(sessions)), self.tracks.rows_of(sessions.track_ids))

    def _inputs(self, sessions: Sessions, own: slice, track_rows: np.ndarray) -> dict[str, np.ndarray]:
        made = branches(sessions, own, track_rows, self.tracks.matrix, self.tracks.neutral)
        given = [number for number in sessions.next_features if own.start <= number < own.stop]
        if given:
            features = [sessions.next_features[number] for number in given]
            made["last_track"][np.array(given) - own.start] = self.tracks.scaled(features)
        return made


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
