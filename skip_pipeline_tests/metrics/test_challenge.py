"""The challenge's metric: literal sessions, the published baseline, a slow version, counts that differ."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.challenge import (
    SessionScores,
    average_accuracy,
    estimate_scores,
    score_sessions,
)
from skip_pipeline.metrics.intervals import estimate_means
from skip_pipeline.world.constants import SESSIONS_BY_LENGTH
from skip_pipeline_tests.builders import assert_says, refusal

PUBLISHED_RANDOM = {"maa": 0.33620825485008854, "fpa": 0.5048}
"""Uniformly random decisions on the 10,000 sessions of the mini set, as the starter kit printed them."""


def digits(*lines: str) -> tuple[np.ndarray, np.ndarray]:
    """Lines of a submission as digits, and their number in each line."""
    return np.array([int(digit) for line in lines for digit in line]), np.array([len(line) for line in lines])


def slow_average_accuracy(decided: str, skipped: str) -> float:
    """The definition, track by track."""
    pairs = list(zip(decided, skipped, strict=True))
    total = 0.0
    for i in range(1, len(pairs) + 1):
        correct = sum(a == b for a, b in pairs[:i])
        if pairs[i - 1][0] == pairs[i - 1][1]:
            total += correct / i
    return total / len(pairs)


# --- Average accuracy -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decided", "skipped", "expected"),
    [
        ("11111", "11111", 1.0),
        ("00000", "11111", 0.0),
        ("10000", "11111", 1 / 5),  # right first: A(1) = 1
        ("00001", "11111", (1 / 5) / 5),  # right last: A(5) = 1/5
        ("11011", "11111", (1 + 1 + 3 / 4 + 4 / 5) / 5),
        ("0110100110", "0111100010", (1 + 1 + 1 + 4 / 5 + 5 / 6 + 6 / 7 + 7 / 9 + 8 / 10) / 10),
    ],
)
def test_literal_strings(decided: str, skipped: str, expected: float) -> None:
    (guess, tracks), (truth, _) = digits(decided), digits(skipped)
    scores = score_sessions(guess, truth, tracks)

    assert scores.average_accuracy.tolist() == pytest.approx([expected])
    assert scores.first_right.tolist() == [decided[0] == skipped[0]]


def test_sessions_of_all_lengths_score_as_one_by_one() -> None:
    random = np.random.default_rng(3)
    tracks = random.integers(1, 20, size=400)
    decided, skipped = random.integers(0, 2, size=(2, tracks.sum()))
    ends = np.cumsum(tracks)
    lines = [
        ["".join(map(str, own[end - length : end])) for end, length in zip(ends, tracks, strict=True)]
        for own in (decided, skipped)
    ]
    expected = [slow_average_accuracy(*pair) for pair in zip(*lines, strict=True)]
    scores = score_sessions(decided, skipped, tracks)

    assert {5, 10} <= set(tracks.tolist())
    assert scores.average_accuracy == pytest.approx(expected, abs=1e-12)
    assert scores.first_right.tolist() == [a[0] == b[0] for a, b in zip(*lines, strict=True)]


def test_random_decisions_score_as_published_within_the_sampling_error() -> None:
    lengths = np.repeat(list(SESSIONS_BY_LENGTH), list(SESSIONS_BY_LENGTH.values()))
    tracks = -(-lengths // 2)
    assert len(tracks) == 10_000
    # Whatever the outcomes, each decision is right by one half, so all patterns of right are equally likely.
    possible = {t: average_accuracy(np.array(list(product([False, True], repeat=t)))) for t in range(5, 11)}
    mean = np.array([possible[t].mean() for t in tracks]).mean()
    maa_error = np.sqrt(np.array([possible[t].var() for t in tracks]).mean() / len(tracks))
    fpa_error = np.sqrt(0.25 / len(tracks))

    assert PUBLISHED_RANDOM["maa"] == pytest.approx(mean, abs=3 * maa_error)
    assert PUBLISHED_RANDOM["fpa"] == pytest.approx(0.5, abs=3 * fpa_error)
    random = np.random.default_rng(0)
    decided, skipped = random.integers(0, 2, size=(2, tracks.sum()))
    scores = score_sessions(decided, skipped, tracks)
    assert scores.average_accuracy.mean() == pytest.approx(mean, abs=3 * maa_error)
    assert scores.first_right.mean() == pytest.approx(0.5, abs=3 * fpa_error)


# --- Counts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decided", "skipped", "tracks", "parts"),
    [
        ([1, 0], [1, 0, 1], [3], ("decisions have shape (2,)", "3 tracks in all")),
        ([1, 0, 1], [1, 0], [3], ("outcomes have shape (2,)", "3 tracks in all")),
        ([1, 0, 1], [1, 0, 1], [3, 0], ("at least 0 each", "at least one track a session")),
        ([1, 2, 1], [1, 0, 1], [3], ("1 of 3 decisions are neither 0 nor 1", "1 for skipped")),
        ([1, 1, 1], [1, 0.5, -1], [3], ("2 of 3 outcomes are neither 0 nor 1",)),
        ([[1, 1]], [[1, 1]], [2], ("decisions have shape (1, 2)",)),
    ],
)
def test_counts_that_differ_and_other_digits_are_refused(
    decided: list[float], skipped: list[float], tracks: list[int], parts: tuple[str, ...]
) -> None:
    arrays = [np.array(values) for values in (decided, skipped, tracks)]
    assert_says(refusal(ContractError, lambda: score_sessions(*arrays)), *parts)


# --- Intervals --------------------------------------------------------------------------------------------


def scored(average: list[float], first: list[bool]) -> SessionScores:
    return SessionScores(np.array(average), np.array(first))


def test_differences_are_of_pairs_of_the_same_resampled_sessions() -> None:
    random = np.random.default_rng(1)
    average = random.random(300)
    first = random.random(300) < 0.5
    ours = SessionScores(average, first)
    better = SessionScores(average + 0.1, first)  # by the same in each session
    [own, other], [difference] = estimate_scores([ours, better])

    assert own.maa == estimate_means(average[:, None])[0]
    assert own.fpa.value == pytest.approx(first.mean())
    assert other.maa.value == pytest.approx(average.mean() + 0.1)
    assert own.maa.high - own.maa.low > 0.05
    assert (difference.maa.low, difference.maa.high) == pytest.approx((0.1, 0.1))
    assert difference.maa.excludes_zero
    assert (difference.fpa.low, difference.fpa.high) == (0, 0)


def test_one_set_has_no_difference() -> None:
    [own], differences = estimate_scores([scored([0.25, 0.75], [True, False])])

    assert (own.maa.value, own.fpa.value, differences) == (0.5, 0.5, [])


@pytest.mark.parametrize(
    "sets", [[scored([1.0], [True]), scored([1.0, 0.5], [True, True])], [scored([], [])]]
)
def test_sets_of_other_sessions_or_of_none_are_refused(sets: list[SessionScores]) -> None:
    assert_says(refusal(ContractError, lambda: estimate_scores(sets)), "sessions", "the same sessions")
