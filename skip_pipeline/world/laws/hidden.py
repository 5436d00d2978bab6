"""Laws with finitely many hidden states, as which every law but the calibrated one is written.

Such a law gives a listener's attention to each track in each hidden state. The state is drawn
before the first track and may change between two tracks. Reactions and best predictions then follow in the
same way for all of them.
"""

from abc import ABC, abstractmethod

import numpy as np

from skip_pipeline.world.laws.attention import Minds
from skip_pipeline.world.laws.filtering import given_past, given_state
from skip_pipeline.world.laws.law import Heard, Scene
from skip_pipeline.world.laws.reactions import react


class HiddenStates(ABC):
    """A law with finitely many hidden states."""

    @abstractmethod
    def minds(self, rng: np.random.Generator, scene: Scene) -> Minds:
        """Draw the hidden states of a scene's listeners."""

    def hear(self, rng: np.random.Generator, scene: Scene) -> Heard:
        """See ``law.Law``."""
        minds = self.minds(rng, scene)
        behaviour = react(rng, scene, minds.true)
        return Heard(behaviour, given_state(minds, behaviour, scene), given_past(minds, behaviour, scene))
