"""Listeners: even where small groups would be at the mercy of chance, and independent all the same."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from skip_pipeline.world import constants
from skip_pipeline.world.listeners import Listeners, browsed, draw_listeners


@pytest.fixture(scope="module")
def listeners() -> Listeners:
    return draw_listeners(np.random.default_rng(0), 2000)


def test_premium_comes_in_its_share_and_in_no_order(listeners: Listeners) -> None:
    assert listeners.premium.mean() == pytest.approx(constants.PREMIUM_SHARE, abs=0.002)
    assert listeners.premium[:1000].mean() == pytest.approx(constants.PREMIUM_SHARE, abs=0.05)


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


def test_the_first_axis_runs_from_beat_to_age_and_the_second_is_voice() -> None:
    beat, age, voice = np.eye(6)[[0, 3, 2]]
    assert browsed(np.stack([beat, age, voice])).tolist() == pytest.approx(
        np.array([[-(0.5**0.5), 0], [0.5**0.5, 0], [0, 1]])
    )
