from __future__ import annotations

import numpy as np
import pytest

from skip_pipeline.world.track_model import FeatureModel

STEPPED = {"release_year", "key", "time_signature", "mode"}


def test_levels_between_two_values_are_interpolated() -> None:
    feature = FeatureModel(
        values=np.array([0.0, 10.0, 30.0]),
        cumulative=np.array([[0.0, 0.5, 1.0], [0.0, 0.1, 1.0]]),
        stepped=False,
    )
    assert feature.at(0, np.array([0.0, 0.25, 0.5, 0.75, 1.0])).tolist() == [0, 5, 10, 20, 30]
    assert feature.at(1, np.array([0.05, 0.55])) == pytest.approx([5, 20])


def test_stepped_features_take_their_levels_only() -> None:
    feature = FeatureModel(
        values=np.array([0.0, 3.0, 4.0]), cumulative=np.array([[0.2, 0.2, 1.0]]), stepped=True
    )
    assert feature.at(0, np.array([0.0, 0.19, 0.2, 0.9, 1.0])).tolist() == [0, 0, 4, 4, 4]
