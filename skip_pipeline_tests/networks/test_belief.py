import keras
import numpy as np
import pytest

from skip_pipeline.networks.belief import before, believe, late

STEPS, DIRECTIONS = 6, 2


def believed(
    patience: float, keys: np.ndarray, received: np.ndarray, weight: np.ndarray, real: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Patience and taste (n, 7) as the network's ops have them."""
    shapes = [(STEPS + 1, 1), (STEPS + 1, DIRECTIONS), (STEPS, 1), (STEPS, 1), (STEPS, 1)]
    inputs = [keras.Input(shape) for shape in shapes]
    network = keras.Model(inputs, list(believe(*inputs)))
    arrays = [
        np.full((len(keys), STEPS + 1, 1), patience),
        keys,
        *(a[:, :, None] for a in (received, weight, real)),
    ]
    first, second = network.predict([a.astype(np.float32) for a in arrays], verbose=0)
    return first[:, :, 0], second[:, :, 0]


def by_hand(
    patience: float, keys: np.ndarray, received: np.ndarray, weight: np.ndarray, real: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The same by solving each target's normal equations, one after the other."""
    answers = np.zeros((2, len(keys), STEPS + 1))
    for i in range(len(keys)):
        for target in range(STEPS + 1):
            steps = [step for step in range(target) if real[i, step]]
            mean = keys[i, [*steps, target]].mean(axis=0)
            design = np.array([[patience, *(keys[i, step] - mean)] for step in steps]).reshape(-1, 3)
            scale = np.diag(weight[i, steps])
            gram = design.T @ scale @ design + np.eye(3)
            belief = np.linalg.solve(gram, design.T @ scale @ received[i, steps])
            answers[0, i, target] = patience * belief[0]
            answers[1, i, target] = (keys[i, target] - mean) @ belief[1:]
    return answers[0], answers[1]


def test_it_is_the_ridge_regression_over_the_tracks_before_each_target() -> None:
    random = np.random.default_rng(0)
    real = (np.arange(STEPS) >= np.array([[0], [2], [5]])).astype(float)
    problem = (
        0.8,
        random.normal(0, 0.5, (3, STEPS + 1, DIRECTIONS)),
        random.normal(0, 1, (3, STEPS)) * real,
        random.uniform(0.5, 2, (3, STEPS)) * real,
        real,
    )
    for ours, exact in zip(believed(*problem), by_hand(*problem), strict=True):
        starts = np.array([0, 2, 5])[:, None] <= np.arange(STEPS + 1)
        np.testing.assert_allclose(ours[starts], exact[starts], atol=1e-5)


def test_nothing_is_believed_before_the_first_track() -> None:
    keys = np.ones((1, STEPS + 1, DIRECTIONS))
    patience, taste = believed(1.0, keys, np.ones((1, STEPS)), np.ones((1, STEPS)), np.ones((1, STEPS)))
    assert (patience[0, 0], taste[0, 0]) == (0.0, 0.0)


def test_patience_alone_is_the_shrunk_mean_of_what_was_received() -> None:
    """With one key for all tracks, n of them received as 1 give n / (n + 1)."""
    keys = np.ones((1, STEPS + 1, DIRECTIONS))
    patience, taste = believed(1.0, keys, np.ones((1, STEPS)), np.ones((1, STEPS)), np.ones((1, STEPS)))
    assert patience[0].tolist() == pytest.approx([n / (n + 1) for n in range(STEPS + 1)], abs=1e-6)
    assert taste[0].tolist() == pytest.approx([0] * (STEPS + 1), abs=1e-6)


def test_a_track_like_those_well_received_is_believed_in() -> None:
    place = np.array([1.0, -1, 1, -1, 1, -1, 1])
    keys = np.stack([place, 0 * place], axis=1)[None]
    taste = believed(1.0, keys, place[None, :-1], np.ones((1, STEPS)), np.ones((1, STEPS)))[1]
    other = believed(1.0, -keys, place[None, :-1], np.ones((1, STEPS)), np.ones((1, STEPS)))[1]
    assert taste[0, -1] > 0.5
    np.testing.assert_allclose(other, taste, atol=1e-6)  # a direction has no sign of its own


def test_sums_and_steps_before_each_target() -> None:
    steps = np.array([[1.0, 2.0, 4.0]], np.float32)
    assert np.asarray(before(steps)).tolist() == [[0, 1, 3, 7]]
    assert np.asarray(late(steps[:, :, None]))[0, :, 0].tolist() == [0, 1, 2, 4]
