"""Whole sessions with their second halves hidden, and the outcomes of these halves."""

import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.bundles.leak import wide_form
from skip_pipeline.bundles.second_half import first_half, heard_skips, hide, is_asked, lengths_of, skips
from skip_pipeline_tests.builders import TRAIN, scaled_table, session
from skip_pipeline_tests.stages.shard_builders import shard

POSITION, LENGTH = (schema.SESSION_LOG_BRANCH.index(f"session_{name}") for name in ("position", "length"))
LENGTHS = [10, 13, 20]


@pytest.fixture(scope="module")
def three():
    return shard(LENGTHS).wide()["train"]


@pytest.mark.parametrize("length", range(10, 21))
def test_a_track_is_in_the_second_half_if_twice_its_position_is_above_the_length(length):
    positions = np.arange(1, length + 1)
    (asked,) = is_asked(np.array([length]))
    assert asked.tolist() == [False] * (20 - length) + (positions * 2 > length).tolist()
    assert first_half(np.array([length])).tolist() == [(positions * 2 <= length).sum()]


def test_lengths_are_those_of_the_sessions(three):
    assert lengths_of(three).tolist() == LENGTHS


def test_steps_of_the_first_half_stay_and_later_ones_keep_position_and_length(three):
    hidden = hide(three)
    for row, (length, visible) in enumerate(zip(LENGTHS, (15, 13, 10), strict=True)):
        assert hidden["visible_steps"][row] == visible
        before, after = three["session_log"][row], hidden["session_log"][row]
        np.testing.assert_array_equal(after[:visible], before[:visible])
        assert after[visible:, POSITION].tolist() == list(range(length // 2 + 1, length))
        assert after[visible:, LENGTH].tolist() == [length] * (19 - visible)
        others = [i for i in range(len(schema.SESSION_LOG_BRANCH)) if i not in (POSITION, LENGTH)]
        assert not after[visible:, others].any()
        np.testing.assert_array_equal(
            hidden["skip_sequence"][row, :visible], three["skip_sequence"][row, :visible]
        )
        assert not hidden["skip_sequence"][row, visible:].any()
    for name in ("previous_tracks", "last_track", "track_numbers", "circumstances", "tracks_between"):
        np.testing.assert_array_equal(hidden[name], three[name])


def test_the_inputs_that_are_hidden_stay_as_they_were():
    arrays = shard(LENGTHS).wide()["train"]
    copies = {name: array.copy() for name, array in arrays.items()}
    hide(arrays)
    assert all(np.array_equal(array, copies[name]) for name, array in arrays.items())


def test_inputs_may_be_some_of_them(three):
    assert set(hide({"skip_sequence": three["skip_sequence"]})) == {"skip_sequence"}


@pytest.mark.parametrize(
    ("length", "skipped", "expected"),
    [(10, {5, 8, 10}, [0, 0, 1, 0, 1]), (13, {6, 7, 9}, [1, 0, 1, 0, 0, 0, 0])],
)
def test_outcomes_are_skip_2_of_each_track_of_the_second_half(length, skipped, expected):
    flags = [position in skipped for position in range(1, length + 1)]
    made = wide_form(*scaled_table(session(TRAIN, length, skip_2=flags, skip_3=True)))["train"]
    assert skips(made).tolist() == expected
    assert heard_skips(made).tolist() == flags[: length // 2]


def test_outcomes_of_first_halves_are_flat_session_after_session():
    made = shard(LENGTHS, seed=4)
    flags, positions = (made.scaled[name].to_numpy() for name in ("skip_2", "session_position"))
    lengths = np.repeat(LENGTHS, LENGTHS)
    assert heard_skips(made.wide()["train"]).tolist() == flags[positions * 2 <= lengths].tolist()


def test_outcomes_are_flat_session_after_session():
    made = shard(LENGTHS, seed=4)
    flags, positions = (made.scaled[name].to_numpy() for name in ("skip_2", "session_position"))
    lengths = np.repeat(LENGTHS, LENGTHS)
    assert skips(made.wide()["train"]).tolist() == flags[positions * 2 > lengths].tolist()
