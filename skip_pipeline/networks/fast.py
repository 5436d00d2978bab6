"""The default network: four small branches, joined before every track of a session.

The training settings are ``settings.PRESETS["fast"]``, and what was tried is in ``docs/networks.md``. The
network takes the published four inputs, and beside them the hour and premium, what other sessions did with
each track, and how many steps a target may see. It normalises its inputs itself.

A session of 20 tracks is 20 examples: for each track, the network gives the probabilities of its outcomes
from the tracks before it that it may see. Training uses all of them (``every_track``). A prediction is about
the tracks that are asked for: the next one, candidates for it, or the tracks after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import keras
import numpy as np
import sklearn
from keras import layers, ops
from sklearn.preprocessing import StandardScaler

from skip_pipeline import schema
from skip_pipeline.networks.listening import in_parts, log_column
from skip_pipeline.networks.reception import Covariance, Heard, average, regress

# Widths. Twice these gained nothing on 7,000 sessions, and took 1.5 times as long.
_LOG_UNITS: Final = 12
_TRACK_UNITS: Final = 12
_STATE_UNITS: Final = 16
_HEAD_UNITS: Final = 32

_DIRECTIONS: Final = 4  # of taste in the regression: K
_DIMENSIONS: Final = 6  # of the space of the averages' kernel: E

_VARIANCE_FLOOR: Final = 1e-4
"""Added to every variance, so that a column that is constant in training is divided by 0.01 and not by 0."""

# Standard deviations at which normalised inputs are clipped, so that one rare level does not dominate.
_LOG_CLIP: Final = 5.0
_TRACK_CLIP: Final = 4.0

_NOISE_CLIP: Final = 4.0  # of the logarithm of a step's noise, which keeps the regression well-conditioned

_LAST: Final = 3.0
"""Value of the flag "this is the last track", in place of 1: only one training example in 17 has it, and the
weights of a larger input are learnt faster."""

_FEATURES: Final = slice(1, len(schema.TRACK_BRANCH) - 1)
"""Track features that are used: all but the track's number, whose order has no meaning, and ``mode_minor``,
which is 1 where ``mode_major`` is 0."""

_FLAGS: Final = slice(log_column("skip_1"), log_column(schema.LABEL) + 1)
"""The three nested skip flags and ``not_skipped``, side by side in the log's branch."""

_OWN: Final = 2  # numbers of a track's memory before its company, which has its scale already

_LEADING: Final = 32
"""Coordinates of the company that the layers read; the regression takes all as directions of one scale. With
all 96, log-loss over all tracks was 0.0022 higher on the default world and ``regions`` (7,000 sessions), and
0.0014 higher on the whole history of one real listener. With 16 it was 0.0008 lower there, 0.0008 higher on
that history, and 0.0015 higher on two years of it."""

_LOG_ODDS: Final = "log_odds"
_VARIANCES: Final = "log_variances"
_KERNEL: Final = "log_kernel"
_ALIKE: Final = "log_scale_of_company"

_BEGIN: Final[dict[str, tuple[float, ...]]] = {
    _VARIANCES: (-1.0, -1.5, -1.0, -1.0),  # listener, mood, own, fading
    _KERNEL: (-2.0, 0.0),  # fading, prior weight
    _ALIKE: (-2.5,),  # scale of the company, whose usual squared length is its number of coordinates
}
"""Initial logarithms of numbers of the regression, and of what the averages need."""

# Standard deviations of initial weights, small, so that tastes are near 0 when training starts.
_KEYS_DEVIATION: Final = 0.1
_PLACES_DEVIATION: Final = 0.15


def build_fast(training_inputs: Mapping[str, np.ndarray], dropout: float | None = None) -> keras.Model:
    """Build the fast network, 6,598 parameters.

    A GRU reads log, tracks and outcomes of the earlier tracks. How well each was received, minus what the
    GRU's state before it led to expect, enters a regression and averages (``networks.reception``), which
    carry it over to the targets. A head joins all of that with what is known of the target.

    The GRU has the settings of cuDNN's fused kernel: tanh, sigmoid, bias, reset after the product, no
    recurrent dropout, not unrolled, and no mask, because cuDNN only takes masks with padding at the end, and
    sessions are padded in front. Instead, padded steps are set to 0, and an input channel that is 1 at real
    steps replaces the bias, which stays 0. So padding leaves the state at 0, and the length of the padding
    does not change a result.

    Args:
        training_inputs: the training split, in memory or not, from which the normalisation of log columns,
            track features and track memory is taken, over real steps only.
        dropout: the rate in the head; None for no dropout.

    Returns:
        A model that is not compiled. Inputs: ``schema.INPUT_SHAPES``, float32; N = 1 target. Output: float32
        (B, P, 4), the probabilities of ``schema.OUTCOME_FLAGS`` for each step, undefined in padding, and
        then for each target.
    """
    # B sessions, T = 19 steps, N tracks asked for, P = T + N targets, F = 29 track features.
    inputs = {name: keras.Input(shape, name=name) for name, shape in schema.INPUT_SHAPES.items()}
    real = ops.cast(ops.not_equal(inputs["skip_sequence"], schema.SKIP_PADDING), "float32")  # (B, T, 1)
    outcome = (2.0 * inputs["skip_sequence"] - 1.0) * real  # (B, T, 1): 1 played, -1 skipped, 0 padding
    targets = _targets(inputs, real)
    around = layers.Reshape((1, -1), name="around")(inputs["circumstances"])  # (B, 1, 5)

    of_logs, of_tracks, of_memory = _normalizations(training_inputs)
    # The logarithm keeps counts of 0 and 1 apart, although some counts reach dozens. ONNX has no log1p.
    logs = ops.clip(of_logs(ops.log(1.0 + inputs["session_log"])), -_LOG_CLIP, _LOG_CLIP)
    logs = layers.Concatenate(name="log_columns")([logs, around + 0.0 * real])
    logs = layers.Dense(_LOG_UNITS, "tanh", name="log_dense")(logs) * real  # (B, T, 12)

    asked = layers.Reshape((-1, len(schema.TRACK_BRANCH)), name="asked")(inputs["last_track"])  # (B, N, 31)
    tracks = layers.Concatenate(axis=1, name="tracks")([inputs["previous_tracks"], asked])  # (B, P, 31)
    tracks = ops.clip(of_tracks(tracks[:, :, _FEATURES]), -_TRACK_CLIP, _TRACK_CLIP)
    memory, company = inputs["track_memory"][:, :, :_OWN], inputs["track_memory"][:, :, _OWN:]
    memory = ops.clip(of_memory(memory), -_TRACK_CLIP, _TRACK_CLIP)  # (B, P, 2)
    leading = company[:, :, :_LEADING]
    tracks = layers.Concatenate(name="tracks_and_memory")([tracks, memory, leading])  # (B, P, F + 2 + 32)
    music = layers.Dense(_TRACK_UNITS, "tanh", name="track_dense")(tracks) * targets.exist  # (B, P, 12)

    session = layers.Concatenate(name="session")([logs, music[:, : schema.STEPS] * real, outcome, real])
    state = layers.GRU(_STATE_UNITS, return_sequences=True, name="session_gru")(session)  # (B, T, 16)

    # How well each track was received, in standard deviations of the noise.
    received = layers.Dense(1, name="outcome_value")(inputs["session_log"][:, :, _FLAGS])  # (B, T, 1)
    reasons = [_late(state)[:, : schema.STEPS], memory[:, : schema.STEPS], around + 0.0 * real]
    reasons = layers.Concatenate(name="reasons")(reasons)
    expected = layers.Dense(1, kernel_initializer="zeros", name="expected_value")(reasons)
    heard = Heard((received - expected) * real, targets.seen, targets.distance)
    keys = layers.Dense(
        _DIRECTIONS, use_bias=False, kernel_initializer=_normal(_KEYS_DEVIATION), name="taste_keys"
    )(tracks)
    numbers = inputs["track_numbers"]
    same = ops.equal(numbers[:, : schema.STEPS, None], numbers[:, None, :])
    same = ops.cast(same, "float32")  # (B, T, P)
    reception = regress(heard, _covariance(keys, company, same, real), _noise(logs), real)
    place = layers.Dense(
        _DIMENSIONS, use_bias=False, kernel_initializer=_normal(_PLACES_DEVIATION), name="kernel_place"
    )(tracks)
    averages = average(heard, place, outcome, *_positive(real, _KERNEL))
    again = same * targets.seen  # (B, T, P)
    again = [ops.sum(each, axis=1)[:, :, None] for each in (again, again * outcome)]  # (B, P, 1) each

    appeal = inputs["track_memory"][:, :, :1]  # in log-odds
    of_session = _last_seen(targets, layers.Concatenate(name="last_step")([state, logs]))
    of_target = [music, memory, appeal, around + 0.0 * targets.position, keys]
    where = _where(inputs, targets)
    known = [of_session, *of_target, *reception, *averages, *again, *where]
    known = layers.Concatenate(name="known")(known)  # (B, P, 99)
    hidden = layers.Dense(_HEAD_UNITS, "tanh", name="head_dense")(known)  # (B, P, 32)
    if dropout:
        hidden = layers.Dropout(dropout, name="head_dropout")(hidden)
    levels = len(schema.OUTCOME_FLAGS)
    curved = layers.Dense(levels, kernel_initializer="zeros", name="curved")(hidden)
    straight = layers.Dense(levels, use_bias=False, kernel_initializer="zeros", name="straight")(known)
    log_odds = layers.Add(name=_LOG_ODDS)([curved, straight])  # (B, P, 4)
    network = keras.Model(inputs, _flags(log_odds), name="fast")
    network.get_layer("session_gru").cell.bias.trainable = False
    _set_positive(network)
    return network


def every_track(network: keras.Model) -> keras.Model:
    """A network of the same inputs and weights, with an output for every track.

    Returns:
        Output: float32 (B, 20, 4), undefined in padding. Log-odds that each track is played to its end; that
        it gets past ``skip_3``, given that it is not; past ``skip_2``, given that it does not; and so on.
    """
    return keras.Model(network.inputs, network.get_layer(_LOG_ODDS).output, name="fast_every_track")


class _Targets(NamedTuple):
    """Where each target lies in its session, and which steps it sees."""

    exist: Any  # (B, P, 1), 1 for a track, 0 for padding
    position: Any  # (B, P, 1), from 1; 0 in padding
    seen: Any  # (B, T, P), 1 where a step is before the target and may be seen
    distance: Any  # (B, T, P), the target's position less that of the step
    visible: Any  # (B, 1, 1), how many of the first steps may be seen, padding included
    cut: Any  # (B, P, 1), 1 where steps before the target may not be seen


def _targets(inputs: Mapping[str, Any], real: Any) -> _Targets:
    """Targets are the tracks of the steps, then those that are asked for."""
    steps = schema.STEPS
    between = layers.Reshape((-1, 1), name="between")(inputs["tracks_between"])  # (B, N, 1)
    visible = layers.Reshape((1, 1), name="visible")(inputs["visible_steps"])  # (B, 1, 1)
    one = ops.ones_like(between)  # (B, N, 1)
    exist = layers.Concatenate(axis=1, name="exists")([real, one])  # (B, P, 1)
    number = ops.cumsum(real, axis=1)  # (B, T, 1), position of steps
    position = layers.Concatenate(axis=1, name="position")([number, number[:, steps - 1 :] + between + one])
    slots = np.arange(steps, dtype=np.float32)[None, :, None]  # (1, T, 1)
    before = layers.Concatenate(axis=1, name="before")([0.0 * real + slots, steps * one])  # (B, P, 1)
    cut = ops.cast(ops.less(visible, before), "float32")
    before = ops.minimum(before, visible)
    seen = ops.cast(ops.less(slots, ops.transpose(before, (0, 2, 1))), "float32") * real
    distance = ops.transpose(position, (0, 2, 1)) - number
    return _Targets(exist, position, seen, distance, visible, cut)


def _last_seen(targets: _Targets, of_steps: Any) -> Any:
    """The last step that each target sees: (B, T, C) to (B, P, C), zeros where it sees none."""
    steps = schema.STEPS
    before = _late(of_steps)  # (B, T + 1, C)
    last = ops.equal(np.arange(steps + 1, dtype=np.float32)[None, :, None], targets.visible)
    last = ops.sum(before * ops.cast(last, "float32"), axis=1, keepdims=True)  # (B, 1, C)
    asked = before[:, steps:] + 0.0 * targets.exist[:, steps:]  # (B, N, C)
    own = ops.concatenate([before[:, :steps], asked], axis=1)  # (B, P, C), without a cut
    return (1.0 - targets.cut) * own + targets.cut * last


def _late(steps: Any) -> Any:
    """The step before each place, zeros before the first: (B, T, C) to (B, T + 1, C)."""
    return ops.pad(steps, [[0, 0], [1, 0], [0, 0]])


def _covariance(keys: Any, company: Any, same: Any, real: Any) -> Covariance:
    """The regression's covariance, with trained variances; shapes as in ``Covariance``.

    Beside the directions of taste, the company of tracks has directions of its own, all of one scale, so that
    tracks of the same company are received alike.
    """
    (scale,) = _positive(real, _ALIKE)
    keys = layers.Concatenate(name="directions")([keys, scale * company])  # (B, P, K + company)
    listener, mood, own, fading = _positive(real, _VARIANCES)
    return Covariance(keys, same, listener, mood, fading, own)


def _noise(logs: Any) -> Any:
    """Variance of the noise of each step's outcome, from its log row: (B, T, 12) to (B, T, 1)."""
    noise = layers.Dense(1, kernel_initializer="zeros", name="log_noise")(logs)
    return ops.exp(ops.clip(noise, -_NOISE_CLIP, _NOISE_CLIP))


def _where(inputs: Mapping[str, Any], targets: _Targets) -> list[Any]:
    """What a target's place in its session says: (B, P, 1) each."""
    position = targets.position
    length = inputs["session_log"][:, schema.STEPS - 1 :, log_column(schema.LENGTH)][:, :, None]  # (B, 1, 1)
    is_last = ops.cast(ops.equal(position, length), "float32")
    # A session of the greatest length was cut there: its last track is not the one the listener left after.
    leaves = is_last * ops.cast(ops.less(length, schema.MAX_SESSION_LENGTH), "float32")
    known_steps = ops.sum(targets.seen, axis=1)[:, :, None]
    return [
        _LAST * is_last,
        _LAST * leaves,
        ops.log(ops.maximum(position, 1.0)),
        position / 10.0 - 1.0,
        length / 10.0 - 1.5 + 0.0 * position,
        ops.log(ops.maximum(1.0 + length - position, 1.0)),
        ops.log(ops.maximum(position - known_steps, 1.0)),  # from the last one seen to the target
    ]


def _flags(log_odds: Any) -> Any:
    """Probabilities of ``schema.OUTCOME_FLAGS``, (B, P, 4), from the log-odds of ``every_track``."""
    further = ops.sigmoid(log_odds)
    skipped = [1.0 - further[:, :, 0:1]]
    for level in range(1, len(schema.OUTCOME_FLAGS)):  # not past the next flag either
        skipped.append(skipped[-1] * (1.0 - further[:, :, level : level + 1]))
    _, at_most, early, briefly = skipped
    return layers.Concatenate(name="flags")([briefly, early, at_most, further[:, :, 0:1]])


def _positive(real: Any, name: str) -> list[Any]:
    """Trained positive numbers, (B, 1, 1) each: exponentials of a layer's bias, which weight decay spares."""
    count = len(_BEGIN[name])
    none = 0.0 * real[:, :1]  # (B, 1, 1)
    logarithms = layers.Dense(count, kernel_initializer="zeros", name=name)(none)  # (B, 1, count)
    values = ops.exp(logarithms)
    return [values[:, :, i : i + 1] for i in range(count)]


def _set_positive(network: keras.Model) -> None:
    """Set the initial values of the ``_positive`` numbers."""
    for name, logarithms in _BEGIN.items():
        layer = network.get_layer(name)
        layer.set_weights([layer.get_weights()[0], np.asarray(logarithms, np.float32)])
        layer.kernel.trainable = False  # its input is 0


def _normal(deviation: float) -> keras.Initializer:
    return keras.initializers.RandomNormal(stddev=deviation)


def _normalizations(training_inputs: Mapping[str, np.ndarray]) -> tuple[keras.Layer, ...]:
    """(x - mean) / sqrt(variance) of log columns' logarithms, track features and memory, over real steps."""
    names = ("skip_sequence", "session_log", "previous_tracks", "track_memory")
    scalers = [StandardScaler() for _ in names[1:]]
    # Values that are not finite pass, and are reported once they have spoilt the loss.
    with sklearn.config_context(assume_finite=True):
        for part in in_parts(training_inputs, names):
            real = part["skip_sequence"][:, :, 0] != schema.SKIP_PADDING
            values = (
                np.log1p(part["session_log"][real]),
                part["previous_tracks"][real][:, _FEATURES],
                part["track_memory"][:, : schema.STEPS, :_OWN][real],
            )
            for scaler, value in zip(scalers, values, strict=True):
                scaler.partial_fit(value.astype(np.float64))

    def layer(scaler: StandardScaler, name: str) -> keras.Layer:
        scale = 1.0 / np.sqrt(scaler.var_ + _VARIANCE_FLOOR)
        return layers.Rescaling(scale=scale.tolist(), offset=(-scaler.mean_ * scale).tolist(), name=name)

    of = ("log_normalization", "track_normalization", "memory_normalization")
    return tuple(layer(scaler, name) for scaler, name in zip(scalers, of, strict=True))
