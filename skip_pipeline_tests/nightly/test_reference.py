from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.nightly import reference
from skip_pipeline.nightly.reference import (
    REFERENCE_FILE,
    SCORES,
    SCORES_OF_TRACKS,
    DeliveredShard,
    Reference,
    bin_scores,
    delivered_shards,
    read_reference,
    write_reference,
)
from skip_pipeline.storage import read_manifest
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.nightly.conftest import SESSIONS
from skip_pipeline_tests.nightly.linear_models import train_linear


@pytest.fixture(scope="module")
def folder(layout):
    """Of a packed model, with its reference."""
    return train_linear(layout)


def test_a_reference_describes_the_training_data_and_is_read_back(folder, layout):
    written, found = write_reference(folder, layout), read_reference(folder)

    assert str(dict(sorted(written.profile.features.items()))) == str(found.profile.features)
    assert found.data_source == "real"
    assert found.shards == delivered_shards(layout)
    assert found.newest_day == "2018-07-17"
    assert 0 < found.profile.sessions < 3 * SESSIONS
    sessions = open_bundles(layout.bundles)["gate"].sessions
    assert found.scores[SCORES].counts.sum() == sessions
    assert found.scores[SCORES_OF_TRACKS].counts.sum() == 10 * sessions


def test_a_window_leaves_shards_out_of_the_profile_alone(folder, layout):
    whole, cut = read_reference(folder), write_reference(folder, layout, {"log_0"})

    assert cut.profile.sessions < whole.profile.sessions
    assert cut.shards == whole.shards
    for name in (SCORES, SCORES_OF_TRACKS):
        assert cut.scores[name].counts.tolist() == whole.scores[name].counts.tolist()


def test_a_model_of_last_tracks_alone_has_no_scores_of_others(layout):
    assert read_reference(train_linear(layout, last_alone=True)).scores.keys() == {SCORES}


def test_a_shard_is_of_the_day_of_its_median_row(layout):
    found = delivered_shards(layout)

    days = {name: shard.day for name, shard in found.items()}
    assert days == {"log_0": "2018-07-15", "log_1": "2018-07-17", "log_2": ""}
    assert {shard.sessions for shard in found.values()} == {SESSIONS}


def test_a_merged_table_without_dates_is_refused(layout, monkeypatch):
    manifest = read_manifest(layout.merged, made_by="merged_table")
    shards = {name: replace(shard, summary={"sessions": 1}) for name, shard in manifest.shards.items()}
    monkeypatch.setattr(reference, "read_manifest", lambda *_, **__: replace(manifest, shards=shards))
    message = refusal(ContractError, lambda: delivered_shards(layout))
    assert_says(message, str(layout.merged), "no dates of log_0", "materialize merged_table again")


def test_no_shard_or_none_with_a_date_has_no_newest_day(folder):
    found = read_reference(folder)
    undated = Reference("real", found.profile, {"a": DeliveredShard("", 1, "")}, found.scores)
    assert undated.newest_day == Reference("real", found.profile, {}, found.scores).newest_day == ""


def test_a_damaged_reference_is_refused(tmp_path, folder):
    whole = json.loads((folder / REFERENCE_FILE).read_text())
    profile, tempo = whole["profile"], whole["profile"]["features"]["tempo"]

    def with_tempo(**damage):
        return {"profile": profile | {"features": {"tempo": tempo | damage}}}

    for damage, at in (
        ({"data_source": None}, "data_source"),
        ({"profile": {}}, "profile.sessions"),
        ({"profile": profile | {"sessions": "many"}}, "profile.sessions"),
        ({"profile": profile | {"features": None}}, "profile.features"),
        (with_tempo(counts=["few"]), "profile.features.tempo.counts"),
        (with_tempo(edges=3), "profile.features.tempo.edges"),
        ({"shards": {"log_0": {"day": ""}}}, "shards.log_0.sha256"),
        ({"shards": []}, "shards"),
        ({"scores": {}}, "scores"),
        ({"scores": None}, "scores"),
    ):
        _assert_refused(tmp_path, json.dumps(whole | damage), f"({at}")
    _assert_refused(tmp_path, "{", "Invalid JSON")
    _assert_refused(tmp_path, "[]", "cannot be read")


def _assert_refused(folder, text, fact):
    (folder / REFERENCE_FILE).write_text(text)
    message = refusal(ContractError, lambda: read_reference(folder))
    assert_says(message, str(folder / REFERENCE_FILE), fact, "train and promote a model again")


def test_a_model_without_a_reference_is_refused(tmp_path):
    message = refusal(MissingInputError, lambda: read_reference(tmp_path))
    assert_says(message, str(tmp_path), REFERENCE_FILE, "train and promote a model again")


def test_scores_are_counted_in_bins_of_equal_count_or_in_given_ones():
    found = bin_scores(np.linspace(0.005, 0.995, 100))
    assert found.counts.tolist() == [10] * 10
    assert found.levels[0] == "0.000 to 0.104"

    assert found.edges is not None
    again = bin_scores(np.array([0.0, 1.0, 1.0]), found.edges)
    assert again.levels == found.levels
    assert again.counts.tolist() == [1] + [0] * 8 + [2]
