"""Regression and trees as served: hand-made features, then their ONNX graph; without scikit-learn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from skip_pipeline import schema
from skip_pipeline.baselines.features import INPUTS, Standard, feature_names, features_of
from skip_pipeline.errors import ContractError
from skip_pipeline.networks.listening import TARGETS

FEATURES_INPUT: Final = "features"
"""Input of the graph: ``features_of`` as rows, float32 (rows, F)."""

LOG_ODDS: Final = "log_odds"
"""Output of the graph: log-odds that a track is played to its end, by ``MODELS``: float32 (rows, 2)."""

MODELS: Final = ("logistic_regression", "gradient_boosted_trees")

STANDARD: Final = "standard"
"""Key among the file's metadata: JSON with ``mean`` and ``scale`` of ``features.Standard``."""

NAMES: Final = "features"
"""Key among the file's metadata: JSON list of ``feature_names()``."""

_OF_TRACKS: Final = ("track_numbers", "track_memory")
"""Inputs that hold the steps and the tracks that are asked for."""

_AT_ONCE: Final = 1024  # sessions whose features are made together: 40 MB for 20 tracks each
_REMEDY: Final = "materialize baseline_models again"


@dataclass(frozen=True)
class HandmadeModels:
    """Regression and trees. Several threads may use them at once."""

    session: Any  # ONNX session
    standard: Standard

    @classmethod
    def of(cls, session: Any, name: str) -> HandmadeModels:
        """Read the metadata of the graph's file.

        Args:
            session: ONNX session of ``baselines.export.to_onnx``.
            name: of the file, for errors.

        Raises:
            ContractError: the graph has other inputs or outputs, or was made for other features.
        """
        found = [[node.name for node in of] for of in (session.get_inputs(), session.get_outputs())]
        metadata = session.get_modelmeta().custom_metadata_map
        if found != [[FEATURES_INPUT], [LOG_ODDS]] or not {STANDARD, NAMES} <= set(metadata):
            raise ContractError(
                f"{name} takes {found[0]} and gives {found[1]}, expected {FEATURES_INPUT}, {LOG_ODDS} and "
                f"metadata {STANDARD} and {NAMES}; {_REMEDY}"
            )
        of_file, of_code = tuple(json.loads(metadata[NAMES])), feature_names()
        if of_file != of_code:
            differing = sorted({*of_file} ^ {*of_code})[:3] or "their order"
            raise ContractError(
                f"{name} was made for other hand-made features than this version of skip_pipeline computes "
                f"({differing}); {_REMEDY}"
            )
        standard = json.loads(metadata[STANDARD])
        return cls(session, Standard(*(np.array(standard[key], np.float32) for key in ("mean", "scale"))))

    def of_tracks(self, sessions: Mapping[str, np.ndarray]) -> np.ndarray:
        """Log-odds of every track of n sessions, from those before it: float32 (n, 20, 2) by ``MODELS``.

        Values in padding have no meaning.

        Args:
            sessions: ``features.INPUTS`` of n sessions.
        """
        n = len(sessions["last_track"])
        answers = np.empty((n, TARGETS, len(MODELS)), np.float32)
        for at in range(0, n, _AT_ONCE):
            own = slice(at, at + _AT_ONCE)
            part = {name: sessions[name][own] for name in INPUTS}
            answers[own] = self._run(features_of(part, self.standard))
        return answers

    def of_next_tracks(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Log-odds of N tracks, each of which may come next in n sessions: float32 (n, N, 2) by ``MODELS``.

        Args:
            inputs: with ``last_track`` (n, N, 31), and ``track_numbers`` and ``track_memory`` of the 19
                steps and the N tracks (``serving.sessions.branches``).
        """
        n, asked = inputs["last_track"].shape[:2]
        answers = np.empty((n * asked, len(MODELS)), np.float32)
        for at in range(0, n * asked, _AT_ONCE):
            number = np.arange(at, min(at + _AT_ONCE, n * asked))
            session, track = np.divmod(number, asked)
            part = {name: inputs[name][session] for name in INPUTS if name not in (*_OF_TRACKS, "last_track")}
            for name in _OF_TRACKS:
                steps = inputs[name][session, : schema.STEPS]
                own = inputs[name][session, schema.STEPS + track][:, None]
                part[name] = np.concatenate([steps, own], axis=1)
            part["last_track"] = inputs["last_track"][session, track]
            answers[number] = self._run(features_of(part, self.standard, slice(schema.STEPS, None))[:, 0])
        return answers.reshape(n, asked, len(MODELS))

    def _run(self, features: np.ndarray) -> np.ndarray:
        """Log-odds (…, 2) of features (…, F)."""
        rows = np.ascontiguousarray(features.reshape(-1, features.shape[-1]))
        return np.asarray(self.session.run(None, {FEATURES_INPUT: rows})[0]).reshape(*features.shape[:-1], -1)
