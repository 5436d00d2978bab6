"""The best possible predictions under a law with finitely many hidden states.

The forward algorithm of hidden Markov models: the belief about the state is multiplied by the likelihood of
each outcome seen, and moved by the transition between two tracks. It is exact. Given outcomes, starts and
contexts, nothing else in the log depends on the hidden state.
"""

from __future__ import annotations

import numpy as np

from skip_pipeline.world.arrays import FloatArray
from skip_pipeline.world.laws.attention import Attention, Minds
from skip_pipeline.world.laws.law import Scene
from skip_pipeline.world.laws.reactions import context_after, likelihood, logistic
from skip_pipeline.world.sessions import Behaviour


def given_state(minds: Minds, behaviour: Behaviour, scene: Scene) -> FloatArray:
    """Probability that each last track is played, given the true state: (sessions,)."""
    return _last_played(minds.true, behaviour, scene)


def given_past(minds: Minds, behaviour: Behaviour, scene: Scene) -> FloatArray:
    """Probability that each last track is played, given the log before it: (sessions,)."""
    lengths = scene.setting.lengths
    unmoved = minds.transition == np.eye(len(minds.transition))
    moving = np.flatnonzero(~(unmoved.all(axis=0) & unmoved.all(axis=1)))  # states that are left or entered
    transition = minds.transition[np.ix_(moving, moving)]
    belief = np.repeat(minds.initial[:, None], len(lengths), axis=1)  # (states, sessions)
    for position in range(int(lengths.max()) - 1):
        before = behaviour.outcome[:, position - 1] if position else None
        attention = minds.possible.at(position, before, behaviour.context[:, position])
        seen = belief * likelihood(behaviour, position, attention)
        seen /= seen.sum(axis=0)
        seen[moving] = transition.T @ seen[moving]
        belief = np.where(position < lengths - 1, seen, belief)
    return np.asarray((belief * _last_played(minds.possible, behaviour, scene)).sum(axis=0))


def _last_played(attention: Attention, behaviour: Behaviour, scene: Scene) -> FloatArray:
    """Chance that each last track is played before its context is known: (…, sessions)."""
    lengths = scene.setting.lengths
    before = behaviour.outcome[np.arange(len(lengths)), lengths - 2]
    without = attention.last(lengths, before)
    if not attention.by_context.any():
        return logistic(without)
    chance = np.zeros(without.shape)
    contexts = context_after(behaviour, lengths - 2, scene.setting.circle)
    for context, share in enumerate(contexts.T):
        chance += share * logistic(without + attention.by_context[..., context])
    return chance
