"""The four-branch network as published for the mini set, layer by layer.

Its training settings are ``settings.PRESETS["published"]``. Every other network is compared with this one, so
it is not to be improved.
"""

from __future__ import annotations

from typing import Final

import keras
from keras import layers

from skip_pipeline import schema

# Units of the layers, as published.
_LOG_UNITS: Final = 128
_SKIP_UNITS: Final = 264
_TRACK_UNITS: Final = 128
_LAST_TRACK_UNITS: Final = 64

# Dropout rates, as published.
_BRANCH_DROPOUT: Final = 0.4  # within a branch
_PAIR_DROPOUT: Final = 0.5  # after two branches join
_HEAD_DROPOUT: Final = 0.4


def build_published(dropout: float | None = None) -> keras.Model:
    """Build the published network: 1,275,954 parameters, relu throughout, two sigmoids at the end.

    The two sigmoids are trained apart and need not add up to one. Relu keeps its LSTMs off a GPU's
    fused kernels, and without a mask it reads the padding as if it were history; both are as published.

    Args:
        dropout: one rate in place of all the published ones; None keeps those.

    Returns:
        A model that is not compiled. Inputs: ``schema.BRANCH_SHAPES``, float32. Output: float32 (B, 2),
        column 0 "skipped", column 1 "not skipped".
    """
    # B sessions, T = 19 steps, L = 35 log columns, F = 31 track features.
    rates = (_BRANCH_DROPOUT, _PAIR_DROPOUT, _HEAD_DROPOUT)
    branch, pair, head = rates if dropout is None else (dropout,) * 3
    inputs = {name: keras.Input(shape, name=name) for name, shape in schema.BRANCH_SHAPES.items()}

    logs = _two_lstms(inputs["session_log"], _LOG_UNITS, branch, "log")  # (B, T, L) -> (B, 128)
    skips = _two_lstms(inputs["skip_sequence"], _SKIP_UNITS, branch, "skip")  # (B, T, 1) -> (B, 264)
    tracks = _two_lstms(inputs["previous_tracks"], _TRACK_UNITS, branch, "track")  # (B, T, F) -> (B, 128)

    last = inputs["last_track"]  # (B, F)
    last = layers.Dense(_LAST_TRACK_UNITS, "relu", name="last_dense_1")(last)  # (B, 64)
    last = layers.Dropout(branch)(last)
    last = layers.Dense(_LAST_TRACK_UNITS, "relu", name="last_dense_2")(last)  # (B, 64)

    behaviour = layers.Dropout(pair)(layers.Concatenate()([logs, skips]))  # (B, 392)
    music = layers.Dropout(pair)(layers.Concatenate()([last, tracks]))  # (B, 192)
    joined = layers.Dropout(head)(layers.Concatenate()([behaviour, music]))  # (B, 584)
    output = layers.Dense(2, "sigmoid", dtype="float32", name="outcome")(joined)  # (B, 2)
    return keras.Model(inputs, output, name="published")


def _two_lstms(sequence: keras.KerasTensor, units: int, dropout: float, name: str) -> keras.KerasTensor:
    states = layers.LSTM(units, "relu", return_sequences=True, name=f"{name}_lstm_1")(sequence)
    states = layers.Dropout(dropout)(states)  # (B, T, units)
    state = layers.LSTM(units, "relu", name=f"{name}_lstm_2")(states)  # (B, units)
    return layers.Dropout(dropout)(state)
