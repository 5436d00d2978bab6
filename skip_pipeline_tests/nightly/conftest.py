"""A data directory of three shards, the last without a plausible date."""

from __future__ import annotations

import pytest

from skip_pipeline.settings import DataLayout
from skip_pipeline.stages.flow import encoded_table, merged_table, scaled_table, tensor_bundles
from skip_pipeline_tests.builders import TRACKS, deliver, session

DATES = {
    "log_0": ["2018-07-15", "2018-07-15", "2018-07-17"],  # a few run past midnight
    "log_1": ["2018-07-17", "2018-07-17", "2018-07-16"],
    "log_2": ["no date", "1969-12-31"],
}
SESSIONS = 20


@pytest.fixture(scope="package")
def layout(tmp_path_factory: pytest.TempPathFactory) -> DataLayout:
    layout = DataLayout(tmp_path_factory.mktemp("three_shards"))
    for shard, dates in DATES.items():
        rows = []
        for i in range(SESSIONS):
            outcomes = [True] * 4 + [False] * 5 + [i % 2 == 0]
            rows += session(f"{shard}_{i}", date=dates[i % len(dates)], not_skipped=outcomes)
        deliver(layout.raw / "training_set" / f"{shard}.csv", rows)
    deliver(layout.raw / "track_features" / "tf_mini.csv", TRACKS)
    make_bundles(layout)
    return layout


def make_bundles(layout: DataLayout) -> None:
    for stage in (merged_table, encoded_table, scaled_table, tensor_bundles):
        stage(layout)
