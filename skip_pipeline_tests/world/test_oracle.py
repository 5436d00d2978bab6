"""The best possible predictions: frequencies agree with them, and importance sampling gives the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from skip_pipeline.world import constants, oracle, sessions
from skip_pipeline.world.extent import Extent
from skip_pipeline.world.sessions import PLAYED
from skip_pipeline.world.world import Block, World

FloatArray = npt.NDArray[np.float64]
STATE, PAST = "p_not_skipped_given_state", "p_not_skipped_given_past"


@pytest.fixture(scope="module")
def world() -> World:
    return World(Extent(4000), 4000, 3)


@pytest.fixture(scope="module")
def blocks(world: World) -> list[Block]:
    return [world.block(block) for block in range(2)]


def _played(blocks: list[Block]) -> npt.NDArray[np.bool_]:
    ends = [
        block.behaviour.outcome[np.arange(len(block.places.lengths)), block.places.lengths - 1]
        for block in blocks
    ]
    return np.asarray(np.concatenate(ends) == PLAYED)


def _chance(blocks: list[Block], column: str) -> FloatArray:
    return np.concatenate([block.oracle.column(column).to_numpy() for block in blocks]).astype(float)


def test_knowing_the_state_beats_inferring_it_which_beats_not_trying(blocks: list[Block]) -> None:
    played = _played(blocks)
    loss = [
        -np.log(np.where(played, chance, 1 - chance)).mean()
        for chance in (_chance(blocks, STATE), _chance(blocks, PAST), np.full(len(played), played.mean()))
    ]
    assert loss[0] + 0.02 < loss[1] < loss[2] - 0.15


def test_given_state_is_the_share_of_plays_when_the_last_track_is_heard_again(world: World) -> None:
    block = world.block(0)
    heard = np.zeros(len(block.places.lengths))
    rounds = 100
    for again in range(rounds):
        heard += _hear_last_again(block, np.random.default_rng(again)) / rounds
    chance = block.oracle.column(STATE).to_numpy()
    noise = np.sqrt(chance * (1 - chance) / rounds)
    error = (heard - chance) / np.maximum(noise, 0.02)
    assert np.abs(error).max() < 5
    assert abs(error.mean()) < 0.1


def _hear_last_again(block: Block, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Throw all dice of the last track anew, written out without the oracle's sums."""
    behaviour, listeners, setting = block.behaviour, block.scene.listeners, block.scene.setting
    rows, last = np.arange(len(setting.lengths)), setting.lengths - 1
    shares = sessions.START_AFTER_END[behaviour.end[rows, last - 1]]
    start = _pick(rng, shares)
    before = behaviour.context[rows, last - 1]
    switched = rng.random(len(rows)) < sessions.SWITCH[start, before]
    context = np.where(switched, _pick(rng, sessions.CONTEXT_AFTER_SWITCH[setting.circle]), before)
    attention = behaviour.expected[rows, last] + listeners.patience + setting.liking[rows, last]
    attention += sessions.START_LIFT[start]
    attention += sessions.CONTEXT_LIFT[context] + constants.SWITCH_LIFT * switched
    attention += constants.SHUFFLE_LIFT * (
        listeners.shuffling < sessions.SHUFFLE[listeners.premium.astype(int), context]
    )
    return np.asarray(attention + rng.logistic(size=len(rows)) > 0)


def _pick(rng: np.random.Generator, shares: FloatArray) -> npt.NDArray[np.int64]:
    sums = np.cumsum(shares, axis=1)
    return np.asarray((rng.random((len(shares), 1)) * sums[:, -1:] >= sums).sum(axis=1))


def test_given_past_agrees_with_importance_sampling() -> None:
    """Particles drawn from the prior and weighted by every outcome seen: exact as their number grows."""
    block = World(Extent(25), 300, 11).block(0)
    sampled, effective = _by_importance(block, particles=20_000)
    inferred = block.oracle.column(PAST).to_numpy()
    trusted = effective > 300
    assert trusted.sum() > 15
    assert np.abs(inferred - sampled)[trusted].max() < 0.03
    assert np.sqrt(np.mean((inferred - sampled)[trusted] ** 2)) < 0.008


def _by_importance(block: Block, particles: int) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(0)
    patience = constants.PATIENCE_SPREAD * rng.standard_normal(particles)
    taste = constants.COMMON_TASTE + np.array(constants.TASTE_SPREAD) * rng.standard_normal((particles, 10))
    chances, sizes = [], []
    for session, length in enumerate(block.places.lengths):
        weight = np.ones(particles)
        for position in range(length - 1):
            hidden = patience + taste @ block.scene.contrasts[session, position]
            weight *= _likelihood(block, session, position, hidden)
        hidden = patience + taste @ block.scene.contrasts[session, length - 1]
        chances.append(np.average(_chance_of_last(block, session, hidden), weights=weight))
        sizes.append(weight.sum() ** 2 / (weight**2).sum())
    return np.array(chances), np.array(sizes)


def _likelihood(block: Block, session: int, position: int, hidden: FloatArray) -> FloatArray:
    b = block.behaviour
    outcome, start, context = (int(part[session, position]) for part in (b.outcome, b.start, b.context))
    attention = hidden + b.expected[session, position] + sessions.START_LIFT[start]
    attention += sessions.CONTEXT_LIFT[context] + constants.SHUFFLE_LIFT * b.shuffled[session, position]
    attention += constants.SWITCH_LIFT * b.switched[session, position]
    bounds = [-np.inf, *(sessions.CUTS[start] * sessions.DEPTH[start, context]), np.inf]
    return _logistic(bounds[outcome + 1] - attention) - _logistic(bounds[outcome] - attention)


def _chance_of_last(block: Block, session: int, hidden: FloatArray) -> FloatArray:
    """As the oracle sums over starts and contexts, but with the session's own shuffle habit left unknown."""
    b, length = block.behaviour, int(block.places.lengths[session])
    end, before = int(b.end[session, length - 2]), int(b.context[session, length - 2])
    seen = range(length - 1)
    usual = sessions.SHUFFLE[sessions.premium_of(block.scene.setting.circle[session])]
    high = min([1.0, *(usual[b.context[session, p]] for p in seen if b.shuffled[session, p])])
    low = max([0.0, *(usual[b.context[session, p]] for p in seen if not b.shuffled[session, p])])
    chance = np.zeros(len(hidden))
    starts = sessions.START_AFTER_END[end] / sessions.START_AFTER_END[end].sum()
    for start, share in enumerate(starts):
        switch = sessions.SWITCH[start, before]
        ways = [(before, 1 - switch, 0.0)]
        contexts = sessions.CONTEXT_AFTER_SWITCH[block.scene.setting.circle[session]]
        ways += [(context, switch * part, constants.SWITCH_LIFT) for context, part in enumerate(contexts)]
        for context, part, lift in ways:
            shuffle = min(max((usual[context] - low) / (high - low), 0.0), 1.0)
            attention = hidden + b.expected[session, length - 1] + sessions.START_LIFT[start] + lift
            attention = attention + sessions.CONTEXT_LIFT[context] + constants.SHUFFLE_LIFT * shuffle
            chance += share * part * _logistic(attention)
    return chance


def _logistic(value: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-value)))


def test_nothing_logged_of_the_last_track_reaches_the_inferred_chance(world: World) -> None:
    block = world.block(1)
    rows, last = np.arange(len(block.places.lengths)), block.places.lengths - 1
    changed = {}
    for name in ("outcome", "start", "end", "context", "switched", "shuffled"):
        values = getattr(block.behaviour, name).copy()
        values[rows, last] = 0
        changed[name] = values
    forgotten = replace(block.behaviour, **changed)
    seen, unseen = (
        oracle.given_past(
            oracle.LastTrack.after(behaviour, block.scene.setting),
            behaviour,
            block.scene.contrasts,
            block.scene.setting,
        )
        for behaviour in (block.behaviour, forgotten)
    )
    assert np.array_equal(seen, unseen)
