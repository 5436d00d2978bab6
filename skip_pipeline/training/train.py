"""Training one network on bundles, its probabilities, and its file.

The same loop trains on one machine and, where ``TF_CONFIG`` is set, on several (``training.cluster``).
"""

import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

# These are read once, when Keras and TensorFlow start; values that are set already win.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only: terminals show our own progress
# An operation has one thread, and several operations run side by side. On two cores, two threads for each
# operation make an epoch of the fast network a tenth longer, and one of the published network no shorter.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import keras
import tensorflow as tf

from skip_pipeline import schema
from skip_pipeline.errors import TrainingError
from skip_pipeline.networks.presets import build_network, input_names, learns_from
from skip_pipeline.settings import PREDICTION_BATCH_SIZE, TrainingSettings
from skip_pipeline.training.batches import EVERYTHING, batches, epoch_cuts, epoch_order
from skip_pipeline.training.cluster import agreed, joined, own_share
from skip_pipeline.training.history import EpochReport
from skip_pipeline.training.refusals import check_settings, check_splits, remedy_for_losses
from skip_pipeline.training.splits import Split, parts
from skip_pipeline.training.step import optimizer_of, steps_of

logger: Final = logging.getLogger("skip_pipeline.train")


@dataclass(frozen=True)
class Trained:
    """A trained network and how it came about."""

    network: keras.Model  # with the weights of ``best_epoch``; not compiled
    history: tuple[EpochReport, ...]  # one report per epoch
    best_epoch: int  # the epoch, counted from 1, after which the validation loss was best
    seconds: float  # building and training, all told
    parameters: int  # trainable or not, as Keras counts them


def train(
    train: Split, validation: Split, settings: TrainingSettings, on_epoch: Callable[[EpochReport], None]
) -> Trained:
    """Train the preset's network, and keep the epoch of the lowest validation loss.

    Equal inputs and settings give equal weights, bit for bit, on the same machine and versions. For that, the
    random state of Python, NumPy and Keras is reset, and TensorFlow's operations are made deterministic, for
    the whole process and for good. Each epoch goes over all training sessions in another order, drawn from
    the seed and the epoch. In memory are the network, a few batches, that order and the labels.

    If ``TF_CONFIG`` names several workers, this is one of them, and each has to call this function with the
    same sessions. Each gets the network that one worker alone would get from the settings of worker 0, up to
    the order in which floats are added, where there is no dropout.

    ``on_epoch`` is called after each epoch, in the training thread. What it raises ends training.
    """
    started = time.perf_counter()
    share = own_share()
    with joined(share) as strategy:
        if share != EVERYTHING:
            settings = agreed(strategy, train, validation, settings)
        check_settings(settings)
        check_splits(train, validation, settings.batch_size)
        keras.backend.clear_session()  # layer names count up within a process, and are saved
        keras.utils.set_random_seed(settings.seed)
        tf.config.experimental.enable_op_determinism()
        # This optimizer would join sums of two gradients into one of many, whose first term is then any.
        tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})

        sessions, usual = len(train[schema.LABEL]), keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_bfloat16" if settings.mixed_precision else usual)
        try:
            with strategy.scope():
                network = build_network(settings, train)
                per_epoch = math.ceil(sessions / settings.batch_size)
                epochs = max(settings.max_epochs, math.ceil(settings.least_steps / per_epoch))
                settings = replace(settings, max_epochs=epochs)
                optimizer = optimizer_of(settings, per_epoch, network.trainable_variables)
                network.optimizer = optimizer  # not compiled, since the loop is our own
        finally:
            keras.config.set_dtype_policy(usual)
        every_track, names = learns_from(settings, network), input_names(network)
        learn, evaluate = steps_of(network, strategy, every_track)

        def learn_from_all(epoch: int) -> tuple[float, float]:
            order = epoch_order(sessions, settings.seed, epoch)
            cuts = epoch_cuts(sessions, settings.seed, epoch, settings.cut_sessions)
            learnt = learn(batches(train, settings.batch_size, names, order=order, cuts=cuts, share=share))
            return finite(epoch, "loss", learnt)

        def validate(epoch: int) -> tuple[float, float]:
            watched = evaluate(batches(validation, PREDICTION_BATCH_SIZE, names, share=share))
            return finite(epoch, "validation loss", watched)

        def finite(epoch: int, name: str, found: tuple[float, float]) -> tuple[float, float]:
            if not math.isfinite(found[0]):
                raise TrainingError(
                    f"in epoch {epoch + 1} the {name} became {found[0]}, expected a finite number; "
                    f"{remedy_for_losses(train, settings)}"
                )
            return found

        history, best_epoch = _epochs(network, learn_from_all, validate, settings, on_epoch)
        # A copy without the optimizer that needs no other worker, and computes in float32.
        copy = keras.models.clone_model(network, clone_function=_in_float32)
        copy.set_weights(network.get_weights())
    return Trained(copy, history, best_epoch, time.perf_counter() - started, copy.count_params())


def _in_float32(part: Any) -> Any:
    """The same layer computing in float32, or the same operation, which has no dtype of its own."""
    dtype = {"dtype": "float32"} if isinstance(part, keras.Layer) else {}
    return part.__class__.from_config(part.get_config() | dtype)


def _epochs(
    network: keras.Model,
    learn: Callable[[int], tuple[float, float]],
    validate: Callable[[int], tuple[float, float]],
    settings: TrainingSettings,
    on_epoch: Callable[[EpochReport], None],
) -> tuple[tuple[EpochReport, ...], int]:
    """Train until an early stop; the reports, and the epoch whose weights the network then has.

    ``learn`` trains for an epoch, counted from 0, and ``validate`` does not; both give loss and accuracy.
    """
    delta, patience = settings.stopping_min_delta, settings.stopping_patience
    stopping = keras.callbacks.EarlyStopping(
        "val_loss", delta, patience, mode="min", restore_best_weights=True
    )
    callbacks = [stopping]
    if settings.averaged_steps:  # first, so that the early stop keeps the averaged weights
        callbacks.insert(0, keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    if settings.schedule == "plateau":
        factor, patience = settings.plateau_factor, settings.plateau_patience
        callbacks.append(keras.callbacks.ReduceLROnPlateau(mode="min", factor=factor, patience=patience))
    watching = keras.callbacks.CallbackList(callbacks, model=network, epochs=settings.max_epochs)
    network.stop_training = False
    watching.on_train_begin()
    history: list[EpochReport] = []
    while len(history) < settings.max_epochs and not network.stop_training:
        epoch = len(history)
        began = time.perf_counter()
        watching.on_epoch_begin(epoch)
        learnt = learn(epoch)
        watching.on_test_begin()
        watched = validate(epoch)
        watching.on_test_end()
        seconds = time.perf_counter() - began
        left = seconds * (settings.max_epochs - epoch - 1)
        # As this epoch had it. float() alone cannot read a variable of several workers.
        rate = float(keras.ops.convert_to_numpy(network.optimizer.learning_rate))
        report = EpochReport(epoch + 1, settings.max_epochs, seconds, left, *learnt, *watched, rate)
        history.append(report)
        logger.info("%s", report, extra={"epoch_report": report})
        on_epoch(report)
        watching.on_epoch_end(epoch, {"val_loss": report.validation_loss})
    watching.on_train_end()
    return tuple(history), stopping.best_epoch + 1


def predict(network: keras.Model, inputs: Split) -> np.ndarray:
    """Probability that each session's last track is played to its end: float64 (n,).

    Of a network with two columns, it is column 1 over the sum of both: the published head's two sigmoids do
    not add up to one. Where both underflow to 0, the probability is one half. The label may be missing.
    """
    names = input_names(network)
    outputs = [
        network.predict_on_batch({name: part[name] for name in names}) for part in parts(inputs, names)
    ]
    if len(network.output.shape) == 3:  # (n, 20, 4), probabilities of ``schema.OUTCOME_FLAGS``
        return np.concatenate([np.empty(0), *(flags[:, -1, -1] for flags in outputs)])
    skipped, played = np.concatenate([np.empty((0, 2)), *outputs]).T  # (n,) each, float64
    total = skipped + played
    return np.asarray(np.divide(played, total, out=np.full(len(total), 0.5), where=total > 0))


def save_network(network: keras.Model, path: Path) -> None:
    """Write the network as a ``.keras`` file, without an optimizer."""
    network.save(path)
