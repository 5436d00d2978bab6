"""The loss of a batch against NumPy, and that learning follows it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from skip_pipeline import schema
from skip_pipeline.training.batches import Batch, batches
from skip_pipeline.training.step import OUTCOME_WEIGHT, Step, steps_of
from skip_pipeline_tests.networks.literal_sessions import bundle

SESSIONS = bundle(["123upp", "pu1", "1p2u"])
LOG_ODDS = np.random.default_rng(0).normal(0, 1, (20, 4)).astype(np.float32)
"""Of each target, the same in every session."""


def constant_network() -> keras.Model:
    """Log-odds (B, 20, 4) that are weights, so that a step shows the gradient of the loss."""
    inputs = {"skip_sequence": keras.Input(schema.BRANCH_SHAPES["skip_sequence"], name="skip_sequence")}
    nothing = 0.0 * inputs["skip_sequence"][:, :1, 0]
    log_odds = keras.layers.Dense(80, name="log_odds")(nothing)
    network = keras.Model(inputs, keras.layers.Reshape((20, 4))(log_odds))
    network.get_layer("log_odds").set_weights([np.zeros((1, 80)), LOG_ODDS.ravel()])
    network.optimizer = keras.optimizers.SGD(1.0)
    network.optimizer.build(network.trainable_variables)
    return network


def steps(network: keras.Model, every_track: keras.Model | None) -> tuple[Step, Step]:
    return steps_of(network, tf.distribute.get_strategy(), every_track)


def one_batch() -> Batch:
    (batch,) = batches(SESSIONS, 3, ("skip_sequence",))
    return batch


def entropy(yes: Any, log_odds: Any) -> Any:
    return np.log1p(np.exp(-log_odds)) if yes else np.log1p(np.exp(log_odds))


def losses_by_hand() -> tuple[float, float, float, np.ndarray]:
    """Mean loss of "played", its accuracy, the loss to learn from, and that loss's gradient (20, 4)."""
    batch, log_odds = one_batch(), LOG_ODDS.astype(float)
    played, added, right = [], [], []
    gradient = np.zeros((20, 4))
    for session, target in np.argwhere(batch.weights == 1):
        depth, odds = batch.depths[session, target], log_odds[target]
        played.append(entropy(depth == 4, odds[0]))
        right.append((odds[0] > 0) == (depth == 4))
        gradient[target, 0] += 1 / (1 + np.exp(-odds[0])) - (depth == 4)
        for level in (1, 2, 3):  # past skip_3, skip_2 and skip_1, each given that not the one before
            if depth <= 4 - level:
                further = depth == 4 - level
                added.append(OUTCOME_WEIGHT * entropy(further, odds[level]))
                gradient[target, level] += OUTCOME_WEIGHT * (1 / (1 + np.exp(-odds[level])) - further)
    loss = np.mean(played)
    return loss, np.mean(right), loss + np.sum(added) / len(played), gradient / len(played)


def test_the_loss_is_the_mean_cross_entropy_of_played_over_every_track() -> None:
    network = constant_network()
    _, evaluate = steps(network, network)
    loss, accuracy, *_ = losses_by_hand()
    assert evaluate([one_batch()]) == pytest.approx((loss, accuracy), abs=1e-6)
    assert network.get_layer("log_odds").get_weights()[1].tolist() == LOG_ODDS.ravel().tolist()


def test_a_step_learns_also_from_how_far_a_track_was_played() -> None:
    network = constant_network()
    learn, _ = steps(network, network)
    loss, accuracy, _, gradient = losses_by_hand()
    assert learn([one_batch()]) == pytest.approx((loss, accuracy), abs=1e-6)
    after = network.get_layer("log_odds").get_weights()[1].reshape(20, 4)
    np.testing.assert_allclose(LOG_ODDS - after, gradient, atol=1e-6)
    assert gradient.any(axis=0).all()


def test_means_over_batches_count_every_track_alike() -> None:
    network = constant_network()
    _, evaluate = steps(network, network)
    assert evaluate(batches(SESSIONS, 2, ("skip_sequence",))) == pytest.approx(losses_by_hand()[:2], abs=1e-6)


def test_a_network_of_two_columns_learns_from_the_last_track_alone() -> None:
    inputs = {"skip_sequence": keras.Input(schema.BRANCH_SHAPES["skip_sequence"], name="skip_sequence")}
    nothing = 0.0 * inputs["skip_sequence"][:, :1, 0]
    network = keras.Model(inputs, keras.layers.Dense(2, "sigmoid", name="outcome")(nothing))
    network.get_layer("outcome").set_weights([np.zeros((1, 2)), np.array([0.3, -0.8])])
    _, evaluate = steps(network, None)
    losses = [(entropy(not played, 0.3) + entropy(played, -0.8)) / 2 for played in (True, False, False)]
    assert evaluate([one_batch()]) == pytest.approx((np.mean(losses), 2 / 3), abs=1e-6)
