from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from skip_pipeline.errors import ContractError, TrainingError
from skip_pipeline.metrics import calibration as calibrations
from skip_pipeline.metrics.calibration import Calibration, fit
from skip_pipeline_tests.builders import assert_says, refusal


def sessions(
    n: int, *, slope: float = 1.0, offset: float = 0.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities whose log-odds are ``slope`` times the true ones plus ``offset``."""
    random = np.random.default_rng(seed)
    true = random.normal(0.0, 1.5, n)
    labels = (random.random(n) < expit(true)).astype(np.float32)
    return labels, expit(slope * true + offset)


def test_an_overconfident_network_is_scaled_back() -> None:
    labels, p = sessions(20_000, slope=2.0)
    found = fit(labels, p)

    assert found.slope == pytest.approx(0.5, rel=0.05)
    assert found.offset == 0
    assert found.threshold == 0.5
    assert found.tracks == 20_000


def test_an_offset_is_found_where_there_is_one() -> None:
    labels, p = sessions(20_000, slope=1.25, offset=0.5)
    found = fit(labels, p)

    assert found.slope == pytest.approx(0.8, rel=0.05)
    assert found.offset == pytest.approx(-0.4, abs=0.06)


def test_the_fit_is_that_of_a_logistic_regression_on_the_log_odds() -> None:
    labels, p = sessions(500, slope=1.5, offset=1.0)
    found = fit(labels, p)
    platt = LogisticRegression(C=np.inf, tol=1e-8).fit(np.log(p / (1 - p))[:, None], labels)

    assert found.slope == pytest.approx(platt.coef_[0, 0], rel=1e-5)
    assert found.offset == pytest.approx(platt.intercept_[0], rel=1e-5)


@pytest.mark.parametrize(
    ("played", "offset"), [(59, 0.0), (60, np.log(60 / 40)), (41, 0.0), (40, np.log(40 / 60))]
)
def test_an_offset_needs_a_likelihood_ratio_above_chance(played: int, offset: float) -> None:
    # 2 n (ln 2 - H(played / n)) is 3.26 for 59 of 100 and 4.03 for 60; chi-squared at 5% is 3.84.
    found = fit((np.arange(100) < played).astype(float), np.full(100, 0.5))
    assert found.offset == pytest.approx(offset, abs=1e-6)


def test_tracks_of_one_session_count_once_as_evidence_of_an_offset() -> None:
    # A likelihood ratio of 9.1, if the tracks are independent.
    played, p = np.arange(100) < 65, np.full(100, 0.5)
    labels = played.astype(float)

    assert fit(labels, p).offset == fit(labels, p, np.arange(100)).offset == pytest.approx(np.log(65 / 35))
    # Five tracks of equal outcome a session: the evidence is a fifth.
    assert fit(labels, p, np.arange(100) // 5).offset == 0


def test_other_sessions_are_predicted_better() -> None:
    found = fit(*sessions(1000, slope=1.6, seed=1))
    labels, p = sessions(5000, slope=1.6, seed=2)

    assert log_loss(labels, found.apply(p)) < log_loss(labels, p) - 0.01


def test_probabilities_that_are_right_stay_nearly_as_they_are() -> None:
    labels, p = sessions(20_000)
    found = fit(labels, p)

    np.testing.assert_allclose(found.apply(p), p, atol=0.01)


def test_the_threshold_moves_where_accuracy_gains_beyond_noise() -> None:
    # Sessions of middling probability are played as often as those of high: no slope and offset can say so.
    p = np.repeat(expit([-4.0, 0.0, 4.0]), 400)
    played = np.concatenate([np.arange(400) < 400 * share for share in (0.05, 0.62, 0.68)])
    found = fit(played.astype(np.float32), p)

    assert found.apply(np.array([0.5]))[0] < 0.5
    assert found.threshold < found.apply(np.array([0.5]))[0]
    moved = (found.apply(p) >= found.threshold) == played
    assert moved.mean() > ((found.apply(p) >= 0.5) == played).mean()


@pytest.mark.parametrize(("middling", "threshold"), [(6, 0.5), (7, 0.4), (100, 0.4)])
def test_the_threshold_is_the_nearest_of_the_best_if_significant(middling: int, threshold: float) -> None:
    # Played sessions of 0.42 are right up to a threshold of 0.42, so the window of five around 0.40 is
    # the last of the best. McNemar's test needs won - lost > 2.58 sqrt(won + lost): 7 of 7, not 6 of 6.
    p = np.repeat([0.2, 0.42, 0.8], [100, middling, 100])
    assert calibrations._threshold((p > 0.3).astype(float), p, np.arange(len(p))) == threshold


def test_tracks_of_one_session_count_once_as_evidence_of_a_threshold() -> None:
    p = np.repeat([0.2, 0.42, 0.8], [100, 10, 100])
    session = np.arange(len(p))
    session[100:110] = [100] * 5 + [101] * 5  # two sessions that another threshold decides rightly
    assert calibrations._threshold((p > 0.3).astype(float), p, session) == 0.5


def test_a_probability_of_one_half_counts_as_played() -> None:
    # Were 0.5 a skip, 10 sessions would be won by a lower threshold.
    p = np.repeat([0.2, 0.5, 0.8], [100, 10, 100])
    assert calibrations._threshold((p > 0.3).astype(float), p, np.arange(len(p))) == 0.5


def test_the_threshold_stays_where_chance_alone_would_move_it() -> None:
    chosen = {fit(*sessions(300, seed=seed)).threshold for seed in range(20)}

    assert chosen == {0.5}


def test_applying_keeps_shape_and_order_and_ends_short_of_certainty() -> None:
    calibration = Calibration(slope=0.5, offset=0.2, threshold=0.5, tracks=10)
    p = np.array([[0.0, 0.2], [0.7, 1.0]], np.float32)
    applied = calibration.apply(p)

    assert applied.shape == (2, 2)
    assert applied.dtype == np.float64
    assert (np.diff(applied.ravel()) > 0).all()
    assert ((applied > 0) & (applied < 1)).all()
    assert calibration.apply(np.empty(0)).shape == (0,)
    steep = Calibration(slope=20.0, offset=0.0, threshold=0.5, tracks=10)
    assert steep.apply(np.array([0.0, 1.0])).tolist() == [1e-6, 1 - 1e-6]
    assert applied[0, 1] == pytest.approx(expit(0.5 * np.log(0.25) + 0.2), rel=1e-5)


def test_certain_probabilities_can_be_fitted() -> None:
    labels = np.array([0, 1] * 20, np.float32)
    sure = labels.astype(np.float64)
    right, wrong = fit(labels, sure), fit(labels, 1 - sure)

    assert right.apply(sure) == pytest.approx(labels, abs=1e-5)
    assert wrong.slope > 0  # the order of sessions is never turned round
    assert np.isfinite(log_loss(labels, wrong.apply(1 - sure)))


def test_it_survives_json() -> None:
    calibration = fit(*sessions(200, slope=2.0))

    assert Calibration.from_json(json.loads(json.dumps(calibration.to_json()))) == calibration


GOOD = {"slope": 1.0, "offset": 0.0, "threshold": 0.5, "tracks": 10}


@pytest.mark.parametrize(
    ("damage", "fact"),
    [
        ({"slope": 0.0}, "slope 0.0"),
        ({"slope": float("nan")}, "slope nan"),
        ({"slope": float("inf")}, "slope inf"),
        ({"offset": float("inf")}, "offset inf"),
        ({"threshold": 0.0}, "threshold 0.0"),
        ({"threshold": 1.0}, "threshold 1.0"),
        ({"slope": "steep"}, "steep"),
        ({"tracks": None}, "NoneType"),
    ],
)
def test_a_damaged_calibration_is_refused(damage: dict[str, object], fact: str) -> None:
    message = refusal(ContractError, lambda: Calibration.from_json(GOOD | damage))
    assert_says(message, "calibration is damaged", fact, "materialize trained_model again")


def test_a_calibration_that_lacks_a_value_is_refused() -> None:
    assert_says(refusal(ContractError, lambda: Calibration.from_json({"slope": 1.0})), "offset")


@pytest.mark.parametrize("labels", [[], [1, 1, 1], [0, 0]])
def test_no_session_or_one_outcome_cannot_calibrate(labels: list[int]) -> None:
    message = refusal(TrainingError, lambda: fit(np.array(labels, float), np.full(len(labels), 0.3)))
    assert_says(message, "validation sessions", f"{sum(labels)} of {len(labels)}", "Deliver more sessions")


@pytest.mark.parametrize("strange", [np.nan, -0.1, 1.5])
def test_what_is_no_probability_is_refused(strange: float) -> None:
    p = np.array([0.2, strange, 0.8])

    message = refusal(ContractError, lambda: fit(np.array([0, 1, 1]), p))
    assert_says(message, "1 of 3 probabilities are not in [0, 1]", "train the network again")
    assert_says(refusal(ContractError, lambda: Calibration.from_json(GOOD).apply(p)), "1 of 3 probabilities")


def test_labels_must_be_labels_of_the_same_sessions() -> None:
    assert_says(
        refusal(ContractError, lambda: fit(np.array([0, 1]), np.array([0.5]))), "(2,)", "(1,)", "same split"
    )
    assert_says(
        refusal(ContractError, lambda: fit(np.array([0, np.nan, 2]), np.full(3, 0.5))), "2 of 3 values"
    )
