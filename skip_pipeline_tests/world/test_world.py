"""Blocks of a world: each by itself, whole, and with the traces that listeners leave."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from skip_pipeline.schema import SESSION_LOG
from skip_pipeline.world.constants import BLOCK_SESSIONS
from skip_pipeline.world.extent import Extent
from skip_pipeline.world.listeners import contrast
from skip_pipeline.world.sessions import PLAYED
from skip_pipeline.world.world import Block, World


@pytest.fixture(scope="module")
def world() -> World:
    return World(Extent(4001), 6000, 3)


@pytest.fixture(scope="module")
def block(world: World) -> Block:
    return world.block(0)


def test_a_block_is_the_same_whatever_was_drawn_before(world: World) -> None:
    fresh = World(Extent(4001), 6000, 3)
    assert fresh.block(1).log.equals(world.block(1).log)
    assert fresh.block(1).oracle.equals(world.block(1).oracle)


def test_blocks_follow_one_another_in_ids_and_rows(world: World) -> None:
    logs = pa.concat_tables([world.block(block).log for block in range(3)])
    assert logs.num_rows == world.rows
    assert logs.schema.equals(SESSION_LOG)
    ids = logs.column("session_id").to_pylist()
    assert ids == sorted(ids)
    assert len(set(ids)) == 4001


def test_a_cut_holds_the_sessions_asked_for(world: World) -> None:
    block = world.block(1)
    ids = block.oracle.column("session_id").to_pylist()
    log, oracle = block.cut(BLOCK_SESSIONS + 3, BLOCK_SESSIONS + 5)
    assert oracle.column("session_id").to_pylist() == ids[3:5]
    assert sorted(set(log.column("session_id").to_pylist())) == ids[3:5]
    assert log.num_rows == block.places.lengths[3:5].sum()
    assert [part.num_rows for part in block.cut(0, 10**9)] == [block.log.num_rows, BLOCK_SESSIONS]
    assert [part.num_rows for part in block.cut(0, BLOCK_SESSIONS)] == [0, 0]


# --- Traces of listeners ------------------------------------------------------------------------------------


def test_listeners_play_tracks_that_suit_their_taste(block: Block) -> None:
    used = block.places.used
    played = block.behaviour.outcome[used] == PLAYED
    liking = block.scene.setting.liking[used]
    assert liking[played].mean() - liking[~played].mean() > 0.5


def test_a_listener_compares_each_track_with_all_of_the_session() -> None:
    styles = np.array([[1.0], [3.0], [5.0]])
    # Session 0 hears 1 and 3, of mean 2; session 1 has nothing to compare 5 with.
    assert contrast(styles, np.array([0, 0, 1]))[:, 0] == pytest.approx([-1, 1, 0])
