"""A Keras network as an ONNX file, and the proof that both say the same.

Names, shapes and dtypes of inputs are the branches'. The output is the probability (``training.onnx_model``):
column 1 over the sum of both columns, as in ``training.train.predict``, is part of the exported graph.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import keras
import numpy as np
import onnxruntime
import tensorflow as tf
import tf2onnx

from skip_pipeline import schema
from skip_pipeline.errors import ContractError
from skip_pipeline.training.onnx_layers import GRU_RULE, as_traced
from skip_pipeline.training.onnx_model import OUTPUT, predict_onnx
from skip_pipeline.training.train import predict

_OPSET: Final = 18
"""Version of ONNX's operators: the newest that tf2onnx 1.17 writes."""

# It warns of operations' outputs without a shape, among them those of a GRU that nothing reads.
logging.getLogger("tf2onnx.shape_inference").setLevel(logging.ERROR)

TOLERANCE: Final = 1e-5
"""Probabilities may differ by this much: a hundred times the rounding of a float32 probability."""


def to_onnx(network: keras.Model) -> bytes:
    """Convert a network; a second or two.

    Layers are converted as ``training.onnx_layers`` has them.

    Args:
        network: takes ``schema.BRANCH_SHAPES`` and gives two columns (``networks``).

    Returns:
        The contents of an ONNX file. Equal networks give files that say the same and need not be equal:
        tf2onnx numbers names throughout a process.
    """
    plain = keras.models.clone_model(network, clone_function=as_traced)
    plain.set_weights(network.get_weights())
    names = tuple(schema.BRANCH_SHAPES)
    signature = [
        tf.TensorSpec((None, *shape), tf.float32, name=name) for name, shape in schema.BRANCH_SHAPES.items()
    ]

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def probability(*branches: tf.Tensor) -> dict[str, tf.Tensor]:
        columns = plain(dict(zip(names, branches, strict=True)), training=False)  # (n, 2)
        total = tf.reduce_sum(columns, axis=1)
        return {OUTPUT: tf.where(total > 0, tf.math.divide_no_nan(columns[:, 1], total), 0.5)}

    model, _ = tf2onnx.convert.from_function(
        probability, input_signature=signature, opset=_OPSET, custom_op_handlers=GRU_RULE
    )
    exported: bytes = model.SerializeToString()
    return exported


def check_export(
    network: keras.Model, session: onnxruntime.InferenceSession | bytes, bundle: Mapping[str, Any]
) -> float:
    """Compare a network with its export on every session of a bundle.

    Args:
        session: what ``onnx_model.open_onnx`` returned, or ``to_onnx``.
        bundle: the branches of n sessions.

    Returns:
        The largest difference between two probabilities, at most ``TOLERANCE``; 0 for no session.

    Raises:
        ContractError: a difference is larger, or not a number.
    """
    return check_exported(network, predict_onnx(session, bundle), bundle)


def check_exported(network: keras.Model, p_not_skipped: np.ndarray, bundle: Mapping[str, Any]) -> float:
    """The same as ``check_export``, of an export whose probabilities are there already.

    Args:
        p_not_skipped: what the export says of the bundle's sessions, (n,).
    """
    difference = np.abs(predict(network, bundle) - p_not_skipped)  # (n,)
    differing = int(np.count_nonzero(~(difference <= TOLERANCE)))
    if differing:
        raise ContractError(
            f"the exported network differs from the trained one by up to {difference.max()} in {differing} "
            f"of {len(difference)} sessions, expected at most {TOLERANCE}; install the versions of tf2onnx "
            "and onnxruntime that constraints.txt names, and materialize trained_model again"
        )
    return float(difference.max(initial=0.0))
