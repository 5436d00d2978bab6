"""A network's export, which has to give the network's probabilities; the file in ``test_onnx_model.py``."""

from __future__ import annotations

from collections import Counter
from typing import Any

import keras
import numpy as np
import onnx
import pytest

from skip_pipeline import schema
from skip_pipeline.errors import ContractError
from skip_pipeline.networks.presets import build_network
from skip_pipeline.settings import PRESETS, Preset
from skip_pipeline.training.export import TOLERANCE, check_export, to_onnx
from skip_pipeline.training.onnx_model import open_onnx, predict_onnx, predict_outcomes
from skip_pipeline.training.train import predict
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.tiny_bundle import tiny_bundle

BUNDLE = tiny_bundle(40)


def network_of(branch: str, *steps: Any) -> keras.Model:
    """A network of one branch: its layers or functions, a sum over steps, and two columns.

    Weights are small and the same each time, so that no column is so close to 0 that its rounding decides.
    """
    inputs = {name: keras.Input(shape, name=name) for name, shape in schema.BRANCH_SHAPES.items()}
    values = inputs[branch]
    for step in steps:
        values = step(values)
    values = values if len(values.shape) == 2 else keras.ops.sum(values, axis=1)
    network = keras.Model(inputs, keras.layers.Dense(2, "sigmoid")(values))
    random = np.random.default_rng(0)
    network.set_weights([random.normal(0, 0.1, weights.shape) for weights in network.get_weights()])
    return network


def operators(model: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(model).graph.node)


@pytest.fixture(scope="module")
def fast() -> keras.Model:
    return stirred("fast")


def stirred(preset: Preset) -> keras.Model:
    """A preset's network in which no weight is 0: some layers begin so, and would hide those before them."""
    keras.utils.set_random_seed(0)
    network = build_network(PRESETS[preset], BUNDLE)
    random = np.random.default_rng(0)
    network.set_weights([each + random.normal(0, 0.02, each.shape) for each in network.get_weights()])
    return network


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_gives_the_same_probabilities_as_its_export(preset: Preset) -> None:
    network = stirred(preset)
    exported = to_onnx(network)
    p_not_skipped = predict_onnx(exported, BUNDLE)

    np.testing.assert_allclose(p_not_skipped, predict(network, BUNDLE), rtol=0, atol=TOLERANCE)
    assert check_export(network, p_not_skipped, BUNDLE) <= TOLERANCE
    assert len(np.unique(p_not_skipped.round(6))) > 1
    recurrent = [layer for layer in network.layers if isinstance(layer, keras.layers.RNN)]
    assert operators(exported)["GRU"] + operators(exported)["LSTM"] == len(recurrent)  # no loop for any
    assert to_onnx(network) == exported


def positive_definite(values: Any) -> Any:
    """(B, 19, C) to (B, 19, 19), as the regression has them: a covariance plus noise."""
    return (
        keras.ops.matmul(values, keras.ops.transpose(values, (0, 2, 1))) + np.eye(19, dtype=np.float32)[None]
    )


def solved(values: Any) -> Any:
    """A system of equations with a lower factor, which has zeros above its diagonal."""
    return keras.ops.solve_triangular(keras.ops.cholesky(positive_definite(values)), values, lower=True)


@pytest.mark.parametrize(
    "steps",
    [
        [lambda values: keras.ops.cholesky(positive_definite(values / 20.0))],
        [solved],
        [lambda values: keras.ops.minimum(keras.ops.maximum(values, 0.2), 0.8 - keras.ops.absolute(values))],
        [lambda values: keras.ops.cast(keras.ops.less(values, 0.3 * values[:, :1]), "float32")],
        [lambda values: keras.ops.cast(keras.ops.equal(values, values[:, -1:]), "float32") * -values],
        [lambda values: keras.ops.pad(values, [[0, 0], [1, 2], [0, 0]])[:, 1:20]],
        [lambda values: keras.ops.sqrt(keras.ops.square(values) + keras.ops.ones_like(values))],
        [lambda values: keras.ops.sigmoid(keras.ops.clip(values, -0.1, 0.7))],
        [lambda values: keras.ops.expand_dims(values, 1)[:, 0]],
        [keras.layers.Reshape((-1, 5)), lambda values: keras.ops.transpose(values, (0, 2, 1))],
        [keras.layers.LSTM(3, return_sequences=True)],
        [keras.layers.LSTM(3, "relu", "tanh")],
        [keras.layers.GRU(3, return_sequences=True)],
        [keras.layers.GRU(3, "relu")],
        [keras.layers.Dense(3, use_bias=False), lambda values: values[:, -1]],
        [lambda values: values[:, :, None, 2:5], lambda values: values[:, 3:, 0]],
        [lambda values: keras.ops.log(1.0 + keras.ops.exp(-1.0 * values)) / 3.0],
    ],
    ids=[
        "Cholesky's factor",
        "triangular system",
        "least and greatest",
        "less",
        "equal",
        "padding",
        "roots",
        "clipping",
        "a new axis",
        "shapes",
        "all states of an LSTM",
        "its last",
        "all states of a GRU",
        "its last",
        "index",
        "axes",
        "arithmetic",
    ],
)
def test_layers_and_operations_give_the_same_probabilities(steps: list[Any]) -> None:
    network = network_of("session_log", *steps)
    p_not_skipped = predict_onnx(to_onnx(network), BUNDLE)

    np.testing.assert_allclose(p_not_skipped, predict(network, BUNDLE), rtol=0, atol=TOLERANCE)
    assert len(np.unique(p_not_skipped.round(6))) > 1


def test_two_columns_of_zero_give_one_half() -> None:
    network = network_of("last_track")
    network.layers[-1].activation = keras.activations.relu
    network.set_weights([np.zeros_like(weights) for weights in network.get_weights()])

    assert predict_onnx(to_onnx(network), BUNDLE).tolist() == [0.5] * 40


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (keras.layers.Conv1D(2, 3, name="odd"), "layer odd is of type Conv1D, expected one of Add, "),
        (
            lambda values: keras.layers.GRU(2, name="odd")(values, mask=values[:, :, 0] != 0.0),
            "odd is called with mask",
        ),
        (keras.layers.GRU(2, name="odd", reset_after=False), "layer odd changes reset_after, expected"),
        (keras.layers.LSTM(2, name="odd", use_bias=False), "layer odd changes use_bias, expected"),
        (
            keras.layers.Dense(2, "elu", name="odd"),
            "layer odd has the activation elu, expected one of linear",
        ),
    ],
)
def test_a_layer_without_a_rule_is_refused(step: Any, words: str) -> None:
    message = refusal(ContractError, lambda: to_onnx(network_of("session_log", step)))
    assert_says(message, words, "training/export.py")


def test_an_upper_factor_is_refused() -> None:
    network = network_of(
        "session_log", lambda v: keras.ops.solve_triangular(positive_definite(v), v, lower=False)
    )
    message = refusal(ContractError, lambda: to_onnx(network))
    assert_says(message, "solves with an upper factor, expected a lower one", "training/export.py")


def test_many_candidates_get_what_each_gets_alone(fast: keras.Model) -> None:
    """Each is asked for with the same history, and none changes the answer for another or for the steps."""
    model, one = open_onnx(to_onnx(fast)), {name: BUNDLE[name][:1] for name in schema.INPUT_SHAPES}
    random = np.random.default_rng(0)
    chosen = random.integers(0, 40, 7)
    asked = {
        "last_track": BUNDLE["last_track"][chosen][None],
        "tracks_between": np.array([[0, 0, 1, 5, 0, 2, 0]], np.float32),
    }
    for name in ("track_numbers", "track_memory"):
        steps = one[name][:, : schema.STEPS]
        asked[name] = np.concatenate([steps, BUNDLE[name][chosen, -1][None]], axis=1)
    together = predict_outcomes(model, one | asked)

    assert together.shape == (1, schema.STEPS + 7, 4)
    for place in range(7):
        alone = one | {
            "last_track": asked["last_track"][:, place],
            "tracks_between": asked["tracks_between"][:, place : place + 1],
            **{
                name: np.concatenate(
                    [asked[name][:, : schema.STEPS], asked[name][:, [schema.STEPS + place]]], 1
                )
                for name in ("track_numbers", "track_memory")
            },
        }
        expected = np.asarray(fast(alone))
        np.testing.assert_allclose(together[:, : schema.STEPS], expected[:, :-1], rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(together[:, schema.STEPS + place], expected[:, -1], rtol=0, atol=TOLERANCE)
    assert len(np.unique(together[0, schema.STEPS :, -1].round(5))) == 7


def test_every_outcome_of_every_track_is_the_same_in_the_export(fast: keras.Model) -> None:
    cut = BUNDLE | {"visible_steps": np.arange(40, dtype=np.float32)[:, None] % 20}
    exported = predict_outcomes(open_onnx(to_onnx(fast)), _as_asked(cut))
    network = np.asarray(fast({name: cut[name] for name in schema.INPUT_SHAPES}))
    np.testing.assert_allclose(exported, network, rtol=0, atol=TOLERANCE)


def _as_asked(bundle: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs of one asked track each, as the ONNX file takes them."""
    return {name: bundle[name] for name in schema.INPUT_SHAPES} | {
        "last_track": bundle["last_track"][:, None]
    }


def test_exporting_leaves_the_network_as_it_was() -> None:
    network = network_of("session_log", keras.layers.GRU(3))
    before = predict(network, BUNDLE), network.to_json()
    to_onnx(network)

    assert np.array_equal(predict(network, BUNDLE), before[0])
    assert network.to_json() == before[1]


@pytest.mark.parametrize("strange", [0.5, np.nan])
def test_another_probability_is_refused(strange: float) -> None:
    network = network_of("last_track")
    p_not_skipped = predict(network, BUNDLE)
    p_not_skipped[7] += strange

    message = refusal(ContractError, lambda: check_export(network, p_not_skipped, BUNDLE))
    assert_says(message, "differs", "in 1 of 40 sessions", "1e-05", "constraints.txt")


def test_no_session_does_not_differ() -> None:
    nobody = {name: array[:0] for name, array in BUNDLE.items()}
    assert check_export(network_of("last_track"), np.empty(0), nobody) == 0
