"""Listeners explore, let music play in the background, or hunt for a track, and change between the three."""

from typing import Final

import numpy as np

from skip_pipeline.schema import MAX_SESSION_LENGTH
from skip_pipeline.world.laws.attention import Attention, Minds
from skip_pipeline.world.laws.hidden import HiddenStates
from skip_pipeline.world.laws.law import Scene
from skip_pipeline.world.randomness import cumulative, draw_categories

LEVELS: Final = np.array([-0.6, 2.0, -3.0])
"""Attention while exploring, in the background and while hunting, in logits: 35%, 88% and 5% are played."""

INITIAL: Final = np.array([0.5, 0.25, 0.25])  # of the three states at the first track
TRANSITION: Final = np.array([[0.84, 0.08, 0.08], [0.08, 0.90, 0.02], [0.12, 0.03, 0.85]])
"""Chance of each state (column) at the next track: a state lasts for six to ten tracks on average."""


class ChangingStates(HiddenStates):
    """A hidden Markov chain of three states; nothing about the track matters."""

    def minds(self, rng: np.random.Generator, scene: Scene) -> Minds:
        """See ``HiddenStates``."""
        count = len(scene.drift)
        state = draw_categories(rng, np.broadcast_to(cumulative(INITIAL), (count, len(INITIAL))))
        states = [state]
        for _ in range(MAX_SESSION_LENGTH - 1):
            states.append(draw_categories(rng, cumulative(TRANSITION)[states[-1]]))
        drift = scene.drift[:, None]
        possible = np.broadcast_to(LEVELS[:, None, None] + drift, (len(LEVELS), count, MAX_SESSION_LENGTH))
        return Minds(
            true=Attention.of(LEVELS[np.stack(states, axis=1)] + drift),
            possible=Attention.of(possible),
            initial=INITIAL,
            transition=TRANSITION,
        )
