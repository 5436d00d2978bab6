"""Keras layers as they are traced for ONNX, each as the one ONNX operator that it is.

tf2onnx would write a GRU as a loop of twenty operators, and a dense layer of sequences as ten, most of which
find out a shape. For one session that takes longer than all arithmetic. Layers here have the configuration
and weights of Keras' own, and are neither to be run nor to be saved.
"""

from __future__ import annotations

from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from tf2onnx.utils import make_name


def as_traced(layer: keras.Layer) -> keras.Layer:
    """A new layer of the same configuration, to be traced; the layer's own kind where none here fits.

    No recurrent layer is traced with cuDNN's fused kernel, which Keras would choose where there is a GPU, and
    which ONNX does not know. What is not a plain GRU becomes an LSTM operator or, else, a loop.
    """
    config = layer.get_config()
    if isinstance(layer, keras.layers.LSTM | keras.layers.GRU):
        config["use_cudnn"] = False
    if type(layer) is keras.layers.Dense:
        return TracedDense.from_config(config)
    return (TracedGru if _is_plain(layer) else layer.__class__).from_config(config)


class TracedDense(keras.layers.Dense):  # type: ignore[misc]  # Keras has no types
    """A dense layer whose product of sequences is one multiplication, matrices broadcast."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        """(…, input) to (…, units)."""
        del training
        outputs = tf.raw_ops.BatchMatMulV2(x=inputs, y=self.kernel)
        return self.activation(outputs + self.bias if self.use_bias else outputs)


def _is_plain(layer: keras.Layer) -> bool:
    """Whether the layer is a GRU as ONNX has it: gates and order of operations by default, one direction."""
    return (
        type(layer) is keras.layers.GRU
        and layer.activation is keras.activations.tanh
        and layer.recurrent_activation is keras.activations.sigmoid
        and layer.use_bias
        and layer.reset_after
        and layer.return_sequences
        and not (layer.return_state or layer.go_backwards or layer.stateful or layer.recurrent_dropout)
    )


class TracedGru(keras.layers.GRU):  # type: ignore[misc]  # Keras has no types
    """A GRU traced as cuDNN's, one operation, which ``GRU_RULE`` turns into ONNX's.

    tf2onnx has no rule for what Keras traces, a ``while`` of its own, but lets rules be added by the name of
    TensorFlow's operation.
    """

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        """States at every step, (B, T, input) to (B, T, units).

        With an initial state or a mask, of which the rule knows nothing, it is Keras' own loop.
        """
        if initial_state is not None or mask is not None:
            return super().call(sequences, initial_state, mask, training)
        # As in ONNX: gates z, r, h one below the other, the inputs' bias before the state's.
        weights = [tf.transpose(self.cell.kernel), tf.transpose(self.cell.recurrent_kernel), self.cell.bias]
        states = tf.raw_ops.CudnnRNN(
            input=tf.transpose(sequences, (1, 0, 2)),  # (T, B, input)
            input_h=tf.zeros((1, tf.shape(sequences)[0], self.units)),
            input_c=tf.zeros(()),
            params=tf.concat([tf.reshape(each, [-1]) for each in weights], axis=0),
            rnn_mode="gru",
            is_training=False,
        ).output
        states.set_shape((sequences.shape[1], None, self.units))
        return tf.transpose(states, (1, 0, 2))


def _as_operator(graph: Any, node: Any, _name: str, _arguments: Any) -> None:
    """Replace cuDNN's operation, its output (T, B, units), by ONNX's, (T, directions, B, units)."""
    sequences = node.input[0]
    (output, *_) = node.output
    dtype, shape = graph.get_dtype(output), graph.get_shape(output)
    width, units = graph.get_shape(sequences)[-1], shape[-1]
    gates = 3 * units
    kernel, recurrent, bias = np.split(
        node.inputs[3].get_tensor_value(as_list=False), np.cumsum([gates * width, gates * units])
    )
    weights = [
        graph.make_const(make_name("gru"), value.reshape(1, *of_direction)).output[0]
        for value, of_direction in (
            (kernel, (gates, width)),
            (recurrent, (gates, units)),
            (bias, (2 * gates,)),
        )
    ]
    graph.remove_node(node.name)
    operator = graph.make_node(
        "GRU",
        [sequences, *weights],
        attr={"hidden_size": units, "linear_before_reset": 1},  # 1: Keras' reset_after
    )
    directions = graph.make_const(make_name("directions"), np.array([1])).output[0]
    graph.make_node(
        "Squeeze", [operator.output[0], directions], outputs=[output], dtypes=[dtype], shapes=[shape]
    )


GRU_RULE: Final[dict[str, tuple[Any, list[Any]]]] = {"CudnnRNN": (_as_operator, [])}
"""For tf2onnx's ``custom_op_handlers``."""
