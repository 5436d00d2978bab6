"""Permutation importance: partners, columns, and the rise for a model that uses or ignores them."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skip_pipeline import schema
from skip_pipeline.bundles.records import SEEKS
from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.intervals import Estimate
from skip_pipeline.report.importance import (
    INPUT_GROUPS,
    InputGroup,
    choose_sessions,
    exchanged,
    partners,
    permutation_importance,
)
from skip_pipeline_tests.builders import refusal
from skip_pipeline_tests.tiny_bundle import tiny_bundle

BUNDLE = tiny_bundle(300)
LABELS = BUNDLE[schema.LABEL]
BESIDE = ("track_memory", "circumstances")  # of the inputs beside the branches, those that are exchanged
INPUTS = {name: BUNDLE[name] for name in schema.BRANCH_SHAPES} | {
    name: np.random.default_rng(1).random((300, *schema.INPUT_SHAPES[name])) for name in BESIDE
}


@given(st.lists(st.integers(9, 19), min_size=1, max_size=40), st.integers(0, 3))
def test_sessions_of_equal_length_exchange_and_only_one_alone_keeps_its_own(
    history: list[int], seed: int
) -> None:
    skips = np.zeros((len(history), schema.STEPS, 1), np.float32)
    for session, tracks in enumerate(history):
        skips[session, : schema.STEPS - tracks] = schema.SKIP_PADDING
    partner = partners(skips, seed)

    assert sorted(partner.tolist()) == list(range(len(history)))
    assert [history[at] for at in partner] == history
    kept = [history[at] for at in np.flatnonzero(partner == np.arange(len(history)))]
    assert sorted(kept) == sorted(length for length in set(history) if history.count(length) == 1)


def test_partners_depend_on_the_seed() -> None:
    skips = INPUTS["skip_sequence"]
    assert np.array_equal(partners(skips), partners(skips))
    assert not np.array_equal(partners(skips), partners(skips, seed=9))


def test_groups_part_all_columns_but_those_that_tell_the_length() -> None:
    branches = [group for group in INPUT_GROUPS if group.kind == "branch"]
    assert [group.name for group in branches] == list(schema.BRANCH_SHAPES)
    for group in branches:
        assert group.columns == {group.name: tuple(range(schema.BRANCH_SHAPES[group.name][-1]))}
    found: dict[str, list[int]] = {name: [] for name in INPUTS}
    for group in INPUT_GROUPS:
        if group.kind == "features":
            for name, columns in group.columns.items():
                found[name] += columns
    place = {schema.SESSION_LOG_BRANCH.index(name) for name in (schema.POSITION, schema.LENGTH)}
    for name, array in INPUTS.items():
        left_out = place if name == "session_log" else set()
        assert sorted(found[name]) == sorted(set(range(array.shape[-1])) - left_out)


@pytest.mark.parametrize("group", INPUT_GROUPS, ids=lambda group: group.name)
def test_an_exchange_moves_the_columns_of_the_group_and_no_padding(group: InputGroup) -> None:
    partner = partners(INPUTS["skip_sequence"])
    changed = exchanged(INPUTS, group, partner)
    for name, array in INPUTS.items():
        columns = list(group.columns.get(name, ()))
        others = sorted(set(range(array.shape[-1])) - set(columns))
        assert np.array_equal(changed[name][..., columns], array[partner][..., columns])
        assert np.array_equal(changed[name][..., others], array[..., others])
    padding = changed["skip_sequence"] == schema.SKIP_PADDING
    assert np.array_equal(padding, INPUTS["skip_sequence"] == schema.SKIP_PADDING)


def _repeats_the_last_outcome(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.where(inputs["skip_sequence"][:, -1, 0] == 1, 0.9, 0.1)


def test_only_what_a_model_uses_costs_it_anything() -> None:
    measured = permutation_importance(INPUTS, LABELS, _repeats_the_last_outcome)
    rises = {entry.name: entry.rise for entry in measured.inputs}

    assert measured.sessions == 300
    assert measured.log_loss == pytest.approx(-np.log(0.9))  # the last outcome decides in a tiny bundle
    for name in ("skip_sequence", "outcomes"):
        assert rises.pop(name).low > 0.5
    assert set(rises.values()) == {Estimate(0, 0, 0)}
    assert measured.of_kind("branch")[0].name == "skip_sequence"
    assert measured.of_kind("features")[0].name == "outcomes"
    kinds = [entry.kind for entry in measured.inputs]
    assert kinds == sorted(kinds)  # branches before features


def test_it_predicts_once_for_each_group_and_once_before_and_leaves_inputs_alone() -> None:
    calls = []
    before = {name: array.copy() for name, array in INPUTS.items()}

    def predict(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        calls.append(len(inputs["last_track"]))
        return np.full(300, 0.5)

    permutation_importance(INPUTS, LABELS, predict)
    assert calls == [300] * (1 + len(INPUT_GROUPS))
    assert all(np.array_equal(before[name], INPUTS[name]) for name in before)


def test_a_network_of_four_branches_has_no_group_of_other_inputs() -> None:
    branches = {name: BUNDLE[name] for name in schema.BRANCH_SHAPES}
    measured = permutation_importance(branches, LABELS, lambda _: np.full(300, 0.5))
    assert {"memory", "circumstances"}.isdisjoint(group.name for group in measured.inputs)


def test_a_group_that_is_the_same_in_every_session_is_left_out() -> None:
    log = INPUTS["session_log"].copy()
    log[:, :, [schema.SESSION_LOG_BRANCH.index(name) for name in SEEKS]] = 0.0
    inputs = INPUTS | {"session_log": log, "last_track": np.full_like(INPUTS["last_track"], 0.5)}
    measured = permutation_importance(inputs, LABELS, lambda _: np.full(300, 0.5))
    left_out = {group.name for group in INPUT_GROUPS} - {entry.name for entry in measured.inputs}
    assert left_out == {"seeks", "last_track"}


def test_sessions_that_are_all_alone_in_their_length_keep_every_group() -> None:
    lengths = (BUNDLE["skip_sequence"] != schema.SKIP_PADDING).sum(axis=(1, 2))
    first = np.unique(lengths, return_index=True)[1]
    of_each = {name: array[first] for name, array in INPUTS.items()}
    measured = permutation_importance(of_each, LABELS[first], lambda _: np.full(len(first), 0.5))
    assert len(measured.inputs) == len(INPUT_GROUPS)


def test_no_more_sessions_are_chosen_than_asked_for() -> None:
    assert choose_sessions(5, most=10).tolist() == [0, 1, 2, 3, 4]
    chosen = choose_sessions(1000, most=10).tolist()
    assert len(chosen) == 10
    assert chosen == sorted(set(chosen)) == choose_sessions(1000, most=10).tolist()


def test_a_model_that_gives_no_probabilities_is_refused() -> None:
    attempt = partial(permutation_importance, INPUTS, LABELS, lambda _: np.full(300, 2.0))
    assert "not in [0, 1]" in refusal(ContractError, attempt)
