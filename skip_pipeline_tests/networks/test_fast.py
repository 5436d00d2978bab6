import keras
import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.errors import TrainingError
from skip_pipeline.networks.fast import build_fast, every_track
from skip_pipeline.networks.presets import LOSSES, build_network
from skip_pipeline.networks.tastes import FEATURES, Tastes
from skip_pipeline.settings import PRESETS, TrainingSettings
from skip_pipeline.training.train import predict
from skip_pipeline_tests.tiny_bundle import tiny_bundle


@pytest.fixture(scope="module")
def bundle() -> dict[str, np.ndarray]:
    return tiny_bundle(16)


@pytest.fixture(scope="module")
def network(bundle: dict[str, np.ndarray]) -> keras.Model:
    return build_fast(bundle)


def test_it_is_small(network: keras.Model) -> None:
    assert network.count_params() == 4_407


def test_its_inputs_are_the_four_branches_and_its_output_two_columns(network: keras.Model) -> None:
    assert {i.name: tuple(i.shape[1:]) for i in network.inputs} == schema.BRANCH_SHAPES
    assert network.output_shape == (None, 2)


def test_its_recurrent_layer_meets_the_conditions_of_a_fused_kernel(network: keras.Model) -> None:
    gru = network.get_layer("session_gru")
    assert gru.activation is keras.activations.tanh
    assert gru.recurrent_activation is keras.activations.sigmoid
    assert (gru.reset_after, gru.use_bias, gru.unroll, gru.recurrent_dropout) == (True, True, False, 0.0)
    assert gru.input.shape == (None, schema.STEPS, 26)
    assert not any(isinstance(layer, keras.layers.Masking) for layer in network.layers)
    assert "session_gru/gru_cell/bias" in {variable.path for variable in network.variables}
    assert "session_gru/gru_cell/bias" not in {variable.path for variable in network.trainable_variables}


def test_dropout_is_in_the_head_alone(bundle: dict[str, np.ndarray]) -> None:
    rates = [
        layer.rate for layer in build_fast(bundle, 0.2).layers if isinstance(layer, keras.layers.Dropout)
    ]
    assert rates == [0.2]


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


def test_of_every_track_it_says_what_it_says_of_the_last(
    network: keras.Model, bundle: dict[str, np.ndarray]
) -> None:
    """The first tracks of a session, behind some more padding, are a session of their own."""
    stirred = _stirred(network)
    inputs = {name: bundle[name] for name in schema.BRANCH_SHAPES}
    longest = int(np.argmax((bundle["skip_sequence"] != schema.SKIP_PADDING).sum(axis=1)))
    log_odds = every_track(stirred).predict(inputs, verbose=0)
    assert log_odds.shape == (16, schema.STEPS + 1, 1)
    first = int(np.argmax(bundle["skip_sequence"][longest, :, 0] != schema.SKIP_PADDING))
    for target in range(first + 1, schema.STEPS + 1):
        moved = schema.STEPS - target
        part = {name: bundle[name][longest : longest + 1] for name in schema.BRANCH_SHAPES}
        session = {
            "session_log": np.pad(part["session_log"][:, :target], ((0, 0), (moved, 0), (0, 0))),
            "previous_tracks": np.pad(part["previous_tracks"][:, :target], ((0, 0), (moved, 0), (0, 0))),
            "skip_sequence": np.pad(
                part["skip_sequence"][:, :target],
                ((0, 0), (moved, 0), (0, 0)),
                constant_values=schema.SKIP_PADDING,
            ),
            "last_track": part["previous_tracks"][:, target] if moved else part["last_track"],
        }
        assert predict(stirred, session)[0] == pytest.approx(
            1 / (1 + np.exp(-log_odds[longest, target, 0])), abs=1e-5
        ), target


def test_no_track_is_told_what_comes_at_or_after_it(
    network: keras.Model, bundle: dict[str, np.ndarray]
) -> None:
    every = every_track(_stirred(network))
    inputs = {name: bundle[name] for name in schema.BRANCH_SHAPES}
    changed = {name: values.copy() for name, values in inputs.items()}
    changed["skip_sequence"][:, 15:] = 1.0 - changed["skip_sequence"][:, 15:]
    columns = [i for i, name in enumerate(schema.SESSION_LOG_BRANCH) if name != schema.LENGTH]
    changed["session_log"][:, 15:, columns] += 0.5
    changed["previous_tracks"][:, 16:] += 0.5
    changed["last_track"] += 0.5
    before, after = every.predict(inputs, verbose=0), every.predict(changed, verbose=0)

    np.testing.assert_array_equal(before[:, :16], after[:, :16])
    assert (before[:, 16:] != after[:, 16:]).all()


def test_it_starts_with_the_tastes_that_moments_tell(bundle: dict[str, np.ndarray]) -> None:
    tastes = Tastes.fit(bundle)
    network = build_fast(bundle)
    (keys,) = network.get_layer("taste_keys").get_weights()
    (patience,) = network.get_layer("patience_key").get_weights()

    row = schema.TRACK_BRANCH.index("tempo")
    expected = tastes.directions[FEATURES.index("tempo")] / tastes.noise**0.5
    np.testing.assert_allclose(keys[row], expected, rtol=1e-6)
    assert not keys[schema.TRACK_BRANCH.index(schema.LOG_TRACK_ID)].any()
    assert patience[0, 0] == pytest.approx((tastes.patience / tastes.noise) ** 0.5)


def _stirred(network: keras.Model) -> keras.Model:
    """A copy in which no weight is zero, so that everything matters."""
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    random = np.random.default_rng(0)
    for variable in copy.variables:
        if variable.path != "session_gru/gru_cell/bias":  # which training leaves at 0
            variable.assign(variable.numpy() + random.normal(0, 0.1, variable.shape))
    return copy


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
