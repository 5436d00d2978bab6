"""Regression and trees as one ONNX graph, from hand-made features to log-odds.

The graph is built here and not by a converter, because it has to give scikit-learn's answers exactly: trees
branch at the same thresholds only if standardised features and the regression's log-odds are rounded as in
training. Operators are described at https://onnx.ai/onnx/operators.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnxruntime
from onnx import TensorProto, checker, helper, numpy_helper
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from skip_pipeline.baselines.features import Standard, feature_names
from skip_pipeline.baselines.handmade import FEATURES_INPUT, LOG_ODDS, MODELS, NAMES, STANDARD
from skip_pipeline.errors import ContractError

TOLERANCE: Final = 1e-5  # of probabilities, as of the networks (``training.export``)

_STEPS: Final = 2.0**16
"""Features are rounded to multiples of 1/65,536. A session that is served is summed in another order than in
training, so that one share has two float32 values, and trees would learn to tell the two apart."""

_OPSET: Final = 18  # as of the networks
_TREES_OPSET: Final = 3  # of the operators for trees; every ONNX Runtime since 1.14 (2023) reads it


@dataclass(frozen=True)
class Scaling:
    """Means and standard deviations of the F features of training rows."""

    mean: np.ndarray  # float32 (F,)
    scale: np.ndarray  # float32 (F,), above 0

    @classmethod
    def fit(cls, rows: np.ndarray) -> Scaling:
        """Fit to rows, float32 (rows, F)."""
        scaler = StandardScaler().fit(rows)
        return cls(scaler.mean_.astype(np.float32), scaler.scale_.astype(np.float32))

    def apply(self, rows: np.ndarray) -> None:
        """Round and scale rows, float32 (rows, F), in place, as the exported graph does."""
        rows *= _STEPS
        np.rint(rows, out=rows)
        rows /= _STEPS
        rows -= self.mean
        rows /= self.scale


def to_onnx(
    standard: Standard,
    scaling: Scaling,
    regression: LogisticRegression,
    columns: np.ndarray,
    trees: HistGradientBoostingClassifier,
) -> bytes:
    """Convert fitted models; equal models give equal bytes.

    Args:
        standard: with which the features are made; it is kept in the file.
        scaling: of the F features.
        regression: on the scaled features.
        columns: int (C,), numbers of the scaled features that the trees get before the log-odds.
        trees: on these C + 1 features, without missing values or categories.
    """
    nodes: list[Any] = []
    constants: list[Any] = []

    def add(kind: str, *operands: str | np.ndarray, name: str = "", **attributes: Any) -> str:
        """Add a node; arrays become constants. Returns the name of its output."""
        names = []
        for operand in operands:
            if isinstance(operand, np.ndarray):
                constants.append(numpy_helper.from_array(operand, f"constant_{len(constants)}"))
                operand = constants[-1].name
            names.append(operand)
        name = name or f"{kind}_{len(nodes)}"
        nodes.append(helper.make_node(kind, names, [name], **attributes))
        return name

    steps = np.array(_STEPS, np.float32)
    rounded = add("Div", add("Round", add("Mul", FEATURES_INPUT, steps)), steps)
    scaled = add("Div", add("Sub", rounded, scaling.mean), scaling.scale)
    weights = regression.coef_.T.astype(np.float64)  # (F, 1)
    product = add("MatMul", add("Cast", scaled, to=TensorProto.DOUBLE), weights)
    exact = add("Add", product, regression.intercept_.astype(np.float64))
    log_odds = add("Cast", exact, to=TensorProto.FLOAT)  # (rows, 1)
    of_trees = add("Concat", add("Gather", scaled, columns.astype(np.int64), axis=1), log_odds, axis=1)
    by_trees = add("TreeEnsembleRegressor", of_trees, domain="ai.onnx.ml", **_ensemble(trees))
    add("Concat", log_odds, by_trees, axis=1, name=LOG_ODDS)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "handmade_models",
        [value(FEATURES_INPUT, TensorProto.FLOAT, ["rows", len(scaling.mean)])],
        [value(LOG_ODDS, TensorProto.FLOAT, ["rows", len(MODELS)])],
        constants,
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _TREES_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets))
    scales = {"mean": standard.mean.tolist(), "scale": standard.scale.tolist()}
    metadata = {STANDARD: json.dumps(scales), NAMES: json.dumps(feature_names())}
    helper.set_model_props(model, metadata)
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def check_export(exported: bytes, features: np.ndarray, log_odds: np.ndarray) -> None:
    """Compare an exported graph with the models that it was made of.

    Args:
        exported: ``to_onnx``.
        features: float32 (rows, F), not scaled.
        log_odds: of scikit-learn, float (rows, 2), by ``MODELS``.

    Raises:
        ContractError: a probability differs by more than ``TOLERANCE``.
    """
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    found = session.run(None, {FEATURES_INPUT: features})[0]
    difference = np.abs(expit(found.astype(np.float64)) - expit(log_odds)).max(axis=0, initial=0.0)
    if not (difference <= TOLERANCE).all():
        raise ContractError(
            f"the exported {' and '.join(MODELS)} differ from the fitted models by up to "
            f"{difference.tolist()}, expected at most {TOLERANCE}; install the versions of scikit-learn, "
            "onnx and onnxruntime that constraints.txt names, and materialize baseline_models again"
        )


def _ensemble(trees: HistGradientBoostingClassifier) -> dict[str, Any]:
    """Attributes of a ``TreeEnsembleRegressor``: every node of every tree, in lists."""
    tables = [tree.nodes for of_one in trees._predictors for tree in of_one]
    sizes = [len(table) for table in tables]
    nodes, tree_of = np.concatenate(tables), np.repeat(np.arange(len(tables)), sizes)
    number = np.concatenate([np.arange(size) for size in sizes])
    leaf = nodes["is_leaf"].astype(bool)
    return {
        "n_targets": 1,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "base_values": trees._baseline_prediction.ravel().astype(np.float32).tolist(),
        "nodes_treeids": tree_of.tolist(),
        "nodes_nodeids": number.tolist(),
        "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        "nodes_featureids": np.where(leaf, 0, nodes["feature_idx"]).tolist(),
        "nodes_values": np.where(leaf, 0.0, _rounded_down(nodes["num_threshold"])).tolist(),
        "nodes_truenodeids": np.where(leaf, 0, nodes["left"]).tolist(),
        "nodes_falsenodeids": np.where(leaf, 0, nodes["right"]).tolist(),
        "target_treeids": tree_of[leaf].tolist(),
        "target_nodeids": number[leaf].tolist(),
        "target_ids": np.zeros(np.count_nonzero(leaf), int).tolist(),
        "target_weights": nodes["value"][leaf].tolist(),
    }


def _rounded_down(thresholds: np.ndarray) -> np.ndarray:
    """The largest float32 at most as large as each float64: a float32 is on the same side of both.

    >>> float(_rounded_down(np.array([0.1]))[0]) <= 0.1 < float(np.float32(0.1))
    True
    """
    rounded = thresholds.astype(np.float32)
    above = rounded.astype(np.float64) > thresholds
    return np.where(above, np.nextafter(rounded, np.float32(-np.inf)), rounded)
