"""Correlations of columns short enough to work them out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.world_figures.correlation_measures import correlations


def test_correlations_of_every_pair() -> None:
    x = np.array([1.0, 2.0, 3.0])
    found = correlations({"b": x, "a": -x, "c": np.array([1.0, 3.0, 2.0])})
    assert found == {"a ~ b": pytest.approx(-1), "b ~ c": pytest.approx(0.5), "a ~ c": pytest.approx(-0.5)}


def test_a_constant_column_has_no_correlation() -> None:
    assert correlations({"a": np.array([0.1, 0.1, 0.1]), "b": np.array([1.0, 2.0, 3.0])}) == {}
