"""Steps of gradient descent, the loss of batches that nothing is learnt from, and the optimizer.

The same code runs on one machine and, under ``tf.distribute.MultiWorkerMirroredStrategy``, on several.
``keras.Model.fit`` does not: Keras 3 refuses that strategy.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf

from skip_pipeline import schema
from skip_pipeline.networks.listening import PLAYED
from skip_pipeline.networks.presets import input_names
from skip_pipeline.settings import TrainingSettings
from skip_pipeline.training.batches import Batch

OUTCOME_WEIGHT: Final = 0.3
"""Weight of the losses of ``skip_3``, ``skip_2`` and ``skip_1`` beside that of "played to its end". On one
real listener, 0 and 1 changed the latter by less than 0.001."""

Step = Callable[[Iterable[Batch]], tuple[float, float]]  # this worker's shares to all workers' loss, accuracy


def steps_of(
    network: keras.Model, strategy: tf.distribute.Strategy, every_track: keras.Model | None
) -> tuple[Step, Step]:
    """A function that learns from each batch, and one that only evaluates; every worker has to call both.

    The loss of a batch is a weighted sum over its targets, divided by the sum of the weights of all workers'
    shares. So shares may be of any size, and a step is the one that a single worker would take with the whole
    batch, up to the order in which floats are added.

    Args:
        network: with an optimizer, and like the optimizer's variables made in the strategy's scope.
        every_track: a network of the same weights that gives log-odds of every track, float32 (m, 20, 4), see
            ``networks.fast.every_track``. The loss is then the mean cross-entropy of "played to its end", and
            that of the other three, weighted, is added to learn from. None: the network has two sigmoids,
            and the loss is their mean cross-entropy of the last track.
    """
    names = input_names(network)

    def losses_of(inputs: Any, depths: tf.Tensor, weights: tf.Tensor, training: bool) -> tuple[Any, Any]:
        """Sums of losses, right answers and weights (3,), and of losses of the outcomes that are added."""
        if every_track is None:
            columns = tf.cast(network(inputs, training=training), tf.float32)  # (m, 2)
            last = tf.cast(depths[:, -1] > PLAYED - 0.5, tf.float32)  # (m,)
            losses = keras.losses.binary_crossentropy(tf.stack([1.0 - last, last], axis=1), columns)  # (m,)
            return _sums(losses, columns[:, 1] > columns[:, 0], last, weights[:, -1]), 0.0
        log_odds = every_track(inputs, training=training)  # (m, 20, 4)
        thresholds = PLAYED - np.arange(len(schema.OUTCOME_FLAGS), dtype=np.float32)  # 4, 3, 2, 1
        further = tf.cast(depths[:, :, None] > thresholds - 0.5, tf.float32)  # (m, 20, 4)
        asked = tf.cast(depths[:, :, None] < thresholds + 0.5, tf.float32) * weights[:, :, None]
        losses = tf.nn.sigmoid_cross_entropy_with_logits(further, log_odds)  # (m, 20, 4)
        added = OUTCOME_WEIGHT * tf.reduce_sum((losses * asked)[:, :, 1:])
        return _sums(losses[:, :, 0], log_odds[:, :, 0] > 0.0, further[:, :, 0], weights), added

    def learn(inputs: Any, depths: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        sums, added = losses_of(inputs, depths, weights, training=True)
        of_all = _of_all_workers(sums)
        variables = network.trainable_variables
        # Two by two: the sum of three gradients or more would start with whichever is there first.
        by_twos = tf.AggregationMethod.EXPERIMENTAL_TREE
        of_variables = [variable.value for variable in variables]
        gradients = tf.gradients((sums[0] + added) / of_all[2], of_variables, aggregation_method=by_twos)
        network.optimizer.apply(gradients, variables)  # sums them over the workers first
        return of_all

    def evaluate(inputs: Any, depths: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        return _of_all_workers(losses_of(inputs, depths, weights, training=False)[0])

    shapes = schema.INPUT_SHAPES
    branches = {name: tf.TensorSpec((None, *shapes[name]), tf.float32, name) for name in names}
    of_tracks = tf.TensorSpec((None, schema.STEPS + 1), tf.float32)

    def over_batches(of_replica: Callable[..., tf.Tensor]) -> Step:
        def of_worker(*batch: Any) -> Any:
            return strategy.run(of_replica, args=batch)

        # Traced once for batches of any size. XLA doubles the time of an LSTM's epoch on a CPU.
        signature = branches, of_tracks, of_tracks
        traced = tf.function(of_worker, input_signature=signature, autograph=False, jit_compile=False)

        def means(batches: Iterable[Batch]) -> tuple[float, float]:
            sums = np.array([traced(*batch) for batch in batches], np.float64)  # (batches, 3)
            losses, right, weights = sums.sum(axis=0).tolist()
            return losses / weights, right / weights

        return means

    return over_batches(learn), over_batches(evaluate)


def _sums(losses: tf.Tensor, played: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Sums of losses, right answers and weights: float32 (3,)."""
    right = tf.where((targets > 0.5) == played, weights, 0.0)
    return tf.stack([tf.reduce_sum(losses * weights), tf.reduce_sum(right), tf.reduce_sum(weights)])


def _of_all_workers(sums: tf.Tensor) -> tf.Tensor:
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, sums)


def optimizer_of(
    settings: TrainingSettings, batches: int, variables: list[keras.Variable]
) -> keras.optimizers.Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019), built for trainable variables.

    With the schedule ``cosine``, the learning rate rises linearly from 0 over the first ``warm_up`` of all
    steps, ``batches`` an epoch, and falls along half a cosine to 0 at the end of ``max_epochs``. With
    ``plateau`` it is constant until a callback of the training loop lowers it. Weight decay applies to
    matrices, not to vectors such as biases.
    """
    rate: float | keras.optimizers.schedules.LearningRateSchedule = settings.learning_rate
    if settings.schedule == "cosine":
        steps = settings.max_epochs * batches
        rising = int(settings.warm_up * steps)
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if rising else settings.learning_rate,
            warmup_target=settings.learning_rate if rising else None,
            warmup_steps=rising,
            decay_steps=max(steps - rising, 1),
        )
    averaged = settings.averaged_steps
    optimizer = keras.optimizers.AdamW(
        rate,
        weight_decay=settings.weight_decay,
        beta_2=settings.beta_2,
        use_ema=averaged > 0,
        ema_momentum=1.0 - 1.0 / max(averaged, 1),
    )
    optimizer.exclude_from_weight_decay([each for each in variables if len(each.shape) < 2])
    optimizer.build(variables)
    return optimizer
