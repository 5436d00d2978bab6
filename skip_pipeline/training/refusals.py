"""What training refuses, before it starts and when its loss breaks, and what to do about it."""

from __future__ import annotations

import math

import numpy as np

from skip_pipeline import schema
from skip_pipeline.errors import TrainingError
from skip_pipeline.settings import EXAMPLES_SHOWN, PREDICTION_BATCH_SIZE, SCHEDULES, TrainingSettings
from skip_pipeline.training.batches import Split, gather


def remedy_for_losses(train: Split, settings: TrainingSettings) -> str:
    """What to do about a loss that is no finite number: inputs that are none, or a learning rate too high."""
    strange: dict[str, list[int]] = {name: [] for name in schema.BRANCH_SHAPES}
    for start in range(0, len(train["last_track"]), PREDICTION_BATCH_SIZE):
        arrays = gather(train, slice(start, start + PREDICTION_BATCH_SIZE), labels=False)
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


def check_splits(train: Split, validation: Split, batch_size: int = 1) -> None:
    """Refuse splits that nothing can be learnt from.

    Raises:
        TrainingError: a split is empty, the training sessions all end alike, or they do not fill a batch.
    """
    _check_split(train, "training", both_classes=True)
    _check_split(validation, "validation", both_classes=False)
    sessions = len(train[schema.LABEL])
    if sessions < batch_size:
        raise TrainingError(
            f"the training split holds {sessions} sessions, expected at least the {batch_size} of a batch; "
            "deliver more sessions, or lower batch_size"
        )


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


def check_settings(settings: TrainingSettings) -> None:
    """Refuse settings that make no sense.

    Raises:
        TrainingError: it names all of them.
    """
    ranges: dict[str, tuple[float | str | None, bool, str]] = {
        "max_epochs": (settings.max_epochs, settings.max_epochs >= 1, "at least 1"),
        "batch_size": (settings.batch_size, settings.batch_size >= 1, "at least 1"),
        "learning_rate": (settings.learning_rate, 0 < settings.learning_rate < math.inf, "above 0"),
        "stopping_patience": (settings.stopping_patience, settings.stopping_patience >= 0, "at least 0"),
        "stopping_min_delta": (settings.stopping_min_delta, settings.stopping_min_delta >= 0, "at least 0"),
        "plateau_patience": (settings.plateau_patience, settings.plateau_patience >= 0, "at least 0"),
        "plateau_factor": (settings.plateau_factor, 0 < settings.plateau_factor < 1, "between 0 and 1"),
        "dropout": (settings.dropout, 0 <= (settings.dropout or 0) < 1, "none, or from 0 to below 1"),
        "warm_up": (settings.warm_up, 0 <= settings.warm_up < 1, "from 0 to below 1"),
        "weight_decay": (settings.weight_decay, 0 <= settings.weight_decay < math.inf, "at least 0"),
        "beta_2": (settings.beta_2, 0 < settings.beta_2 < 1, "between 0 and 1"),
        "schedule": (settings.schedule, settings.schedule in SCHEDULES, f"one of {', '.join(SCHEDULES)}"),
        "mixed_precision": (
            settings.mixed_precision,
            not (settings.mixed_precision and settings.preset == "fast"),
            "false: the fast network solves equations, for which bfloat16 is too coarse",
        ),
        "seed": (settings.seed, 0 <= settings.seed < 2**32, "from 0 to 2**32 - 1"),
    }
    wrong = [f"{name} is {value}, not {want}" for name, (value, good, want) in ranges.items() if not good]
    if wrong:
        raise TrainingError(f"{'; '.join(wrong)}; correct the training settings")
