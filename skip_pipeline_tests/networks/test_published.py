import dataclasses

import keras
import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.networks.published import build_published
from skip_pipeline.settings import PRESETS
from skip_pipeline.training.train import train
from skip_pipeline_tests.tiny_bundle import tiny_bundle


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return build_published()


def test_it_has_the_published_number_of_parameters(network: keras.Model) -> None:
    assert network.count_params() == 1_275_954


@pytest.mark.parametrize(
    ("first_layer", "parameters"),
    [
        ("log_lstm_1", 83_968),
        ("skip_lstm_1", 280_896),
        ("track_lstm_1", 81_920),
        ("last_dense_1", 2_048),
    ],
)
def test_the_first_layer_of_each_branch_has_the_published_number(
    network: keras.Model, first_layer: str, parameters: int
) -> None:
    assert network.get_layer(first_layer).count_params() == parameters


def test_its_inputs_are_the_four_branches_and_its_output_two_columns(network: keras.Model) -> None:
    assert {i.name: tuple(i.shape[1:]) for i in network.inputs} == schema.BRANCH_SHAPES
    assert network.output_shape == (None, 2)


def test_activations_are_relu_with_sigmoids_at_the_end(network: keras.Model) -> None:
    activations = {
        layer.name: layer.activation.__name__ for layer in network.layers if hasattr(layer, "activation")
    }
    assert activations.pop("outcome") == "sigmoid"
    assert len(activations) == 8
    assert set(activations.values()) == {"relu"}


def test_dropout_is_as_published(network: keras.Model) -> None:
    rates = [layer.rate for layer in network.layers if isinstance(layer, keras.layers.Dropout)]
    assert sorted(rates) == [0.4] * 8 + [0.5] * 2


def test_one_rate_replaces_all() -> None:
    rates = [layer.rate for layer in build_published(0.1).layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.1] * 10


@pytest.mark.slow
def test_one_epoch_trains() -> None:
    bundle = tiny_bundle(16)
    settings = dataclasses.replace(PRESETS["published"], max_epochs=1, batch_size=16)
    (report,) = train(bundle, bundle, settings, lambda _: None).history

    assert np.isfinite(report.validation_loss)
