"""Each track has an appeal of its own, which no feature tells; listeners differ in patience."""

from typing import Final

import numpy as np

from skip_pipeline.world import constants
from skip_pipeline.world.laws.attention import Attention, Minds
from skip_pipeline.world.laws.hidden import HiddenStates
from skip_pipeline.world.laws.law import Scene

LEVEL: Final = -0.55  # attention to a track of average appeal with average patience, in logits
APPEAL_SPREAD: Final = 1.2  # standard deviation of the tracks' appeal, in logits
PATIENCE_SPREAD: Final = 1.0  # standard deviation of the listeners' patience, in logits
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(constants.QUADRATURE_NODES)


class TrackAppeal(HiddenStates):
    """Appeal of the track plus patience of the listener; appeals belong to the catalogue."""

    def __init__(self, rng: np.random.Generator, tracks: int) -> None:
        self._appeal = APPEAL_SPREAD * rng.standard_normal(tracks)

    def minds(self, rng: np.random.Generator, scene: Scene) -> Minds:
        """See ``HiddenStates``. The possible states are the nodes of a Gauss-Hermite rule for patience."""
        known = LEVEL + self._appeal[scene.tracks] + scene.drift[:, None]
        patience = PATIENCE_SPREAD * rng.standard_normal(len(known))
        return Minds(
            true=Attention.of(known + patience[:, None]),
            possible=Attention.of(known + PATIENCE_SPREAD * _NODES[:, None, None]),
            initial=_WEIGHTS / _WEIGHTS.sum(),
            transition=np.eye(len(_NODES)),
        )
