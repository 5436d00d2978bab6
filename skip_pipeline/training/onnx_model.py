"""Predicting with a network that was exported to ONNX, without TensorFlow.

Inputs are those of ``schema.INPUT_SHAPES``, or the four branches among them; all are float32.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as refusals

from skip_pipeline import schema
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.training.splits import parts

onnxruntime.disable_telemetry_events()  # for a process that imported it before this package

OUTPUT: Final = "p_not_skipped"
"""Output of a network that answers for the last track alone, float32 (n,)."""

OUTCOMES: Final = "outcomes"
"""Output of the default network: probabilities of ``schema.OUTCOME_FLAGS``, float32 (n, 19 + tracks, 4)."""

TRACKS: Final = "tracks"
"""Dimension of the tracks that are asked for; each is asked for with the same history."""

STEPS_AND_TRACKS: Final = "steps_and_tracks"
"""Dimension of the history's 19 steps, then of the tracks that are asked for."""

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
        ContractError: it is no ONNX model, or not one of our inputs and outputs.
    """
    session = open_session(model, threads=threads)
    found = {node.name: tuple(node.shape[1:]) for node in session.get_inputs()}
    outputs = [node.name for node in session.get_outputs()]
    expected = {OUTPUT: schema.BRANCH_SHAPES, OUTCOMES: input_shapes(schema.INPUT_SHAPES)}
    if len(outputs) != 1 or found != expected.get(outputs[0]):
        raise ContractError(
            f"{_name(model)} takes {found} and gives {outputs}, expected one of {expected}; {_REMEDY}"
        )
    return session


def open_session(model: Path | bytes, *, threads: int | None = None) -> onnxruntime.InferenceSession:
    """Open any ONNX model; arguments and errors as of ``open_onnx``, which also compares names and shapes."""
    name = _name(model)
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
    return session


def _name(model: Path | bytes) -> str:
    return str(model) if isinstance(model, Path) else "the model"


def input_shapes(names: Iterable[str]) -> dict[str, tuple[int | str, ...]]:
    """Shapes of a network's inputs in its ONNX file, without the sessions; texts are free dimensions."""
    free: dict[str, tuple[int | str, ...]] = {
        "last_track": (TRACKS, *schema.BRANCH_SHAPES["last_track"]),
        "track_numbers": (STEPS_AND_TRACKS,),
        "track_memory": (STEPS_AND_TRACKS, schema.TRACK_MEMORY),
        "tracks_between": (TRACKS,),
    }
    names = tuple(names)
    return {
        n: free[n] if n in free and len(names) > len(schema.BRANCH_SHAPES) else schema.INPUT_SHAPES[n]
        for n in names
    }


def answers_candidates(model: onnxruntime.InferenceSession) -> bool:
    """Whether a network takes several tracks for one history, and not the last track alone."""
    return bool(model.get_outputs()[0].name == OUTCOMES)


def predict_onnx(model: Path | bytes | onnxruntime.InferenceSession, inputs: Mapping[str, Any]) -> np.ndarray:
    """Probability that each session's last track is played to its end: float64 (n,).

    Args:
        model: a file, its contents or, for many predictions, the result of ``open_onnx``.
        inputs: the network's inputs for n sessions, such as a ``Bundle``; the label is ignored and may be
            missing.

    Raises:
        ContractError: an input is missing or has another shape, or the model fails.
    """
    return predict_tracks(model, inputs)[:, -1]


def predict_tracks(
    model: Path | bytes | onnxruntime.InferenceSession, inputs: Mapping[str, Any]
) -> np.ndarray:
    """Probability that each track of a session is played to its end, from those before it: float64 (n, 20).

    Values in padding have no meaning. Of a network that answers for the last track alone, all values but the
    last column are NaN. Arguments and errors are those of ``predict_onnx``.
    """
    session = model if isinstance(model, onnxruntime.InferenceSession) else open_onnx(model)
    names = [node.name for node in session.get_inputs()]
    if missing := [name for name in names if name not in inputs]:
        raise ContractError(f"inputs lack {missing}, expected {names}; add them")
    n = len(inputs["last_track"])
    for name in names:
        expected = (n, *schema.INPUT_SHAPES[name])
        if (found := inputs[name].shape) != expected:
            raise ContractError(
                f"{name} has shape {found}, expected {expected}; give every input of the same {n} sessions"
            )
    p = np.full((n, schema.STEPS + 1), np.nan)
    start = 0
    for part in parts(inputs, names):
        own = slice(start, start := start + len(part["last_track"]))
        if answers_candidates(session):
            one = {"last_track": part["last_track"][:, None]}
            p[own] = predict_outcomes(session, part | one)[:, :, -1]
        else:
            p[own, -1] = _run(session, part)
    return p


def predict_outcomes(model: onnxruntime.InferenceSession, inputs: Mapping[str, Any]) -> np.ndarray:
    """Probabilities of ``schema.OUTCOME_FLAGS`` for 19 steps and N tracks: float32 (n, 19 + N, 4).

    Args:
        model: the default network's.
        inputs: with ``last_track`` (n, N, 31), ``tracks_between`` (n, N), and ``track_numbers`` and
            ``track_memory`` of the 19 steps and the N tracks.

    Raises:
        ContractError: the network answers for the last track alone, or fails.
    """
    if not answers_candidates(model):
        raise ContractError(
            "the network answers for a session's last track alone, expected one that answers for every "
            "track; train the preset fast"
        )
    return _run(model, inputs)


def _run(session: onnxruntime.InferenceSession, inputs: Mapping[str, Any]) -> np.ndarray:
    given = {node.name: np.ascontiguousarray(inputs[node.name], np.float32) for node in session.get_inputs()}
    try:
        return np.asarray(session.run(None, given)[0])
    except (*_UNREADABLE, refusals.RuntimeException) as refusal:
        raise ContractError(f"the ONNX model does not run ({refusal}); {_REMEDY}") from refusal
