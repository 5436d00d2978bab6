"""The second half of whole sessions, predicted from their first half by the default network's export."""

import keras
import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.bundles.second_half import hide, is_asked, lengths_of, skips
from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.networks.fast import build_fast
from skip_pipeline.training.export import to_onnx
from skip_pipeline.training.onnx_model import open_onnx, predict_outcomes
from skip_pipeline.training.second_half import fit_rule, predict_second_half
from skip_pipeline_tests.tiny_bundle import tiny_bundle

SESSIONS = 24


@pytest.fixture(scope="module")
def bundle():
    return tiny_bundle(SESSIONS)


@pytest.fixture(scope="module")
def network(bundle):
    """A network in which no weight is zero, so that everything matters."""
    made = build_fast(bundle)
    random = np.random.default_rng(0)
    for variable in made.variables:
        if variable.path != "session_gru/gru_cell/bias":  # which training leaves at 0
            variable.assign(variable.numpy() + random.normal(0, 0.1, variable.shape))
    return made


@pytest.fixture(scope="module")
def onnx(network):
    return open_onnx(to_onnx(network), threads=1)


def after_the_cut(bundle, seed):
    """The bundle with other values of everything that is logged after the cut."""
    random = np.random.default_rng(seed)
    asked = is_asked(lengths_of(bundle))
    changed = {name: array.copy() for name, array in bundle.items()}
    steps = asked[:, : schema.STEPS]
    address = [schema.SESSION_LOG_BRANCH.index(name) for name in (schema.POSITION, schema.LENGTH)]
    others = np.setdiff1d(np.arange(len(schema.SESSION_LOG_BRANCH)), address)
    session, step = np.nonzero(steps)
    changed["session_log"][session[:, None], step[:, None], others] = random.integers(
        0, 2, (len(session), len(others))
    )
    changed["skip_sequence"][steps] = random.integers(0, 2, (len(session), 1))
    changed["last_flags"] = random.integers(0, 2, bundle["last_flags"].shape).astype(np.float32)
    changed[schema.LABEL] = random.integers(0, 2, SESSIONS).astype(np.float32)
    return changed


@pytest.mark.parametrize("seed", range(3))
def test_nothing_that_is_logged_after_the_cut_changes_a_probability(bundle, onnx, seed):
    changed = after_the_cut(bundle, seed)
    assert not np.array_equal(skips(changed), skips(bundle))
    before, after = (predict_second_half(onnx, arrays, None) for arrays in (bundle, changed))
    np.testing.assert_array_equal(after.p_skip_2, before.p_skip_2)
    np.testing.assert_array_equal(after.p_skip, before.p_skip)


def test_a_probability_needs_the_first_half_and_the_track(bundle, onnx):
    before = predict_second_half(onnx, bundle, None)
    heard = bundle | {"skip_sequence": bundle["skip_sequence"].copy()}
    rows, last_heard = np.arange(SESSIONS), schema.STEPS - before.tracks
    heard["skip_sequence"][rows, last_heard] = 1 - heard["skip_sequence"][rows, last_heard]
    after = predict_second_half(onnx, heard, None).p_skip_2
    assert (after != before.p_skip_2).all()

    last = bundle | {"last_track": 1 - bundle["last_track"]}
    after = predict_second_half(onnx, last, None).p_skip_2
    assert np.flatnonzero(after != before.p_skip_2).tolist() == (np.cumsum(before.tracks) - 1).tolist()


def test_tracks_that_are_asked_for_after_the_first_half_alone_get_the_same(bundle, onnx):
    """As serving asks: the first half is the history, and the second half's tracks are asked for."""
    expected = predict_second_half(onnx, bundle, None)
    starts = np.cumsum(expected.tracks) - expected.tracks
    for number, length in enumerate(expected.lengths.tolist()):
        half, tracks = length // 2, length - length // 2

        def moved(name, fill, half=half, tracks=tracks, number=number):
            steps = np.full((1, *schema.INPUT_SHAPES[name]), fill, np.float32)
            steps[:, schema.STEPS - half :] = bundle[name][[number], schema.STEPS + 1 - half - tracks :][
                :, :half
            ]
            return steps

        asked = {name: moved(name, 0.0) for name in ("session_log", "previous_tracks")}
        asked["skip_sequence"] = moved("skip_sequence", schema.SKIP_PADDING)
        second = bundle["previous_tracks"][[number], schema.STEPS + 1 - tracks :]
        asked["last_track"] = np.concatenate([second, bundle["last_track"][[number], None]], axis=1)
        asked["circumstances"] = bundle["circumstances"][[number]]
        asked["visible_steps"] = np.full((1, 1), schema.STEPS, np.float32)
        asked["tracks_between"] = np.arange(tracks, dtype=np.float32)[None]
        for name, fill in (("track_numbers", -1.0), ("track_memory", 0.0)):
            of_session = bundle[name][[number], schema.STEPS + 1 - length :]
            padding = [(0, 0), (schema.STEPS - half, 0), (0, 0)][: of_session.ndim]
            asked[name] = np.pad(of_session, padding, constant_values=fill)
        found = predict_outcomes(onnx, asked)[0, schema.STEPS :]
        own = slice(starts[number], starts[number] + tracks)
        np.testing.assert_allclose(found[:, 1], expected.p_skip_2[own], rtol=0, atol=1e-5)
        np.testing.assert_allclose(1 - found[:, 3], expected.p_skip[own], rtol=0, atol=1e-5)


def test_the_export_gives_what_keras_gives(bundle, network, onnx):
    found = predict_second_half(onnx, bundle, None)
    hidden = hide({name: bundle[name] for name in schema.INPUT_SHAPES})
    expected = np.asarray(network(hidden))[is_asked(lengths_of(bundle))]
    np.testing.assert_allclose(found.p_skip_2, expected[:, 1], rtol=0, atol=1e-5)
    assert len(found.p_skip_2) == len(found.skip_2) == found.tracks.sum()
    assert found.skip_2.tolist() == skips(bundle).tolist()


def test_calibration_corrects_skips_and_keeps_the_share_of_early_ones(bundle, onnx):
    calibration = Calibration(slope=0.5, offset=0.3, threshold=0.5, tracks=1)
    plain, corrected = (predict_second_half(onnx, bundle, each) for each in (None, calibration))
    np.testing.assert_allclose(corrected.p_skip, 1 - calibration.apply(1 - plain.p_skip))
    np.testing.assert_allclose(
        corrected.p_skip_2 / corrected.p_skip, plain.p_skip_2 / plain.p_skip, rtol=1e-5
    )


def test_the_first_track_of_a_half_can_get_the_answer_of_a_served_model(bundle, onnx):
    """That track alone is a next track; its early skips keep their share of all skips."""
    lengths = lengths_of(bundle)
    p_next = np.broadcast_to(np.arange(20) / 100, (SESSIONS, 20))
    plain = predict_second_half(onnx, bundle, None)
    found = predict_second_half(onnx, bundle, None, p_next=p_next)
    first = np.cumsum(plain.tracks) - plain.tracks
    later = np.delete(np.arange(len(plain.p_skip)), first)

    np.testing.assert_allclose(found.p_skip[first], 1 - (20 - (lengths - lengths // 2)) / 100)
    np.testing.assert_array_equal(found.p_skip[later], plain.p_skip[later])
    np.testing.assert_allclose(found.p_skip_2 / found.p_skip, plain.p_skip_2 / plain.p_skip, rtol=1e-5)


def test_sessions_are_predicted_some_at_a_time(bundle, onnx, monkeypatch):
    whole = predict_second_half(onnx, bundle, None)
    monkeypatch.setattr("skip_pipeline.training.splits.PREDICTION_BATCH_SIZE", 7)
    parts = predict_second_half(onnx, bundle, None)
    np.testing.assert_allclose(parts.p_skip_2, whole.p_skip_2, rtol=0, atol=1e-6)
    assert parts.lengths.tolist() == whole.lengths.tolist()


def test_the_rule_has_a_table_of_every_length(bundle, onnx):
    rule = fit_rule(onnx, bundle, None)
    assert sorted(rule.correlations) == list(range(10, 21))


def test_a_network_of_last_tracks_is_refused(bundle):
    inputs = {name: keras.Input(shape, name=name) for name, shape in schema.BRANCH_SHAPES.items()}
    onnx = open_onnx(to_onnx(keras.Model(inputs, keras.layers.Dense(2, "sigmoid")(inputs["last_track"]))))
    with pytest.raises(ContractError, match="answers for a session's last track alone"):
        predict_second_half(onnx, bundle, None)
