"""The law of the default world: patience, taste and mood, tuned to the published statistics."""

import numpy as np

from skip_pipeline.world.laws.law import Heard, Scene
from skip_pipeline.world.oracle import LastTrack, given_past, given_state
from skip_pipeline.world.sessions import listen


class Calibrated:
    """Reactions by ``sessions.listen``, best predictions by ``oracle``."""

    def hear(self, rng: np.random.Generator, scene: Scene) -> Heard:
        """See ``law.Law``."""
        behaviour = listen(rng, scene.listeners, scene.setting)
        last = LastTrack.after(behaviour, scene.setting)
        return Heard(
            behaviour,
            given_state(last, scene.listeners, scene.setting),
            given_past(last, behaviour, scene.contrasts, scene.setting),
        )
