"""The default network: four small branches that meet at every step of the session.

Only the architecture stands here; its training settings are ``settings.PRESETS["fast"]``. It takes the
same inputs as the published network, unscaled log columns included, and normalises them itself, so one
bundle serves both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import keras
import numpy as np
from keras import layers, ops

from skip_pipeline import schema

# Widths. Twice each gained nothing in validation loss on 7,000 sessions and took half as long again.
_LOG_UNITS: Final = 24
_TRACK_UNITS: Final = 24
_STATE_UNITS: Final = 48
_HEAD_UNITS: Final = 32

_DROPOUT: Final = 0.2  # where the settings name none

_VARIANCE_FLOOR: Final = 1e-4
"""Added to every variance: a column that never varies in training divides by 0.01, not by nothing."""

_SESSIONS_AT_ONCE: Final = 4096
"""Sessions whose statistics are taken together, in 20 MB."""

_CLIP: Final = 5.0
"""Normalised log columns end at ±5 standard deviations: one rare level must not drown the others."""


def build_fast(training_inputs: Mapping[str, np.ndarray], dropout: float | None = None) -> keras.Model:
    """Build the fast network, about 20,000 parameters.

    Tracks, previous and last, go through one shared encoding. A GRU reads the session; beside it, the
    last track is compared with every earlier one, and with the sum of those that were played minus
    those that were skipped.

    The GRU has the settings that a GPU's fused kernel asks for: tanh, sigmoid, bias, reset after the
    product, no recurrent dropout, not unrolled, and no mask, because cuDNN takes only masks that pad
    behind, and sessions are padded in front. Padding is therefore zeroed by hand, with a channel that
    says which steps are real.

    Args:
        training_inputs: the training split's branches (``schema.BRANCH_SHAPES``), from which the
            normalisation of log columns and track features is taken, over real steps only. They are read
            some thousand sessions at a time, and need not be in memory.
        dropout: the rate everywhere; None for the network's own.

    Returns:
        A model that is not compiled. Inputs: ``schema.BRANCH_SHAPES``, float32. Output: float32 (B, 2),
        a softmax; column 0 "skipped", column 1 "not skipped".
    """
    # B sessions, T = 19 steps, L = 35 log columns, F = 31 track features, E = 24 encoded ones.
    rate = _DROPOUT if dropout is None else dropout
    steps, features = schema.BRANCH_SHAPES["previous_tracks"]
    inputs = {name: keras.Input(shape, name=name) for name, shape in schema.BRANCH_SHAPES.items()}

    real = ops.cast(ops.not_equal(inputs["skip_sequence"], schema.SKIP_PADDING), "float32")  # (B, T, 1)
    outcome = (2.0 * inputs["skip_sequence"] - 1.0) * real  # (B, T, 1): 1 played, -1 skipped, 0 padding

    # Seek counts reach into the dozens; their log keeps 0 and 1 apart. ONNX knows log, but not log1p.
    logs = ops.log(1.0 + inputs["session_log"])  # (B, T, L)
    logs = _normalization(map(np.log1p, _real_steps(training_inputs, "session_log")), "log_normalization")(
        logs
    )
    logs = ops.clip(logs, -_CLIP, _CLIP)
    logs = layers.Dense(_LOG_UNITS, "tanh", name="log_dense")(logs)  # (B, T, L) -> (B, T, 24)
    logs = layers.Dropout(rate)(logs) * real

    last = layers.Reshape((1, features))(inputs["last_track"])  # (B, F) -> (B, 1, F)
    tracks = layers.Concatenate(axis=1)([inputs["previous_tracks"], last])  # (B, T + 1, F)
    tracks = _normalization(_real_steps(training_inputs, "previous_tracks"), "track_normalization")(tracks)
    tracks = layers.Dense(_TRACK_UNITS, "tanh", name="track_dense")(tracks)  # (B, T + 1, E)
    previous = tracks[:, :steps] * real  # (B, T, E)
    last = tracks[:, steps:]  # (B, 1, E)

    session = layers.Concatenate()([logs, previous, outcome, real])  # (B, T, 24 + E + 2)
    state = layers.GRU(_STATE_UNITS, name="session_gru")(session)  # (B, 48)

    # What became of tracks like this one: attention of the last track over the earlier ones.
    likeness = ops.matmul(last, ops.transpose(previous, (0, 2, 1))) / _TRACK_UNITS**0.5  # (B, 1, T)
    hidden = ops.transpose(1.0 - real, (0, 2, 1)) * -1e9  # (B, 1, T): no weight on padding
    weights = ops.softmax(likeness + hidden)  # (B, 1, T)
    alike = ops.matmul(weights, layers.Concatenate()([outcome, previous]))  # (B, 1, 1 + E)
    # What this listener plays, less what they skip, and where the last track agrees with it.
    taste = ops.matmul(ops.transpose(outcome, (0, 2, 1)), previous) / steps  # (B, 1, E)
    agreement = taste * last  # (B, 1, E)
    music = layers.Concatenate()([last, alike, taste, agreement])  # (B, 1, 4 E + 1)
    music = layers.Flatten()(music)  # (B, 4 E + 1)

    joined = layers.Concatenate()([state, music])  # (B, 48 + 4 E + 1)
    joined = layers.Dropout(rate)(joined)
    joined = layers.Dense(_HEAD_UNITS, "tanh", name="head_dense")(joined)  # (B, 32)
    joined = layers.Dropout(rate)(joined)
    output = layers.Dense(2, "softmax", name="outcome")(joined)  # (B, 2)
    return keras.Model(inputs, output, name="fast")


def _real_steps(training_inputs: Mapping[str, np.ndarray], name: str) -> Iterator[np.ndarray]:
    """The steps of one branch that are not padding, (rows, columns), some sessions at a time."""
    for start in range(0, len(training_inputs[name]), _SESSIONS_AT_ONCE):
        some = slice(start, start + _SESSIONS_AT_ONCE)
        real = training_inputs["skip_sequence"][some][:, :, 0] != schema.SKIP_PADDING  # (m, T)
        yield training_inputs[name][some][real]


def _normalization(parts: Iterable[np.ndarray], name: str) -> keras.Layer:
    """(x - mean) / sqrt(variance) of the last axis, with the statistics of all parts (rows, columns).

    Means and variances of parts are merged as in Chan, Golub and LeVeque (1979). A ``Rescaling`` rather than
    a ``Normalization``, whose statistics are lost on the way to ONNX.
    """
    count, mean, squares = 0, np.zeros(1), np.zeros(1)
    for rows in parts:
        more = len(rows)
        offset = rows.mean(axis=0, dtype=np.float64) - mean
        squares = squares + rows.var(axis=0, dtype=np.float64) * more
        squares = squares + offset**2 * (count * more / (count + more))
        mean = mean + offset * (more / (count + more))
        count += more
    scale = 1.0 / np.sqrt(squares / count + _VARIANCE_FLOOR)
    return layers.Rescaling(scale=scale.tolist(), offset=(-mean * scale).tolist(), name=name)
