from __future__ import annotations

import json

import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.errors import ContractError, TrainingError
from skip_pipeline.nightly.profile import EARLIER_OUTCOME, PREDICTED_OUTCOME, Profile, feature_names, profile
from skip_pipeline_tests.nightly.sessions import part, track_table

PLAYED, SKIPPED = [1] * 9 + [0], [0] * 10 + [1]  # 10 and 11 tracks


def test_sessions_plays_and_outcomes_are_counted():
    found = profile([part([PLAYED, SKIPPED])], track_table())

    assert (found.sessions, found.plays) == (2, 21)
    assert found.features[PREDICTED_OUTCOME].counts.tolist() == [1, 1]
    assert found.features[EARLIER_OUTCOME].counts.tolist() == [10, 9]
    assert found.features["session_length"].counts.tolist() == [1, 1, *[0] * 9]


def test_parts_add_up():
    both = profile([part([PLAYED]), part([SKIPPED])], track_table())

    assert both.to_json() == profile([part([PLAYED, SKIPPED])], track_table()).to_json()


def test_a_level_outside_the_vocabulary_is_counted_as_unknown():
    found = profile([part([PLAYED], context=len(schema.LEVELS["context_type"]))], track_table())

    context = found.features["context_type"]
    assert dict(zip(context.levels, context.counts.tolist(), strict=True))["unknown"] == 9
    assert context.counts.sum() == 9


def test_a_mode_outside_the_vocabulary_is_counted_as_unknown():
    found = profile([part([PLAYED])], track_table(mode=["minor"] * 3 + ["lydian"] + ["major"] * 16))

    assert found.features["mode"].counts.tolist() == [6, 3, 1]


def test_numbers_get_bins_of_equally_many_plays():
    tracks = [list(range(10)), list(range(10, 20))]
    found = profile([part([PLAYED, PLAYED], tracks=tracks)], track_table())

    tempo = found.features["tempo"]
    assert tempo.counts.tolist() == [1, 2, 2, 2, 2, 2, 2, 2, 2, 3]
    assert tempo.edges is not None
    assert tempo.edges.tolist() == [1, 3, 5, 7, 9, 11, 13, 15, 17]


def test_a_number_that_never_varies_gets_one_bin():
    found = profile([part([PLAYED])], track_table(tempo=[120.0] * 20))

    assert found.features["tempo"].levels == ("all",)
    assert found.features["tempo"].counts.tolist() == [10]


def test_tracks_that_are_not_played_make_no_bins():
    tempo = [100.0] * 5 + [200.0] * 5 + [0.0] * 10

    found = profile([part([PLAYED])], track_table(tempo=tempo)).features["tempo"]

    assert found.edges is not None
    assert found.edges.tolist() == [200.0]
    assert found.counts.tolist() == [5, 5]


def test_another_profile_lends_its_bins():
    reference = profile([part([PLAYED])], track_table(tempo=[float(i) for i in range(20)]))
    found = profile([part([PLAYED])], track_table(tempo=[1000.0] * 20), like=reference).features["tempo"]

    assert found.levels == reference.features["tempo"].levels
    assert found.counts.tolist() == [0] * (len(found.levels) - 1) + [10]


def test_a_profile_survives_json():
    found = profile([part([PLAYED, SKIPPED])], track_table())

    again = Profile.from_json(json.loads(json.dumps(found.to_json())))

    assert again.to_json() == found.to_json()
    assert set(found.features) == set(feature_names())
    assert np.array_equal(again.features["tempo"].shares, found.features["tempo"].shares)


def test_a_damaged_profile_is_refused():
    with pytest.raises(ContractError, match="cannot be read"):
        Profile.from_json({"sessions": 1})


def test_no_session_is_refused():
    with pytest.raises(TrainingError, match="no session to profile"):
        profile([], track_table())


def test_bins_of_another_version_are_refused():
    with pytest.raises(ContractError, match="no bins of duration"):
        profile([part([PLAYED])], track_table(), like=Profile(1, 1, {}))
