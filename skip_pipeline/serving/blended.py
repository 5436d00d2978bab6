"""Models on hand-made features beside the network, and the blend of all answers.

They answer the next track alone, the question that they learnt. How early a track is skipped, and the tracks
after the next one, stay the network's in every version: no other model has learnt these questions.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from skip_pipeline import schema
from skip_pipeline.baselines.features import INPUTS
from skip_pipeline.baselines.handmade import MODELS, HandmadeModels
from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.blend import NETWORK, Blend
from skip_pipeline.metrics.calibration import log_odds_of
from skip_pipeline.training.splits import Split, parts

ANSWERING = (NETWORK, *MODELS)
"""Models that a blend may weigh."""


@dataclass(frozen=True)
class Blended:
    """Regression and trees, and how their answers and the network's become one."""

    models: HandmadeModels
    blend: Blend

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.blend.weights) - set(ANSWERING)):
            raise ContractError(
                f"the blend weighs {unknown[0]}, expected some of {', '.join(ANSWERING)}; materialize "
                "best_model again"
            )

    def of_next_tracks(self, p_network: np.ndarray, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Probability that each of N tracks that may come next is played: float64 (n, N).

        Args:
            p_network: the network's, calibrated, (n, N).
            inputs: ``serving.sessions.branches`` of n sessions.
        """
        return self.blend.apply(log_odds_by_model(p_network, self.models.of_next_tracks(inputs)))

    def of_tracks(self, p_network: np.ndarray, split: Split) -> np.ndarray:
        """Probability that every track of n sessions is played, from those before it: float64 (n, 20).

        Args:
            p_network: the network's, calibrated, (n, 20).
            split: whole sessions with ``track_memory``.
        """
        return self.blend.apply(log_odds_by_model(p_network, log_odds_of_tracks(self.models, split)))

    def of_last_tracks(self, p_network: np.ndarray, split: Split) -> np.ndarray:
        """The last column of ``of_tracks``, without the others: float64 (n,), of the network's (n,)."""
        made = [
            self.models.of_next_tracks(part | {"last_track": part["last_track"][:, None]})[:, 0]
            for part in parts(split, INPUTS)
        ]
        return self.blend.apply(log_odds_by_model(p_network, np.concatenate(made)))


def log_odds_by_model(p_network: np.ndarray, of_models: np.ndarray) -> dict[str, np.ndarray]:
    """Log-odds of ``ANSWERING`` by name, of the network's probabilities (…) and of the others' (…, 2)."""
    return {NETWORK: log_odds_of(p_network)} | {name: of_models[..., i] for i, name in enumerate(MODELS)}


def log_odds_of_tracks(models: HandmadeModels, split: Split) -> np.ndarray:
    """Log-odds of every track of n whole sessions, read in parts: float32 (n, 20, 2)."""
    made = [models.of_tracks(part) for part in parts(split, INPUTS)]
    return np.concatenate([np.empty((0, schema.STEPS + 1, len(MODELS)), np.float32), *made])
