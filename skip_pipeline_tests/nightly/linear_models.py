"""A model that is trained in a moment: logistic regression, packed as ``trained_model`` packs a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression

from skip_pipeline import schema
from skip_pipeline.bundles.gather import open_bundle
from skip_pipeline.nightly.reference import write_reference
from skip_pipeline.serving.model_folder import SERVED_MODEL, pack
from skip_pipeline.settings import ONNX_FILE, DataLayout

_SEEN = 9  # outcomes before the last track that every session has
_OF_TRACK = 0.1  # scale of the track's features, which holds them down: there are few sessions


def train_linear(layout: DataLayout, *, wrong: bool = False) -> Path:
    """Fit to the training sessions, with every label turned round if ``wrong``, and pack."""
    train = open_bundle(layout.bundles, "train")
    seen = np.asarray(train.skip_sequence)[:, -_SEEN:, 0]
    labels = np.asarray(train.not_skipped).astype(int)
    if wrong:
        labels = 1 - labels
    fitted = LogisticRegression(max_iter=500).fit(
        np.hstack([seen, _OF_TRACK * np.asarray(train.last_track)]), labels
    )
    layout.model.mkdir(exist_ok=True)
    network = layout.model / ONNX_FILE
    network.write_bytes(
        _network(fitted.coef_[0, :_SEEN], _OF_TRACK * fitted.coef_[0, _SEEN:], fitted.intercept_)
    )
    folder = layout.model / SERVED_MODEL
    pack(folder, layout, network=network, calibration=None, preset="fast")
    write_reference(folder, layout)
    return folder


def _network(of_outcomes: np.ndarray, of_track: np.ndarray, offset: np.ndarray) -> bytes:
    weights = {"skip_sequence": np.zeros(schema.STEPS), "last_track": of_track}
    weights["skip_sequence"][-_SEEN:] = of_outcomes
    nodes, constants = [], [numpy_helper.from_array(offset.astype(np.float32), "offset")]
    for name, vector in weights.items():
        constants.append(numpy_helper.from_array(vector.astype(np.float32)[:, None], f"w_{name}"))
        nodes.append(helper.make_node("Flatten", [name], [f"flat_{name}"], axis=1))
        nodes.append(helper.make_node("MatMul", [f"flat_{name}", f"w_{name}"], [f"term_{name}"]))
    constants.append(numpy_helper.from_array(np.array([1], np.int64), "axis"))
    nodes += [
        helper.make_node("Sum", [*(f"term_{name}" for name in weights), "offset"], ["sum"]),
        helper.make_node("Squeeze", ["sum", "axis"], ["log_odds"]),
        helper.make_node("Sigmoid", ["log_odds"], ["p_not_skipped"]),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape])
        for name, shape in schema.BRANCH_SHAPES.items()
    ]
    output = helper.make_tensor_value_info("p_not_skipped", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph(nodes, "linear", inputs, [output], initializer=constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())
