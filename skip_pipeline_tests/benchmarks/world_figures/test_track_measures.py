"""Figures of columns of numbers, each worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.world_figures.track_measures import cluster_sizes, describe, histograms


def test_describe_as_pandas_does() -> None:
    assert describe({"x": np.array([1.0, 2.0, 3.0, 6.0])}) == {
        "x / mean": 3.0,
        "x / std": pytest.approx((14 / 3) ** 0.5),  # squares 4, 1, 0, 9 over n - 1
        "x / min": 1.0,
        "x / 25%": 1.75,
        "x / 50%": 2.5,
        "x / 75%": 3.75,
        "x / max": 6.0,
    }


def test_histograms_have_ten_bins_from_minimum_to_maximum() -> None:
    bins = histograms({"x": np.array([0.0, 0.5, 1.0, 9.5, 10.0])})
    assert bins["x / bin 1"] == 0.4  # 0 and 0.5; 1 opens the second
    assert bins["x / bin 2"] == 0.2
    assert bins["x / bin 10"] == 0.4
    assert sum(bins.values()) == pytest.approx(1)


def test_clusters_of_the_acoustic_vectors() -> None:
    places = np.repeat([0.0, 10.0, 20.0, 30.0, 40.0, 50.0], [1, 1, 1, 1, 2, 4])
    sizes = cluster_sizes({f"acoustic_vector_{i}": places for i in range(8)} | {"tempo": places})
    assert sizes == {"1": 0.4, "2": 0.2, "3": 0.1, "4": 0.1, "5": 0.1, "6": 0.1}


def test_fewer_than_six_different_tracks_make_no_clusters() -> None:
    assert cluster_sizes({"acoustic_vector_0": np.array([1.0, 1.0, 2.0])}) == {}
