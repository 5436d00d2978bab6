from __future__ import annotations

import pytest

from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.errors import RefusedError
from skip_pipeline.nightly.window import shards_in_window, shards_to_train_on
from skip_pipeline_tests.builders import assert_says, refusal

DAY_OF = {"a": "2018-07-15", "b": "2018-07-16", "c": "2018-07-18", "undated": ""}


@pytest.mark.parametrize(
    ("days", "expected"),
    [(1, {"c"}), (2, {"c"}), (3, {"b", "c"}), (30, {"a", "b", "c"})],
)
def test_a_window_counts_days_back_from_the_newest_of_the_data(days, expected):
    assert shards_to_train_on(DAY_OF, days) == expected


@pytest.mark.parametrize(
    ("days", "train_days", "fact"),
    [(DAY_OF, 0, "train_days is 0"), ({"a": ""}, 3, "plausible date"), ({}, 3, "date")],
)
def test_a_window_of_no_day_or_without_dates_is_refused(days, train_days, fact):
    assert_says(refusal(RefusedError, lambda: shards_to_train_on(days, train_days)), fact, "leave it out")


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
