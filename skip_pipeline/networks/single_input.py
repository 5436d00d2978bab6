"""The published ablation: one input with all columns, and two LSTMs.

The publication states only this, and an accuracy of 0.66 on the real mini set against 0.75 for four branches.
Widths, activations, dropout, head and training are therefore those of the published log branch and head
(``networks.published``), so that the two networks differ only in what is compared. The last track, which has
no time step of its own, is repeated at every step.
"""

from __future__ import annotations

from typing import Final

import keras
from keras import layers

from skip_pipeline import schema

_UNITS: Final = 128  # as in the published log branch
_DROPOUT: Final = 0.4  # as after each of its LSTMs


def build_single_input(dropout: float | None = None) -> keras.Model:
    """Build the ablation: 248,066 parameters, relu in both LSTMs, two sigmoids at the end.

    It takes the four branches and joins them itself, so that training, saving and serving are the same for
    every network. Arguments and result are those of ``build_published``. There is no mask either: padding is
    treated as history.
    """
    # B sessions, T = 19 steps, L = 35 log columns, F = 31 track features.
    rate = _DROPOUT if dropout is None else dropout
    inputs = {name: keras.Input(shape, name=name) for name, shape in schema.BRANCH_SHAPES.items()}
    last = layers.RepeatVector(schema.STEPS, name="last_track_at_every_step")(inputs["last_track"])
    everything = layers.Concatenate(name="everything")(
        [inputs["session_log"], inputs["previous_tracks"], inputs["skip_sequence"], last]
    )  # (B, T, L + F + 1 + F) = (B, 19, 98)
    states = layers.LSTM(_UNITS, "relu", return_sequences=True, name="lstm_1")(everything)  # (B, T, 128)
    states = layers.Dropout(rate)(states)
    state = layers.LSTM(_UNITS, "relu", name="lstm_2")(states)  # (B, 128)
    state = layers.Dropout(rate)(state)
    output = layers.Dense(2, "sigmoid", dtype="float32", name="outcome")(state)  # (B, 2)
    return keras.Model(inputs, output, name="single_input")
