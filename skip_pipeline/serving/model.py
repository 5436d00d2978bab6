"""A served model in memory: sessions in, the probability of a skip of each next track out."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.gather import Bundle
from skip_pipeline.bundles.track_memory import Remembered, TrackMemory
from skip_pipeline.errors import BadInputError
from skip_pipeline.metrics.blend import NETWORK
from skip_pipeline.metrics.calibration import Calibration, within
from skip_pipeline.metrics.decision_rule import THRESHOLD, DecisionRule
from skip_pipeline.serving.blended import Blended
from skip_pipeline.serving.requests import sessions_of_records
from skip_pipeline.serving.sessions import Sessions, branches
from skip_pipeline.serving.tracks import KnownTracks
from skip_pipeline.settings import DECISION_THRESHOLD, PREDICTION_BATCH_SIZE, DataSource
from skip_pipeline.training.onnx_model import (
    answers_candidates,
    predict_onnx,
    predict_outcomes,
    predict_tracks,
)


@dataclass(frozen=True)
class Scores:
    """Answers for the k next tracks of all sessions, in their order."""

    p_skip: np.ndarray  # float64 (k,), probability that the track is skipped: 1 - p_not_skipped
    p_flags: np.ndarray  # float64 (k, 3), of skip_1, skip_2 and skip_3; NaN if the network does not give them
    known_track: np.ndarray  # bool (k,), whether the track is in the table, or its features are given
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
    rule: DecisionRule = THRESHOLD  # of decisions on second halves
    blended: Blended | None = None  # None if the network answers alone

    @property
    def kind(self) -> str:
        """What answers for the next track: ``network``, another model's name, or ``stack``."""
        return self.blended.blend.kind if self.blended else NETWORK

    @property
    def threshold(self) -> float:
        """The model predicts "not skipped" where ``p_not_skipped`` is at least this."""
        if self.blended:
            return self.blended.blend.threshold
        return self.calibration.threshold if self.calibration else DECISION_THRESHOLD

    def score_records(self, records: object) -> Scores:
        """Score a list of ``requests.Session`` objects; ``sessions_of_records`` refuses anything else."""
        return self.score(sessions_of_records(records))

    def score(self, sessions: Sessions, *, threads: int = 1) -> Scores:
        """Score every next track of every session; the result does not depend on the number of threads.

        Each is predicted from the earlier tracks alone, also where next tracks follow one another. Of these a
        blend answers the first, and the network the others (``serving.blended``).

        Raises:
            BadInputError: the network answers the last track of a session alone, and another is asked for.
        """
        if not answers_candidates(self.network):
            _check_last_track(sessions)
        track_rows = self.tracks.rows_of(sessions.track_ids)
        outcomes = np.empty((len(sessions.next_track), len(schema.OUTCOME_FLAGS)))
        p_not_skipped = np.empty(len(sessions.next_track))

        def score(own: np.ndarray) -> None:
            inputs, asked = branches(sessions, own, track_rows, self.tracks), sessions.next_tracks(own)
            outcomes[asked] = self._outcomes(inputs)
            p_not_skipped[asked] = self._calibrated(outcomes[asked, -1])
            if self.blended and sessions.following:
                asked, inputs = asked[:, :1], _of_first_tracks(inputs)
            if self.blended:
                p_not_skipped[asked] = self.blended.of_next_tracks(p_not_skipped[asked], inputs)

        with ThreadPoolExecutor(threads) as pool:
            list((pool.map if threads > 1 else map)(score, runs(sessions.candidates)))
        known = track_rows[sessions.next_track] >= 0
        known[list(sessions.next_features)] = True
        p_skip = 1.0 - p_not_skipped
        return Scores(p_skip, within(outcomes, p_skip), known, sessions.unknown_levels)

    def decide(self, sessions: Sessions, scores: Scores) -> np.ndarray:
        """Whether each next track is decided to have ``skip_2``: bool (k,).

        A second half is decided by the rule that was chosen on validation sessions. Other tracks, as of
        a session that is not cut in half, are decided by the threshold.

        Args:
            sessions: whose next tracks follow one another, as of a pair of the test set.
            scores: of these sessions.

        Raises:
            BadInputError: the network does not tell ``skip_2``.
        """
        p_skip_2 = scores.p_flags[:, schema.OUTCOME_FLAGS.index("skip_2")]
        if np.isnan(p_skip_2).any():
            raise BadInputError(
                "the served network does not predict skip_2, expected one that does; serve a model of preset "
                "fast"
            )
        return self.rule.decide(p_skip_2, sessions.candidates, sessions.length)

    def inputs(self, sessions: Sessions) -> dict[str, np.ndarray]:
        """The network's inputs for sessions of one next track: float32 (m, …), ``schema.INPUT_SHAPES``."""
        rows = self.tracks.rows_of(sessions.track_ids)
        return _of_one_track(branches(sessions, np.arange(len(sessions)), rows, self.tracks))

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
        return self.blended.of_tracks(p_not_skipped, inputs) if self.blended else p_not_skipped

    def _calibrated(self, p_not_skipped: np.ndarray) -> np.ndarray:
        return p_not_skipped if self.calibration is None else self.calibration.apply(p_not_skipped)

    def _outcomes(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Probabilities of ``schema.OUTCOME_FLAGS`` (n, N, 4); NaN where the network does not give them."""
        if answers_candidates(self.network):
            return predict_outcomes(self.network, inputs)[:, schema.STEPS :]
        p_not_skipped = predict_onnx(self.network, _of_one_track(inputs))
        flags = np.full((len(p_not_skipped), 1, len(schema.OUTCOME_FLAGS)), np.nan)
        flags[:, 0, -1] = p_not_skipped
        return flags


def _check_last_track(sessions: Sessions) -> None:
    """Refuse what a network that was trained on last tracks alone cannot answer."""
    remedy = "the served network was trained on last tracks alone. Serve a model of preset fast"
    if (several := np.flatnonzero(sessions.candidates > 1)).size:
        number = int(several[0])
        what = "the rest of the session" if sessions.following else "candidates"
        fact = f"{what} is a list of {sessions.candidates[number]:,}, expected one track"
    elif (midway := np.flatnonzero(sessions.earlier + 1 != sessions.length)).size:
        number = int(midway[0])
        fact = (
            f"the next track is number {sessions.earlier[number] + 1} of {sessions.length[number]} "
            f"({schema.LENGTH}, {schema.MAX_SESSION_LENGTH} where it is not known), expected the last one"
        )
    else:
        return
    name = sessions.session_id[number]
    raise BadInputError(f"session {number} of the request ({schema.SESSION_ID} {name!r}): {fact}; {remedy}")


def runs(candidates: np.ndarray) -> Iterator[np.ndarray]:
    """Numbers of the sessions of each run of the network, which all have as many candidates (m,)."""
    for count in np.unique(candidates).tolist():
        own = np.flatnonzero(candidates == count)
        # As many tracks as PREDICTION_BATCH_SIZE sessions with one candidate have, which bounds the memory.
        at_once = max(1, PREDICTION_BATCH_SIZE * schema.MAX_SESSION_LENGTH // (schema.STEPS + count))
        for start in range(0, len(own), at_once):
            yield own[start : start + at_once]


def _of_first_tracks(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Inputs of sessions that ask for the first of their tracks alone."""
    own = {name: inputs[name][:, : schema.STEPS + 1] for name in ("track_numbers", "track_memory")}
    return inputs | own | {name: inputs[name][:, :1] for name in ("last_track", "tracks_between")}


def _of_one_track(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return inputs | {"last_track": inputs["last_track"][:, 0]}
