"""Thirty nights of one unchanging world: no more than one false alarm in a hundred questions."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from skip_pipeline import schema
from skip_pipeline.bundles.gather import open_bundle
from skip_pipeline.nightly.drift import find_drift
from skip_pipeline.nightly.profile import profile_sessions
from skip_pipeline.nightly.reference import delivered_shards
from skip_pipeline.settings import TRACK_TABLE, DataLayout
from skip_pipeline.stages import flow as stages
from skip_pipeline.storage import read_table
from skip_pipeline.world.synthesize import synthesize

NIGHTS = 30
TRAINING_DAYS = 5


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> DataLayout:
    layout = DataLayout(tmp_path_factory.mktemp("month"))
    days = TRAINING_DAYS + NIGHTS
    synthesize(layout.root / "01_raw", sessions=250 * days, tracks=800, seed=9, days=days)
    for stage in (stages.merged_table, stages.encoded_table, stages.scaled_table, stages.tensor_bundles):
        stage(layout)
    return layout


def test_a_quiet_month_raises_at_most_one_false_alarm_in_a_hundred(layout):
    parts: dict[str, list] = {}
    for split in schema.SPLITS:
        for part in open_bundle(layout.bundles, split).parts:
            parts.setdefault(part.name, []).append(part)
    tracks = read_table(layout.merged / TRACK_TABLE, schema.TRACK_FEATURES)
    days = sorted(parts)
    reference = profile_sessions([p for day in days[:TRAINING_DAYS] for p in parts[day]], tracks)
    nights = [
        find_drift(reference, profile_sessions(parts[day], tracks, bins_of=reference))
        for day in days[TRAINING_DAYS:]
    ]
    asked = [drift for night in nights for drift in night]

    assert len(nights) == NIGHTS
    assert sum(drift.alarm for drift in asked) <= len(asked) / 100


def test_shards_know_their_sessions_and_the_day_that_they_are_of(layout):
    found = delivered_shards(layout)

    assert {shard.sessions for shard in found.values()} == {250}
    days = [date.fromisoformat(shard.day) for _, shard in sorted(found.items())]
    assert days == [days[0] + timedelta(n) for n in range(len(days))]
