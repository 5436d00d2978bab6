"""Figures of a succession of skips, each worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.world_figures.sequence_measures import autocorrelation, last_action, transitions


def flags(*values: int) -> Any:
    return np.array(values, dtype=bool)


def test_transitions() -> None:
    assert transitions(flags(1, 1, 1, 0), flags(1, 1, 0, 0)) == {
        "skip after skip": 2 / 3,
        "skip after no skip": 0,
        "agreement": 0.75,
    }


def test_transitions_that_never_occur_have_no_rate() -> None:
    assert transitions(flags(1), flags(0)) == {"skip after skip": 0, "agreement": 0}
    assert transitions(flags(), flags()) == {}


def test_autocorrelation() -> None:
    # Deviations are +-1/2: 1 for an even lag and -1 for an odd one, over 4 - lag of 4 rows.
    assert autocorrelation(flags(1, 0, 1, 0)) == {"lag 1": -0.75, "lag 2": 0.5, "lag 3": -0.25}


def test_a_constant_series_has_no_autocorrelation() -> None:
    assert autocorrelation(flags(1, 1, 1)) == {}


def test_last_action_repeated() -> None:
    # Halves of 2 and 3. The first repeats 1: hit, miss, hit, (1 + 0 + 2/3) / 3. The other 0: miss, miss, hit.
    skips = flags(0, 1, 1, 0, 1, 1, 0, 1, 1, 0)
    scores = last_action(skips, np.array([0] * 5 + [1] * 5))
    assert scores["mean average accuracy"] == pytest.approx(((1 + 2 / 3) / 3 + (1 / 3) / 3) / 2)
    assert scores["accuracy at the first prediction"] == 0.5


def test_a_session_of_one_row_predicts_nothing() -> None:
    assert last_action(flags(1), np.array([0])) == {}
