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
from skip_pipeline.training.onnx_model import predict_onnx
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


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_gives_the_same_probabilities_as_its_export(preset: Preset) -> None:
    keras.utils.set_random_seed(0)
    network = build_network(PRESETS[preset], BUNDLE)
    random = np.random.default_rng(0)  # some layers begin at 0, and would hide those before them
    network.set_weights([each + random.normal(0, 0.02, each.shape) for each in network.get_weights()])
    exported = to_onnx(network)
    p_not_skipped = predict_onnx(exported, BUNDLE)

    np.testing.assert_allclose(p_not_skipped, predict(network, BUNDLE), rtol=0, atol=TOLERANCE)
    assert check_export(network, p_not_skipped, BUNDLE) <= TOLERANCE
    assert len(np.unique(p_not_skipped.round(6))) > 1
    recurrent = [layer for layer in network.layers if isinstance(layer, keras.layers.RNN)]
    assert operators(exported)["GRU"] + operators(exported)["LSTM"] == len(recurrent)  # no loop for any
    assert to_onnx(network) == exported


@pytest.mark.parametrize(
    "steps",
    [
        [keras.layers.LSTM(3, return_sequences=True)],
        [keras.layers.LSTM(3, "relu", "tanh")],
        [keras.layers.GRU(3, return_sequences=True)],
        [keras.layers.GRU(3, "relu")],
        [keras.layers.Dense(3, use_bias=False), lambda values: values[:, -1]],
        [lambda values: values[:, :, None, 2:5], lambda values: values[:, 3:, 0]],
        [lambda values: keras.ops.log(1.0 + keras.ops.exp(-1.0 * values)) / 3.0],
    ],
    ids=[
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
