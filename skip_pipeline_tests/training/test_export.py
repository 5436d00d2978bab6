from __future__ import annotations

from collections import Counter
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

from skip_pipeline import schema
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.networks.presets import build_network
from skip_pipeline.settings import PREDICTION_BATCH_SIZE, PRESETS, Preset
from skip_pipeline.training.export import TOLERANCE, check_export, to_onnx
from skip_pipeline.training.onnx_model import open_onnx, predict_onnx
from skip_pipeline.training.train import predict
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.test_boundaries import loaded_after
from skip_pipeline_tests.tiny_bundle import tiny_bundle

Arrays = dict[str, np.ndarray]


def network_of(last: keras.KerasTensor, inputs: dict[str, keras.KerasTensor]) -> keras.Model:
    return keras.Model(inputs, keras.layers.Dense(2, "sigmoid")(last))


def branches() -> dict[str, keras.KerasTensor]:
    return {name: keras.Input(shape, name=name) for name, shape in schema.BRANCH_SHAPES.items()}


@pytest.fixture(scope="module")
def bundle() -> Arrays:
    return tiny_bundle(40)


@pytest.fixture(scope="module")
def small() -> keras.Model:
    inputs = branches()
    return network_of(inputs["last_track"], inputs)


@pytest.fixture(scope="module")
def exported(small: keras.Model) -> bytes:
    return to_onnx(small)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_says_the_same_as_onnx(preset: Preset, bundle: Arrays) -> None:
    network = build_network(PRESETS[preset], bundle)
    random = np.random.default_rng(0)  # some layers begin at zero, and would hide those before them
    network.set_weights(
        [weights + random.normal(0, 0.02, weights.shape) for weights in network.get_weights()]
    )
    session = open_onnx(to_onnx(network))

    assert check_export(network, session, bundle) <= TOLERANCE
    np.testing.assert_allclose(predict_onnx(session, bundle), predict(network, bundle), atol=TOLERANCE)
    assert len(np.unique(predict_onnx(session, bundle).round(6))) > 1


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize(("layer", "activation"), [(keras.layers.LSTM, "relu"), (keras.layers.GRU, "tanh")])
def test_recurrent_layers_with_a_mask_say_the_same(
    layer: type[keras.Layer], activation: str, sequences: bool, bundle: Arrays
) -> None:
    keras.utils.set_random_seed(0)  # else all of four relus are dead at times, and nothing is told apart
    inputs = branches()
    masked = keras.layers.Masking(schema.SKIP_PADDING)(inputs["skip_sequence"])
    states = layer(4, activation, return_sequences=sequences)(masked)
    network = network_of(states[:, -1] if sequences else states, inputs)

    assert check_export(network, to_onnx(network), bundle) <= TOLERANCE
    different = bundle | {"skip_sequence": bundle["skip_sequence"].copy()}
    different["skip_sequence"][:, -1] = 1 - different["skip_sequence"][:, -1]
    assert not np.allclose(predict(network, different), predict(network, bundle), atol=1e-4)


def operators(model: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(model).graph.node)


def test_a_plain_gru_is_one_operator_with_both_of_its_biases(
    bundle: Arrays, capfd: pytest.CaptureFixture[str]
) -> None:
    inputs = branches()
    states = keras.layers.GRU(3, return_sequences=True, bias_initializer="random_normal")(
        inputs["session_log"]
    )
    network = network_of(states[:, -1], inputs)
    capfd.readouterr()
    exported = to_onnx(network)

    assert operators(exported)["GRU"] == 1
    assert "Loop" not in operators(exported)
    assert check_export(network, exported, bundle) <= TOLERANCE
    assert len(np.unique(predict_onnx(exported, bundle).round(6))) > 1
    assert "shape" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "other", [{"reset_after": False}, {"activation": "relu"}, {"go_backwards": True}, {"use_bias": False}]
)
def test_another_gru_says_the_same(other: dict[str, object], bundle: Arrays) -> None:
    inputs = branches()
    states = keras.layers.GRU(3, return_sequences=True, **other)(inputs["session_log"])
    network = network_of(states[:, -1], inputs)

    assert check_export(network, to_onnx(network), bundle) <= TOLERANCE


def test_columns_that_underflow_say_one_half(bundle: Arrays) -> None:
    inputs = branches()
    nothing = keras.layers.Dense(2, "relu", kernel_initializer="zeros")(inputs["last_track"])
    network = keras.Model(inputs, nothing)

    assert predict_onnx(to_onnx(network), bundle).tolist() == [0.5] * 40
    assert check_export(network, to_onnx(network), bundle) == 0


def test_the_file_names_branches_and_probability(exported: bytes, tmp_path: Path) -> None:
    model = onnx.load_from_string(exported)
    onnx.checker.check_model(model)

    shapes = {
        node.name: tuple(dim.dim_value for dim in node.type.tensor_type.shape.dim)[1:]
        for node in model.graph.input
    }
    assert shapes == schema.BRANCH_SHAPES
    assert [node.name for node in model.graph.output] == ["p_not_skipped"]


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


def test_a_network_that_says_something_else_is_refused(
    small: keras.Model, exported: bytes, bundle: Arrays
) -> None:
    other = keras.models.clone_model(small)

    message = refusal(ContractError, lambda: check_export(other, exported, bundle))
    assert_says(message, "differs from the trained one", "40 sessions", "1e-05", "constraints.txt")


def test_numbers_that_are_none_do_not_pass_for_equal(
    small: keras.Model, exported: bytes, bundle: Arrays
) -> None:
    strange = bundle | {"last_track": np.full_like(bundle["last_track"], np.nan)}

    message = refusal(ContractError, lambda: check_export(small, exported, strange))
    assert_says(message, "40 of 40 sessions")


def test_exporting_leaves_the_network_as_it_was(small: keras.Model, bundle: Arrays) -> None:
    before = predict(small, bundle)
    to_onnx(small)

    assert np.array_equal(predict(small, bundle), before)


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


def test_predicting_loads_no_tensorflow() -> None:
    loaded = loaded_after("import skip_pipeline.training.onnx_model")

    assert "onnxruntime" in loaded
    assert loaded.isdisjoint({"tensorflow", "keras", "tf2onnx", "onnx", "sklearn", "dagster", "mlflow"})
