from __future__ import annotations

import pytest

from skip_pipeline.errors import RefusedError
from skip_pipeline.training_window import shards_to_train_on

NEWEST = {"a": "2018-07-15", "b": "2018-07-16", "c": "2018-07-18", "undated": ""}


@pytest.mark.parametrize(
    ("days", "expected"),
    [(None, {"a", "b", "c", "undated"}), (1, {"c"}), (2, {"c"}), (3, {"b", "c"}), (30, {"a", "b", "c"})],
)
def test_a_window_counts_days_back_from_the_newest_of_the_data(days, expected):
    assert shards_to_train_on(NEWEST, days) == expected


def test_a_window_of_no_day_is_refused():
    with pytest.raises(RefusedError, match="train_days is 0"):
        shards_to_train_on(NEWEST, 0)


def test_a_window_without_dates_is_refused():
    with pytest.raises(RefusedError, match="no shard has a plausible date"):
        shards_to_train_on({"a": ""}, 3)
