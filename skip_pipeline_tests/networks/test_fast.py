import keras
import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.errors import TrainingError
from skip_pipeline.flow.train import predict
from skip_pipeline.networks.fast import build_fast
from skip_pipeline.networks.presets import LOSSES, build_network
from skip_pipeline.settings import PRESETS, TrainingSettings
from skip_pipeline_tests.tiny_bundle import tiny_bundle


@pytest.fixture(scope="module")
def bundle() -> dict[str, np.ndarray]:
    return tiny_bundle(16)


@pytest.fixture(scope="module")
def network(bundle: dict[str, np.ndarray]) -> keras.Model:
    return build_fast(bundle)


def test_it_is_small(network: keras.Model) -> None:
    assert 15_000 < network.count_params() < 40_000


def test_its_inputs_are_the_four_branches_and_its_output_two_columns(network: keras.Model) -> None:
    assert {i.name: tuple(i.shape[1:]) for i in network.inputs} == schema.BRANCH_SHAPES
    assert network.output_shape == (None, 2)


def test_its_recurrent_layer_meets_the_conditions_of_a_fused_kernel(network: keras.Model) -> None:
    gru = network.get_layer("session_gru")
    assert gru.activation is keras.activations.tanh
    assert gru.recurrent_activation is keras.activations.sigmoid
    assert (gru.reset_after, gru.use_bias, gru.unroll, gru.recurrent_dropout) == (True, True, False, 0.0)
    assert gru.input.shape == (None, schema.STEPS, 50)
    assert not any(isinstance(layer, keras.layers.Masking) for layer in network.layers)


def test_columns_add_up_to_one(network: keras.Model, bundle: dict[str, np.ndarray]) -> None:
    columns = network.predict({name: bundle[name] for name in schema.BRANCH_SHAPES}, verbose=0)
    np.testing.assert_allclose(columns.sum(axis=1), 1, atol=1e-6)


def test_what_stands_in_padded_steps_does_not_matter(
    network: keras.Model, bundle: dict[str, np.ndarray]
) -> None:
    padding = bundle["skip_sequence"] == schema.SKIP_PADDING
    scribbled = dict(bundle)
    for name in ("session_log", "previous_tracks"):
        scribbled[name] = np.where(padding, np.float32(0.7), bundle[name])

    assert padding.any()
    np.testing.assert_array_equal(predict(network, scribbled), predict(network, bundle))


def test_normalisation_comes_from_real_steps_only(bundle: dict[str, np.ndarray]) -> None:
    real = bundle["skip_sequence"][:, :, 0] != schema.SKIP_PADDING
    layer = build_fast(bundle).get_layer("track_normalization")
    normalised = np.array(layer(bundle["previous_tracks"]))[real]

    np.testing.assert_allclose(normalised.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(normalised.std(axis=0), 1, atol=1e-2)


def test_a_column_that_never_varies_in_training_stays_finite(bundle: dict[str, np.ndarray]) -> None:
    constant = dict(bundle)
    constant["session_log"] = np.zeros_like(bundle["session_log"])
    network = build_fast(constant)

    assert np.isfinite(predict(network, bundle)).all()


def test_every_preset_builds_and_has_a_loss(bundle: dict[str, np.ndarray]) -> None:
    for preset, settings in PRESETS.items():
        assert build_network(settings, bundle).name == preset
    assert LOSSES.keys() == PRESETS.keys()


def test_an_unknown_preset_names_the_known_ones(bundle: dict[str, np.ndarray]) -> None:
    settings = TrainingSettings(**(vars(PRESETS["fast"]) | {"preset": "huge"}))
    with pytest.raises(TrainingError, match="no preset 'huge'; choose one of fast, published, single_input"):
        build_network(settings, bundle)
