from __future__ import annotations

import pytest

from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.errors import RefusedError
from skip_pipeline.nightly.window import shards_in_window, shards_to_train_on
from skip_pipeline.settings import DataLayout
from skip_pipeline.stages.flow import encoded_table, merged_table, scaled_table, tensor_bundles
from skip_pipeline_tests.builders import TRACKS, deliver, session

DAY_OF = {"a": "2018-07-15", "b": "2018-07-16", "c": "2018-07-18", "undated": ""}


@pytest.mark.parametrize(
    ("days", "expected"),
    [(1, {"c"}), (2, {"c"}), (3, {"b", "c"}), (30, {"a", "b", "c"})],
)
def test_a_window_counts_days_back_from_the_newest_of_the_data(days, expected):
    assert shards_to_train_on(DAY_OF, days) == expected


def test_a_window_of_no_day_is_refused():
    with pytest.raises(RefusedError, match="train_days is 0"):
        shards_to_train_on(DAY_OF, 0)


def test_a_window_without_dates_is_refused():
    with pytest.raises(RefusedError, match="no shard has a plausible date"):
        shards_to_train_on({"a": ""}, 3)


DATES = {
    "log_0": ["2018-07-15", "2018-07-15", "2018-07-17"],  # a few run past midnight
    "log_1": ["2018-07-17", "2018-07-17", "2018-07-16"],
    "log_2": ["no date", "1969-12-31"],
}


@pytest.fixture(scope="module")
def layout(tmp_path_factory) -> DataLayout:
    """Three shards, the last without a plausible date."""
    layout = DataLayout(tmp_path_factory.mktemp("window"))
    for shard, dates in DATES.items():
        rows = [row for i in range(20) for row in session(f"{shard}_{i}", date=dates[i % len(dates)])]
        deliver(layout.raw / "training_set" / f"{shard}.csv", rows)
    deliver(layout.raw / "track_features" / "tf_mini.csv", TRACKS)
    for stage in (merged_table, encoded_table, scaled_table, tensor_bundles):
        stage(layout)
    return layout


@pytest.mark.parametrize(
    ("days", "shards"),
    [(None, ["log_0", "log_1", "log_2"]), (2, ["log_1"]), (3, ["log_0", "log_1"]), (99, ["log_0", "log_1"])],
)
def test_a_bundle_is_cut_to_the_shards_in_the_window(layout, days, shards):
    train = open_bundles(layout.bundles)["train"]
    cut = train.of_shards(shards_in_window(layout, days))
    ids = cut.session_id.tolist()

    assert [part.name for part in cut.parts] == shards
    assert ids == [i for i in train.session_id.tolist() if i.rsplit("_", 1)[0] in shards]
    assert cut.sessions == len(ids) > 0
    assert cut.not_skipped.shape == (cut.sessions,)
