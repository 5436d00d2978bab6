"""The default network: what each target may see, what does not matter to it, and its outcomes."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.errors import TrainingError
from skip_pipeline.networks.fast import build_fast, every_track
from skip_pipeline.networks.presets import build_network, input_names, learns_from
from skip_pipeline.settings import PRESETS, TrainingSettings
from skip_pipeline.training.train import predict
from skip_pipeline_tests.tiny_bundle import tiny_bundle

STEPS, SESSIONS = schema.STEPS, 16
LENGTH = schema.SESSION_LOG_BRANCH.index(schema.LENGTH)

Bundle = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return tiny_bundle(SESSIONS)


@pytest.fixture(scope="module")
def network(bundle: Bundle) -> keras.Model:
    return build_fast(bundle)


@pytest.fixture(scope="module")
def stirred(network: keras.Model) -> keras.Model:
    """A copy in which no weight is zero, so that everything matters."""
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    random = np.random.default_rng(0)
    for variable in copy.variables:
        if variable.path != "session_gru/gru_cell/bias":  # which training leaves at 0
            variable.assign(variable.numpy() + random.normal(0, 0.1, variable.shape))
    return copy


def outcomes(network: keras.Model, bundle: Bundle) -> np.ndarray:
    """Probabilities (n, 20, 4) of every target."""
    return np.asarray(network({name: bundle[name] for name in schema.INPUT_SHAPES}))


def real_targets(bundle: Bundle) -> np.ndarray:
    """Which targets are tracks: bool (n, 20)."""
    return np.asarray(bundle["track_numbers"] >= 0)


# --- Structure ------------------------------------------------------------------------------------------


def test_it_is_small(network: keras.Model) -> None:
    assert network.count_params() == 6_598


def test_its_inputs_are_those_of_the_schema_and_its_output_four_outcomes_of_each_track(
    network: keras.Model, bundle: Bundle
) -> None:
    assert {i.name: tuple(i.shape[1:]) for i in network.inputs} == schema.INPUT_SHAPES
    assert input_names(network) == tuple(schema.INPUT_SHAPES)
    assert outcomes(network, bundle).shape == (SESSIONS, STEPS + 1, len(schema.OUTCOME_FLAGS))


def test_its_recurrent_layer_meets_the_conditions_of_a_fused_kernel(network: keras.Model) -> None:
    gru = network.get_layer("session_gru")
    assert gru.activation is keras.activations.tanh
    assert gru.recurrent_activation is keras.activations.sigmoid
    assert (gru.reset_after, gru.use_bias, gru.unroll, gru.recurrent_dropout) == (True, True, False, 0.0)
    assert gru.input.shape == (None, STEPS, 12 + 12 + 1 + 1)
    assert not any(isinstance(layer, keras.layers.Masking) for layer in network.layers)


def test_what_multiplies_0_and_what_stands_for_a_bias_are_not_trained(network: keras.Model) -> None:
    fixed = {variable.path for variable in network.non_trainable_weights}
    assert fixed == {
        "session_gru/gru_cell/bias",
        "log_variances/kernel",
        "log_kernel/kernel",
        "log_scale_of_company/kernel",
    }


def test_dropout_is_in_the_head_alone(bundle: Bundle) -> None:
    rates = [
        layer.rate for layer in build_fast(bundle, 0.2).layers if isinstance(layer, keras.layers.Dropout)
    ]
    assert rates == [0.2]


# --- What a target may see ------------------------------------------------------------------------------


def from_step(bundle: Bundle, step: int) -> Bundle:
    """A bundle with other log rows, outcomes and flags from a step on; the length stays."""
    changed = {name: values.copy() for name, values in bundle.items()}
    later = bundle["skip_sequence"][:, step:] != schema.SKIP_PADDING
    columns = [i for i in range(35) if i != LENGTH]
    changed["session_log"][:, step:, columns] += 0.5 * later
    changed["skip_sequence"][:, step:] = np.where(later, 1 - bundle["skip_sequence"][:, step:], 9)
    return changed


@pytest.mark.parametrize("cut", [5, 12, 18])
def test_outcomes_and_log_rows_after_a_cut_change_nothing(
    stirred: keras.Model, bundle: Bundle, cut: int
) -> None:
    hidden = bundle | {"visible_steps": np.full((SESSIONS, 1), cut, np.float32)}
    before, after = outcomes(stirred, hidden), outcomes(stirred, from_step(hidden, cut))
    np.testing.assert_array_equal(before, after)

    shown = outcomes(stirred, from_step(bundle, cut))  # without a cut, they reach every later target
    told = np.cumsum(real_targets(bundle), axis=1)[:, cut + 1 :] > 1  # the first track is told nothing
    assert (outcomes(stirred, bundle) != shown)[:, cut + 1 :][told].all()


def test_a_cut_leaves_the_targets_before_it_as_they_were(stirred: keras.Model, bundle: Bundle) -> None:
    hidden = bundle | {"visible_steps": np.full((SESSIONS, 1), 12, np.float32)}
    before, after = outcomes(stirred, bundle), outcomes(stirred, hidden)
    np.testing.assert_array_equal(before[:, :13], after[:, :13])
    assert (before != after)[:, 13:].any(axis=(1, 2)).all()


def test_no_target_is_told_what_happens_at_or_after_it(stirred: keras.Model, bundle: Bundle) -> None:
    changed = from_step(bundle, 15)
    before, after = outcomes(stirred, bundle), outcomes(stirred, changed)
    np.testing.assert_array_equal(before[:, :16], after[:, :16])
    assert (before != after)[:, 16:].all()


@pytest.mark.parametrize("name", ["track_features", "track_numbers", "track_memory"])
def test_no_target_is_told_which_tracks_follow_it(stirred: keras.Model, bundle: Bundle, name: str) -> None:
    changed = {key: values.copy() for key, values in bundle.items()}
    if name == "track_features":
        changed["previous_tracks"][:, 16:] += 0.5
        changed["last_track"] += 0.5
    elif name == "track_numbers":
        changed["track_numbers"][:, 16:] = bundle["track_numbers"][:, 15:16]  # all the same as one before
    else:
        changed["track_memory"][:, 16:] += 0.5
    before, after = outcomes(stirred, bundle), outcomes(stirred, changed)
    np.testing.assert_array_equal(before[:, :16], after[:, :16])
    assert (before != after)[:, 16:].any(axis=(1, 2)).all()


def test_the_ids_of_hidden_steps_do_not_matter(stirred: keras.Model, bundle: Bundle) -> None:
    """A target after the cut knows its own track, and none of the tracks between."""
    hidden = bundle | {"visible_steps": np.full((SESSIONS, 1), 12, np.float32)}
    changed = {key: values.copy() for key, values in hidden.items()}
    changed["previous_tracks"][:, 12:] += 0.5
    changed["track_numbers"][:, 12:-1] = bundle["track_numbers"][:, -1:]
    changed["track_memory"][:, 12:-1] += 0.5
    before, after = outcomes(stirred, hidden), outcomes(stirred, changed)
    np.testing.assert_array_equal(before[:, -1], after[:, -1])


def test_an_outcome_is_carried_over_to_the_same_track_by_its_number(
    stirred: keras.Model, bundle: Bundle
) -> None:
    again = bundle | {"track_numbers": bundle["track_numbers"].copy()}
    again["track_numbers"][:, -1] = 999.0
    other = outcomes(stirred, again)
    again["track_numbers"][:, -2] = 999.0
    assert (outcomes(stirred, again) != other)[:, -1].all()


# --- What does not matter -------------------------------------------------------------------------------


def test_what_stands_in_padded_steps_does_not_matter(stirred: keras.Model, bundle: Bundle) -> None:
    padding = bundle["skip_sequence"] == schema.SKIP_PADDING
    scribbled = dict(bundle)
    for name in ("session_log", "previous_tracks"):
        scribbled[name] = np.where(padding, np.float32(0.7), bundle[name])
    padding = np.pad(padding, ((0, 0), (0, 1), (0, 0)))
    scribbled["track_memory"] = np.where(padding, np.float32(0.7), bundle["track_memory"])
    scribbled["track_numbers"] = np.where(
        padding[:, :, 0], bundle["track_numbers"][:, -1:], bundle["track_numbers"]
    )

    assert padding.any()
    np.testing.assert_array_equal(predict(stirred, scribbled), predict(stirred, bundle))


def first_tracks(bundle: Bundle, session: int, target: int) -> Bundle:
    """The tracks of a session up to a target, behind more padding, as a session of their own."""
    moved = STEPS - target
    part = {name: bundle[name][session : session + 1] for name in schema.INPUT_SHAPES}

    def behind(steps: np.ndarray, value: float = 0.0) -> np.ndarray:
        widths = [(0, 0), (moved, 0), *[(0, 0)] * (steps.ndim - 2)]
        return np.pad(steps, widths, constant_values=value)

    return part | {
        "session_log": behind(part["session_log"][:, :target]),
        "previous_tracks": behind(part["previous_tracks"][:, :target]),
        "skip_sequence": behind(part["skip_sequence"][:, :target], schema.SKIP_PADDING),
        "last_track": part["previous_tracks"][:, target] if moved else part["last_track"],
        "track_numbers": behind(part["track_numbers"][:, : target + 1], -1.0),
        "track_memory": behind(part["track_memory"][:, : target + 1]),
    }


def test_of_every_track_it_says_what_it_says_of_the_last(stirred: keras.Model, bundle: Bundle) -> None:
    """So neither the amount of padding nor the tracks that follow matter."""
    longest = int(real_targets(bundle).sum(axis=1).argmax())
    whole = outcomes(stirred, bundle)[longest]
    first = int(real_targets(bundle)[longest].argmax())
    alone = [first_tracks(bundle, longest, target) for target in range(first + 1, STEPS + 1)]
    sessions = {name: np.concatenate([each[name] for each in alone]) for name in schema.INPUT_SHAPES}
    np.testing.assert_allclose(outcomes(stirred, sessions)[:, -1], whole[first + 1 :], rtol=0, atol=1e-5)


def test_tracks_between_are_hidden_steps_that_are_not_there(stirred: keras.Model, bundle: Bundle) -> None:
    """A target three tracks on is told the same whether or not the history holds the two tracks between."""
    longest = int(real_targets(bundle).sum(axis=1).argmax())
    there = {name: bundle[name][longest : longest + 1] for name in schema.INPUT_SHAPES}
    there["visible_steps"] = np.array([[STEPS - 2]], np.float32)
    away = first_tracks(bundle, longest, STEPS - 2)
    for name in ("last_track", "track_numbers", "track_memory"):
        away[name] = away[name].copy()
    away["last_track"][:] = there["last_track"]
    away["track_numbers"][:, -1] = there["track_numbers"][:, -1]
    away["track_memory"][:, -1] = there["track_memory"][:, -1]
    away["tracks_between"] = np.array([[2.0]], np.float32)
    expected = outcomes(stirred, there)[0, -1]
    np.testing.assert_allclose(outcomes(stirred, away)[0, -1], expected, rtol=0, atol=1e-5)
    away["tracks_between"] = np.array([[0.0]], np.float32)
    assert np.abs(outcomes(stirred, away)[0, -1] - expected).max() > 1e-4


# --- Outcomes -------------------------------------------------------------------------------------------


def test_outcomes_are_nested(stirred: keras.Model, bundle: Bundle) -> None:
    skip_1, skip_2, skip_3, not_skipped = np.moveaxis(outcomes(stirred, bundle), 2, 0)
    rounding = 1e-6
    assert (skip_1 <= skip_2).all()
    assert (skip_2 <= skip_3).all()
    assert (skip_3 <= 1 - not_skipped + rounding).all()
    assert ((skip_1 > 0) & (not_skipped > 0) & (not_skipped < 1)).all()


def test_log_odds_of_every_track_are_those_of_each_outcome_given_the_ones_further_on(
    stirred: keras.Model, bundle: Bundle
) -> None:
    inputs = {name: bundle[name] for name in schema.INPUT_SHAPES}
    further = 1 / (1 + np.exp(-np.asarray(every_track(stirred)(inputs), np.float64)))  # (n, 20, 4)
    past_3, past_2, past_1 = np.moveaxis(1 - further[:, :, 1:], 2, 0)
    skipped = 1 - further[:, :, 0]
    expected = [skipped * past_3 * past_2 * past_1, skipped * past_3 * past_2, skipped * past_3, 1 - skipped]

    np.testing.assert_allclose(outcomes(stirred, bundle), np.stack(expected, axis=2), atol=1e-6)
    np.testing.assert_allclose(predict(stirred, bundle), further[:, -1, 0], atol=1e-6)


# --- Normalisation --------------------------------------------------------------------------------------


def test_normalisation_comes_from_real_steps_only(bundle: Bundle) -> None:
    real = bundle["skip_sequence"][:, :, 0] != schema.SKIP_PADDING
    network = build_fast(bundle)
    values = {
        "log_normalization": np.log1p(bundle["session_log"]),
        "track_normalization": bundle["previous_tracks"][:, :, 1:-1],
        "memory_normalization": bundle["track_memory"][:, :STEPS, :2],
    }
    for name, array in values.items():
        normalised = np.array(network.get_layer(name)(array))[real]
        varies = array[real].std(axis=0) > 0.1
        np.testing.assert_allclose(normalised.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(normalised.std(axis=0)[varies], 1, atol=1e-2)


def test_a_column_that_never_varies_in_training_stays_finite(bundle: Bundle) -> None:
    constant = dict(bundle)
    constant["session_log"] = np.zeros_like(bundle["session_log"])
    network = build_fast(constant)

    assert np.isfinite(predict(network, bundle)).all()


# --- Presets --------------------------------------------------------------------------------------------


def test_every_preset_builds_and_the_default_one_alone_learns_from_every_track(bundle: Bundle) -> None:
    learns = {}
    for preset, settings in PRESETS.items():
        network = build_network(settings, bundle)
        assert network.name == preset
        learns[preset] = learns_from(settings, network) is not None
    assert learns == {"fast": True, "published": False, "single_input": False}


def test_an_unknown_preset_names_the_known_ones(bundle: Bundle) -> None:
    settings = TrainingSettings(**(vars(PRESETS["fast"]) | {"preset": "huge"}))
    with pytest.raises(TrainingError, match="no preset 'huge'; choose one of fast, published, single_input"):
        build_network(settings, bundle)
