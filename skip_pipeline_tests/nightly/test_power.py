"""Power by formula, and as often as that in draws."""

from __future__ import annotations

import numpy as np
import pytest

from skip_pipeline.nightly.evidence import (
    LAST_TRACK,
    QUESTIONS,
    Absent,
    Comparison,
    Difference,
    Evidence,
    Losses,
    SliceDifference,
)
from skip_pipeline.nightly.power import Power, power_of
from skip_pipeline.nightly.promotion import decide
from skip_pipeline_tests.builders import assert_says

DRAWS = 2_000


def evidence(
    value: float = 0.0,
    on_newest_day: float = 0.0,
    *,
    error: float = 0.002,
    newest_error: float = 0.01,
    newest_sessions: int = 400,
    slices: tuple[SliceDifference, ...] = (),
) -> Evidence:
    """Of a challenger that is measured as worse by so much on last tracks, and as good on every track."""
    none = Difference(0.0, 0.0)
    champion = Comparison(
        "version 1",
        dict(zip(QUESTIONS, (Difference(value, error), none), strict=True)),
        dict(zip(QUESTIONS, (Difference(on_newest_day, newest_error), none), strict=True))
        if newest_sessions >= 100
        else {},
    )
    losses = dict.fromkeys(QUESTIONS, Losses(0.4, 0.6, 0.4))
    return Evidence(
        challenger="version 2",
        answers_every_track=True,
        sessions=12_000,
        losses=losses,
        champion=champion,
        newest_day="2018-07-17",
        newest_sessions=newest_sessions,
        newest_losses=losses,
        slices=slices,
    )


def power(**given: object) -> Power:
    found = power_of(evidence(**given))  # type: ignore[arg-type]
    assert found is not None
    return found


def draws(error: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0.0, error, DRAWS)


def test_the_smallest_worsening_of_the_pool_is_caught_nine_times_of_ten():
    worse = power().caught[LAST_TRACK]
    refused = [not decide(evidence(worse + drawn)).promoted for drawn in draws(0.002)]

    assert worse == pytest.approx(0.01 - (2.5758 - 1.2816) * 0.002, abs=1e-5)
    assert np.mean(refused) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("error", [0.01, 0.002])  # significance decides, or the margin
def test_the_smallest_worsening_of_the_newest_day_is_caught_nine_times_of_ten(error):
    worse = power(newest_error=error).caught_on_newest_day[LAST_TRACK]
    refused = [
        not decide(evidence(0.0, worse + drawn, newest_error=error)).promoted for drawn in draws(error)
    ]

    assert worse == pytest.approx(max(0.01, 2.5758 * error) + 1.2816 * error, abs=1e-5)
    assert np.mean(refused) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("error", [0.003, 0.005, 0.02])
def test_an_equal_model_is_refused_as_often_as_stated(error):
    refused = np.mean([not decide(evidence(drawn, error=error)).promoted for drawn in draws(error)])
    stated = power(error=error).equal_refused  # of the pool, and 0.005 of the newest day

    assert refused == pytest.approx(stated - 0.005, abs=0.025)


def test_a_gate_whose_intervals_are_wider_than_the_margin_catches_any_worsening():
    assert power(error=0.02).caught[LAST_TRACK] == 0.0


def test_slices_are_counted_among_the_refusals_of_an_equal_model():
    part = SliceDifference("way", "all", 400, Difference(0.0, 0.02), 0.03)
    assert power(slices=(part,)).equal_refused - power().equal_refused == pytest.approx(0.005, abs=1e-4)
    assert power(slices=(part,) * 2).equal_refused - power().equal_refused == pytest.approx(0.005, abs=1e-4)


def test_a_strong_gate_has_no_warning():
    assert power().warnings == ()


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (
            {"error": 0.005},
            (
                "with 12,000 gate sessions",
                "refused in up to 72% of the nights",
                "at most 5%",
                "keep the logs",
            ),
        ),
        ({"newest_error": 0.0135}, ("2018-07-17, with 400 gate sessions", "0.052 nats", "at most 0.050")),
        ({"newest_sessions": 99}, ("2018-07-17, has 99 gate sessions", "from 100 on", "data_drift")),
    ],
)
def test_a_weak_gate_says_what_to_do(given, parts):
    (warning,) = power(**given).warnings
    assert_says(warning, *parts)


def test_the_number_of_sessions_that_is_named_is_enough():
    (warning,) = power(error=0.005).warnings
    needed = int(warning.split("about ")[1].split(" are")[0].replace(",", ""))

    assert 25_000 < needed < 75_000
    assert power(error=0.005 * (12_000 / needed) ** 0.5).warnings == ()


def test_without_an_opponent_there_is_no_power_to_state():
    found = evidence()
    alone = Evidence("version 2", True, 12_000, found.losses, Absent("there is no champion yet"))
    assert power_of(alone) is None


@pytest.mark.parametrize(("value", "warned"), [(0.02, True), (0.03, False)])
def test_a_model_that_is_worse_for_certain_is_no_sign_of_a_weak_gate(value, warned):
    assert bool(power(value=value, error=0.005).warnings) is warned
