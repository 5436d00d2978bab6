"""Predicting with a network that was exported to ONNX, without TensorFlow.

inputs   the branches of ``schema.BRANCH_SHAPES`` by name, float32 (n, …)
output   ``p_not_skipped``, float32 (n,), computed from the network's two columns
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as refusals

from skip_pipeline import schema
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.settings import PREDICTION_BATCH_SIZE

OUTPUT: Final = "p_not_skipped"
"""Name of the one output."""

_UNREADABLE: Final = (
    refusals.Fail,
    refusals.InvalidArgument,
    refusals.InvalidGraph,
    refusals.InvalidProtobuf,
    refusals.NotImplemented,
)
_REMEDY: Final = "materialize trained_model again"


def open_onnx(model: Path | bytes, *, threads: int | None = None) -> onnxruntime.InferenceSession:
    """Open a network to predict with, on the CPU.

    Args:
        model: the file, or its contents.
        threads: of one prediction; None for all cores.

    Raises:
        MissingInputError: no such file.
        ContractError: it is no ONNX model, or not one of our branches and probability.
    """
    name = str(model) if isinstance(model, Path) else "the model"
    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
        )
    except refusals.NoSuchFile:
        raise MissingInputError(f"{name} is not there; materialize trained_model first") from None
    except _UNREADABLE as refusal:
        raise ContractError(f"{name} cannot be read as an ONNX model ({refusal}); {_REMEDY}") from refusal
    found = {node.name: tuple(node.shape[1:]) for node in session.get_inputs()}
    outputs = [node.name for node in session.get_outputs()]
    if found != schema.BRANCH_SHAPES or outputs != [OUTPUT]:
        raise ContractError(
            f"{name} takes {found} and gives {outputs}, expected {schema.BRANCH_SHAPES} and [{OUTPUT!r}]; "
            f"{_REMEDY}"
        )
    return session


def predict_onnx(model: Path | bytes | onnxruntime.InferenceSession, inputs: Mapping[str, Any]) -> np.ndarray:
    """Probability that each session's last track is played to its end: float64 (n,).

    Args:
        model: a file, its contents or, for many predictions, the result of ``open_onnx``.
        inputs: the branches of n sessions, such as a ``Bundle``; the label is ignored and may be missing.

    Raises:
        MissingInputError: see ``open_onnx``.
        ContractError: see ``open_onnx``; or an input is missing or has another shape, or the model fails.
    """
    session = model if isinstance(model, onnxruntime.InferenceSession) else open_onnx(model)
    try:
        parts = [session.run([OUTPUT], some)[0] for some in _batches(inputs)]
    except (*_UNREADABLE, refusals.RuntimeException) as refusal:
        raise ContractError(f"the ONNX model does not run ({refusal}); {_REMEDY}") from refusal
    return np.concatenate([np.empty(0), *parts]).astype(np.float64)


def _batches(inputs: Mapping[str, Any]) -> Iterator[dict[str, np.ndarray]]:
    """The branches, float32 and contiguous, in batches of sessions."""
    if missing := [name for name in schema.BRANCH_SHAPES if name not in inputs]:
        raise ContractError(f"inputs lack {missing}, expected {list(schema.BRANCH_SHAPES)}; add them")
    n = len(inputs["last_track"])
    for name, shape in schema.BRANCH_SHAPES.items():
        if inputs[name].shape != (n, *shape):
            raise ContractError(
                f"{name} has shape {inputs[name].shape}, expected {(n, *shape)}; give every branch "
                f"of the same {n} sessions"
            )
    for start in range(0, n, PREDICTION_BATCH_SIZE):
        some = slice(start, start + PREDICTION_BATCH_SIZE)
        yield {name: np.ascontiguousarray(inputs[name][some], np.float32) for name in schema.BRANCH_SHAPES}
