"""Regression and averages against their equations, solved in NumPy for each target alone."""

from typing import Any

import keras
import numpy as np
import pytest

from skip_pipeline.networks.reception import Covariance, Heard, average, regress

SESSIONS, STEPS, ASKED, DIRECTIONS = 4, 7, 2, 3
TARGETS = STEPS + ASKED
LISTENER, MOOD, FADING, OWN = 0.6, 0.4, 0.5, 0.3

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def heard() -> Arrays:
    """Sessions of 0 to 7 steps, in which some tracks are played twice; targets see up to 5 of them."""
    random = np.random.default_rng(0)
    padding = np.array([0, 2, 4, 7])[:, None]
    real = (np.arange(STEPS) >= padding).astype(float)  # (B, T)
    order = np.minimum(np.minimum(np.arange(TARGETS), STEPS), 5)
    seen = (np.arange(STEPS) < order[:, None]) * real[:, None]  # (B, P, T)
    position = np.concatenate([np.cumsum(real, axis=1), real.sum(axis=1)[:, None] + [1.0, 4.0]], axis=1)
    track = random.integers(0, 4, (SESSIONS, TARGETS))
    return {
        "received": random.normal(0, 1, (SESSIONS, STEPS)) * real,
        "outcome": random.choice([-1.0, 1.0], (SESSIONS, STEPS)) * real,
        "noise": random.uniform(0.5, 2, (SESSIONS, STEPS)),
        "real": real,
        "seen": seen,
        "distance": position[:, :, None] - position[:, None, :STEPS],
        "position": position,
        "keys": random.normal(0, 0.7, (SESSIONS, TARGETS, DIRECTIONS)),
        "same": (track[:, :, None] == track[:, None, :STEPS]).astype(float),
        "track": track,
    }


def float32(values: Any) -> Any:
    return keras.ops.convert_to_tensor(np.asarray(values, np.float32))


def so_far(heard: Arrays) -> Heard:
    by_step = (heard[name].transpose(0, 2, 1) for name in ("seen", "distance"))  # (B, T, P)
    return Heard(*(float32(each) for each in (heard["received"][:, :, None], *by_step)))


def regressed(heard: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (B, P) as the network has them."""
    numbers = (float32([[[value]]]) for value in (LISTENER, MOOD, FADING, OWN))
    covariance = Covariance(float32(heard["keys"]), float32(heard["same"].transpose(0, 2, 1)), *numbers)
    noise, real = (float32(heard[name][:, :, None]) for name in ("noise", "real"))
    mean, deviation = regress(so_far(heard), covariance, noise, real)
    return np.asarray(mean)[:, :, 0], np.asarray(deviation)[:, :, 0]


def kernel(heard: Arrays, session: int, one: Any, other: Any) -> float:
    """Covariance of two tracks of a session."""
    keys, position, track = (heard[name][session] for name in ("keys", "position", "track"))
    mood = MOOD * np.exp(-FADING * abs(position[one] - position[other]))
    return float(LISTENER + mood + keys[one] @ keys[other] + OWN * (track[one] == track[other]))


def test_mean_and_deviation_are_those_of_a_gaussian_process_over_the_steps_that_a_target_sees(
    heard: Arrays,
) -> None:
    mean, deviation = regressed(heard)
    for i in range(SESSIONS):
        for target in range(TARGETS):
            if target < STEPS and not heard["real"][i, target]:
                continue
            steps = np.flatnonzero(heard["seen"][i, target])
            gram = np.diag(heard["noise"][i, steps])
            for a, b in np.ndindex(gram.shape):
                gram[a, b] += kernel(heard, i, steps[a], steps[b])
            link = np.array([kernel(heard, i, target, step) for step in steps])
            answer = np.linalg.solve(gram, np.column_stack([heard["received"][i, steps], link]))
            variance = kernel(heard, i, target, target) - link @ answer[:, 1]
            assert mean[i, target] == pytest.approx(link @ answer[:, 0], abs=1e-5), (i, target)
            assert deviation[i, target] == pytest.approx(np.sqrt(variance), abs=1e-5), (i, target)


def test_before_the_first_track_there_is_the_prior_alone(heard: Arrays) -> None:
    mean, deviation = regressed(heard)
    prior = [LISTENER + MOOD + OWN + keys @ keys for keys in heard["keys"][:, 0]]
    assert mean[:, 0].tolist() == [0] * SESSIONS
    assert np.square(deviation[:, 0]).tolist() == pytest.approx(prior)
    assert mean[3].tolist() == [0] * TARGETS  # a session of padding alone


def test_a_track_that_was_heard_before_is_known_better(heard: Arrays) -> None:
    alike = heard | {"keys": np.zeros_like(heard["keys"]), "distance": np.ones_like(heard["distance"])}
    once, never = (regressed(alike | {"same": np.full_like(heard["same"], value)})[1] for value in (1.0, 0.0))
    assert (once[0, 1:] < never[0, 1:]).all()
    assert once[0, 0] == never[0, 0]


def test_no_variance_is_below_the_least_one(heard: Arrays) -> None:
    certain = heard | {"noise": np.full_like(heard["noise"], 1e-7), "keys": np.zeros_like(heard["keys"])}
    certain |= {"same": np.ones_like(heard["same"]), "distance": np.zeros_like(heard["distance"])}
    _, deviation = regressed({name: values[:1] for name, values in certain.items()})
    assert deviation[0, 1:].tolist() == pytest.approx([0.01] * (TARGETS - 1), rel=1e-3)


def test_an_average_is_weighted_by_likeness_and_recency(heard: Arrays) -> None:
    fading, prior = 0.25, 1.5
    outcome, numbers = float32(heard["outcome"][:, :, None]), (float32([[[n]]]) for n in (fading, prior))
    columns = average(so_far(heard), float32(heard["keys"]), outcome, *numbers)
    found = np.concatenate([np.asarray(column) for column in columns], axis=2)
    assert found.shape == (SESSIONS, TARGETS, 3)
    for i in range(SESSIONS):
        for target in range(TARGETS):
            steps = np.flatnonzero(heard["seen"][i, target])
            apart = np.square(heard["keys"][i, target] - heard["keys"][i, steps]).sum(axis=1)
            weight = np.exp(-apart - fading * heard["distance"][i, target, steps])
            values = np.column_stack([heard["received"][i, steps], heard["outcome"][i, steps]])
            means = weight @ values / (weight.sum() + prior)
            expected = [*means, np.log(1 + weight.sum())]
            assert found[i, target].tolist() == pytest.approx(expected, abs=1e-5), (i, target)
