"""Session lengths by block, and the schedule that deals every play exactly once."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skip_pipeline.world.arrays import FloatArray, IntArray
from skip_pipeline.world.constants import SESSIONS_BY_LENGTH
from skip_pipeline.world.extent import Extent
from skip_pipeline.world.playlists import Playlists, draw_playlists
from skip_pipeline.world.plays import Lengths, PlaySchedule, deal_tracks


def _schedule(counts: list[int], seed: int = 0) -> PlaySchedule:
    places = 1.0 - np.random.default_rng(seed).random(len(counts))
    return PlaySchedule(np.array(counts), places)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=30).filter(any), st.data())
def test_any_cuts_deal_every_play_once(counts: list[int], data: st.DataObject) -> None:
    total = sum(counts)
    schedule = _schedule(counts, data.draw(st.integers(0, 99)))
    inner = data.draw(st.lists(st.integers(0, total), max_size=5))
    cuts = sorted([0, total, *inner])
    parts = [schedule.between(first, last) for first, last in pairwise(cuts)]
    assert [len(part) for part in parts] == np.diff(cuts).tolist()
    dealt = np.bincount(np.concatenate(parts).astype(int), minlength=len(counts))
    assert dealt.tolist() == counts


@pytest.mark.parametrize("sessions", [1, 9, 1999, 2000, 2001, 4003])
def test_rows_before_a_block_are_those_of_the_blocks_before(sessions: int) -> None:
    lengths = Lengths(Extent(sessions), seed=3)
    blocks = [lengths.block(block) for block in range(lengths.extent.blocks)]
    assert sum(len(block) for block in blocks) == sessions
    before = np.cumsum([0, *(block.sum() for block in blocks)])
    assert [lengths.rows_before(block) for block in range(len(blocks) + 1)] == before.tolist()
    assert all(10 <= length <= 20 for block in blocks for length in block)


def test_lengths_are_exactly_the_published_ones_at_the_published_size() -> None:
    lengths = Lengths(Extent(20_000), seed=1)
    first = np.concatenate([lengths.block(block) for block in range(5)])
    found = dict(zip(*(part.tolist() for part in np.unique(first, return_counts=True)), strict=True))
    assert found == SESSIONS_BY_LENGTH
    assert lengths.rows_before(5) == 167_880


def test_lengths_come_in_random_order_that_the_seed_decides() -> None:
    one, again, other = (Lengths(Extent(50), seed).block(0).tolist() for seed in (0, 0, 1))
    assert one == again
    assert one != other
    assert sorted(one) == sorted(other) != one


@pytest.fixture(scope="module")
def dealt() -> tuple[FloatArray, Playlists, IntArray, FloatArray]:
    """Styles, playlists, dealt tracks of 100 sessions of 20, and what each session browses."""
    rng = np.random.default_rng(0)
    styles = rng.standard_normal((500, 6))
    playlists = draw_playlists(rng, styles, np.full(500, 4))
    browsing = 2.0 * rng.standard_normal((100, 2))
    plays, session = np.repeat(np.arange(500), 4), np.repeat(np.arange(100), 20)
    return styles, playlists, deal_tracks(rng, plays, playlists, session, browsing), browsing


def test_dealing_uses_each_play_once_and_follows_browsing(
    dealt: tuple[FloatArray, Playlists, IntArray, FloatArray],
) -> None:
    styles, _, tracks, browsing = dealt
    assert np.bincount(tracks, minlength=500).tolist() == [4] * 500
    for column, style in enumerate((3, 2)):
        heard = styles[tracks, style].reshape(100, 20).mean(axis=1)
        assert np.corrcoef(heard, browsing[:, column])[0, 1] > 0.5


def test_tracks_of_a_playlist_occur_together(
    dealt: tuple[FloatArray, Playlists, IntArray, FloatArray],
) -> None:
    _, playlists, tracks, _ = dealt
    playlist = playlists.member_of[tracks].reshape(100, 20)
    assert (playlist[:, 1:] == playlist[:, :-1]).mean() > 0.7  # of 12 playlists
    assert np.mean([len(set(row)) for row in playlist.tolist()]) < 3.5
    assert np.mean([len(set(row)) for row in tracks.reshape(100, 20).tolist()]) > 19
