"""The default network: four small branches that meet before every track of a session.

Only the architecture stands here; its training settings are ``settings.PRESETS["fast"]``, and what was tried
on the way to it is in ``docs/networks.md``. It takes the same inputs as the published network, unscaled log
columns included, and normalises them itself, so one bundle serves both.

A session of 20 tracks is 20 examples: before each of its tracks the network says how likely it is to be
played, from the tracks before it alone. It learns from all of them (``every_track``), and is asked for the
last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import keras
import numpy as np
from keras import layers, ops

from skip_pipeline import schema
from skip_pipeline.networks.belief import before, believe, late
from skip_pipeline.networks.listening import OUTCOMES, PLAYED, in_parts, log_column
from skip_pipeline.networks.tastes import DIRECTIONS, FEATURES, Tastes

# Widths. Twice each gained nothing on 7,000 sessions, and took half as long again.
_LOG_UNITS: Final = 12
_TRACK_UNITS: Final = 12
_STATE_UNITS: Final = 16
_HEAD_UNITS: Final = 32

_VARIANCE_FLOOR: Final = 1e-4
"""Added to every variance: a column that never varies in training divides by 0.01, not by nothing."""

_CLIP: Final = 5.0
"""Normalised log columns end at ±5 standard deviations: one rare level must not drown the others."""

_TRACK_CLIP: Final = 4.0
"""As in ``networks.tastes``: one odd track must not make a session's taste."""

_LAST: Final = 3.0
"""What says "this is the last track", in place of 1: a large input learns faster, and of the tracks that the
network learns from, one in 17 is a last one."""

_FLAGS: Final = slice(log_column("skip_1"), log_column(schema.LABEL) + 1)
"""The three nested skip flags and ``not_skipped``, side by side in the log's branch."""

_LOG_ODDS: Final = "log_odds"


def build_fast(training_inputs: Mapping[str, np.ndarray], dropout: float | None = None) -> keras.Model:
    """Build the fast network, about 4,400 parameters.

    Tracks, previous and last, go through one shared encoding. A GRU reads log, tracks and outcomes. Beside
    it, each outcome, less what the GRU's state led to expect, tells of the listener's patience and taste
    (``networks.belief``), whose keys and scales begin where a method of moments puts them
    (``networks.tastes``) and are trained on from there.

    The GRU has the settings that a GPU's fused kernel asks for: tanh, sigmoid, bias, reset after the
    product, no recurrent dropout, not unrolled, and no mask, because cuDNN takes only masks that pad
    behind, and sessions are padded in front. Padding is therefore zeroed by hand, with a channel that
    says which steps are real and takes the bias's place: the bias itself stays 0, so that padding leaves
    the state at 0, and a session means the same with however much of it in front.

    Args:
        training_inputs: the training split's branches (``schema.BRANCH_SHAPES``), from which the
            normalisation of log columns and track features is taken, over real steps only, and the first
            idea of tastes. They are read some thousand sessions at a time, and need not be in memory.
        dropout: the rate in the head; None for none.

    Returns:
        A model that is not compiled. Inputs: ``schema.BRANCH_SHAPES``, float32. Output: float32 (B, 2),
        which add up to 1; column 0 "skipped", column 1 "not skipped".
    """
    # B sessions, T = 19 steps, L = 35 log columns, F = 31 track features, K = 4 directions of taste.
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
    logs = layers.Dense(_LOG_UNITS, "tanh", name="log_dense")(logs) * real  # (B, T, 12)

    last = layers.Reshape((1, features), name="last_of_all")(inputs["last_track"])  # (B, F) -> (B, 1, F)
    tracks = layers.Concatenate(axis=1, name="tracks")([inputs["previous_tracks"], last])  # (B, T + 1, F)
    tracks = _normalization(_real_steps(training_inputs, "previous_tracks"), "track_normalization")(tracks)
    tracks = ops.clip(tracks, -_TRACK_CLIP, _TRACK_CLIP)
    music = layers.Dense(_TRACK_UNITS, "tanh", name="track_dense")(tracks)  # (B, T + 1, 12)

    session = layers.Concatenate(name="session")([logs, music[:, :steps] * real, outcome, real])
    state = layers.GRU(_STATE_UNITS, return_sequences=True, name="session_gru")(session)  # (B, T, 16)
    state = late(state)  # (B, T + 1, 16), before each target

    # How each track was received, in units of what nobody can foresee.
    received = layers.Dense(1, name="outcome_value")(inputs["session_log"][:, :, _FLAGS])  # (B, T, 1)
    expected = layers.Dense(1, kernel_initializer="zeros", name="expected_value")(state[:, :steps])
    trust = layers.Dense(1, kernel_initializer="zeros", name="trust")(logs)  # (B, T, 1)
    keys = layers.Dense(DIRECTIONS, use_bias=False, name="taste_keys")(tracks)  # (B, T + 1, K)
    patience_key = layers.Dense(1, use_bias=False, name="patience_key")(ops.ones_like(tracks[:, :, :1]))
    belief = believe(patience_key, keys, (received - expected) * real, ops.exp(trust / 2.0) * real, real)

    position = before(real[:, :, 0])[:, :, None] + 1.0  # (B, T + 1, 1)
    length = inputs["session_log"][:, steps - 1 :, log_column(schema.LENGTH)][:, :, None]  # (B, 1, 1)
    is_last = ops.cast(ops.equal(position, length), "float32")
    # A session cut to the greatest length ends, but nobody leaves.
    leaves = is_last * ops.cast(ops.less(length, schema.MAX_SESSION_LENGTH), "float32")

    known = layers.Concatenate(name="known")(
        [
            state,
            music,
            keys,
            belief.patience,
            belief.taste,
            late(outcome),
            _LAST * is_last,
            _LAST * leaves,
            ops.log(position),
        ]
    )  # (B, T + 1, 38)
    hidden = layers.Dense(_HEAD_UNITS, "tanh", name="head_dense")(known)  # (B, T + 1, 32)
    if dropout:
        hidden = layers.Dropout(dropout, name="head_dropout")(hidden)
    curved = layers.Dense(1, kernel_initializer="zeros", name="curved")(hidden)
    straight = layers.Dense(1, use_bias=False, kernel_initializer="zeros", name="straight")(known)
    log_odds = layers.Add(name=_LOG_ODDS)([curved, straight])  # (B, T + 1, 1)
    not_skipped = ops.sigmoid(log_odds[:, steps, :])  # (B, 1)
    output = layers.Concatenate(name="outcome")([1.0 - not_skipped, not_skipped])  # (B, 2)
    network = keras.Model(inputs, output, name="fast")
    network.get_layer("session_gru").cell.bias.trainable = False
    _begin_with(network, Tastes.fit(training_inputs))
    return network


def every_track(network: keras.Model) -> keras.Model:
    """The same network, with the same weights, saying of every track what it says of the last.

    Returns:
        A model of the same inputs. Output: float32 (B, 20, 1), log-odds that each track is played to its end,
        given the tracks before it; of padding they mean nothing.
    """
    return keras.Model(network.inputs, network.get_layer(_LOG_ODDS).output, name="fast_every_track")


def _begin_with(network: keras.Model, tastes: Tastes) -> None:
    """Give the belief's layers the values that a method of moments has found."""
    noise = tastes.noise**0.5
    directions = np.zeros((len(schema.TRACK_BRANCH), DIRECTIONS))
    directions[[schema.TRACK_BRANCH.index(name) for name in FEATURES]] = tastes.directions / noise
    # Depth, PLAYED less a skip flag each less one if not played to the end, from its middle on.
    flags = np.array([[-1.0], [-1.0], [-1.0], [1.0]]) / noise
    beginning: dict[str, list[Any]] = {
        "outcome_value": [flags, [(PLAYED - 1.0 - (len(OUTCOMES) - 1) / 2.0) / noise]],
        "taste_keys": [directions],
        "patience_key": [[[tastes.patience**0.5 / noise]]],
    }
    for name, values in beginning.items():
        network.get_layer(name).set_weights([np.asarray(value, np.float32) for value in values])


def _real_steps(training_inputs: Mapping[str, np.ndarray], name: str) -> Iterator[np.ndarray]:
    """The steps of one branch that are not padding, (rows, columns), some sessions at a time."""
    for part in in_parts(training_inputs, ("skip_sequence", name)):
        yield part[name][part["skip_sequence"][:, :, 0] != schema.SKIP_PADDING]


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
