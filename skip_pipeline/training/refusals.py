"""Settings and splits that training refuses, and what to do about a loss that is not finite."""

from __future__ import annotations

import math

import numpy as np

from skip_pipeline import schema
from skip_pipeline.errors import TrainingError
from skip_pipeline.settings import EXAMPLES_SHOWN, PREDICTION_BATCH_SIZE, SCHEDULES, TrainingSettings
from skip_pipeline.training.batches import Split, gather


def check_splits(train: Split, validation: Split, batch_size: int) -> None:
    """Refuse splits that nothing can be learnt from.

    Raises:
        TrainingError: a split is empty, the training sessions all end alike, or they do not fill a batch.
    """
    for name, split in {"training": train, "validation": validation}.items():
        if len(split[schema.LABEL]) == 0:
            raise TrainingError(f"the {name} split holds no session, expected some; deliver more sessions")
    sessions, played = len(train[schema.LABEL]), int(np.count_nonzero(train[schema.LABEL]))
    if played in (0, sessions):
        raise TrainingError(
            f"all {sessions} training sessions end with a track that was "
            f"{'played to its end' if played else 'skipped'}, expected both outcomes; deliver more sessions"
        )
    if sessions < batch_size:
        raise TrainingError(
            f"the training split holds {sessions} sessions, expected at least the {batch_size} of a batch; "
            "deliver more sessions, or lower batch_size"
        )


def check_settings(settings: TrainingSettings) -> None:
    """Refuse settings out of range.

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


def remedy_for_losses(train: Split, settings: TrainingSettings) -> str:
    """What to do about a loss that is not a finite number."""
    broken: dict[str, list[int]] = {name: [] for name in schema.BRANCH_SHAPES}  # sessions by branch
    for start in range(0, len(train["last_track"]), PREDICTION_BATCH_SIZE):
        arrays = gather(train, slice(start, start + PREDICTION_BATCH_SIZE), labels=False)
        for name, found in broken.items():
            finite = np.isfinite(arrays[name]).reshape(len(arrays[name]), -1).all(axis=1)
            found += (np.flatnonzero(~finite) + start).tolist()
    for name, sessions in broken.items():
        if sessions:
            return (
                f"{name} holds values that are not finite in {len(sessions)} training sessions, first at "
                f"{sessions[:EXAMPLES_SHOWN]}; materialize tensor_bundles again"
            )
    return f"the inputs are finite, so lower learning_rate, which is {settings.learning_rate}"
