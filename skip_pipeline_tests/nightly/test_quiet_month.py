"""Thirty nights of one unchanging world: no more than one false alarm in a hundred questions."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import chain

import pytest

from skip_pipeline import schema
from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.nightly.drift import find_drift
from skip_pipeline.nightly.profile import profile_sessions
from skip_pipeline.nightly.reference import delivered_shards
from skip_pipeline.settings import TRACK_TABLE, DataLayout
from skip_pipeline.storage import read_table
from skip_pipeline.world.synthesize import synthesize
from skip_pipeline_tests.nightly.conftest import make_bundles

NIGHTS = 30
TRAINING_DAYS = 5


@pytest.mark.slow
def test_a_quiet_month_raises_at_most_one_false_alarm_in_a_hundred(tmp_path):
    layout = DataLayout(tmp_path)
    days = TRAINING_DAYS + NIGHTS
    synthesize(layout.raw, sessions=250 * days, tracks=800, seed=9, days=days)
    make_bundles(layout)

    shards = delivered_shards(layout)
    assert {shard.sessions for shard in shards.values()} == {250}
    dates = [date.fromisoformat(shards[name].day) for name in sorted(shards)]
    assert dates == [dates[0] + timedelta(n) for n in range(days)]

    every = [part for bundle in open_bundles(layout.bundles, schema.SPLITS).values() for part in bundle.parts]
    parts = [[part for part in every if part.name == name] for name in sorted(shards)]
    tracks = read_table(layout.merged / TRACK_TABLE, schema.TRACK_FEATURES)
    reference = profile_sessions(chain(*parts[:TRAINING_DAYS]), tracks)
    asked = [
        drift
        for night in parts[TRAINING_DAYS:]
        for drift in find_drift(reference, profile_sessions(night, tracks, bins_of=reference))
    ]
    assert len(asked) == NIGHTS * len(reference.features)
    assert sum(drift.alarm for drift in asked) <= len(asked) / 100
