"""A listener likes one region of the music and little far from it; energy suits some hours more."""

from typing import Final

import numpy as np

from skip_pipeline.world.laws.attention import Attention, Minds
from skip_pipeline.world.laws.hidden import HiddenStates
from skip_pipeline.world.laws.law import Scene
from skip_pipeline.world.track_constants import STYLES

REGIONS: Final = 32  # centres, drawn for a catalogue like the styles of its tracks; each is liked as often
LEVEL: Final = 2.6  # attention at the centre of the region that a listener likes, in logits
FALL: Final = 4.5  # attention lost far away from it
WIDTH: Final = 2.0  # distance in style space at which 1 - exp(-1/2) of that is lost
ENERGY_BY_HOUR: Final = 0.8  # attention to one unit of the style energy at LIVELY_HOUR, less than 0 at night
LIVELY_HOUR: Final = 18.0
_ENERGY: Final = 4  # column of the styles, see track_constants.STYLES


class Regions(HiddenStates):
    """A bump around a centre in style space, plus energy times the cosine of the hour."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._centres = rng.standard_normal((REGIONS, STYLES))

    def minds(self, rng: np.random.Generator, scene: Scene) -> Minds:
        """See ``HiddenStates``. The hidden state is the region."""
        lively = ENERGY_BY_HOUR * np.cos((scene.hour - LIVELY_HOUR) * np.pi / 12.0)
        known = scene.styles[..., _ENERGY] * lively[:, None] + scene.drift[:, None]
        squared = np.zeros((REGIONS, *known.shape))  # distance from each centre
        for style in range(STYLES):
            squared += (scene.styles[..., style] - self._centres[:, style, None, None]) ** 2
        possible = known + LEVEL - FALL * (1.0 - np.exp(-squared / (2.0 * WIDTH**2)))
        liked = rng.integers(0, REGIONS, len(known))
        return Minds(
            true=Attention.of(possible[liked, np.arange(len(known))]),
            possible=Attention.of(possible),
            initial=np.full(REGIONS, 1.0 / REGIONS),
            transition=np.eye(REGIONS),
        )
