"""Listeners: even where small groups would be at the mercy of chance, and independent all the same."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.special import ndtr

from skip_pipeline.world import figures
from skip_pipeline.world.listeners import Listeners, browsed, draw_listeners


@pytest.fixture(scope="module")
def listeners() -> Listeners:
    return draw_listeners(np.random.default_rng(0), 2000)


def test_premium_comes_in_its_share_and_in_no_order(listeners: Listeners) -> None:
    assert listeners.premium.mean() == pytest.approx(figures.PREMIUM_SHARE, abs=0.002)
    assert listeners.premium[:1000].mean() == pytest.approx(figures.PREMIUM_SHARE, abs=0.05)


def test_hours_come_in_their_shares(listeners: Listeners) -> None:
    middle = (listeners.minute + figures.MINUTES_INTO_SESSION) % 1440
    shares = np.bincount((middle // 60).astype(int), minlength=24) / 2000
    assert shares == pytest.approx(figures.HOURS, abs=0.004)


def test_every_small_group_has_all_degrees_of_patience(listeners: Listeners) -> None:
    groups = [listeners.inclination < 0.02, ~listeners.premium, listeners.minute > 1380]
    for group in groups:
        assert abs(listeners.patience[group].mean()) < 0.15 * figures.PATIENCE_SPREAD


def test_traits_are_independent(listeners: Listeners) -> None:
    traits = {
        "patience": listeners.patience,
        "shuffling": listeners.shuffling,
        "inclination": listeners.inclination,
        "minute": listeners.minute,
        "premium": listeners.premium.astype(float),
        "beat": listeners.taste[:, 0],
    }
    for (one, first), (other, second) in combinations(traits.items(), 2):
        assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(2000), (one, other)


def test_patience_is_normal(listeners: Listeners) -> None:
    level = np.sort(ndtr(listeners.patience / figures.PATIENCE_SPREAD))
    assert np.abs(level - (np.arange(2000) + 0.5) / 2000).max() < 0.01


def test_free_listeners_browse_newer_music_with_a_beat(listeners: Listeners) -> None:
    axis = listeners.browsing[:, 0]
    assert axis[~listeners.premium].mean() - axis[listeners.premium].mean() == pytest.approx(-0.6, abs=0.2)


def test_the_first_axis_runs_from_beat_to_age_and_the_second_is_voice() -> None:
    beat, age, voice = np.eye(6)[[0, 3, 2]]
    assert browsed(np.stack([beat, age, voice])).tolist() == pytest.approx(
        np.array([[-(0.5**0.5), 0], [0.5**0.5, 0], [0, 1]])
    )
