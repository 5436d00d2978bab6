"""One batch of training: a step of gradient descent, or the loss of a batch that nothing is learnt from.

The same code runs on one machine and, under ``tf.distribute.MultiWorkerMirroredStrategy``, on several.
``keras.Model.fit`` does not: Keras 3 refuses that strategy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from skip_pipeline import schema
from skip_pipeline.training.batches import Batch

_SUM = tf.distribute.ReduceOp.SUM


class Means(NamedTuple):
    """Over the sessions of all workers."""

    loss: float
    accuracy: float


class TrainingStep:
    """A network with its optimizer, as two functions of a batch.

    The loss of a batch is a weighted sum over its targets, divided by the sum of the weights of all workers'
    shares. So shares may be of any size, and a step is the one that a single worker would take with the whole
    batch, up to the order in which floats are added.
    """

    def __init__(
        self,
        network: keras.Model,
        loss: str,
        strategy: tf.distribute.Strategy,
        every_track: keras.Model | None = None,
    ) -> None:
        """Prepare both functions, each traced once for batches of any size.

        Args:
            network: compiled, and like its optimizer's variables made in the strategy's scope.
            loss: Keras' name of a loss of two columns that gives a value per session.
            strategy: of one replica per process.
            every_track: a network of the same weights that gives log-odds of every track, float32 (m, 20, 1);
                their mean cross-entropy is then the loss to learn from. None: the last track's loss is.
        """
        self._network = network
        self._loss = keras.losses.get(loss)
        self._strategy = strategy
        self._every_track: Any = every_track
        branches = {
            name: tf.TensorSpec((None, *shape), tf.float32, name)
            for name, shape in schema.BRANCH_SHAPES.items()
        }
        of_tracks = tf.TensorSpec((None, schema.STEPS + 1), tf.float32)
        self._learn = self._function(self._learn_share, branches, of_tracks, of_tracks)
        self._evaluate = self._function(self._evaluate_share, branches, of_tracks, of_tracks)
        self._sum = self._function(_sum_of_workers, tf.TensorSpec((None, 3), tf.float64))

    def learn(self, epoch: Iterable[Batch]) -> np.ndarray:
        """Take a step for each batch; every worker has to, with as many batches.

        Returns:
            Sums over this worker's shares, float64 (3,): losses, right answers, weights.
        """
        return _added_up(self._learn, epoch)

    def evaluate(self, split: Iterable[Batch]) -> np.ndarray:
        """The same sums of the last tracks, without learning."""
        return _added_up(self._evaluate, split)

    def means(self, *sums: np.ndarray) -> tuple[Means, ...]:
        """Means over all workers' sums (3,); all workers have to call this at the same time."""
        total = np.asarray(self._sum(np.stack(sums)))  # (sums, 3)
        return tuple(Means(loss / weight, right / weight) for loss, right, weight in total.tolist())

    def _function(self, of_replica: Any, *signature: Any) -> Any:
        def of_worker(*arguments: Any) -> Any:
            return self._strategy.run(of_replica, args=arguments)

        # XLA doubles the time of an LSTM's epoch on a CPU.
        return tf.function(of_worker, input_signature=signature, autograph=False, jit_compile=False)

    def _learn_share(self, inputs: dict[str, tf.Tensor], targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        sums_of = self._last_track if self._every_track is None else self._all_tracks
        sums = sums_of(inputs, targets, weights, training=True)
        part = sums[0] / tf.distribute.get_replica_context().all_reduce(_SUM, sums[2])
        variables = self._network.trainable_variables
        # Two by two: the sum of three gradients or more would start with whichever is there first.
        gradients = tf.gradients(
            part,
            [variable.value for variable in variables],
            aggregation_method=tf.AggregationMethod.EXPERIMENTAL_TREE,
        )
        self._network.optimizer.apply(gradients, variables)  # sums them over the workers first
        return sums

    def _evaluate_share(
        self, inputs: dict[str, tf.Tensor], targets: tf.Tensor, weights: tf.Tensor
    ) -> tf.Tensor:
        return self._last_track(inputs, targets, weights, training=False)

    def _last_track(
        self, inputs: dict[str, tf.Tensor], targets: tf.Tensor, weights: tf.Tensor, *, training: bool
    ) -> tf.Tensor:
        """Sums (3,) over the sessions' last tracks: losses, right answers, weights."""
        columns = tf.cast(self._network(inputs, training=training), tf.float32)  # (m, 2)
        last, weights = targets[:, -1], weights[:, -1]  # (m,)
        losses = self._loss(tf.stack([1.0 - last, last], axis=1), columns)  # (m,)
        return _sums(losses, columns[:, 1] > columns[:, 0], last, weights)

    def _all_tracks(
        self, inputs: dict[str, tf.Tensor], targets: tf.Tensor, weights: tf.Tensor, *, training: bool
    ) -> tf.Tensor:
        """The same sums over all tracks."""
        log_odds = tf.squeeze(self._every_track(inputs, training=training), axis=2)  # (m, 20)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, log_odds)  # (m, 20)
        return _sums(losses, log_odds > 0.0, targets, weights)


def _sum_of_workers(sums: tf.Tensor) -> tf.Tensor:
    context = tf.distribute.get_replica_context()
    return context.all_reduce(_SUM, tf.identity(sums))  # TensorFlow reduces operations' outputs alone


def _added_up(function: Any, batches: Iterable[Batch]) -> np.ndarray:
    total: np.ndarray = (
        np.array([function(*batch) for batch in batches], np.float64).reshape(-1, 3).sum(axis=0)
    )
    return total


def _sums(losses: tf.Tensor, played: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    right = tf.where((targets > 0.5) == played, weights, 0.0)
    return tf.stack([tf.reduce_sum(losses * weights), tf.reduce_sum(right), tf.reduce_sum(weights)])
