"""Regression and trees as ONNX: the same probabilities as scikit-learn's, asked in every way."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from scipy.special import expit

from skip_pipeline import schema
from skip_pipeline.baselines.export import _rounded_down, check_export
from skip_pipeline.baselines.features import INPUTS, examples_of
from skip_pipeline.baselines.fit import fit_and_export
from skip_pipeline.baselines.handmade import MODELS, NAMES, HandmadeModels
from skip_pipeline.baselines.predictions import BaselinePredictions
from skip_pipeline.bundles.track_memory import TrackMemory, remember
from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.blend import Blend
from skip_pipeline.serving.blended import ANSWERING, Blended
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.networks.literal_sessions import listeners_with_a_taste

Bundles = dict[str, dict[str, Any]]
TRACKS = 20


@pytest.fixture(scope="module")
def bundles() -> Bundles:
    sizes = {split: 160 if split == "train" else 40 for split in schema.SPLITS}
    return {split: listeners_with_a_taste(n, seed=seed)[0] for seed, (split, n) in enumerate(sizes.items())}


@pytest.fixture(scope="module")
def fitted(bundles: Bundles) -> tuple[dict[str, BaselinePredictions], bytes]:
    made, exported = fit_and_export(bundles)
    return {each.name: each for each in made}, exported


@pytest.fixture(scope="module")
def models(fitted: tuple[object, bytes]) -> HandmadeModels:
    return opened(fitted[1])


@pytest.fixture(scope="module")
def test_sessions(bundles: Bundles) -> dict[str, np.ndarray]:
    tracks = int(max(split["track_numbers"].max() for split in bundles.values())) + 1
    split = remember(bundles, TrackMemory.fit(bundles["train"], tracks))["test"]
    return {name: np.asarray(split[name][:]) for name in (*INPUTS, schema.LABEL)}


def opened(model: bytes, name: str = "the file") -> HandmadeModels:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return HandmadeModels.of(session, name)


@pytest.mark.parametrize("model", MODELS)
def test_every_track_gets_scikit_learns_probability(
    fitted: tuple[dict[str, BaselinePredictions], bytes],
    models: HandmadeModels,
    test_sessions: dict[str, np.ndarray],
    model: str,
) -> None:
    expected = fitted[0][model].p_tracks["test"]
    real = ~np.isnan(expected)
    found = expit(models.of_tracks(test_sessions)[:, :, MODELS.index(model)].astype(np.float64))

    np.testing.assert_allclose(found[real], expected[real], rtol=0, atol=1e-6)
    assert np.ptp(found[real]) > 0.1


def test_next_tracks_are_answered_one_by_one_as_the_last_track_is(
    models: HandmadeModels, test_sessions: dict[str, np.ndarray]
) -> None:
    """Three candidates: a session's own last track, the one before it, and another session's."""
    arrays = test_sessions
    order = np.roll(np.arange(len(arrays["last_track"])), 1)
    own = [arrays["last_track"], arrays["previous_tracks"][:, -1], arrays["last_track"][order]]
    inputs = {name: arrays[name] for name in INPUTS} | {"last_track": np.stack(own, axis=1)}
    for name in ("track_numbers", "track_memory"):
        steps, last = arrays[name][:, :-1], arrays[name][:, -1:]
        inputs[name] = np.concatenate([steps, last, arrays[name][:, -2:-1], last[order]], axis=1)
    found = models.of_next_tracks(inputs)

    for candidate in range(3):
        alone = {name: array.copy() for name, array in arrays.items()}
        alone["last_track"] = inputs["last_track"][:, candidate]
        for name in ("track_numbers", "track_memory"):
            alone[name][:, -1] = inputs[name][:, schema.STEPS + candidate]
        np.testing.assert_allclose(found[:, candidate], models.of_tracks(alone)[:, -1], rtol=0, atol=1e-6)
    assert np.ptp(found, axis=1).max() > 0.1


def test_last_tracks_alone_get_the_blend_that_they_get_among_all_tracks(
    models: HandmadeModels, test_sessions: dict[str, np.ndarray]
) -> None:
    blended = Blended(models, Blend(dict.fromkeys(ANSWERING, 0.4), 0.1, 0.5, 10))
    p_network = np.random.default_rng(0).random((len(test_sessions["last_track"]), 20))
    found = blended.of_last_tracks(p_network[:, -1], test_sessions)

    np.testing.assert_allclose(found, blended.of_tracks(p_network, test_sessions)[:, -1], rtol=0, atol=1e-6)
    assert np.ptp(found) > 0.1


def test_nobody_is_answered(models: HandmadeModels, test_sessions: dict[str, np.ndarray]) -> None:
    nobody = {name: array[:0] for name, array in test_sessions.items()}

    assert models.of_tracks(nobody).shape == (0, TRACKS, 2)


def test_equal_fits_give_equal_bytes(bundles: Bundles, fitted: tuple[object, bytes]) -> None:
    assert fit_and_export(bundles)[1] == fitted[1]


def test_features_that_differ_by_a_rounding_get_the_same_answer(
    models: HandmadeModels, test_sessions: dict[str, np.ndarray]
) -> None:
    features = np.clip(examples_of(test_sessions, models.standard).features, -1, 1)
    shares = (np.round(features * 19) / 19).astype(np.float32)  # of 19 tracks
    above = np.nextafter(shares, np.float32(np.inf))

    assert np.array_equal(models._run(shares), models._run(above))


def test_thresholds_are_rounded_down_to_float32() -> None:
    exact = np.array([0.1, -0.1, 0.5, 1e-9, 3.0])
    rounded = _rounded_down(exact)

    assert (rounded.astype(np.float64) <= exact).all()
    assert (np.nextafter(rounded, np.float32(np.inf)).astype(np.float64) > exact).all()


# --- Refusals -----------------------------------------------------------------------------------------


def test_an_export_that_answers_otherwise_is_refused(
    fitted: tuple[object, bytes], models: HandmadeModels, test_sessions: dict[str, np.ndarray]
) -> None:
    rows = examples_of(test_sessions, models.standard).features
    wrong = np.zeros((len(rows), 2))

    message = refusal(ContractError, lambda: check_export(fitted[1], rows, wrong))
    assert_says(message, "differ from the fitted models by up to", "baseline_models again")


def test_a_graph_of_other_features_is_refused(fitted: tuple[object, bytes]) -> None:
    model = onnx.load_from_string(fitted[1])
    for entry in model.metadata_props:
        if entry.key == NAMES:
            entry.value = json.dumps([*json.loads(entry.value)[1:], "loudness_of_the_room"])

    message = refusal(ContractError, lambda: opened(model.SerializeToString(), "m.onnx"))
    assert_says(message, "m.onnx", "other hand-made features", "loudness_of_the_room", "baseline_models")


def test_another_graph_is_refused() -> None:
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["a"], ["b"])],
        "other",
        [value("a", onnx.TensorProto.FLOAT, [1])],
        [value("b", onnx.TensorProto.FLOAT, [1])],
    )
    opsets = [onnx.helper.make_opsetid("", 18)]
    other = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()

    assert_says(refusal(ContractError, lambda: opened(other, "m.onnx")), "m.onnx takes ['a']", "log_odds")
