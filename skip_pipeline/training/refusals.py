"""Settings and splits that training refuses, and what to do about a loss that is not finite."""

from collections.abc import Callable
from math import inf
from typing import Any, Final

import numpy as np

from skip_pipeline import schema
from skip_pipeline.errors import TrainingError
from skip_pipeline.metrics.scores import need_both_outcomes
from skip_pipeline.settings import EXAMPLES_SHOWN, SCHEDULES, TrainingSettings
from skip_pipeline.training.splits import Split, parts

_RANGES: Final[tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...]] = (
    (("max_epochs", "batch_size"), lambda value: value >= 1, "at least 1"),
    (("least_steps", "averaged_steps"), lambda value: value >= 0, "at least 0"),
    (("learning_rate",), lambda value: 0 < value < inf, "above 0"),
    (("stopping_patience", "stopping_min_delta", "plateau_patience"), lambda value: value >= 0, "at least 0"),
    (("weight_decay",), lambda value: 0 <= value < inf, "at least 0"),
    (("plateau_factor", "beta_2"), lambda value: 0 < value < 1, "between 0 and 1"),
    (("dropout",), lambda value: 0 <= (value or 0) < 1, "none, or from 0 to below 1"),
    (("warm_up",), lambda value: 0 <= value < 1, "from 0 to below 1"),
    (("cut_sessions",), lambda value: 0 <= value <= 1, "from 0 to 1"),
    (("schedule",), lambda value: value in SCHEDULES, f"one of {', '.join(SCHEDULES)}"),
    (("seed",), lambda value: 0 <= value < 2**32, "from 0 to 2**32 - 1"),
)


def check_settings(settings: TrainingSettings) -> None:
    """Raise a ``TrainingError`` that names all settings out of range."""
    wrong = [
        f"{name} is {getattr(settings, name)}, not {wanted}"
        for names, good, wanted in _RANGES
        for name in names
        if not good(getattr(settings, name))
    ]
    if settings.mixed_precision and settings.preset == "fast":
        wrong.append(
            "mixed_precision is True, not false: bfloat16 is too coarse for the fast network's equations"
        )
    if wrong:
        raise TrainingError(f"{'; '.join(wrong)}; correct the training settings")


def check_splits(train: Split, validation: Split, batch_size: int) -> None:
    """Raise a ``TrainingError`` if nothing can be learnt from the splits."""
    need_both_outcomes(train[schema.LABEL], "the training split")
    if len(validation[schema.LABEL]) == 0:
        raise TrainingError("the validation split holds no session, expected some; deliver more sessions")
    if (sessions := len(train[schema.LABEL])) < batch_size:
        raise TrainingError(
            f"the training split holds {sessions} sessions, expected at least the {batch_size} of a batch; "
            "deliver more sessions, or lower batch_size"
        )


def remedy_for_losses(train: Split, settings: TrainingSettings) -> str:
    """What to do about a loss that is not a finite number."""
    for name in filter(train.__contains__, schema.INPUT_SHAPES):
        given = (part[name] for part in parts(train, [name]))
        finite = [np.isfinite(values).reshape(len(values), -1).all(axis=1) for values in given]
        if len(sessions := np.flatnonzero(~np.concatenate(finite))):
            where = f"{len(sessions)} training sessions, first at {sessions[:EXAMPLES_SHOWN].tolist()}"
            return f"{name} holds values that are not finite in {where}; materialize tensor_bundles again"
    return f"the inputs are finite, so lower learning_rate, which is {settings.learning_rate}"
