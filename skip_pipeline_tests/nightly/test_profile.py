from __future__ import annotations

import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.errors import ContractError, TrainingError
from skip_pipeline.nightly.profile import (
    EARLIER_OUTCOME,
    PREDICTED_OUTCOME,
    Distribution,
    Profile,
    profile_sessions,
)
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.nightly.sessions import part, track_table

PLAYED, SKIPPED = [1] * 9 + [0], [0] * 10 + [1]  # 10 and 11 tracks


def test_sessions_plays_and_outcomes_are_counted():
    found = profile_sessions([part([PLAYED, SKIPPED])], track_table())

    assert (found.sessions, found.plays) == (2, 21)
    assert found.features[PREDICTED_OUTCOME].counts.tolist() == [1, 1]
    assert found.features[EARLIER_OUTCOME].counts.tolist() == [10, 9]
    assert found.features["session_length"].counts.tolist() == [1, 1, *[0] * 9]


def test_parts_add_up():
    parted = profile_sessions([part([PLAYED]), part([SKIPPED])], track_table())
    whole = profile_sessions([part([PLAYED, SKIPPED])], track_table())

    assert (parted.sessions, parted.plays) == (whole.sessions, whole.plays)
    assert str(parted.features) == str(whole.features)
    assert set(schema.NUMERIC_TRACK_FEATURES) < set(whole.features)


def test_levels_outside_the_vocabulary_are_counted_as_unknown():
    tracks = track_table(mode=["minor"] * 3 + ["lydian"] + ["major"] * 16)
    found = profile_sessions([part([PLAYED], context=len(schema.LEVELS["context_type"]))], tracks)

    context = found.features["context_type"]
    assert dict(zip(context.levels, context.counts.tolist(), strict=True))["unknown"] == 9
    assert context.counts.sum() == 9
    assert found.features["mode"].counts.tolist() == [6, 3, 1]


def test_numbers_get_bins_of_equally_many_plays():
    tracks = [list(range(10)), list(range(10, 20))]
    found = profile_sessions([part([PLAYED, PLAYED], tracks=tracks)], track_table())

    tempo = found.features["tempo"]
    assert tempo.counts.tolist() == [1, 2, 2, 2, 2, 2, 2, 2, 2, 3]
    assert tempo.edges is not None
    assert tempo.edges.tolist() == [1, 3, 5, 7, 9, 11, 13, 15, 17]


@pytest.mark.parametrize(
    ("tempo", "edges", "counts"),
    [
        ([120.0] * 20, [], [10]),  # it never varies
        ([100.0] * 5 + [200.0] * 5 + [0.0] * 10, [200.0], [5, 5]),  # ten tracks are not played
    ],
)
def test_only_played_numbers_that_vary_make_bins(tempo, edges, counts):
    found = profile_sessions([part([PLAYED])], track_table(tempo=tempo)).features["tempo"]

    assert found.edges is not None
    assert found.edges.tolist() == edges
    assert found.counts.tolist() == counts
    assert len(found.levels) == len(counts)


def test_another_profile_lends_its_bins():
    reference = profile_sessions([part([PLAYED])], track_table(tempo=[float(i) for i in range(20)]))
    found = profile_sessions([part([PLAYED])], track_table(tempo=[1000.0] * 20), bins_of=reference).features[
        "tempo"
    ]

    assert found.levels == reference.features["tempo"].levels
    assert found.counts.tolist() == [0] * (len(found.levels) - 1) + [10]


def test_no_session_is_refused():
    message = refusal(TrainingError, lambda: profile_sessions([], track_table()))
    assert_says(message, "no session to profile", "materialize tensor_bundles again")


@pytest.mark.parametrize("features", [{}, {"duration": Distribution(("a",), np.array([1]))}])
def test_bins_of_another_version_are_refused(features):
    other = Profile(1, 1, features)
    message = refusal(ContractError, lambda: profile_sessions([part([PLAYED])], track_table(), bins_of=other))
    assert_says(message, "no bins of duration", "train a model again")


def test_seeks_are_counted_up_to_two_and_flags_by_row():
    some = part([PLAYED])
    some.rows["hist_user_behavior_n_seekfwd"][:3] = [1, 2, 9]
    some.rows["binary"][:4, 0] |= 0x80  # skip_1
    found = profile_sessions([some], track_table())

    assert found.features["hist_user_behavior_n_seekfwd"].counts.tolist() == [6, 1, 2]
    assert found.features["skip_1"].counts.tolist() == [5, 4]


def test_plays_of_tracks_without_a_number_are_counted_beside_its_bins():
    some = part([PLAYED])  # of tracks 0 to 9
    tracks = track_table(tempo=[None] * 4 + [1.0] * 3 + [2.0] * 13, energy=[None] * 20)
    found = profile_sessions([some], tracks)

    assert found.features["tempo"].levels == ("below 2", "from 2", "unknown")
    assert found.features["tempo"].counts.tolist() == [3, 3, 4]
    assert found.features["energy"].levels == ("all", "unknown")
    assert found.features["energy"].counts.tolist() == [0, 10]
    assert found.features["duration"].levels[-1] != "unknown"
    again = profile_sessions([some], track_table(tempo=[5.0] * 20), bins_of=found).features["tempo"]
    assert (again.levels, again.counts.tolist()) == (("below 2", "from 2", "unknown"), [0, 10, 0])
