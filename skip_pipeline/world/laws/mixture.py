"""Each session follows one of several laws."""

from collections.abc import Sequence

import numpy as np
from scipy.linalg import block_diag

from skip_pipeline.world.arrays import FloatArray, IntArray
from skip_pipeline.world.laws.attention import Attention, Minds
from skip_pipeline.world.laws.hidden import HiddenStates
from skip_pipeline.world.laws.law import Scene


class Mixture(HiddenStates):
    """Laws with equal chances; which one a session follows is part of its hidden state."""

    def __init__(self, laws: Sequence[HiddenStates]) -> None:
        self._laws = laws

    def minds(self, rng: np.random.Generator, scene: Scene) -> Minds:
        """See ``HiddenStates``. The possible states are those of all laws."""
        minds = [law.minds(rng, scene) for law in self._laws]
        followed = rng.integers(0, len(minds), len(scene.drift))
        possible = [each.possible for each in minds]
        return Minds(
            true=Attention(
                _chosen([each.true.fixed for each in minds], followed),
                _chosen([each.true.by_outcome for each in minds], followed),
                _chosen([each.true.by_context for each in minds], followed),
            ),
            possible=Attention(
                np.concatenate([each.fixed for each in possible]),
                np.concatenate([each.by_outcome for each in possible]),
                np.concatenate([each.by_context for each in possible]),
            ),
            initial=np.concatenate([each.initial for each in minds]) / len(minds),
            transition=block_diag(*[each.transition for each in minds]),
        )


def _chosen(values: Sequence[FloatArray], law: IntArray) -> FloatArray:
    """Values of each session's own law, from (sessions or 1, n) of each law: (sessions, n)."""
    shape = len(law), values[0].shape[-1]
    every = np.stack([np.broadcast_to(each, shape) for each in values])
    return np.asarray(every[law, np.arange(len(law))], dtype=np.float64)
