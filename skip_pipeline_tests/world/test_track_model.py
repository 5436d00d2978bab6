from __future__ import annotations

import numpy as np
import pytest

from skip_pipeline.schema import TRACK_ATTRIBUTES
from skip_pipeline.world import track_figures as figures
from skip_pipeline.world.track_model import FeatureModel, track_model

STEPPED = {"release_year", "key", "time_signature", "mode"}


def test_every_attribute_is_modelled_in_every_band() -> None:
    model = track_model()
    assert set(model.features) == set(TRACK_ATTRIBUTES)
    assert {name for name, feature in model.features.items() if feature.stepped} == STEPPED
    for feature in model.features.values():
        assert feature.cumulative.shape == (len(figures.BAND_ENDS), len(feature.values))


def test_shares_of_each_band_sum_to_one_over_ascending_values() -> None:
    for name, feature in track_model().features.items():
        assert (np.diff(feature.cumulative, axis=1) >= 0).all()
        assert (feature.cumulative[:, -1] == 1.0).all()
        if name != "mode":  # places in a list of levels
            assert (np.diff(feature.values) >= 0).all()


def test_loadings_give_scores_of_variance_one() -> None:
    loadings = track_model().loadings
    assert loadings.shape == (len(figures.BAND_ENDS), len(TRACK_ATTRIBUTES), len(TRACK_ATTRIBUTES))
    assert (np.triu(loadings, 1) == 0).all()
    assert (loadings**2).sum(axis=2) == pytest.approx(1.0, abs=0.01)


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
