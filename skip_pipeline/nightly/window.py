"""Which shards a training with a window learns from: those of the newest days of the data.

A shard is of the day in the middle of its rows (``nightly.reference.DeliveredShard``). An older shard is
left out of training and of nothing else: its validation and test sessions stay, so that models with and
without a window are scored on the same sessions. Days are those of the data, not of the calendar, so that a
delivery that is late shifts no window.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from skip_pipeline.errors import RefusedError
from skip_pipeline.nightly.reference import delivered_shards
from skip_pipeline.settings import DataLayout


def shards_in_window(layout: DataLayout, train_days: int | None) -> frozenset[str] | None:
    """Names of the shards of today's bundles that are in the window; None, which stands for all, without one.

    Raises:
        RefusedError: see ``shards_to_train_on``.
        MissingInputError, ContractError: ``merged_table`` has not been materialized, or not by this version.
    """
    if train_days is None:
        return None
    delivered = delivered_shards(layout)
    return shards_to_train_on({name: shard.day for name, shard in delivered.items()}, train_days)


def shards_to_train_on(days: Mapping[str, str], train_days: int) -> frozenset[str]:
    """Names of the shards in the window.

    Args:
        days: of each shard, YYYY-MM-DD; a shard without a plausible date, the empty string, is in no window.
        train_days: days, the newest included.

    Raises:
        RefusedError: fewer than one day, or no shard has a date.
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
