"""Sessions of a split as arrays in memory. Serving needs this module, so it imports no network."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.gather import Bundle
from skip_pipeline.bundles.track_memory import Remembered
from skip_pipeline.settings import PREDICTION_BATCH_SIZE

Split = Mapping[str, Any]
"""Inputs of ``schema.INPUT_SHAPES``, the label (n,) and the last flags (n, 3), float32: a ``Bundle``,
``Remembered`` or arrays."""


def parts(split: Split, names: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
    """The arrays of ``PREDICTION_BATCH_SIZE`` sessions at a time, in the split's order, in memory."""
    for start in range(0, len(split["last_track"]), PREDICTION_BATCH_SIZE):
        yield gather(split, slice(start, start + PREDICTION_BATCH_SIZE), names)


def gather(split: Split, index: np.ndarray | slice, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Some arrays of some sessions, and the log and outcomes, in memory."""
    if isinstance(split, Remembered):
        arrays = gather(
            split.split, index, [name for name in (*names, "track_numbers") if name != "track_memory"]
        )
        if "track_memory" in names:
            arrays["track_memory"] = split.of(arrays["track_numbers"])
        return arrays
    wanted = sorted({*names, "session_log", "skip_sequence"})
    if isinstance(split, Bundle):
        return split.batch(index, wanted)
    return {name: split[name][index] for name in (*wanted, schema.LABEL, "last_flags") if name in split}
