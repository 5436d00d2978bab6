"""The training window: the shards of the newest days of the data.

An older shard is left out of training only. Its validation, gate and test sessions stay, so that models with
and without a window are scored on the same sessions. Days count back from the newest day of the data, so that
a late delivery does not shift the window.
"""

from collections.abc import Mapping
from datetime import date, timedelta

from skip_pipeline.errors import RefusedError
from skip_pipeline.nightly.reference import delivered_shards
from skip_pipeline.settings import DataLayout


def shards_in_window(layout: DataLayout, train_days: int | None) -> frozenset[str] | None:
    """Names of the shards of today's bundles in the window; None, which stands for all, without a window."""
    if train_days is None:
        return None
    delivered = delivered_shards(layout)
    return shards_to_train_on({name: shard.day for name, shard in delivered.items()}, train_days)


def shards_to_train_on(days: Mapping[str, str], train_days: int) -> frozenset[str]:
    """Names of the shards of the last ``train_days`` days, from the day of each shard, YYYY-MM-DD or empty.

    >>> sorted(shards_to_train_on({"a": "2018-07-15", "b": "2018-07-17", "c": "2018-07-18", "d": ""}, 2))
    ['b', 'c']
    """
    if train_days < 1:
        raise RefusedError(
            f"train_days is {train_days}, expected at least 1; leave it out to train on all days"
        )
    last = max(days.values(), default="")
    if not last:
        raise RefusedError(
            "train_days is given and no shard has a plausible date; leave it out to train on all of them"
        )
    first = (date.fromisoformat(last) - timedelta(days=train_days - 1)).isoformat()
    return frozenset(name for name, day in days.items() if day >= first)
