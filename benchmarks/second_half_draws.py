"""Second halves of synthetic sessions, drawn again and again given what is known of each: the best decisions.

Given the past: the hidden traits or states are drawn from their distribution given the first half, with every
parameter of the world known. Given the state: they are the true ones, of the whole second half where they
change. The second half is drawn from either, and of all strings of decisions the one with the largest mean
average accuracy over the draws is taken.

Decisions are compared with the outcomes of the sessions, and not with the draws. So errors of the belief and
of the draws lower a score and never raise it: the best possible score is at least the one measured.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from skip_pipeline.metrics.decision_rule import all_strings, earlier_pairs, expected_accuracy
from skip_pipeline.world import oracle
from skip_pipeline.world.arrays import IntArray
from skip_pipeline.world.laws import filtering
from skip_pipeline.world.laws.attention import Attention, Minds
from skip_pipeline.world.laws.reactions import react
from skip_pipeline.world.randomness import cumulative, draw_categories
from skip_pipeline.world.sessions import SKIP_2, Between, listen
from skip_pipeline.world.world import Block, World

Flags = npt.NDArray[np.bool_]
Given = Literal["past", "state"]

ROWS_AT_ONCE: Final = 200_000
"""Sessions times draws that are drawn together: 100 MB."""


@dataclass(frozen=True)
class SecondHalves:
    """n sessions of one length."""

    rows: IntArray  # (n,), numbers of the sessions in their block
    first: Flags  # (n, tracks of the first half), skip_2 as it happened
    happened: Flags  # (n, T), skip_2 in the second half as it happened
    drawn: Flags  # (n, draws, T), as drawn given what is known


def second_halves(
    world: World, number: int, draws: int, rng: np.random.Generator, given: Given, wanted: Flags | None = None
) -> Iterator[SecondHalves]:
    """Draw the second halves of a block's sessions, of one length at a time.

    Args:
        world: of any law.
        number: of the block.
        draws: of the second half of each session.
        rng: of the draws.
        given: what is known.
        wanted: which of the block's sessions are drawn, (sessions,); None for all.
    """
    block = world.block(number)
    lengths = block.scene.setting.lengths
    minds = world.minds(number, block.scene)
    continued = _Continued(block, minds, given, rng) if minds else _ContinuedCalibrated(block, given, rng)
    skipped = block.behaviour.outcome <= SKIP_2
    for length in np.unique(lengths):
        alike = np.flatnonzero((lengths == length) & (True if wanted is None else wanted))
        if not len(alike):
            continue
        begin = int(length) // 2
        pieces = []
        for rows in np.array_split(alike, -(-len(alike) * draws // ROWS_AT_ONCE)):
            outcome = continued.drawn(rows, draws, begin)[:, : length - begin]
            pieces.append((outcome <= SKIP_2).reshape(len(rows), draws, -1))
        yield SecondHalves(
            alike, skipped[alike, :begin], skipped[alike, begin:length], np.concatenate(pieces)
        )


class _ContinuedCalibrated:
    """Sessions of the calibrated law, continued after their first halves."""

    def __init__(self, block: Block, given: Given, rng: np.random.Generator) -> None:
        self._block, self._given, self._rng = block, given, rng
        scene = block.scene
        half = scene.setting.lengths // 2
        self._mean, covariance = oracle.belief(block.behaviour, scene.contrasts, half)
        self._factors = np.linalg.cholesky(covariance.transpose(2, 0, 1) + 1e-12 * np.eye(len(self._mean)))
        self._shuffling = oracle.range_of_shuffling(block.behaviour, scene.setting, half)

    def drawn(self, rows: IntArray, draws: int, begin: int) -> IntArray:
        """Outcomes from position ``begin`` on, (rows times draws, 20 - begin)."""
        scene, rng = self._block.scene, self._rng
        each = np.repeat(rows, draws)
        listeners = _taken(scene.listeners, each)
        if self._given == "past":
            noise = rng.standard_normal((len(rows), draws, len(self._mean)))
            hidden = self._mean.T[rows, None] + noise @ self._factors[rows].transpose(0, 2, 1)
            hidden = hidden.reshape(len(each), -1)
            low, high = (end[each, 0] for end in self._shuffling)
            shuffling = low + (high - low) * rng.random(len(each))
            listeners = replace(listeners, patience=hidden[:, 0], taste=hidden[:, 1:], shuffling=shuffling)
        liking = (scene.contrasts[each] * listeners.taste[:, None]).sum(axis=2)
        left = Between.before(begin, _taken(self._block.behaviour, each))
        setting = replace(_taken(scene.setting, each), liking=liking)
        return listen(rng, listeners, setting, left).outcome


class _Continued:
    """Sessions of a law with finitely many hidden states, continued after their first halves."""

    def __init__(self, block: Block, minds: Minds, given: Given, rng: np.random.Generator) -> None:
        self._block, self._minds, self._given, self._rng = block, minds, given, rng
        scene = block.scene
        half = scene.setting.lengths // 2
        self._belief = cumulative(filtering.belief(minds, block.behaviour, half).T)  # (sessions, states)
        self._shuffling = oracle.range_of_shuffling(block.behaviour, scene.setting, half)

    def drawn(self, rows: IntArray, draws: int, begin: int) -> IntArray:
        """Outcomes from position ``begin`` on, (rows times draws, 20 - begin)."""
        scene, rng = self._block.scene, self._rng
        each = np.repeat(rows, draws)
        listeners = _taken(scene.listeners, each)
        if self._given == "past":
            attention = self._attention(each, begin)
            low, high = (end[each, 0] for end in self._shuffling)
            listeners = replace(listeners, shuffling=low + (high - low) * rng.random(len(each)))
        else:
            attention = _rows_of(self._minds.true, each)
        left = Between.before(begin, _taken(self._block.behaviour, each))
        setting = _taken(scene.setting, each)
        return react(rng, replace(scene, listeners=listeners, setting=setting), attention, left).outcome

    def _attention(self, each: IntArray, begin: int) -> Attention:
        """Attention along states that are drawn given the first half; reactions do not change with them."""
        possible, transition = self._minds.possible, self._minds.transition
        steps = cumulative(transition)
        moving = not np.array_equal(transition, np.eye(len(transition)))
        first = state = draw_categories(self._rng, self._belief[each])
        fixed = np.zeros((len(each), possible.fixed.shape[-1]))
        for position in range(begin, fixed.shape[1]):
            fixed[:, position] = possible.fixed[state, each, position]
            if moving:
                state = draw_categories(self._rng, steps[state])
        by_outcome, by_context = (
            values[first, each if values.shape[1] > 1 else 0]
            for values in (possible.by_outcome, possible.by_context)
        )
        return Attention(fixed, by_outcome, by_context)


def _rows_of(attention: Attention, rows: IntArray) -> Attention:
    """Attention of some sessions, from that of all without leading axes."""
    parts = (attention.fixed, attention.by_outcome, attention.by_context)
    return Attention(*(part[rows] if len(part) > 1 else part for part in parts))


def _taken(record: Any, rows: IntArray) -> Any:
    """The same dataclass of arrays with some rows only."""
    return replace(record, **{field.name: getattr(record, field.name)[rows] for field in fields(record)})


def best_strings(skips: Flags) -> Flags:
    """Decisions of the largest expected average accuracy for each session: (sessions, T).

    Args:
        skips: (sessions, draws, T), outcomes drawn from their joint distribution.
    """
    length = skips.shape[2]
    strings = all_strings(length)
    sign = np.where(skips, np.float32(1.0), np.float32(-1.0))
    later, earlier = earlier_pairs(length)
    pairs = np.matmul(sign.transpose(0, 2, 1), sign) / skips.shape[1]  # (sessions, T, T)
    expected = expected_accuracy(strings, sign.mean(axis=1), pairs[:, later, earlier])
    return np.asarray(strings[expected.argmax(axis=0)] > 0.0)
