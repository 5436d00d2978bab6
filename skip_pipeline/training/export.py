"""A Keras network as an ONNX file, and the check that both give the same probabilities.

Every layer and every ``keras.ops`` operation becomes the ONNX operators of the same meaning
(https://onnx.ai/onnx/operators). Inputs have the names of ``schema.INPUT_SHAPES``; ``training.onnx_model``
describes the outputs. The default network takes any number of tracks that are asked for.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import keras
import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

from skip_pipeline import schema
from skip_pipeline.errors import ContractError
from skip_pipeline.networks.presets import input_names
from skip_pipeline.training.onnx_model import OUTCOMES, OUTPUT, STEPS_AND_TRACKS, input_shapes
from skip_pipeline.training.train import predict

_OPSET: Final = 18  # version of ONNX's operators; every ONNX Runtime since 1.14 (2023) reads it
TOLERANCE: Final = 1e-5  # of probabilities: a hundred times the rounding of a float32 probability


def to_onnx(network: keras.Model) -> bytes:
    """Convert a network; equal networks give equal bytes.

    The probability of two columns is column 1 over the sum of both, as in ``training.train.predict``.

    Raises:
        ContractError: no rule here converts one of the network's layers.
    """
    graph = _Graph(network)
    shapes = input_shapes(input_names(network))
    given = {
        name: keras.Input([size if isinstance(size, int) else None for size in shape], name=name)
        for name, shape in shapes.items()
    }
    # Keras calls graph.convert with each layer and operation of the network, each after those it needs.
    copy = keras.models.clone_model(network, input_tensors=given, call_function=graph.convert)
    value, result = helper.make_tensor_value_info, graph.operand(copy.output)
    if len(network.output.shape) == 3:  # (n, 19 + tracks, 4), probabilities of ``schema.OUTCOME_FLAGS``
        graph.add("Identity", result, name=OUTCOMES)
        outputs = [value(OUTCOMES, TensorProto.FLOAT, ["n", STEPS_AND_TRACKS, len(schema.OUTCOME_FLAGS)])]
    else:  # (n, 2)
        total = graph.add("ReduceSum", result, np.array([1]), keepdims=0)  # (n,)
        share = graph.add("Div", graph.add("Gather", result, np.array(1), axis=1), total)
        graph.add("Where", graph.add("Greater", total, 0.0), share, 0.5, name=OUTPUT)
        outputs = [value(OUTPUT, TensorProto.FLOAT, ["n"])]
    inputs = [value(name, TensorProto.FLOAT, ["n", *shape]) for name, shape in shapes.items()]
    made = helper.make_graph(graph.nodes, network.name, inputs, outputs, graph.constants)
    opsets = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets))
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def check_export(network: keras.Model, p_not_skipped: np.ndarray, bundle: Mapping[str, Any]) -> float:
    """The largest difference from the probabilities (n,) of a network's export, on n sessions.

    Raises:
        ContractError: a difference is larger than ``TOLERANCE``, or not a number.
    """
    difference = np.abs(predict(network, bundle) - p_not_skipped)  # (n,)
    if differing := np.count_nonzero(~(difference <= TOLERANCE)):
        raise ContractError(
            f"the exported network differs from the trained one by up to {difference.max()} in {differing} "
            f"of {len(difference)} sessions, expected at most {TOLERANCE}; install the versions of keras, "
            "onnx and onnxruntime that constraints.txt names, and materialize trained_model again"
        )
    return float(difference.max(initial=0.0))


def _refused(layer: Any, fact: str) -> ContractError:
    remedy = "change the network, or add a rule to skip_pipeline/training/export.py"
    return ContractError(f"layer {layer.name} {fact}, so it cannot be exported; {remedy}")


class _Graph:
    """An ONNX graph that is built node by node; the name of a node's output stands for the output.

    An operand of a node is such a name, a Keras tensor that was converted before, an array or a number.
    """

    def __init__(self, network: keras.Model) -> None:
        self._network = network
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        # Keras tensors by id: the name, and the tensor, which keeps the id from being used again.
        self._tensors: dict[int, tuple[str, Any]] = {}

    def convert(self, layer: Any, *arguments: Any, **options: Any) -> Any:
        """Call a layer or an operation, and add what it does to the graph."""
        result = layer(*arguments, **options)
        kind = type(layer).__name__
        if kind not in _RULES:
            raise _refused(layer, f"is of type {kind}, expected one of {', '.join(_RULES)}")
        if used := [name for name, value in options.items() if value is not None and value is not False]:
            raise _refused(layer, f"is called with {', '.join(used)}, expected inputs alone")
        self._tensors[id(result)] = _RULES[kind](self, layer, *arguments), result
        return result

    def weights(self, layer: keras.Layer) -> list[np.ndarray]:
        """Those of the network's layer, of which ``convert`` is given a copy with other weights."""
        return list(self._network.get_layer(layer.name).get_weights())

    def operand(self, value: Any) -> str:
        """The name of an operand. Numbers become float32."""
        if isinstance(value, str):
            return value
        if isinstance(value, keras.KerasTensor):  # inputs have the names of the branches
            return self._tensors[id(value)][0] if id(value) in self._tensors else str(value.name)
        array = np.asarray(value, None if isinstance(value, np.ndarray) else np.float32)
        self.constants.append(numpy_helper.from_array(array, f"constant_{len(self.constants)}"))
        return str(self.constants[-1].name)

    def add(self, kind: str, *operands: Any, name: str = "", output: int = 0, **attributes: Any) -> str:
        """Add a node; the name of the output with that number."""
        name = name or f"{kind}_{len(self.nodes)}"
        inputs = [self.operand(operand) for operand in operands]
        self.nodes.append(helper.make_node(kind, inputs, [""] * output + [name], **attributes))
        return name


# --- Rules: each adds a layer or operation to the graph, and returns the name of its output ---

_ACTIVATIONS: Final = {"linear": "Identity", "relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}


def _activation(layer: keras.Layer, name: str = "activation") -> str:
    activation = getattr(layer, name).__name__
    if activation not in _ACTIVATIONS:
        raise _refused(layer, f"has the {name} {activation}, expected one of {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[activation]


def _dense(graph: _Graph, layer: Any, inputs: Any) -> str:
    kernel, *bias = graph.weights(layer)
    values = graph.add("MatMul", inputs, kernel)
    values = graph.add("Add", values, *bias) if bias else values
    return graph.add(_activation(layer), values)


def _recurrent(graph: _Graph, layer: Any, inputs: Any) -> str:
    """A GRU or an LSTM of B sequences of T steps and F features, with U units and G gates."""
    kind = type(layer).__name__
    usual = {"use_bias": True, "go_backwards": False, "return_state": False, "stateful": False}
    usual |= {"reset_after": True} if kind == "GRU" else {}
    if unusual := [name for name, value in usual.items() if getattr(layer, name) != value]:
        raise _refused(layer, f"changes {', '.join(unusual)}, expected Keras' defaults")
    # Keras has an LSTM's gates as input, forget, cell, output; ONNX as input, output, forget, cell.
    gates = [0, 3, 1, 2] if kind == "LSTM" else [0, 1, 2]

    def in_order(weights: np.ndarray) -> np.ndarray:
        """(…, G U) to (1, G U, …); the first axis is ONNX's, of directions."""
        parts = np.split(weights.T, len(gates))
        return np.concatenate([parts[gate] for gate in gates])[None]

    kernel, recurrent, bias = graph.weights(layer)  # (F, G U), (U, G U), and (G U,) or, for a GRU, (2, G U)
    biases = bias if bias.ndim == 2 else np.stack([bias, np.zeros_like(bias)])  # of inputs, of the state
    joined = np.concatenate([in_order(each) for each in biases], axis=1)
    inner, outer = _activation(layer, "recurrent_activation"), _activation(layer)
    attributes: dict[str, Any] = {"hidden_size": layer.units, "activations": [inner, outer, outer]}
    if kind == "GRU":
        attributes |= {"activations": [inner, outer], "linear_before_reset": 1}  # Keras' reset_after
    sequence = graph.add("Transpose", inputs, perm=(1, 0, 2))  # (T, B, F)
    operands = sequence, in_order(kernel), in_order(recurrent), joined
    output = 0 if layer.return_sequences else 1  # (T, 1, B, U), or the last state (1, B, U)
    states = graph.add(kind, *operands, output=output, **attributes)
    states = graph.add("Squeeze", states, np.array([1 - output]))
    return states if output else graph.add("Transpose", states, perm=(1, 0, 2))


def _get_item(graph: _Graph, _: Any, values: Any, key: tuple[slice | int | None, ...]) -> str:
    """``values[key]``; slices have no step."""
    axis = 0
    for part in key:
        if isinstance(part, int):  # the axis disappears
            values = graph.add("Gather", values, np.array(part), axis=axis)
            continue
        if part is None:
            values = graph.add("Unsqueeze", values, np.array([axis]))
        elif part != slice(None):
            bounds = part.start or 0, np.iinfo(np.int64).max if part.stop is None else part.stop
            values = graph.add("Slice", values, *(np.array([each]) for each in (*bounds, axis)))
        axis += 1
    return graph.operand(values)


def _repeat(graph: _Graph, layer: Any, values: Any) -> str:
    steps = graph.add("Unsqueeze", values, np.array([1]))  # (B, F) to (B, 1, F)
    return graph.add("Expand", steps, np.array([1, layer.n, 1]))


def _same(kind: str) -> Callable[..., str]:
    """The rule of an operation that is one ONNX operator without attributes."""
    return lambda graph, _, *operands: graph.add(kind, *keras.tree.flatten(operands))


def _cholesky(graph: _Graph, _: Any, matrix: Any) -> str:
    """The lower factor, column by column, since ONNX has no operator for it: (B, T, T)."""
    columns = []
    for i in range(matrix.shape[-1]):
        column = _get_item(graph, None, matrix, (slice(None), slice(None), slice(i, i + 1)))  # (B, T, 1)
        pivot = _get_item(graph, None, column, (slice(None), slice(i, i + 1)))  # (B, 1, 1)
        column = graph.add("Div", column, graph.add("Sqrt", pivot))
        columns.append(column)
        matrix = graph.add(
            "Sub", matrix, graph.add("MatMul", column, graph.add("Transpose", column, perm=(0, 2, 1)))
        )
    return graph.add("Concat", *columns, axis=2)


def _solve_triangular(graph: _Graph, solve: Any, factor: Any, right: Any) -> str:
    """The solution x of factor x = right, (B, T, C), row by row from the first."""
    if not solve.lower:
        raise _refused(solve, "solves with an upper factor, expected a lower one")
    rows = []
    for i in range(factor.shape[-1]):
        pivot = _get_item(graph, None, factor, (slice(None), slice(i, i + 1), slice(i, i + 1)))  # (B, 1, 1)
        rest = _get_item(graph, None, right, (slice(None), slice(i, i + 1)))
        rows.append(row := graph.add("Div", rest, pivot))  # (B, 1, C)
        column = _get_item(graph, None, factor, (slice(None), slice(None), slice(i, i + 1)))  # (B, T, 1)
        right = graph.add("Sub", right, graph.add("MatMul", column, row))
    return graph.add("Concat", *rows, axis=1)


_ONE: Final = numpy_helper.from_array(np.ones(1, np.float32))
_RENAMED: dict[str, str] = {"Matmul": "MatMul", "Multiply": "Mul", "Subtract": "Sub", "TrueDivide": "Div"}
_RENAMED |= {"Absolute": "Abs", "Maximum": "Max", "Minimum": "Min", "Negative": "Neg"}
_RULES: Final[dict[str, Callable[..., str]]] = {
    **{kind: _same(kind) for kind in ("Add", "Equal", "Exp", "Less", "Log", "Sigmoid", "Sqrt")},
    **{of_keras: _same(kind) for of_keras, kind in _RENAMED.items()},
    "Cast": lambda graph, to, x: graph.add("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(to.dtype))),
    "Cholesky": _cholesky,
    "Clip": lambda graph, to, x: graph.add("Clip", x, to.x_min, to.x_max),
    "Concatenate": lambda graph, layer, parts: graph.add("Concat", *parts, axis=layer.axis),
    "Cumsum": lambda graph, over, x: graph.add("CumSum", x, np.array(over.axis)),
    "Dense": _dense,
    "Dropout": lambda graph, _, x: graph.operand(x),
    "ExpandDims": lambda graph, to, x: graph.add("Unsqueeze", x, np.array([to.axis])),
    "GRU": _recurrent,
    "GetItem": _get_item,
    "LSTM": _recurrent,
    "NotEqual": lambda graph, _, x, y: graph.add("Not", graph.add("Equal", x, y)),
    "OnesLike": lambda graph, _, x: graph.add("ConstantOfShape", graph.add("Shape", x), value=_ONE),
    "Pad": lambda graph, by, x: graph.add("Pad", x, np.transpose(by.pad_width).ravel()),
    "RepeatVector": _repeat,
    "Rescaling": lambda graph, by, x: graph.add("Add", graph.add("Mul", x, by.scale), by.offset),
    "Reshape": lambda graph, to, x: graph.add("Reshape", x, np.array([0, *to.target_shape])),  # 0: as it was
    "SolveTriangular": _solve_triangular,
    "Square": lambda graph, _, x: graph.add("Mul", x, x),
    "Sum": lambda graph, over, x: graph.add(
        "ReduceSum", x, np.array(over.axis).reshape(-1), keepdims=int(over.keepdims)
    ),
    "Transpose": lambda graph, to, x: graph.add("Transpose", x, perm=to.axes),
}
