"""Training one network on bundles, and getting probabilities out of it again.

Arrays in, a network and its history out; what networks look like is ``networks``' affair, and where
they are recorded is the shells'. The only stage that imports TensorFlow.

One loop serves one machine and several: with ``TF_CONFIG`` in the environment, each process is one worker of
``tf.distribute.MultiWorkerMirroredStrategy``, sees its share of every batch, and ends with the same network.
"""

from __future__ import annotations

import logging
import math
import os
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

# Both are read once, when Keras and TensorFlow are imported; values that are set already win.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only: terminals show our own progress

import keras
import tensorflow as tf

from skip_pipeline import schema
from skip_pipeline.errors import ContractError, MissingInputError, TrainingError
from skip_pipeline.networks.presets import LOSSES, build_network, learns_from
from skip_pipeline.settings import (
    PREDICTION_BATCH_SIZE,
    TF_CONFIG_VARIABLE,
    TrainingSettings,
)
from skip_pipeline.training.batches import Share, Split, batches, epoch_order, gather
from skip_pipeline.training.cluster import Cluster, cluster_from, meet, named_cluster, share_of
from skip_pipeline.training.history import EpochReport
from skip_pipeline.training.optimizer import optimizer_of
from skip_pipeline.training.refusals import check_settings, check_splits, remedy_for_losses
from skip_pipeline.training.step import Means, TrainingStep
from skip_pipeline.training.workers import losses_reported, open_strategy, sigterm_kept

__all__ = [
    "EpochReport",
    "Split",
    "Trained",
    "load_network",
    "predict",
    "save_network",
    "take_part",
    "train",
]

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
    """Train the preset's network, watching the validation loss.

    Equal inputs and settings give equal weights, bit for bit, on the same machine and versions. For
    that, this resets the random state of Python, NumPy and Keras, and makes TensorFlow's operations
    deterministic, for the whole process and for good.

    Each epoch sees all training sessions in another order, drawn over all of them from the seed and the
    epoch. Batches are gathered as they are needed, so beside the network and a few batches only that order
    and the labels are in memory, 12 bytes a session.

    If ``TF_CONFIG`` names several workers, this is one of them, and calls to ``train`` or ``take_part`` have
    to be made on all. Batches are then those of all workers together: gradients, losses and accuracies are
    means over all of their sessions, and the network is what one worker alone would make, up to the order in
    which floats are added, where there is no dropout.

    Args:
        train, validation: sessions to learn from, and to watch; the same on every worker.
        on_epoch: called after each epoch, in the training thread. What it raises ends training.

    Raises:
        TrainingError: a setting makes no sense, a split is empty, the training sessions all end alike or are
            fewer than a batch, or the loss stops being a finite number. With several workers: one is missing
            or lost, differs from the chief, or this process has used TensorFlow before.
    """
    started = time.perf_counter()
    cluster = cluster_from()
    check_settings(settings)
    check_splits(train, validation, settings.batch_size)
    if cluster is not None:
        meet(cluster, _facts(train, validation), asdict(settings))
    return _train(train, validation, settings, on_epoch, cluster, started)


def take_part(
    train: Split, validation: Split, on_epoch: Callable[[EpochReport], None] = lambda _: None
) -> Trained:
    """Be one of several workers, with the settings that the chief trains with.

    Args:
        train, validation, on_epoch: as for ``train``.

    Raises:
        TrainingError: as for ``train``; or ``TF_CONFIG`` names no other worker, or this one as the chief.
    """
    started = time.perf_counter()
    cluster = named_cluster()
    if cluster.chief:
        raise TrainingError(
            f"${TF_CONFIG_VARIABLE} makes this the chief, task 0, expected another task; the chief has to be "
            "given settings, so materialize trained_model here"
        )
    check_splits(train, validation)
    settings = TrainingSettings(**meet(cluster, _facts(train, validation), None))
    return _train(train, validation, settings, on_epoch, cluster, started)


def _train(
    train: Split,
    validation: Split,
    settings: TrainingSettings,
    on_epoch: Callable[[EpochReport], None],
    cluster: Cluster | None,
    started: float,
) -> Trained:
    strategy = open_strategy(cluster)
    keras.backend.clear_session()  # layer names count up within a process, and are saved
    keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()
    # Which would make one sum of many out of sums of two, begun with whichever term is there first.
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})

    with losses_reported(cluster):
        with strategy.scope(), _precision(settings), sigterm_kept():
            network = build_network(settings, train)
            per_epoch = math.ceil(len(train[schema.LABEL]) / settings.batch_size)
            optimizer = optimizer_of(settings, per_epoch, network.trainable_variables)
            network.compile(optimizer, jit_compile=False)
        step = TrainingStep(network, LOSSES[settings.preset], strategy, learns_from(settings, network))
        history, best_epoch = _epochs(
            step, network, (train, validation), settings, share_of(cluster), on_epoch
        )
        weights = network.get_weights()
    if cluster is not None or settings.mixed_precision:
        # A network of its own, that asks no other worker anything and computes in float32.
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
    """Layers made in here compute in bfloat16, if that is asked for."""
    before = keras.config.dtype_policy()
    if settings.mixed_precision:
        keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _in_float32(part: Any) -> Any:
    """The same layer computing in float32, or the same operation, which computes in what it is given."""
    dtype = {"dtype": "float32"} if isinstance(part, keras.Layer) else {}
    return part.__class__.from_config(part.get_config() | dtype)


def _not_compiled(network: keras.Model) -> keras.Model:
    """The same layers without the optimizer, whose state is twice the weights."""
    inputs = {tensor.name: tensor for tensor in network.inputs}
    return keras.Model(inputs, network.output, name=network.name)


def _epochs(
    step: TrainingStep,
    network: keras.Model,
    splits: tuple[Split, Split],
    settings: TrainingSettings,
    share: Share,
    on_epoch: Callable[[EpochReport], None],
) -> tuple[tuple[EpochReport, ...], int]:
    """Train until an early stop; the reports, and the epoch whose weights the network then has."""
    train, validation = splits
    stopping = keras.callbacks.EarlyStopping(
        monitor="val_loss",
        mode="min",
        min_delta=settings.stopping_min_delta,
        patience=settings.stopping_patience,
        restore_best_weights=True,
    )
    watchers: list[keras.callbacks.Callback] = [stopping]
    if settings.schedule == "plateau":
        watchers.append(
            keras.callbacks.ReduceLROnPlateau(
                monitor="val_loss",
                mode="min",
                factor=settings.plateau_factor,
                patience=settings.plateau_patience,
            )
        )
    watching = keras.callbacks.CallbackList(watchers, model=network)
    network.stop_training = False
    watching.on_train_begin()
    history: list[EpochReport] = []
    for epoch in range(settings.max_epochs):
        began = time.perf_counter()
        order = epoch_order(len(train[schema.LABEL]), settings.seed, epoch)
        with sigterm_kept():
            learnt = step.learn(batches(train, settings.batch_size, order=order, share=share))
        looked = step.look(batches(validation, PREDICTION_BATCH_SIZE, share=share))
        means = step.means(learnt, looked)
        # Before the plateau changes it. float() alone knows no variable of several workers.
        rate = float(keras.ops.convert_to_numpy(network.optimizer.learning_rate))
        report = _report(epoch, settings, time.perf_counter() - began, means, rate)
        if not (math.isfinite(report.loss) and math.isfinite(report.validation_loss)):
            raise TrainingError(
                f"in epoch {report.epoch} the loss became {report.loss} and the validation loss "
                f"{report.validation_loss}, expected finite numbers; {remedy_for_losses(train, settings)}"
            )
        history.append(report)
        logger.info("%s", report, extra={"epoch_report": report})
        on_epoch(report)
        watching.on_epoch_end(epoch, {"val_loss": report.validation_loss})
        if network.stop_training:
            break
    watching.on_train_end()
    return tuple(history), stopping.best_epoch + 1


def _report(
    epoch: int, settings: TrainingSettings, seconds: float, means: tuple[Means, ...], learning_rate: float
) -> EpochReport:
    train, validation = means
    return EpochReport(
        epoch=epoch + 1,
        max_epochs=settings.max_epochs,
        seconds=seconds,
        seconds_left_at_most=seconds * (settings.max_epochs - epoch - 1),
        loss=train.loss,
        accuracy=train.accuracy,
        validation_loss=validation.loss,
        validation_accuracy=validation.accuracy,
        learning_rate=learning_rate,
    )


def predict(network: keras.Model, inputs: Split) -> np.ndarray:
    """Probability that each session's last track is played to its end: float64 (n,).

    It is column 1 over the sum of both columns. The published head's two sigmoids are trained apart and
    do not add up to one; a softmax already does, and is left as it is. Where both underflow to 0, the
    network knows nothing, and the answer is one half.

    Args:
        inputs: n sessions, gathered batch by batch; the label is ignored and may be missing.
    """
    sessions = len(inputs["last_track"])
    if sessions == 0:
        return np.empty(0)
    parts = []
    for start in range(0, sessions, PREDICTION_BATCH_SIZE):
        arrays = gather(inputs, slice(start, start + PREDICTION_BATCH_SIZE), labels=False)
        parts.append(network.predict_on_batch({name: arrays[name] for name in schema.BRANCH_SHAPES}))
    columns = np.concatenate(parts)  # (n, 2)
    skipped, not_skipped = columns.astype(np.float64).T  # (n,) each
    total = skipped + not_skipped
    p_not_skipped: np.ndarray = np.divide(not_skipped, total, out=np.full(len(total), 0.5), where=total > 0)
    return p_not_skipped


def save_network(network: keras.Model, path: Path) -> None:
    """Write the network as a ``.keras`` file, without an optimizer."""
    _not_compiled(network).save(path)


def load_network(path: Path) -> keras.Model:
    """Read a network that ``save_network`` wrote, to predict with; no code from the file is run.

    Raises:
        MissingInputError: no such file.
        ContractError: the file is no Keras model, or not one of our four branches and two columns.
    """
    if not path.is_file():
        raise MissingInputError(f"{path} is not there; materialize trained_model first")
    try:
        network = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as failure:
        raise ContractError(
            f"{path} cannot be read as a Keras model ({failure}); materialize trained_model again"
        ) from failure
    found = {tensor.name: tuple(tensor.shape[1:]) for tensor in network.inputs}
    if found != schema.BRANCH_SHAPES or tuple(network.output_shape) != (None, 2):
        raise ContractError(
            f"{path} takes {found} and gives {network.output_shape}, expected {schema.BRANCH_SHAPES} and "
            "(None, 2); materialize trained_model again"
        )
    return network


def _facts(train: Split, validation: Split) -> dict[str, int | str]:
    """What has to be equal on all workers, for ``meet``."""
    return {
        "training sessions": len(train[schema.LABEL]),
        "validation sessions": len(validation[schema.LABEL]),
        "checksum of the labels": zlib.crc32(validation[schema.LABEL], zlib.crc32(train[schema.LABEL])),
        "TensorFlow": str(tf.__version__),
    }
