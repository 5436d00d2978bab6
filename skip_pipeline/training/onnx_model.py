"""Predicting with a network that was exported to ONNX, without TensorFlow.

Inputs are the branches of ``schema.BRANCH_SHAPES``, the output is ``p_not_skipped`` (n,); all are float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as refusals

from skip_pipeline import schema
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.training.batches import parts

OUTPUT: Final = "p_not_skipped"  # name of the one output

_UNREADABLE: Final = (
    refusals.Fail,
    refusals.InvalidArgument,
    refusals.InvalidGraph,
    refusals.InvalidProtobuf,
    refusals.NotImplemented,
)
_REMEDY: Final = "materialize trained_model again"


def open_onnx(model: Path | bytes, *, threads: int | None = None) -> onnxruntime.InferenceSession:
    """Open a network, a file or its contents, to predict with on so many threads; None for all cores.

    Raises:
        MissingInputError: no such file.
        ContractError: it is no ONNX model, or not one of our branches and probability.
    """
    name = str(model) if isinstance(model, Path) else "the model"
    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        source = model if isinstance(model, bytes) else name
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except refusals.NoSuchFile:
        raise MissingInputError(f"{name} is not there; materialize trained_model first") from None
    except _UNREADABLE as refusal:
        raise ContractError(f"{name} cannot be read as an ONNX model ({refusal}); {_REMEDY}") from refusal
    found = {node.name: tuple(node.shape[1:]) for node in session.get_inputs()}
    outputs = [node.name for node in session.get_outputs()]
    if found != schema.BRANCH_SHAPES or outputs != [OUTPUT]:
        expected = f"{schema.BRANCH_SHAPES} and {[OUTPUT]}"
        raise ContractError(f"{name} takes {found} and gives {outputs}, expected {expected}; {_REMEDY}")
    return session


def predict_onnx(model: Path | bytes | onnxruntime.InferenceSession, inputs: Mapping[str, Any]) -> np.ndarray:
    """Probability that each session's last track is played to its end: float64 (n,).

    Args:
        model: a file, its contents or, for many predictions, the result of ``open_onnx``.
        inputs: the branches of n sessions, such as a ``Bundle``; the label is ignored and may be missing.

    Raises:
        ContractError: an input is missing or has another shape, or the model fails.
    """
    session = model if isinstance(model, onnxruntime.InferenceSession) else open_onnx(model)
    if missing := [name for name in schema.BRANCH_SHAPES if name not in inputs]:
        raise ContractError(f"inputs lack {missing}, expected {list(schema.BRANCH_SHAPES)}; add them")
    n = len(inputs["last_track"])
    for name, shape in schema.BRANCH_SHAPES.items():
        if (found := inputs[name].shape) != (n, *shape):
            remedy = f"give every branch of the same {n} sessions"
            raise ContractError(f"{name} has shape {found}, expected {(n, *shape)}; {remedy}")
    p = [np.empty(0)]
    for part in parts(inputs):
        branches = {name: np.ascontiguousarray(part[name], np.float32) for name in schema.BRANCH_SHAPES}
        try:
            p += session.run([OUTPUT], branches)
        except (*_UNREADABLE, refusals.RuntimeException) as refusal:
            raise ContractError(f"the ONNX model does not run ({refusal}); {_REMEDY}") from refusal
    return np.concatenate(p).astype(np.float64)
