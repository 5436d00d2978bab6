from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from skip_pipeline.errors import ContractError, TrainingError
from skip_pipeline.metrics.blend import Blend, fit
from skip_pipeline_tests.builders import assert_says, refusal

BLEND = Blend({"network": 0.5, "trees": 0.25}, offset=0.1, threshold=0.4, tracks=9)


def answers(n: int = 20_000, seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Labels, and log-odds of two models that know one half of the true log-odds each, and of a third.

    The third knows what the first does, and errs besides.
    """
    random = np.random.default_rng(seed)
    one, other, error = random.normal(0, 1, (3, n))
    labels = (random.random(n) < expit(one + other)).astype(np.float32)
    return labels, {"one": one, "other": other, "worse": one + error}


def test_a_blend_weighs_log_odds() -> None:
    found = BLEND.apply({"network": np.array([[2.0], [0.0]]), "trees": np.array([[-4.0], [2.0]])})

    np.testing.assert_allclose(found, expit([[0.1], [0.6]]))


def test_no_probability_is_zero_or_one() -> None:
    found = BLEND.apply({"network": np.array([-1e4, 1e4]), "trees": np.zeros(2)})

    assert 0 < found[0] < 1e-5
    assert 1 - 1e-5 < found[1] < 1


@pytest.mark.parametrize(
    ("weights", "kind"),
    [
        ({"trees": 0.9}, "trees"),
        ({"network": 0.0, "trees": 0.9}, "trees"),
        ({"network": 0.1, "trees": 0.9}, "stack"),
    ],
)
def test_the_kind_is_the_only_model_with_a_weight_or_a_stack(weights: dict[str, float], kind: str) -> None:
    assert Blend(weights, 0.0, 0.5, 1).kind == kind


def test_models_that_know_different_things_get_weights_and_one_that_adds_nothing_gets_none() -> None:
    labels, log_odds = answers()
    found = fit(labels, log_odds, np.arange(len(labels)))

    assert found.weights["one"] == pytest.approx(1, abs=0.05)
    assert found.weights["other"] == pytest.approx(1, abs=0.05)
    assert found.weights["worse"] == pytest.approx(0, abs=0.03)
    assert (found.offset, found.threshold, found.tracks) == (0, 0.5, 20_000)


def test_no_weight_is_negative() -> None:
    labels, log_odds = answers()
    turned = {"one": log_odds["one"], "turned": -log_odds["other"]}

    assert fit(labels, turned, np.arange(len(labels))).weights["turned"] == 0


def test_one_model_is_scaled_and_shifted() -> None:
    labels, log_odds = answers()
    one = 2.0 * (log_odds["one"] + log_odds["other"]) + 1.0
    found = fit(labels, {"trees": one}, np.arange(len(labels)))

    assert found.kind == "trees"
    assert found.weights["trees"] == pytest.approx(0.5, rel=0.05)
    assert found.offset == pytest.approx(-0.5, abs=0.05)


def test_one_outcome_alone_is_refused() -> None:
    message = refusal(TrainingError, lambda: fit(np.ones(4), {"one": np.zeros(4)}, np.arange(4)))

    assert_says(message, "4 of 4 tracks")


def test_what_is_written_is_read_back() -> None:
    assert Blend.from_json(BLEND.to_json()) == BLEND


@pytest.mark.parametrize(
    "change",
    [
        {"weights": {"network": -0.1}},
        {"weights": {"network": 0.0}},
        {"weights": {"network": float("inf")}},
        {"weights": {}},
        {"weights": [1.0]},
        {"offset": float("nan")},
        {"threshold": 1.0},
        {"tracks": None},
    ],
)
def test_a_damaged_blend_is_refused(change: dict[str, object]) -> None:
    message = refusal(ContractError, lambda: Blend.from_json(BLEND.to_json() | change))

    assert_says(message, "the blend is damaged", "materialize best_model again")


def test_a_blend_without_a_value_is_refused() -> None:
    assert_says(refusal(ContractError, lambda: Blend.from_json({"weights": {"network": 1}})), "offset")
