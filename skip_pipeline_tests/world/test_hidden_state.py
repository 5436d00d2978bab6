"""What the world knows beyond its CSVs: true chances, and the traces that listeners leave."""

from __future__ import annotations

import numpy as np
import pytest

from skip_pipeline.world.listeners import liking
from skip_pipeline.world.sessions import PLAYED
from skip_pipeline.world.synthesize import World, draw_world


@pytest.fixture(scope="module")
def world() -> World:
    return draw_world(sessions=4000, tracks=8000, seed=3)


def test_true_chances_are_calibrated(world: World) -> None:
    used = world.places.used
    chance, played = world.behaviour.chance_played[used], world.behaviour.outcome[used] == PLAYED
    tenth = np.minimum((chance * 10).astype(int), 9)
    for place in range(10):
        here = tenth == place
        noise = 4 * np.sqrt(0.25 / here.sum())
        assert played[here].mean() == pytest.approx(chance[here].mean(), abs=noise)


def test_true_chances_predict_last_tracks_better_than_history_can_but_not_surely(world: World) -> None:
    sessions, last = np.arange(4000), world.places.lengths - 1
    foreseen = world.behaviour.chance_played[sessions, last] > 0.5
    accuracy = (foreseen == (world.behaviour.outcome[sessions, last] == PLAYED)).mean()
    assert 0.78 <= accuracy <= 0.84


def test_listeners_play_tracks_that_suit_their_taste(world: World) -> None:
    played = world.behaviour.outcome[world.places.used] == PLAYED
    tracks = np.array(_track_rows(world))
    likings = liking(world.listeners, world.catalogue.styles[tracks], world.places.session)
    assert likings[played].mean() - likings[~played].mean() > 0.5


def test_tastes_differ_so_that_no_style_is_liked_by_all(world: World) -> None:
    played = world.behaviour.outcome[world.places.used] == PLAYED
    styles = world.catalogue.styles[_track_rows(world)]
    assert np.abs([np.corrcoef(style, played)[0, 1] for style in styles.T]).max() < 0.06


def test_sessions_keep_to_a_range_of_styles(world: World) -> None:
    styles = world.catalogue.styles[_track_rows(world)]
    session = world.places.session
    sums = np.stack([np.bincount(session, weights=style) for style in styles.T], axis=1)
    between = (sums / world.places.lengths[:, None]).var(axis=0)
    assert between.max() > 0.2 * styles.var(axis=0).max()


def _track_rows(world: World) -> list[int]:
    row = {track: index for index, track in enumerate(world.catalogue.ids.to_pylist())}
    return [row[track] for track in world.log.column("track_id_clean").to_pylist()]
