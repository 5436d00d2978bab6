"""The default network: four small branches, joined before every track of a session.

The training settings are ``settings.PRESETS["fast"]``, and what was tried is in ``docs/networks.md``. The
network takes the same inputs as the published one and normalises them itself, so that one bundle serves both.

A session of 20 tracks is 20 examples: for each track, the network gives the probability that it is played,
from the tracks before it alone. Training uses all of them (``every_track``), prediction the last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import keras
import numpy as np
import sklearn
from keras import layers, ops
from sklearn.preprocessing import StandardScaler

from skip_pipeline import schema
from skip_pipeline.networks.belief import before, believe, late
from skip_pipeline.networks.listening import OUTCOMES, PLAYED, in_parts, log_column
from skip_pipeline.networks.tastes import DIRECTIONS, FEATURES, Tastes

# Widths. Twice these gained nothing on 7,000 sessions, and took 1.5 times as long.
_LOG_UNITS: Final = 12
_TRACK_UNITS: Final = 12
_STATE_UNITS: Final = 16
_HEAD_UNITS: Final = 32

_VARIANCE_FLOOR: Final = 1e-4
"""Added to every variance, so that a column that is constant in training is divided by 0.01 and not by 0."""

# Standard deviations at which normalised inputs are clipped, so that one rare level does not dominate.
_LOG_CLIP: Final = 5.0
_TRACK_CLIP: Final = 4.0  # as in ``networks.tastes``

_LAST: Final = 3.0
"""Value of the flag "this is the last track", in place of 1: only one training example in 17 has it, and the
weights of a larger input are learnt faster."""

_FLAGS: Final = slice(log_column("skip_1"), log_column(schema.LABEL) + 1)
"""The three nested skip flags and ``not_skipped``, side by side in the log's branch."""

_LOG_ODDS: Final = "log_odds"


def build_fast(training_inputs: Mapping[str, np.ndarray], dropout: float | None = None) -> keras.Model:
    """Build the fast network, about 4,400 parameters.

    Previous tracks and the last track share one encoding. A GRU reads log, tracks and outcomes. Each outcome,
    minus the outcome expected from the GRU's state, is an observation of the listener's patience and taste
    (``networks.belief``). The keys and scales of that regression start at the values of a method of moments
    (``networks.tastes``), and are trained.

    The GRU has the settings of cuDNN's fused kernel: tanh, sigmoid, bias, reset after the product, no
    recurrent dropout, not unrolled, and no mask, because cuDNN only takes masks with padding at the end, and
    sessions are padded in front. Instead, padded steps are set to 0, and an input channel that is 1 at real
    steps replaces the bias, which stays 0. So padding leaves the state at 0, and the length of the padding
    does not change a result.

    Args:
        training_inputs: the training split's branches, in memory or not, from which the normalisation of log
            columns and track features is taken, over real steps only, and the initial tastes.
        dropout: the rate in the head; None for no dropout.

    Returns:
        A model that is not compiled. Inputs: ``schema.BRANCH_SHAPES``, float32. Output: float32 (B, 2),
        column 0 "skipped", column 1 "not skipped"; they add up to 1.
    """
    # B sessions, T = 19 steps, L = 35 log columns, F = 31 track features, K = 4 directions of taste.
    steps, features = schema.BRANCH_SHAPES["previous_tracks"]
    inputs = {name: keras.Input(shape, name=name) for name, shape in schema.BRANCH_SHAPES.items()}

    real = ops.cast(ops.not_equal(inputs["skip_sequence"], schema.SKIP_PADDING), "float32")  # (B, T, 1)
    outcome = (2.0 * inputs["skip_sequence"] - 1.0) * real  # (B, T, 1): 1 played, -1 skipped, 0 padding

    # The logarithm keeps counts of 0 and 1 apart, although some counts reach dozens. ONNX has no log1p.
    logs = ops.log(1.0 + inputs["session_log"])  # (B, T, L)
    of_logs, of_tracks = _normalizations(training_inputs)
    logs = ops.clip(of_logs(logs), -_LOG_CLIP, _LOG_CLIP)
    logs = layers.Dense(_LOG_UNITS, "tanh", name="log_dense")(logs) * real  # (B, T, 12)

    last = layers.Reshape((1, features), name="last_of_all")(inputs["last_track"])  # (B, F) -> (B, 1, F)
    tracks = layers.Concatenate(axis=1, name="tracks")([inputs["previous_tracks"], last])  # (B, T + 1, F)
    tracks = ops.clip(of_tracks(tracks), -_TRACK_CLIP, _TRACK_CLIP)
    music = layers.Dense(_TRACK_UNITS, "tanh", name="track_dense")(tracks)  # (B, T + 1, 12)

    session = layers.Concatenate(name="session")([logs, music[:, :steps] * real, outcome, real])
    state = layers.GRU(_STATE_UNITS, return_sequences=True, name="session_gru")(session)  # (B, T, 16)
    state = late(state)  # (B, T + 1, 16), before each target

    # How well each track was received, in standard deviations of the noise.
    received = layers.Dense(1, name="outcome_value")(inputs["session_log"][:, :, _FLAGS])  # (B, T, 1)
    expected = layers.Dense(1, kernel_initializer="zeros", name="expected_value")(state[:, :steps])
    trust = layers.Dense(1, kernel_initializer="zeros", name="trust")(logs)  # (B, T, 1)
    keys = layers.Dense(DIRECTIONS, use_bias=False, name="taste_keys")(tracks)  # (B, T + 1, K)
    patience_key = layers.Dense(1, use_bias=False, name="patience_key")(ops.ones_like(tracks[:, :, :1]))
    belief = believe(patience_key, keys, (received - expected) * real, ops.exp(trust / 2.0) * real, real)

    position = before(real[:, :, 0])[:, :, None] + 1.0  # (B, T + 1, 1)
    length = inputs["session_log"][:, steps - 1 :, log_column(schema.LENGTH)][:, :, None]  # (B, 1, 1)
    is_last = ops.cast(ops.equal(position, length), "float32")
    # A session of the greatest length was cut there: its last track is not the one the listener left after.
    leaves = is_last * ops.cast(ops.less(length, schema.MAX_SESSION_LENGTH), "float32")

    flags = [late(outcome), _LAST * is_last, _LAST * leaves, ops.log(position)]
    known = [state, music, keys, belief.patience, belief.taste, *flags]
    known = layers.Concatenate(name="known")(known)  # (B, T + 1, 38)
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
    """A network of the same inputs and weights, with an output for every track.

    Returns:
        Output: float32 (B, 20, 1), log-odds that each track is played to its end, given the tracks before it;
        undefined in padding.
    """
    return keras.Model(network.inputs, network.get_layer(_LOG_ODDS).output, name="fast_every_track")


def _begin_with(network: keras.Model, tastes: Tastes) -> None:
    """Set the initial weights of the belief's layers to the values of the method of moments."""
    noise = tastes.noise**0.5
    directions = np.zeros((len(schema.TRACK_BRANCH), DIRECTIONS))
    directions[[schema.TRACK_BRANCH.index(name) for name in FEATURES]] = tastes.directions / noise
    # Depth (PLAYED minus the skip flags, minus 1 if not played to the end) minus its middle.
    flags = np.array([[-1.0], [-1.0], [-1.0], [1.0]]) / noise
    beginning: dict[str, list[Any]] = {
        "outcome_value": [flags, [(PLAYED - 1.0 - (len(OUTCOMES) - 1) / 2.0) / noise]],
        "taste_keys": [directions],
        "patience_key": [[[tastes.patience**0.5 / noise]]],
    }
    for name, values in beginning.items():
        network.get_layer(name).set_weights([np.asarray(value, np.float32) for value in values])


def _normalizations(training_inputs: Mapping[str, np.ndarray]) -> tuple[keras.Layer, keras.Layer]:
    """(x - mean) / sqrt(variance) of logarithms of log columns, and of track features, over real steps."""
    logs, tracks = StandardScaler(), StandardScaler()
    # Values that are not finite pass, and are reported once they have spoilt the loss.
    with sklearn.config_context(assume_finite=True):
        for part in in_parts(training_inputs, ("skip_sequence", "session_log", "previous_tracks")):
            real = part["skip_sequence"][:, :, 0] != schema.SKIP_PADDING
            logs.partial_fit(np.log1p(part["session_log"][real]).astype(np.float64))
            tracks.partial_fit(part["previous_tracks"][real].astype(np.float64))

    def layer(scaler: StandardScaler, name: str) -> keras.Layer:
        scale = 1.0 / np.sqrt(scaler.var_ + _VARIANCE_FLOOR)
        return layers.Rescaling(scale=scale.tolist(), offset=(-scaler.mean_ * scale).tolist(), name=name)

    return layer(logs, "log_normalization"), layer(tracks, "track_normalization")
