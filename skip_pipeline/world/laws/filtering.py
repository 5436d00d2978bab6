"""The best possible predictions under a law with finitely many hidden states.

The forward algorithm of hidden Markov models: the belief about the state is multiplied by the likelihood of
each outcome seen, and moved by the transition between two tracks. It is exact. Given outcomes, starts and
contexts, nothing else in the log depends on the hidden state.
"""

import numpy as np

from skip_pipeline.world.arrays import FloatArray, IntArray
from skip_pipeline.world.laws.attention import Attention, Minds
from skip_pipeline.world.laws.law import Scene
from skip_pipeline.world.laws.reactions import context_after, likelihood, logistic
from skip_pipeline.world.sessions import Behaviour


def given_state(minds: Minds, behaviour: Behaviour, scene: Scene) -> FloatArray:
    """Probability that each last track is played, given the true state: (sessions,)."""
    return _last_played(minds.true, behaviour, scene)


def given_past(minds: Minds, behaviour: Behaviour, scene: Scene) -> FloatArray:
    """Probability that each last track is played, given the log before it: (sessions,)."""
    states = belief(minds, behaviour, scene.setting.lengths - 1)
    return np.asarray((states * _last_played(minds.possible, behaviour, scene)).sum(axis=0))


def belief(minds: Minds, behaviour: Behaviour, seen: IntArray) -> FloatArray:
    """Probability of each state at the track after the first ``seen`` (sessions,): (states, sessions)."""
    unmoved = minds.transition == np.eye(len(minds.transition))
    moving = np.flatnonzero(~(unmoved.all(axis=0) & unmoved.all(axis=1)))  # states that are left or entered
    transition = minds.transition[np.ix_(moving, moving)]
    states = np.repeat(minds.initial[:, None], len(seen), axis=1)  # (states, sessions)
    for position in range(int(seen.max())):
        before = behaviour.outcome[:, position - 1] if position else None
        attention = minds.possible.at(position, before, behaviour.context[:, position])
        likely = states * likelihood(behaviour, position, attention)
        likely /= likely.sum(axis=0)
        likely[moving] = transition.T @ likely[moving]
        states = np.where(position < seen, likely, states)
    return states


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
