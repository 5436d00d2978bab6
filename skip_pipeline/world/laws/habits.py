"""Habits: position, hour, premium, context and the last outcome decide; the track does not matter."""

from typing import Final

import numpy as np

from skip_pipeline.schema import MAX_SESSION_LENGTH
from skip_pipeline.world.laws.attention import Attention, Minds
from skip_pipeline.world.laws.hidden import HiddenStates
from skip_pipeline.world.laws.law import Scene

# All in logits of attention.
LEVEL: Final = -0.3  # in mid-session, without premium and if all else is average
OPENING: Final = 1.2  # added to the first track, halved with each track after it
LEAVING: Final = 1.6  # added to the last track of a session of fewer than 20: it is why the session ends
PREMIUM: Final = -0.4  # with premium
NIGHT: Final = 0.9  # at QUIET_HOUR, the negative of it twelve hours later
QUIET_HOUR: Final = 3.0
MORNING: Final = -0.7  # at six hours, doubled without premium: between 6 and 9 o'clock
BY_OUTCOME: Final = (-0.9, -0.4, 0.0, 0.2, 1.0)  # after skip_1, skip_2, skip_3, no flag and played
BY_CONTEXT: Final = (0.5, -0.7, 0.2, -0.3, 0.8, -0.3)  # in the order of schema.LEVELS["context_type"]


class Habits(HiddenStates):
    """No hidden state at all: what is not in the log is chance."""

    def minds(self, _rng: np.random.Generator, scene: Scene) -> Minds:
        """See ``HiddenStates``; there is one state."""
        lengths = scene.setting.lengths[:, None]
        position = np.arange(MAX_SESSION_LENGTH)
        by_position = OPENING * 0.5**position + LEAVING * (
            (position == lengths - 1) & (lengths < MAX_SESSION_LENGTH)
        )
        night = NIGHT * np.cos((scene.hour - QUIET_HOUR) * np.pi / 12.0)
        morning = MORNING * ((scene.hour >= 6) & (scene.hour < 10)) * np.where(scene.premium, 1.0, 2.0)
        of_session = LEVEL + night + morning + PREMIUM * scene.premium + scene.drift
        true = Attention(
            fixed=by_position + of_session[:, None],
            by_outcome=np.array([BY_OUTCOME]),
            by_context=np.array([BY_CONTEXT]),
        )
        only = Attention(true.fixed[None], true.by_outcome[None], true.by_context[None])
        return Minds(true, possible=only, initial=np.ones(1), transition=np.eye(1))
