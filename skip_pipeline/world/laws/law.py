"""What a law of behaviour gets and gives."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from skip_pipeline.world.arrays import BoolArray, FloatArray, IntArray
from skip_pipeline.world.listeners import Listeners
from skip_pipeline.world.sessions import Behaviour, Setting


@dataclass(frozen=True)
class Scene:
    """Some sessions before their first track: who listens, to which tracks, when."""

    listeners: Listeners  # of (sessions,)
    setting: Setting  # lengths, first contexts; liking and lift are of the calibrated law alone
    contrasts: FloatArray  # (sessions, 20, 10), see listeners.contrast; of the calibrated law alone
    tracks: IntArray  # (sessions, 20), index into the catalogue; 0 after the end
    styles: FloatArray  # (sessions, 20, 6), of those tracks; 0 after the end
    drift: FloatArray  # (sessions,), change of attention, in logits, on days with the drift skip_rate

    @property
    def hour(self) -> FloatArray:
        """Local hour at which each session starts, 0 to 23: (sessions,)."""
        return np.asarray(self.listeners.minute // 60.0, dtype=np.float64)

    @property
    def premium(self) -> BoolArray:
        """Whether each listener has premium: (sessions,). Two sessions in 10,000 lose it in their log."""
        return self.listeners.premium


@dataclass(frozen=True)
class Heard:
    """Reactions, and the true probabilities that each session's last track is played to its end."""

    behaviour: Behaviour
    given_state: FloatArray  # (sessions,), the listener's hidden state is known
    given_past: FloatArray  # (sessions,), the log of the earlier tracks and the law are known


class Law(Protocol):
    """A law, prepared for one catalogue."""

    def hear(self, rng: np.random.Generator, scene: Scene) -> Heard:
        """Draw the reactions in all sessions of a scene."""
