"""Judgements are kept while the files are as they were, and made anew as soon as one is touched."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.settings import DataLayout
from skip_pipeline.stages import checks as contracts
from skip_pipeline.stages import flow as stages
from skip_pipeline.stages.checks import find_bundle_leaks, judge_table
from skip_pipeline.stages.encode import split_of
from skip_pipeline_tests.builders import TRACKS, assert_says, deliver, refusal, session

_NAMES = np.array([f"s{i}" for i in range(60)], object)
TRAINING_IDS = _NAMES[split_of(_NAMES) == 0].tolist()


@pytest.fixture
def layout(tmp_path: Path) -> DataLayout:
    """Bundles of two logs of two sessions each."""
    layout = DataLayout(tmp_path / "data")
    deliver(layout.root / "01_raw" / "track_features" / "tf.csv", TRACKS)
    for i in range(2):
        rows = [row for name in TRAINING_IDS[2 * i : 2 * i + 2] for row in session(name, 20)]
        deliver(layout.root / "01_raw" / "training_set" / f"log_{i}.csv", rows)
    for stage in (stages.merged_table, stages.encoded_table, stages.scaled_table, stages.tensor_bundles):
        stage(layout)
    return layout


class Counting:
    """Applies a function in turn and remembers which shards it was applied to."""

    def __init__(self) -> None:
        self.shards: list[str] = []

    def __call__(self, function: Callable[[Any], Any], shards: Sequence[Any], /) -> Iterable[Any]:
        self.shards += map(str, shards)
        return map(function, shards)


def judged(layout: DataLayout) -> tuple[list[str], dict[str, bool]]:
    """Shards of the encoded table that were looked at, and the outcome of each finding."""
    apply = Counting()
    found = judge_table(layout, layout.encoded, contracts.ENCODED, expected_rows=80, apply=apply)
    return apply.shards, {finding.name: finding.passed for finding in found}


def leaks(layout: DataLayout) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    apply = Counting()
    found = find_bundle_leaks(layout, apply=apply)
    return apply.shards, {shard: report.leaking for shard, report in found.items()}


def test_a_table_that_has_been_judged_is_not_read_again(layout: DataLayout) -> None:
    shards, first = judged(layout)
    assert shards == ["log_0.parquet", "log_1.parquet"]
    assert all(first.values())

    assert judged(layout) == ([], first)


def test_a_shard_that_was_touched_is_judged_again_alone(layout: DataLayout) -> None:
    judged(layout)
    path = layout.encoded / "log_1.parquet"
    table = pq.read_table(path)
    radio = table["context_type_radio"].to_numpy().copy()
    radio[3] = 2
    at = table.column_names.index("context_type_radio")
    pq.write_table(table.set_column(at, "context_type_radio", [radio]), path)

    shards, outcomes = judged(layout)
    assert shards == ["log_1.parquet"]
    assert not outcomes["one_level_per_category"]


def test_a_failed_judgement_stays_failed_while_nothing_is_mended(layout: DataLayout) -> None:
    path = layout.encoded / "log_1.parquet"
    good = path.read_bytes()
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    assert not judged(layout)[1]["positions_without_gaps"]
    assert judged(layout)[0] == []
    assert not judged(layout)[1]["positions_without_gaps"]

    path.write_bytes(good)
    assert all(judged(layout)[1].values())


def test_a_file_that_only_looks_the_same_is_judged_again(layout: DataLayout) -> None:
    judged(layout)
    path = layout.encoded / "log_0.parquet"
    before = path.stat()
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    time.sleep(0.01)

    assert judged(layout)[0] == ["log_0.parquet"]


def test_leaks_are_looked_for_once(layout: DataLayout) -> None:
    shards, found = leaks(layout)
    assert shards == ["log_0.parquet", "log_1.parquet"]
    assert found == {"log_0.parquet": (), "log_1.parquet": ()}

    assert leaks(layout) == ([], found)


def test_a_part_that_was_touched_is_looked_at_again_alone(layout: DataLayout) -> None:
    leaks(layout)
    path = layout.bundles / "log_1" / "rows.npy"
    rows = np.load(path)
    rows["flags"][5] ^= 1
    np.save(path, rows)

    assert leaks(layout) == (["log_1.parquet"], {"log_0.parquet": (), "log_1.parquet": ("session_log",)})


def test_a_shard_that_is_gone_is_named(layout: DataLayout) -> None:
    judged(layout)
    (layout.encoded / "log_0.parquet").unlink()

    assert_says(refusal(MissingInputError, lambda: judged(layout)), "log_0.parquet")


def test_bundles_of_other_shards_are_refused(layout: DataLayout) -> None:
    (layout.root / "01_raw" / "training_set" / "log_1.csv").unlink()
    for stage in (stages.merged_table, stages.encoded_table, stages.scaled_table):
        stage(layout)

    message = refusal(ContractError, lambda: leaks(layout))
    assert_says(message, "hold the parts", "materialize tensor_bundles again")
