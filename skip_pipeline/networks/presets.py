"""The network of each preset."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np

from skip_pipeline import schema
from skip_pipeline.errors import TrainingError
from skip_pipeline.networks.fast import build_fast, every_track
from skip_pipeline.networks.published import build_published
from skip_pipeline.networks.single_input import build_single_input
from skip_pipeline.settings import PRESETS, TrainingSettings


def learns_from(settings: TrainingSettings, network: keras.Model) -> keras.Model | None:
    """The same network with log-odds of every track, (B, 20, 4); None if it learns from the last alone."""
    return every_track(network) if settings.preset == "fast" else None


def input_names(network: keras.Model) -> tuple[str, ...]:
    """Names of a network's inputs, in the order of ``schema.INPUT_SHAPES``."""
    names = {tensor.name for tensor in network.inputs}
    return tuple(name for name in schema.INPUT_SHAPES if name in names)


def build_network(settings: TrainingSettings, training_inputs: Mapping[str, np.ndarray]) -> keras.Model:
    """Build the preset's network, not compiled; initial weights follow Keras' seed and, in some, the data."""
    if settings.preset == "fast":
        return build_fast(training_inputs, settings.dropout)
    if settings.preset == "published":
        return build_published(settings.dropout)
    if settings.preset == "single_input":
        return build_single_input(settings.dropout)
    raise TrainingError(f"there is no preset {settings.preset!r}; choose one of {', '.join(PRESETS)}")
