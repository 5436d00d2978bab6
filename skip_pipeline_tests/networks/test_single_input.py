import dataclasses

import keras
import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.networks.single_input import build_single_input
from skip_pipeline.settings import PRESETS
from skip_pipeline_tests.tiny_bundle import tiny_bundle


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return build_single_input()


def test_two_lstms_read_one_input_of_everything(network: keras.Model) -> None:
    layers = [type(layer).__name__ for layer in network.layers if layer.count_params()]

    assert layers == ["LSTM", "LSTM", "Dense"]
    assert network.get_layer("everything").output.shape == (None, 19, 35 + 31 + 1 + 31)
    assert network.count_params() == 248_066


def test_its_inputs_are_the_four_branches_and_its_output_two_columns(network: keras.Model) -> None:
    assert {i.name: tuple(i.shape[1:]) for i in network.inputs} == schema.BRANCH_SHAPES
    assert network.output_shape == (None, 2)


def test_every_step_holds_its_log_track_and_outcome_and_the_last_track(network: keras.Model) -> None:
    bundle = tiny_bundle(3)
    inputs = {name: bundle[name] for name in schema.BRANCH_SHAPES}
    everything = np.asarray(keras.Model(network.inputs, network.get_layer("everything").output)(inputs))

    assert np.array_equal(everything[:, :, :35], bundle["session_log"])
    assert np.array_equal(everything[:, :, 35:66], bundle["previous_tracks"])
    assert np.array_equal(everything[:, :, 66:67], bundle["skip_sequence"])
    for step in (0, 18):
        assert np.array_equal(everything[:, step, 67:], bundle["last_track"])


def test_layers_are_those_of_the_published_log_branch(network: keras.Model) -> None:
    lstms = [layer for layer in network.layers if isinstance(layer, keras.layers.LSTM)]
    rates = [layer.rate for layer in network.layers if isinstance(layer, keras.layers.Dropout)]

    assert [(layer.units, layer.activation.__name__) for layer in lstms] == [(128, "relu")] * 2
    assert network.get_layer("outcome").activation.__name__ == "sigmoid"
    assert rates == [0.4] * 2


def test_one_rate_replaces_all() -> None:
    network = build_single_input(0.1)

    assert [layer.rate for layer in network.layers if isinstance(layer, keras.layers.Dropout)] == [0.1] * 2


def test_it_is_trained_as_the_published_network_is() -> None:
    assert dataclasses.replace(PRESETS["single_input"], preset="published") == PRESETS["published"]
