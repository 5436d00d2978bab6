"""Training one network on bundles, its probabilities, and its file.

Arrays in, a network and its history out. ``networks`` defines the networks; the shells record the results.
The same loop trains on one machine and, where ``TF_CONFIG`` is set, on several (``training.cluster``).
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

# Both are read once, when Keras and TensorFlow are imported; values that are set already win.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only: terminals show our own progress

import keras
import tensorflow as tf

from skip_pipeline import schema
from skip_pipeline.errors import TrainingError
from skip_pipeline.networks.presets import LOSSES, build_network, learns_from
from skip_pipeline.settings import PREDICTION_BATCH_SIZE, TrainingSettings
from skip_pipeline.training.batches import EVERYTHING, Share, Split, batches, epoch_order, gather
from skip_pipeline.training.cluster import join, losses_reported, own_share
from skip_pipeline.training.history import EpochReport
from skip_pipeline.training.optimizer import optimizer_of
from skip_pipeline.training.refusals import check_settings, check_splits, remedy_for_losses
from skip_pipeline.training.step import TrainingStep

logger: Final = logging.getLogger("skip_pipeline.train")


@dataclass(frozen=True)
class Trained:
    """A trained network and how it came about.

    Attributes:
        network: with the weights of ``best_epoch``; not compiled.
        history: one report per epoch.
        best_epoch: the epoch, counted from 1, after which the validation loss was best.
        seconds: building and training, all told.
        parameters: trainable or not, as Keras counts them.
    """

    network: keras.Model
    history: tuple[EpochReport, ...]
    best_epoch: int
    seconds: float
    parameters: int


def train(
    train: Split,
    validation: Split,
    settings: TrainingSettings,
    on_epoch: Callable[[EpochReport], None],
) -> Trained:
    """Train the preset's network, and keep the epoch of the lowest validation loss.

    Equal inputs and settings give equal weights, bit for bit, on the same machine and versions. For that, the
    random state of Python, NumPy and Keras is reset, and TensorFlow's operations are made deterministic, for
    the whole process and for good.

    Each epoch goes over all training sessions in another order, drawn from the seed and the epoch. Batches
    are gathered as they are needed: beside the network and a few batches, only that order and the labels are
    in memory, 12 bytes a session.

    If ``TF_CONFIG`` names several workers, this is one of them, and each has to call this function. Batches
    are then those of all workers together, and each worker gets the network that one alone would get from
    the settings of worker 0, up to the order in which floats are added, where there is no dropout.

    Args:
        train, validation: sessions to learn from, and to watch; the same on every worker.
        on_epoch: called after each epoch, in the training thread. What it raises ends training.

    Raises:
        TrainingError: a setting makes no sense, a split is empty, the training sessions all end alike or are
            fewer than a batch, or the loss stops being a finite number. With several workers: one is lost or
            differs from worker 0, or this process has used TensorFlow before.
    """
    started = time.perf_counter()
    share = own_share()
    with losses_reported(share):
        strategy, settings = join(share, train, validation, settings)
        check_settings(settings)
        check_splits(train, validation, settings.batch_size)
        keras.backend.clear_session()  # layer names count up within a process, and are saved
        keras.utils.set_random_seed(settings.seed)
        tf.config.experimental.enable_op_determinism()
        # This optimizer would join sums of two gradients into one of many, whose first term is then any.
        tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})

        with strategy.scope(), _precision(settings):
            network = build_network(settings, train)
            per_epoch = math.ceil(len(train[schema.LABEL]) / settings.batch_size)
            optimizer = optimizer_of(settings, per_epoch, network.trainable_variables)
            network.compile(optimizer, jit_compile=False)
        step = TrainingStep(network, LOSSES[settings.preset], strategy, learns_from(settings, network))
        history, best_epoch = _epochs(step, network, train, validation, settings, share, on_epoch)
        weights = network.get_weights()
    if share != EVERYTHING or settings.mixed_precision:
        # A copy that needs no other worker, and computes in float32.
        network = keras.models.clone_model(network, clone_function=_in_float32)
        network.set_weights(weights)
    return Trained(
        network=_not_compiled(network),
        history=history,
        best_epoch=best_epoch,
        seconds=time.perf_counter() - started,
        parameters=network.count_params(),
    )


@contextmanager
def _precision(settings: TrainingSettings) -> Iterator[None]:
    """Layers made inside compute in bfloat16, if the settings ask for it."""
    before = keras.config.dtype_policy()
    if settings.mixed_precision:
        keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _in_float32(part: Any) -> Any:
    """The same layer computing in float32, or the same operation, which has no dtype of its own."""
    dtype = {"dtype": "float32"} if isinstance(part, keras.Layer) else {}
    return part.__class__.from_config(part.get_config() | dtype)


def _not_compiled(network: keras.Model) -> keras.Model:
    """The same layers without the optimizer, whose state is twice the weights."""
    inputs = {tensor.name: tensor for tensor in network.inputs}
    return keras.Model(inputs, network.output, name=network.name)


def _epochs(
    step: TrainingStep,
    network: keras.Model,
    train: Split,
    validation: Split,
    settings: TrainingSettings,
    share: Share,
    on_epoch: Callable[[EpochReport], None],
) -> tuple[tuple[EpochReport, ...], int]:
    """Train until an early stop; the reports, and the epoch whose weights the network then has."""
    stopping = keras.callbacks.EarlyStopping(
        mode="min",
        min_delta=settings.stopping_min_delta,
        patience=settings.stopping_patience,
        restore_best_weights=True,
    )
    plateau = keras.callbacks.ReduceLROnPlateau(
        mode="min", factor=settings.plateau_factor, patience=settings.plateau_patience
    )
    watching = keras.callbacks.CallbackList(
        [stopping, plateau] if settings.schedule == "plateau" else [stopping], model=network
    )
    network.stop_training = False
    watching.on_train_begin()
    history: list[EpochReport] = []
    while len(history) < settings.max_epochs and not network.stop_training:
        epoch = len(history)
        began = time.perf_counter()
        order = epoch_order(len(train[schema.LABEL]), settings.seed, epoch)
        learnt = step.learn(batches(train, settings.batch_size, order=order, share=share))
        watched = step.evaluate(batches(validation, PREDICTION_BATCH_SIZE, share=share))
        of_training, of_validation = step.means(learnt, watched)
        seconds = time.perf_counter() - began
        report = EpochReport(
            epoch=epoch + 1,
            max_epochs=settings.max_epochs,
            seconds=seconds,
            seconds_left_at_most=seconds * (settings.max_epochs - epoch - 1),
            loss=of_training.loss,
            accuracy=of_training.accuracy,
            validation_loss=of_validation.loss,
            validation_accuracy=of_validation.accuracy,
            # As this epoch had it. float() alone cannot read a variable of several workers.
            learning_rate=float(keras.ops.convert_to_numpy(network.optimizer.learning_rate)),
        )
        if not (math.isfinite(report.loss) and math.isfinite(report.validation_loss)):
            raise TrainingError(
                f"in epoch {report.epoch} the loss became {report.loss} and the validation loss "
                f"{report.validation_loss}, expected finite numbers; {remedy_for_losses(train, settings)}"
            )
        history.append(report)
        logger.info("%s", report, extra={"epoch_report": report})
        on_epoch(report)
        watching.on_epoch_end(epoch, {"val_loss": report.validation_loss})
    watching.on_train_end()
    return tuple(history), stopping.best_epoch + 1


def predict(network: keras.Model, inputs: Split) -> np.ndarray:
    """Probability that each session's last track is played to its end: float64 (n,).

    It is column 1 over the sum of both columns. The published head's two sigmoids are trained apart and do
    not add up to one. Where both columns underflow to 0, the probability is one half.

    Args:
        inputs: n sessions, gathered batch by batch; the label is ignored and may be missing.
    """
    parts = [np.empty((0, 2))]
    for start in range(0, len(inputs["last_track"]), PREDICTION_BATCH_SIZE):
        arrays = gather(inputs, slice(start, start + PREDICTION_BATCH_SIZE), labels=False)
        parts.append(network.predict_on_batch({name: arrays[name] for name in schema.BRANCH_SHAPES}))
    columns = np.concatenate(parts)  # (n, 2), float64
    total = columns.sum(axis=1)  # (n,)
    p_not_skipped: np.ndarray = np.divide(columns[:, 1], total, out=np.full(len(total), 0.5), where=total > 0)
    return p_not_skipped


def save_network(network: keras.Model, path: Path) -> None:
    """Write the network as a ``.keras`` file, without an optimizer."""
    _not_compiled(network).save(path)
