"""Training one network on bundles, and getting probabilities out of it again.

Arrays in, a network and its history out; what networks look like is ``networks``' affair, and where
they are recorded is the shells'. The only stage that imports TensorFlow.
"""

from __future__ import annotations

import logging
import math
import os
import time
import zipfile
from collections.abc import Callable, Mapping
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
from skip_pipeline.errors import ContractError, MissingInputError, TrainingError
from skip_pipeline.flow.gather import Bundle
from skip_pipeline.flow.history import EpochReport
from skip_pipeline.networks.presets import LOSSES, build_network
from skip_pipeline.settings import EXAMPLES_SHOWN, PREDICTION_BATCH_SIZE, TrainingSettings

__all__ = ["EpochReport", "Trained", "load_network", "predict", "save_network", "train"]

logger: Final = logging.getLogger("skip_pipeline.train")


Split = Mapping[str, Any]
"""The branches of ``schema.BRANCH_SHAPES`` and ``not_skipped`` (n,), all float32: a ``Bundle``, or arrays in
memory or memory-mapped."""


@dataclass(frozen=True)
class Trained:
    """A trained network and how it came about.

    Attributes:
        network: with the weights of ``best_epoch``.
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

    Args:
        train, validation: sessions to learn from, and to watch.
        on_epoch: called after each epoch, in the training thread. What it raises ends training.

    Raises:
        TrainingError: a setting makes no sense, a split is empty, the training sessions all end alike,
            or the loss stops being a finite number.
    """
    started = time.perf_counter()
    _check_settings(settings)
    _check_split(train, "training", both_classes=True)
    _check_split(validation, "validation", both_classes=False)

    keras.backend.clear_session()  # layer names count up within a process, and are saved
    keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()

    network = build_network(settings, train)
    network.compile(
        optimizer=keras.optimizers.Adam(settings.learning_rate),
        loss=LOSSES[settings.preset],
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=False,  # XLA doubles the time of an LSTM's epoch on a CPU
    )
    stopping = keras.callbacks.EarlyStopping(
        monitor="val_loss",
        min_delta=settings.stopping_min_delta,
        patience=settings.stopping_patience,
        restore_best_weights=True,
    )
    plateau = keras.callbacks.ReduceLROnPlateau(
        monitor="val_loss", factor=settings.plateau_factor, patience=settings.plateau_patience
    )
    history: list[EpochReport] = []
    # Reporting comes first: the plateau changes the learning rate that the epoch was trained with.
    reporting = _reporting(network, settings, train, history, on_epoch)
    network.fit(
        _Batches(train, settings.batch_size, seed=settings.seed),
        epochs=settings.max_epochs,
        validation_data=_Batches(validation, PREDICTION_BATCH_SIZE),
        callbacks=[reporting, stopping, plateau],
        verbose=0,
    )
    return Trained(
        network=network,
        history=tuple(history),
        best_epoch=stopping.best_epoch + 1,
        seconds=time.perf_counter() - started,
        parameters=network.count_params(),
    )


def predict(network: keras.Model, inputs: Split) -> np.ndarray:
    """Probability that each session's last track is played to its end: float64 (n,).

    It is column 1 over the sum of both columns. The published head's two sigmoids are trained apart and
    do not add up to one; a softmax already does, and is left as it is. Where both underflow to 0, the
    network knows nothing, and the answer is one half.

    Args:
        inputs: n sessions, gathered batch by batch; the label is ignored and may be missing.
    """
    if len(inputs["last_track"]) == 0:
        return np.empty(0)
    columns = network.predict(_Batches(inputs, PREDICTION_BATCH_SIZE, labels=False), verbose=0)  # (n, 2)
    skipped, not_skipped = columns.astype(np.float64).T  # (n,) each
    total = skipped + not_skipped
    p_not_skipped: np.ndarray = np.divide(not_skipped, total, out=np.full(len(total), 0.5), where=total > 0)
    return p_not_skipped


def save_network(network: keras.Model, path: Path) -> None:
    """Write the network as a ``.keras`` file, without the optimizer, whose state is twice the weights."""
    inputs = {tensor.name: tensor for tensor in network.inputs}
    keras.Model(inputs, network.output, name=network.name).save(path)


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


class _Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """A split in batches, gathered one by one; the last may be smaller."""

    def __init__(
        self, split: Split, batch_size: int, *, seed: int | None = None, labels: bool = True
    ) -> None:
        """Begin in the split's own order.

        Args:
            seed: draws an order of all sessions for each epoch; None keeps the split's own.
            labels: whether batches have targets.
        """
        super().__init__()
        self._split = split
        self._batch_size = batch_size
        self._seed = seed
        self._labels = labels
        self._epoch = 0
        self._order = np.arange(len(split["last_track"]))

    def __len__(self) -> int:
        return math.ceil(len(self._order) / self._batch_size)

    def __getitem__(self, batch: int) -> tuple[Any, ...]:
        start = batch * self._batch_size
        arrays = _gather(self._split, self._order[start : start + self._batch_size], labels=self._labels)
        inputs = {name: arrays[name] for name in schema.BRANCH_SHAPES}
        return (inputs, _two_columns(arrays[schema.LABEL])) if self._labels else (inputs,)

    def on_epoch_begin(self) -> None:
        """Draw the order of the next epoch."""
        if self._seed is not None:
            self._order = np.random.default_rng([self._seed, self._epoch]).permutation(len(self._order))
            self._epoch += 1


def _gather(split: Split, index: np.ndarray | slice, *, labels: bool) -> dict[str, np.ndarray]:
    if isinstance(split, Bundle):
        return split.batch(index)
    names = (*schema.BRANCH_SHAPES, schema.LABEL) if labels else tuple(schema.BRANCH_SHAPES)
    return {name: split[name][index] for name in names}


def _two_columns(not_skipped: np.ndarray) -> np.ndarray:
    """Labels (n,) as the head's columns, float32 (n, 2): skipped, not skipped."""
    return np.stack([1 - not_skipped, not_skipped], axis=1)


def _reporting(
    network: keras.Model,
    settings: TrainingSettings,
    train: Split,
    history: list[EpochReport],
    on_epoch: Callable[[EpochReport], None],
) -> keras.callbacks.Callback:
    """Callback that turns each epoch into a report, and refuses to go on after a loss that is no number."""
    began = time.perf_counter()

    def begin(_epoch: int, _logs: object) -> None:
        nonlocal began
        began = time.perf_counter()

    def end(epoch: int, logs: Mapping[str, float]) -> None:
        seconds = time.perf_counter() - began
        report = EpochReport(
            epoch=epoch + 1,
            max_epochs=settings.max_epochs,
            seconds=seconds,
            seconds_left_at_most=seconds * (settings.max_epochs - epoch - 1),
            loss=float(logs["loss"]),
            accuracy=float(logs["accuracy"]),
            validation_loss=float(logs["val_loss"]),
            validation_accuracy=float(logs["val_accuracy"]),
            learning_rate=float(network.optimizer.learning_rate),
        )
        if not (math.isfinite(report.loss) and math.isfinite(report.validation_loss)):
            raise TrainingError(
                f"in epoch {report.epoch} the loss became {report.loss} and the validation loss "
                f"{report.validation_loss}, expected finite numbers; {_remedy(train, settings)}"
            )
        history.append(report)
        logger.info("%s", report, extra={"epoch_report": report})
        on_epoch(report)

    return keras.callbacks.LambdaCallback(on_epoch_begin=begin, on_epoch_end=end)


def _remedy(train: Split, settings: TrainingSettings) -> str:
    strange: dict[str, list[int]] = {name: [] for name in schema.BRANCH_SHAPES}
    for start in range(0, len(train["last_track"]), PREDICTION_BATCH_SIZE):
        arrays = _gather(train, slice(start, start + PREDICTION_BATCH_SIZE), labels=False)
        for name, found in strange.items():
            values = arrays[name].reshape(len(arrays[name]), -1)
            found += (np.flatnonzero(~np.isfinite(values).all(axis=1)) + start).tolist()
    for name, sessions in strange.items():
        if sessions:
            return (
                f"{name} holds values that are not finite in {len(sessions)} training sessions, first at "
                f"{sessions[:EXAMPLES_SHOWN]}; materialize tensor_bundles again"
            )
    return f"the inputs are finite, so lower learning_rate, which is {settings.learning_rate}"


def _check_split(split: Split, name: str, *, both_classes: bool) -> None:
    labels = split[schema.LABEL]
    if len(labels) == 0:
        raise TrainingError(f"the {name} split holds no session, expected some; deliver more sessions")
    played = int(np.count_nonzero(labels))
    if both_classes and played in (0, len(labels)):
        raise TrainingError(
            f"all {len(labels)} {name} sessions end with a track that was "
            f"{'played to its end' if played else 'skipped'}, expected both outcomes; deliver more sessions"
        )


def _check_settings(settings: TrainingSettings) -> None:
    ranges: dict[str, tuple[float | None, bool, str]] = {
        "max_epochs": (settings.max_epochs, settings.max_epochs >= 1, "at least 1"),
        "batch_size": (settings.batch_size, settings.batch_size >= 1, "at least 1"),
        "learning_rate": (settings.learning_rate, 0 < settings.learning_rate < math.inf, "above 0"),
        "stopping_patience": (settings.stopping_patience, settings.stopping_patience >= 0, "at least 0"),
        "stopping_min_delta": (settings.stopping_min_delta, settings.stopping_min_delta >= 0, "at least 0"),
        "plateau_patience": (settings.plateau_patience, settings.plateau_patience >= 0, "at least 0"),
        "plateau_factor": (settings.plateau_factor, 0 < settings.plateau_factor < 1, "between 0 and 1"),
        "dropout": (settings.dropout, 0 <= (settings.dropout or 0) < 1, "none, or from 0 to below 1"),
        "seed": (settings.seed, 0 <= settings.seed < 2**32, "from 0 to 2**32 - 1"),
    }
    wrong = [f"{name} is {value}, not {want}" for name, (value, good, want) in ranges.items() if not good]
    if wrong:
        raise TrainingError(f"{'; '.join(wrong)}; correct the training settings")
