"""Which network a preset names, and the loss its head is trained with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import keras
import numpy as np

from skip_pipeline.errors import TrainingError
from skip_pipeline.networks.fast import build_fast
from skip_pipeline.networks.published import build_published
from skip_pipeline.networks.single_input import build_single_input
from skip_pipeline.settings import PRESETS, Preset, TrainingSettings

LOSSES: Final[dict[Preset, str]] = {
    "fast": "categorical_crossentropy",  # one softmax over both columns
    "published": "binary_crossentropy",  # two sigmoids, each its own yes or no
    "single_input": "binary_crossentropy",  # the same head
}


def build_network(settings: TrainingSettings, training_inputs: Mapping[str, np.ndarray]) -> keras.Model:
    """Build the network of ``settings.preset``, not compiled; initial weights follow Keras' seed.

    Args:
        training_inputs: the training split's branches (``schema.BRANCH_SHAPES``), for networks that
            normalise their inputs.

    Raises:
        TrainingError: no such preset.
    """
    if settings.preset == "fast":
        return build_fast(training_inputs, settings.dropout)
    if settings.preset == "published":
        return build_published(settings.dropout)
    if settings.preset == "single_input":
        return build_single_input(settings.dropout)
    raise TrainingError(f"there is no preset {settings.preset!r}; choose one of {', '.join(PRESETS)}")
