"""A network as an ONNX file: opened, refused, and asked for probabilities."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

from skip_pipeline import schema
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.networks.fast import build_fast
from skip_pipeline.settings import PREDICTION_BATCH_SIZE
from skip_pipeline.training.export import to_onnx
from skip_pipeline.training.onnx_model import (
    answers_candidates,
    open_onnx,
    predict_onnx,
    predict_outcomes,
    predict_tracks,
)
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.tiny_bundle import tiny_bundle

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def bundle() -> Arrays:
    return tiny_bundle(40)


@pytest.fixture(scope="module")
def exported() -> bytes:
    inputs = {name: keras.Input(shape, name=name) for name, shape in schema.BRANCH_SHAPES.items()}
    return to_onnx(keras.Model(inputs, keras.layers.Dense(2, "sigmoid")(inputs["last_track"])))


@pytest.fixture(scope="module")
def fast(bundle: Arrays) -> bytes:
    return to_onnx(build_fast(bundle))


def test_the_file_names_branches_and_probability(exported: bytes, tmp_path: Path) -> None:
    model = onnx.load_from_string(exported)
    onnx.checker.check_model(model)

    shapes = {
        node.name: tuple(dim.dim_value for dim in node.type.tensor_type.shape.dim)[1:]
        for node in model.graph.input
    }
    assert shapes == schema.BRANCH_SHAPES
    assert [node.name for node in model.graph.output] == ["p_not_skipped"]


def test_the_file_of_the_default_network_takes_any_number_of_tracks(fast: bytes) -> None:
    model = onnx.load_from_string(fast)
    onnx.checker.check_model(model)
    shapes = {
        node.name: tuple(dim.dim_value or dim.dim_param for dim in node.type.tensor_type.shape.dim)
        for node in [*model.graph.input, *model.graph.output]
    }

    assert shapes == {
        "session_log": ("n", 19, 35),
        "previous_tracks": ("n", 19, 31),
        "skip_sequence": ("n", 19, 1),
        "last_track": ("n", "tracks", 31),
        "circumstances": ("n", 5),
        "track_numbers": ("n", "steps_and_tracks"),
        "track_memory": ("n", "steps_and_tracks", 98),
        "visible_steps": ("n", 1),
        "tracks_between": ("n", "tracks"),
        "outcomes": ("n", "steps_and_tracks", 4),
    }
    assert answers_candidates(open_onnx(fast))


def test_the_default_network_answers_for_every_track_and_the_last_one_is_the_prediction(
    fast: bytes, bundle: Arrays
) -> None:
    p = predict_tracks(fast, bundle)

    assert p.shape == (40, 20)
    assert p.dtype == np.float64
    assert np.isfinite(p).all()
    np.testing.assert_array_equal(predict_onnx(fast, bundle), p[:, -1])


def test_a_network_of_four_inputs_answers_for_the_last_track_alone(exported: bytes, bundle: Arrays) -> None:
    session = open_onnx(exported)
    p = predict_tracks(session, bundle)

    assert np.isnan(p[:, :-1]).all()
    np.testing.assert_array_equal(p[:, -1], predict_onnx(session, bundle))
    assert not answers_candidates(session)
    message = refusal(ContractError, lambda: predict_outcomes(session, bundle))
    assert_says(message, "answers for a session's last track alone", "expected", "train the preset fast")


def test_a_default_network_without_the_memory_of_tracks_is_refused(fast: bytes, bundle: Arrays) -> None:
    lacking = {name: array for name, array in bundle.items() if name != "track_memory"}
    assert_says(refusal(ContractError, lambda: predict_tracks(fast, lacking)), "inputs lack ['track_memory']")


def test_a_file_its_contents_and_an_open_session_predict_alike(
    exported: bytes, tmp_path: Path, bundle: Arrays
) -> None:
    path = tmp_path / "skip_model.onnx"
    path.write_bytes(exported)
    once = predict_onnx(exported, bundle)

    assert once.shape == (40,)
    assert once.dtype == np.float64
    assert np.array_equal(predict_onnx(path, bundle), once)
    assert np.array_equal(predict_onnx(open_onnx(path, threads=1), bundle), once)


def test_batches_and_single_sessions_predict_alike(
    exported: bytes, bundle: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_onnx(exported)
    many = {name: np.repeat(array, PREDICTION_BATCH_SIZE // 40 + 1, axis=0) for name, array in bundle.items()}
    one = {name: array[:1] for name, array in bundle.items()}
    nobody = {name: array[:0] for name, array in bundle.items()}

    whole = predict_onnx(session, many)
    assert len(whole) > PREDICTION_BATCH_SIZE
    np.testing.assert_allclose(whole[:: PREDICTION_BATCH_SIZE // 40 + 1], predict_onnx(session, bundle))
    assert predict_onnx(session, one)[0] == pytest.approx(whole[0])
    assert predict_onnx(session, nobody).shape == (0,)


def test_a_missing_or_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "skip_model.onnx"
    assert_says(refusal(MissingInputError, lambda: open_onnx(path)), str(path), "materialize trained_model")

    for content in (b"", b"no model"):
        path.write_bytes(content)
        message = refusal(ContractError, lambda: open_onnx(path))
        assert_says(message, str(path), "cannot be read as an ONNX model", "materialize trained_model again")


def test_a_model_of_other_inputs_is_refused() -> None:
    spec = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 3])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, 3])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "other", [spec], [out])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)

    message = refusal(ContractError, lambda: open_onnx(model.SerializeToString()))
    assert_says(message, "takes {'x': (3,)} and gives ['y']", "session_log", "p_not_skipped")


def test_inputs_that_are_not_the_branches_are_refused(exported: bytes, bundle: Arrays) -> None:
    session = open_onnx(exported)
    lacking = {name: array for name, array in bundle.items() if name != "skip_sequence"}
    short = bundle | {"session_log": bundle["session_log"][:, 1:]}
    fewer = bundle | {"session_log": bundle["session_log"][:3]}

    assert_says(refusal(ContractError, lambda: predict_onnx(session, lacking)), "lack ['skip_sequence']")
    assert_says(refusal(ContractError, lambda: predict_onnx(session, short)), "(40, 18, 35)", "(40, 19, 35)")
    assert_says(refusal(ContractError, lambda: predict_onnx(session, fewer)), "(3, 19, 35)", "40 sessions")


def test_a_model_that_fails_on_its_inputs_is_refused(bundle: Arrays) -> None:
    branches = schema.BRANCH_SHAPES.items()
    number = onnx.TensorProto.FLOAT
    inputs = [onnx.helper.make_tensor_value_info(name, number, ["n", *shape]) for name, shape in branches]
    output = onnx.helper.make_tensor_value_info("p_not_skipped", number, [7])
    seven = onnx.numpy_helper.from_array(np.array([7]), "seven")
    node = onnx.helper.make_node("Reshape", ["last_track", "seven"], ["p_not_skipped"])
    graph = onnx.helper.make_graph([node], "seven of 40 * 31", inputs, [output], [seven])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)

    message = refusal(ContractError, lambda: predict_onnx(model.SerializeToString(), bundle))
    assert_says(message, "does not run", "materialize trained_model again")
