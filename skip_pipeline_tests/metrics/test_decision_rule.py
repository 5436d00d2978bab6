"""Decisions on second halves: expected average accuracy, tables of correlations, whole strings."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skip_pipeline.errors import ContractError
from skip_pipeline.metrics import decision_rule
from skip_pipeline.metrics.challenge import average_accuracy, score_sessions
from skip_pipeline.metrics.decision_rule import (
    THRESHOLD,
    DecisionRule,
    best_constant_strings,
    earlier_pairs,
    expected_accuracy,
    fit,
)


def every_string(tracks):
    return np.array(list(itertools.product((-1.0, 1.0), repeat=tracks)))


def moments(chances):
    """First and pairwise moments of a joint distribution of T outcomes, given the chance of every string."""
    outcomes = every_string(int(np.log2(len(chances))))
    later, earlier = earlier_pairs(outcomes.shape[1])
    return chances @ outcomes, chances @ (outcomes[:, later] * outcomes[:, earlier])


@pytest.mark.parametrize("tracks", [1, 2, 3, 5, 7])
def test_the_expectation_equals_the_sum_over_all_outcomes(tracks):
    chances = np.random.default_rng(tracks).dirichlet(np.full(2**tracks, 0.3))
    strings = every_string(tracks)
    expected = [chances @ average_accuracy(strings == string) for string in strings]
    first, pairs = moments(chances)
    found = expected_accuracy(strings, first[None], pairs[None])
    np.testing.assert_allclose(found[:, 0], expected, rtol=0, atol=1e-12)


def table_of(tracks, correlation):
    return np.where(np.eye(tracks, dtype=bool), 1.0, correlation)


@given(
    p=st.lists(st.floats(0.02, 0.98), min_size=5, max_size=5),
    correlation=st.floats(0.0, 0.9),
)
@settings(deadline=None, max_examples=60)
def test_a_session_gets_the_best_of_all_strings(p, correlation):
    rule = DecisionRule({10: table_of(5, correlation)}, joint=True)
    found = rule.decide(np.array(p), np.array([5]), np.array([10]))
    first = 2 * np.array(p) - 1
    later, earlier = earlier_pairs(5)
    deviation = np.sqrt(1 - first**2)
    pairs = first[later] * first[earlier] + correlation * deviation[later] * deviation[earlier]
    strings = every_string(5)
    scores = expected_accuracy(strings, first[None], pairs[None])[:, 0]
    assert scores[(strings == np.where(found, 1.0, -1.0)).all(axis=1)] == pytest.approx(
        scores.max(), abs=1e-5
    )


@given(p=st.lists(st.floats(0.01, 0.99).filter(lambda p: abs(p - 0.5) > 0.001), min_size=8, max_size=8))
@settings(deadline=None, max_examples=60)
def test_without_correlation_the_best_string_is_the_threshold_at_every_track(p):
    rule = DecisionRule({15: table_of(8, 0.0)}, joint=True)
    assert rule.decide(np.array(p), np.array([8]), np.array([15])).tolist() == [one > 0.5 for one in p]


def test_correlation_makes_strings_coherent():
    p = np.array([0.55, 0.55, 0.49, 0.55, 0.55])
    decided = [
        DecisionRule({10: table_of(5, r)}, joint=True).decide(p, np.array([5]), np.array([10])).tolist()
        for r in (0.0, 0.6)
    ]
    assert decided == [[True, True, False, True, True], [True] * 5]


def test_sessions_of_any_lengths_are_decided_each_by_its_own_table():
    rng = np.random.default_rng(0)
    tables = {10: table_of(5, 0.6), 11: table_of(6, 0.0), 20: table_of(10, 0.3)}
    lengths = np.array([20, 10, 11, 10, 20])
    tracks = lengths - lengths // 2
    p = rng.uniform(0.3, 0.7, tracks.sum())
    together = DecisionRule(tables, joint=True).decide(p, tracks, lengths)
    starts = np.cumsum(tracks) - tracks
    for start, count, length in zip(starts, tracks, lengths, strict=True):
        alone = DecisionRule({length: tables[length]}, joint=True).decide(
            p[start : start + count], np.array([count]), np.array([length])
        )
        assert together[start : start + count].tolist() == alone.tolist()


def test_sessions_are_decided_some_at_a_time(monkeypatch):
    rule = DecisionRule({10: table_of(5, 0.5)}, joint=True)
    p = np.random.default_rng(1).uniform(0.3, 0.7, 35)
    tracks, lengths = np.full(7, 5), np.full(7, 10)
    whole = rule.decide(p, tracks, lengths)
    monkeypatch.setattr(decision_rule, "_AT_ONCE", 3)
    assert rule.decide(p, tracks, lengths).tolist() == whole.tolist()


@pytest.mark.parametrize(("tracks", "length"), [(4, 10), (6, 10), (5, 9), (19, 20), (1, 12)])
def test_a_session_that_is_not_cut_in_half_gets_the_threshold(tracks, length):
    rule = DecisionRule({10: table_of(5, 0.9), 20: table_of(10, 0.9), 12: table_of(6, 0.9)}, joint=True)
    p = np.linspace(0.4, 0.6, tracks)
    assert rule.decide(p, np.array([tracks]), np.array([length])).tolist() == (p > 0.5).tolist()


def drawn(sessions, length, loading, seed):
    """Outcomes that one standard normal mood of each session moves together, and their chances."""
    rng = np.random.default_rng(seed)
    tracks = length - length // 2
    level = rng.normal(0, 0.5, (sessions, tracks))
    signal = level + loading * rng.standard_normal((sessions, 1)) + rng.logistic(size=level.shape)
    return (signal > 0).ravel().astype(np.uint8), 1 / (1 + np.exp(-level / (1 + loading**2 / 4))).ravel()


def test_correlations_are_those_of_the_residuals():
    skips, p = drawn(20_000, 11, 2.0, seed=3)
    rule = fit(skips, p, np.full(20_000, 11))
    residuals = ((skips - p) / np.sqrt(p * (1 - p))).reshape(-1, 6)
    np.testing.assert_allclose(
        rule.correlations[11][np.tril_indices(6, -1)],
        np.corrcoef(residuals.T)[np.tril_indices(6, -1)],
        atol=0.02,
    )
    assert np.diag(rule.correlations[11]).tolist() == [1.0] * 6


def test_a_length_without_sessions_gets_the_correlations_of_all_lengths():
    skips, p = drawn(5_000, 10, 2.0, seed=3)
    rule = fit(skips, p, np.full(5_000, 10))
    assert sorted(rule.correlations) == list(range(10, 21))
    np.testing.assert_allclose(rule.correlations[20][:5, :5], rule.correlations[10], atol=0.01)
    assert not rule.correlations[20][5:, :5].any()


def test_whole_strings_are_kept_where_they_score_higher():
    skips, p = drawn(3_000, 14, 2.0, seed=5)
    lengths = np.full(3_000, 14)
    rule = fit(skips, p, lengths)
    assert rule.joint
    new, p_new = drawn(3_000, 14, 2.0, seed=6)
    tracks = lengths // 2
    by_string, by_threshold = (
        score_sessions(each.decide(p_new, tracks, lengths), new, tracks).average_accuracy.mean()
        for each in (rule, THRESHOLD)
    )
    assert by_string > by_threshold + 0.005


def test_a_threshold_is_kept_where_whole_strings_do_not_score_higher():
    p = np.full(10, 0.9)  # every string decides all to be skipped
    rule = fit(np.ones(10, np.uint8), p, np.array([10, 10]))
    assert not rule.joint
    mixed = np.full(5, 0.45)
    correlated = DecisionRule({10: table_of(5, 0.9)}, joint=False)
    assert not correlated.decide(mixed, np.array([5]), np.array([10])).any()


@pytest.mark.parametrize("seed", range(3))
def test_a_constant_string_scores_best_on_the_sessions_of_its_length(seed):
    lengths = np.array([10, 13, 10, 10, 13, 10])
    tracks = lengths - lengths // 2
    skips = np.random.default_rng(seed).integers(0, 2, tracks.sum())
    found = best_constant_strings(skips, lengths)
    assert sorted(found) == list(range(10, 21))
    for length in (10, 13):
        outcomes = skips[np.repeat(lengths == length, tracks)].reshape(-1, length - length // 2)
        scores = {
            string: average_accuracy(outcomes == string).mean()
            for string in itertools.product((0, 1), repeat=outcomes.shape[1])
        }
        assert scores[tuple(found[length].tolist())] == pytest.approx(max(scores.values()))


def test_a_length_without_sessions_gets_zeros():
    found = best_constant_strings(np.ones(5, np.uint8), np.array([10]))
    assert found[10].tolist() == [1] * 5
    assert found[11].tolist() == [0] * 6


def test_a_rule_is_read_as_it_was_written():
    skips, p = drawn(500, 12, 1.0, seed=7)
    rule = fit(skips, p, np.full(500, 12))
    read = DecisionRule.from_json(rule.to_json())
    assert read.joint == rule.joint
    for length, table in rule.correlations.items():
        np.testing.assert_allclose(read.correlations[length], table, atol=1e-6)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"joint": True},
        {"joint": "yes", "correlations": {}},
        {"joint": True, "correlations": []},
        {"joint": True, "correlations": {"ten": []}},
        {"joint": True, "correlations": {"10": [[1.0]]}},
        {"joint": True, "correlations": {"10": np.full((5, 5), 1.5).tolist()}},
        {"joint": True, "correlations": {"10": np.full((5, 5), np.nan).tolist()}},
    ],
)
def test_a_damaged_rule_is_refused(content):
    with pytest.raises(ContractError, match=r"decision rule is damaged.*materialize trained_model"):
        DecisionRule.from_json(content)
