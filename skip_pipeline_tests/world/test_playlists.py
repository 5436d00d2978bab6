"""Playlists: equal shares of the plays, alike in style, and of kinds that tell which tracks are together."""

from __future__ import annotations

import numpy as np
import pytest

from skip_pipeline.world import track_constants as constants
from skip_pipeline.world.listeners import browsed
from skip_pipeline.world.playlists import Playlists, by_bands, draw_playlists

TRACKS = 4000  # on 20 playlists
PLAYS = np.ones(TRACKS, dtype=np.int64)
PLAYS[:10] = 100  # half a playlist each


@pytest.fixture(scope="module")
def styles() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((TRACKS, 6))


@pytest.fixture(scope="module")
def playlists(styles: np.ndarray) -> Playlists:
    return draw_playlists(np.random.default_rng(2), styles, PLAYS)


def test_a_track_is_on_one_playlist_unless_it_would_fill_more_than_its_share(playlists: Playlists) -> None:
    homes = np.diff(playlists.first)
    assert playlists.count == TRACKS // constants.TRACKS_ON_PLAYLIST
    # A playlist has 249.5 plays, and 25 of them at most may be one track's.
    assert homes.tolist() == [5] * 10 + [1] * (TRACKS - 10)
    assert playlists.first[-1] == len(playlists.member_of)


def test_all_playlists_have_as_many_plays(playlists: Playlists) -> None:
    homes = np.diff(playlists.first)
    weight = np.repeat(PLAYS / homes, homes)
    plays = np.bincount(playlists.member_of, weight)
    assert plays == pytest.approx(np.full(playlists.count, PLAYS.sum() / playlists.count), abs=20)


def test_plays_come_from_the_playlists_of_their_track(playlists: Playlists) -> None:
    plays = np.repeat([0, 50], 500)
    drawn = playlists.of_plays(np.random.default_rng(0), plays)
    for track in (0, 50):
        own = playlists.member_of[playlists.first[track] : playlists.first[track + 1]]
        assert set(drawn[plays == track].tolist()) == set(own.tolist())


def test_a_kind_is_that_of_the_playlist_or_the_mean_of_several(playlists: Playlists) -> None:
    homes = playlists.member_of[playlists.first[10:-1]]
    for playlist in range(playlists.count):
        kinds = playlists.kinds[10:][homes == playlist]
        assert kinds == pytest.approx(np.repeat(kinds[:1], len(kinds), axis=0))
        assert (kinds[0] ** 2).mean() == pytest.approx(1.0)
    own = playlists.member_of[playlists.first[0] : playlists.first[1]]
    kind_of = {home: playlists.kinds[10 + np.flatnonzero(homes == home)[0]] for home in set(own.tolist())}
    assert playlists.kinds[0] == pytest.approx(np.mean([kind_of[home] for home in own.tolist()], axis=0))


def test_tracks_of_a_playlist_are_alike_in_style(playlists: Playlists, styles: np.ndarray) -> None:
    homes, places = playlists.member_of[playlists.first[10:-1]], browsed(styles[10:])
    within = [places[homes == playlist].std(axis=0) for playlist in range(playlists.count)]
    assert (np.mean(within, axis=0) < 0.6 * places.std(axis=0)).all()


@pytest.mark.parametrize("tracks", [1, 2, 11, 300])
def test_a_small_catalogue_has_few_playlists(tracks: int) -> None:
    styles = np.random.default_rng(0).standard_normal((tracks, 6))
    playlists = draw_playlists(np.random.default_rng(0), styles, np.ones(tracks, dtype=np.int64))
    assert playlists.count == min(tracks, constants.FEWEST_PLAYLISTS)
    assert sorted(set(playlists.member_of.tolist())) == list(range(playlists.count))


def test_bands_divide_the_first_axis_and_the_second_orders_within() -> None:
    keys = np.array([[0.0, 1.0], [5.0, 0.0], [1.0, 0.0], [4.0, 1.0]])
    assert by_bands(keys, 2).tolist() == [2, 0, 1, 3]
    # The first key has as much weight as the others together.
    assert by_bands(keys, 2, np.array([3.0, 1.0, 1.0, 1.0])).tolist() == [0, 1, 2, 3]
