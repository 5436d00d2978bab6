"""Sizes of a world and how its sessions are cut into days, blocks and files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skip_pipeline.errors import RefusedError
from skip_pipeline.world.constants import BLOCK_SESSIONS
from skip_pipeline.world.extent import Extent


def _names(extent: Extent) -> list[str]:
    return [shard.name.removeprefix("training_set/") for shard in extent.cut()]


def test_without_shards_a_day_is_the_mini_sets_file() -> None:
    assert [(s.name, s.first, s.last) for s in Extent(7).cut()] == [("training_set/log_mini.csv", 0, 7)]


def test_without_shards_several_days_are_a_file_each() -> None:
    extent = Extent(7, days=3)
    assert _names(extent) == [f"log_0_201807{day}_000000000000.csv" for day in (15, 16, 17)]
    assert [(s.first, s.last) for s in extent.cut()] == [(0, 2), (2, 4), (4, 7)]


def test_shards_are_numbered_from_0_with_each_date() -> None:
    assert _names(Extent(100, days=2, shards=5)) == [
        "log_0_20180715_000000000000.csv",
        "log_1_20180715_000000000000.csv",
        "log_0_20180716_000000000000.csv",
        "log_1_20180716_000000000000.csv",
        "log_2_20180716_000000000000.csv",
    ]


def test_one_shard_by_name_is_named_as_in_the_archive() -> None:
    assert _names(Extent(5, shards=1)) == ["log_0_20180715_000000000000.csv"]


def test_fewer_shards_than_days_hold_whole_days() -> None:
    extent = Extent(12, days=4, shards=2)
    assert _names(extent) == ["log_0_20180715_000000000000.csv", "log_0_20180717_000000000000.csv"]
    assert [(s.first, s.last) for s in extent.cut()] == [(0, 6), (6, 12)]


@given(st.integers(1, 10_000), st.integers(1, 40), st.integers(1, 60))
def test_shards_hold_every_session_once_and_no_file_mixes_part_days(
    sessions: int, days: int, shards: int
) -> None:
    try:
        extent = Extent(sessions, days, shards)
        cut = extent.cut()
    except RefusedError:
        assert max(days, shards) * 2 > sessions  # only then can a part be empty
        return
    assert len(cut) == shards
    assert len({shard.name for shard in cut}) == shards
    assert [cut[0].first, *(shard.last for shard in cut)] == [*(shard.first for shard in cut), sessions]
    day = extent.day_of(range(sessions))
    for shard in cut:
        held = day[shard.first : shard.last]
        whole = day.tolist().count(held[0]) == held.tolist().count(held[0])
        assert held[0] == held[-1] or whole


def test_days_share_the_sessions_equally_and_in_order() -> None:
    assert Extent(7, days=3).day_of(range(7)).tolist() == [0, 0, 1, 1, 2, 2, 2]
    assert Extent(7, days=3).day_of(range(3, 5)).tolist() == [1, 2]
    assert Extent(7, days=3).date_of(2).isoformat() == "2018-07-17"


def test_blocks_hold_every_session_once() -> None:
    extent = Extent(2 * BLOCK_SESSIONS + 1, shards=3)
    blocks = [extent.block_sessions(block) for block in range(extent.blocks)]
    assert [len(block) for block in blocks] == [BLOCK_SESSIONS, BLOCK_SESSIONS, 1]
    assert [list(extent.blocks_of(shard)) for shard in extent.cut()] == [[0], [0, 1], [1, 2]]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sessions": 5, "days": 6}, "days is 6, but there are only 5 sessions.*choose 5 or fewer"),
        ({"sessions": 5, "shards": 6}, "shards is 6, but there are only 5 sessions.*choose 5 or fewer"),
    ],
)
def test_impossible_sizes_are_refused(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        Extent(**wrong)


def test_a_cut_that_would_leave_a_file_empty_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"7 shards of 8 sessions over 5 days would leave one empty"):
        Extent(8, days=5, shards=7).cut()
