"""Best predictions under hidden states agree with a sum over every path of states."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest

from skip_pipeline.world import sessions
from skip_pipeline.world.laws.attention import Attention, Minds
from skip_pipeline.world.laws.filtering import given_past
from skip_pipeline.world.laws.habits import Habits
from skip_pipeline.world.laws.law import Scene
from skip_pipeline.world.laws.mixture import Mixture
from skip_pipeline.world.laws.reactions import CALIBRATED_WIDTH, context_after, react
from skip_pipeline.world.listeners import draw_listeners
from skip_pipeline.world.sessions import PLAYED, Behaviour, Setting

TRANSITION = np.array([[0.7, 0.3, 0.0], [0.2, 0.8, 0.0], [0.0, 0.0, 1.0]])
INITIAL = np.array([0.5, 0.2, 0.3])
BY_OUTCOME = np.array([[-1.0, 0.0, 0.0, 0.0, 1.0]])
BY_CONTEXT = np.array([[0.5, -0.5, 0.0, 1.0, -1.0, 0.2]])


def scene_of(lengths: list[int], seed: int = 0) -> Scene:
    count, rng = len(lengths), np.random.default_rng(seed)
    listeners = draw_listeners(rng, count)
    setting = Setting(np.array(lengths), np.zeros((count, 20)), np.zeros((count, 20)), listeners.premium * 1)
    nothing = np.zeros((count, 20, 6))
    return Scene(listeners, setting, nothing, np.zeros((count, 20), np.int64), nothing, np.zeros(count))


def minds_of(count: int) -> Minds:
    levels = np.array([-1.5, 1.0, 0.0])[:, None, None] + np.linspace(-0.5, 0.5, 20)
    possible = Attention(
        np.broadcast_to(levels, (3, count, 20)),
        BY_OUTCOME * np.ones((3, 1, 1)),
        BY_CONTEXT * np.ones((3, 1, 1)),
    )
    true = Attention(possible.fixed[0], BY_OUTCOME, BY_CONTEXT)
    return Minds(true, possible, INITIAL, TRANSITION)


def by_paths(behaviour: Behaviour, length: int, contexts: np.ndarray) -> float:
    """Chance that the last track of the first session is played: all paths of states, one by one."""
    lift = np.linspace(-0.5, 0.5, 20)
    total = played = 0.0
    for path in product(range(3), repeat=length):
        weight = INITIAL[path[0]]
        for before, after in pairwise(path):
            weight *= TRANSITION[before, after]
        if not weight:
            continue
        for position, state in enumerate(path[:-1]):
            start, context, outcome = (
                int(part[0, position]) for part in (behaviour.start, behaviour.context, behaviour.outcome)
            )
            attention = [-1.5, 1.0, 0.0][state] + lift[position] + BY_CONTEXT[0, context]
            if position:
                attention += BY_OUTCOME[0, behaviour.outcome[0, position - 1]]
            depth = sessions.DEPTH[start, context] / CALIBRATED_WIDTH
            cuts = [-np.inf, *(sessions.CUTS[start] * depth), np.inf]
            below = [1 / (1 + np.exp(-(cut - attention))) for cut in cuts[outcome : outcome + 2]]
            weight *= below[1] - below[0]
        level = [-1.5, 1.0, 0.0][path[-1]] + lift[length - 1]
        level += BY_OUTCOME[0, behaviour.outcome[0, length - 2]]
        total += weight
        played += weight * sum(
            share / (1 + np.exp(-(level + more))) for share, more in zip(contexts, BY_CONTEXT[0], strict=True)
        )
    return float(played / total)


@pytest.mark.parametrize("seed", range(4))
def test_the_forward_filter_is_the_sum_over_all_paths(seed: int) -> None:
    length = 6
    scene = scene_of([length, 20], seed)
    minds = minds_of(2)
    behaviour = react(np.random.default_rng(seed), scene, minds.true)
    contexts = context_after(behaviour, np.array([length - 2, 18]), scene.setting.circle)[0]
    expected = by_paths(behaviour, length, contexts)
    assert given_past(minds, behaviour, scene)[0] == pytest.approx(expected, abs=1e-12)


def test_nothing_logged_of_the_last_track_reaches_the_prediction() -> None:
    scene = scene_of([10, 13, 20] * 20)
    minds = minds_of(60)
    behaviour = react(np.random.default_rng(1), scene, minds.true)
    rows, last = np.arange(60), scene.setting.lengths - 1
    forgotten = {}
    for name in ("outcome", "start", "end", "context", "switched", "shuffled"):
        values = getattr(behaviour, name).copy()
        values[rows, last] = 0
        forgotten[name] = values
    unseen = given_past(minds, replace(behaviour, **forgotten), scene)
    assert np.array_equal(given_past(minds, behaviour, scene), unseen)


def test_the_chance_of_the_next_context_is_how_often_it_comes() -> None:
    scene = scene_of([20] * 4000)
    behaviour = react(np.random.default_rng(2), scene, minds_of(4000).true)
    said = context_after(behaviour, np.full(4000, 8), scene.setting.circle)
    assert said.sum(axis=1) == pytest.approx(1.0)
    came = np.eye(6)[behaviour.context[:, 9]]
    noise = 4 * np.sqrt((said * (1 - said)).sum(axis=0)) / 4000
    assert (np.abs(came.mean(axis=0) - said.mean(axis=0)) < noise + 1e-3).all()


def test_the_logistic_function_of_attention_is_the_chance_of_being_played() -> None:
    scene = scene_of([20] * 2000)
    level = np.broadcast_to(np.linspace(-3, 3, 20), (2000, 20))
    behaviour = react(np.random.default_rng(3), scene, Attention.of(level))
    expected = 1 / (1 + np.exp(-level[0]))
    assert (behaviour.outcome == PLAYED).mean(axis=0) == pytest.approx(expected, abs=0.045)


def test_a_mixture_of_a_law_with_itself_is_that_law() -> None:
    scene = scene_of([10, 14, 20] * 10)
    alone = Habits().minds(np.random.default_rng(0), scene)
    twice = Mixture([Habits(), Habits()]).minds(np.random.default_rng(0), scene)
    behaviour = react(np.random.default_rng(4), scene, alone.true)
    assert given_past(twice, behaviour, scene) == pytest.approx(
        given_past(alone, behaviour, scene), abs=1e-12
    )
    assert np.array_equal(twice.true.fixed, alone.true.fixed)


def test_a_session_of_a_mixture_follows_one_law() -> None:
    class Level(Habits):
        def __init__(self, level: float) -> None:
            self.level = level

        def minds(self, _rng: np.random.Generator, scene: Scene) -> Minds:
            fixed = np.full((len(scene.drift), 20), self.level)
            return Minds(Attention.of(fixed), Attention.of(fixed[None]), np.ones(1), np.eye(1))

    minds = Mixture([Level(-2.0), Level(0.0), Level(2.0)]).minds(
        np.random.default_rng(5), scene_of([20] * 300)
    )
    assert (minds.true.fixed == minds.true.fixed[:, :1]).all()
    levels, counts = np.unique(minds.true.fixed[:, 0], return_counts=True)
    assert levels.tolist() == [-2.0, 0.0, 2.0]
    assert (counts > 70).all()
    assert minds.initial == pytest.approx([1 / 3] * 3)
