"""Inputs that the records of a session decode to, on literal values."""

import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.bundles.records import (
    ROW,
    SESSION,
    Steps,
    decode,
    outcome_bits,
    outcome_byte,
    padding_of,
    premium_of,
)

TRACKS = np.arange(3 * 31, dtype=np.float32).reshape(3, 31)


def steps(hour, premium):
    """Sessions of 3 tracks: 1, 2, then 0."""
    n = len(hour)
    rows = np.zeros((n, 19), ROW)
    rows["track"][:, -2:] = (1, 2)
    padding = padding_of(np.full(n, 2))
    return Steps(rows, padding, np.full(n, 3), np.zeros(n, int), np.asarray(hour), np.asarray(premium))


def decoded(name, of):
    out = np.full((len(of.length), *schema.INPUT_SHAPES[name]), np.nan, np.float32)
    decode(name, of, TRACKS, out)
    return out


@pytest.mark.parametrize(
    ("hour", "harmonics"),
    [(0, [0, 0, 1, 1]), (6, [1, 0, 0, -1]), (12, [0, 0, -1, 1]), (18, [-1, 0, 0, -1])],
)
def test_circumstances_are_two_harmonics_of_the_hour_and_premium(hour, harmonics):
    found = decoded("circumstances", steps([hour, hour], [1, 0]))
    assert found[:, :4].ravel().tolist() == pytest.approx(harmonics * 2, abs=1e-6)
    assert found[:, 4].tolist() == [0.5, -0.5]


def test_an_hour_and_a_premium_that_are_not_known_are_zeros():
    found = decoded("circumstances", steps([-1, -1, 6], [-1, 1, -1]))
    assert found[:2, :4].tolist() == [[0] * 4] * 2
    assert found[:, 4].tolist() == [0, 0.5, 0]
    assert found[2, 0] == 1


def test_numbers_of_tracks_are_rows_of_the_matrix_and_minus_1_in_padding():
    of = steps([0], [0])
    assert decoded("track_numbers", of).tolist() == [[-1] * 17 + [1, 2, 0]]
    assert np.array_equal(decoded("previous_tracks", of)[0, -2:], TRACKS[[1, 2]])
    assert np.array_equal(decoded("last_track", of)[0], TRACKS[0])


def test_every_step_is_visible_and_the_predicted_track_follows_the_last():
    of = steps([0, 1], [0, 0])
    assert decoded("visible_steps", of).tolist() == [[19], [19]]
    assert decoded("tracks_between", of).tolist() == [[0], [0]]


def test_the_outcome_byte_holds_four_flags_and_premium_where_it_is_known():
    flags = np.array([[(number >> bit) & 1 for bit in range(4)] for number in range(16)] * 3)
    premium = np.repeat([0, 1, -1], 16)
    sessions = np.zeros(48, SESSION)
    sessions["outcome"] = outcome_byte(list(flags.T), premium)
    assert len(set(sessions["outcome"].tolist())) == 48
    assert np.array_equal(outcome_bits(sessions), flags)
    assert premium_of(sessions).tolist() == premium.tolist()


def test_no_session_has_no_outcome():
    assert outcome_byte([np.empty(0)] * 4, np.empty(0)).shape == (0,)
    assert outcome_bits(np.zeros(0, SESSION)).shape == (0, 4)
    assert premium_of(np.zeros(0, SESSION)).shape == (0,)
