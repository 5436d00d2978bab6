"""Hand-made features: the history that the networks read, as one row of numbers for each predicted track.

Features are computed from the four branches of a bundle. Of the predicted position only its track's features
and the session's length are used, as by the networks. ``docs/handmade_features.md`` explains each feature.
Arrays over steps are (n, 19), over targets (n, 20), as in ``networks.listening``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from skip_pipeline import schema
from skip_pipeline.networks.listening import OUTCOMES, TARGETS, Listening, before, in_parts, log_column
from skip_pipeline.networks.tastes import DIRECTIONS, FEATURES, Tastes

LAGS: Final = 5  # latest outcomes that have a feature of their own
WINDOWS: Final = (3, 5)  # numbers of latest tracks over which shares and means are taken
MEMORIES: Final = (0.5, 0.7, 0.85)
"""Factors by which a track's weight decays with each later track: half-lives of 1, 2 and 4 tracks."""

# Log columns other than position, length and outcome.
_OCCURRENCES: Final = schema.SESSION_LOG_BRANCH[log_column("context_switch") :]
_SEEKS: Final = ("hist_user_behavior_n_seekfwd", "hist_user_behavior_n_seekback")


class Examples(NamedTuple):
    """Rows to fit a classifier to."""

    features: np.ndarray  # float32 (rows, F)
    not_skipped: np.ndarray  # float32 (rows,), 1 played to the end, 0 skipped


def handmade_features(branches: Mapping[str, np.ndarray], tastes: Tastes) -> np.ndarray:
    """Features of each session's last track: float32 (n, F), finite."""
    return np.concatenate([_features(Listening.of(part), tastes)[:, -1] for part in in_parts(branches)])


def feature_names(tastes: Tastes) -> tuple[str, ...]:
    """Names of the features, in their order."""
    no_session = {name: np.empty((0, *shape), np.float32) for name, shape in schema.BRANCH_SHAPES.items()}
    return tuple(_columns(Listening.of(no_session), tastes))


def training_examples(bundle: Mapping[str, np.ndarray], tastes: Tastes) -> Examples:
    """Examples of every track with at least nine tracks before it, since every predicted track has nine.

    There are about 8 rows a session, grouped by session, the label's row last in each.
    """
    features, outcomes = [], []
    for part in in_parts(bundle):
        past = Listening.of(part)
        chosen = before(past.real) >= schema.MIN_SESSION_LENGTH - 1  # (n, 20)
        features.append(_features(past, tastes)[chosen])
        outcomes.append(np.column_stack([past.played, part[schema.LABEL]])[chosen])
    return Examples(np.concatenate(features), np.concatenate(outcomes))


def _features(past: Listening, tastes: Tastes) -> np.ndarray:
    """Features of every target: float32 (n, 20, F), arbitrary for padding."""
    columns = list(_columns(past, tastes).values())
    return np.stack(columns, axis=2, dtype=np.float32, casting="same_kind")


def _columns(past: Listening, tastes: Tastes) -> dict[str, np.ndarray]:
    """Each feature of every target by name, (n, 20)."""
    return {
        **_place(past),
        **_outcomes(past),
        **_habits(past),
        **_occurrences(past),
        **_track(past),
        **_listener(past, tastes),
    }


def _place(past: Listening) -> dict[str, np.ndarray]:
    """A target's position. A session of the greatest length was cut, so its listener may go on."""
    position = before(past.real) + 1.0
    length = np.repeat(past.log[:, -1:, log_column(schema.LENGTH)], TARGETS, axis=1)
    last = (position == length).astype(np.float32)
    return {
        "position": position,
        "session_length": length,
        "is_last": last,
        "listener_leaves": last * (length < schema.MAX_SESSION_LENGTH),
    }


def _outcomes(past: Listening) -> dict[str, np.ndarray]:
    """Played or not and depth of each of the latest outcomes, and the kind of the latest two."""
    columns = {}
    for lag in range(1, LAGS + 1):
        columns[f"played_{lag}_ago"] = _lagged(past.played, lag)
        columns[f"depth_{lag}_ago"] = _lagged(past.depth, lag)
    for depth, name in enumerate(OUTCOMES[:-1]):
        happened = (past.depth == depth) * past.real
        columns |= {f"{name}_{lag}_ago": _lagged(happened, lag) for lag in (1, 2)}
    return columns


def _habits(past: Listening) -> dict[str, np.ndarray]:
    """Shares and mean depths over the session so far, windows and decaying weights; changes; run."""
    count = np.maximum(before(past.real), 1.0)
    depth = past.depth.astype(np.float32)
    columns = {
        f"share_{name}": before((past.depth == i) * past.real) / count for i, name in enumerate(OUTCOMES)
    }
    columns["mean_depth"] = before(depth) / count
    for window in WINDOWS:
        tracks = np.maximum(_latest(past.real, window), 1.0)
        columns[f"share_played_of_{window}"] = _latest(past.played, window) / tracks
        columns[f"mean_depth_of_{window}"] = _latest(depth, window) / tracks
    for memory in MEMORIES:
        weight = _fading(past.real, memory)
        weight[weight == 0.0] = 1.0
        columns[f"share_played_fading_{memory}"] = _fading(past.played, memory) / weight
        columns[f"mean_depth_fading_{memory}"] = _fading(depth, memory) / weight
    changed = np.zeros_like(past.played)
    changed[:, 1:] = (past.played[:, 1:] != past.played[:, :-1]) * past.real[:, :-1]
    columns["share_changed"] = before(changed) / count
    columns["run"] = _run(past) * (2.0 * _lagged(past.played, 1) - 1.0)
    return columns


def _lagged(steps: np.ndarray, lag: int) -> np.ndarray:
    """Value ``lag`` steps before each target, 0 where there is none."""
    return np.pad(steps, ((0, 0), (lag, 0)))[:, :TARGETS]


def _latest(steps: np.ndarray, count: int) -> np.ndarray:
    """Sum over the ``count`` steps before each target."""
    sums = before(steps)
    return np.asarray(sums - np.pad(sums, ((0, 0), (count, 0)))[:, :TARGETS])


def _fading(steps: np.ndarray, memory: float) -> np.ndarray:
    """Sum over the steps before each target, each weighted by ``memory`` to the power of its distance."""
    sums = _lagged(steps, 1)
    for target in range(1, TARGETS):
        sums[:, target] = memory * (sums[:, target - 1] + sums[:, target])
    return sums


def _run(past: Listening) -> np.ndarray:
    """Length of the run of equal outcomes, played or not, before each target."""
    run = _lagged(past.real, 1)
    for target in range(2, TARGETS):
        same = past.played[:, target - 1] == past.played[:, target - 2]
        run[:, target] *= 1.0 + same * run[:, target - 1]
    return run


def _occurrences(past: Listening) -> dict[str, np.ndarray]:
    """Every other log column, of the track before and as the mean over the session so far."""
    count = np.maximum(before(past.real), 1.0)
    columns = {}
    for name in _OCCURRENCES:
        values = past.log[:, :, log_column(name)]
        values = np.log1p(values) if name in _SEEKS else values
        columns[f"{name}_1_ago"] = _lagged(values, 1)
        columns[f"{name}_mean"] = before(values) / count
    return columns


def _track(past: Listening) -> dict[str, np.ndarray]:
    """The target's own features, how often the session played it before, and with what outcomes."""
    columns = {name: past.tracks[:, :, schema.TRACK_BRANCH.index(name)] for name in FEATURES}
    number = past.tracks[:, :, schema.TRACK_BRANCH.index(schema.LOG_TRACK_ID)]
    earlier = np.tri(TARGETS, schema.STEPS, -1, dtype=np.float32)
    again = (number[:, :, None] == number[:, None, :-1]) * earlier * past.real[:, None]  # (n, 20, 19)
    times = again.sum(axis=2)
    columns["heard_before"] = times
    columns["played_before"] = (again * (2.0 * past.played[:, None] - 1.0)).sum(axis=2) / np.maximum(times, 1)
    return columns


def _listener(past: Listening, tastes: Tastes) -> dict[str, np.ndarray]:
    """Posterior mean of patience, mean and standard deviation of taste for the target, and its directions.

    It is a ridge regression of residuals on U = 1 + D unknowns, patience and the weights of the directions,
    over the tracks before each target (``networks.tastes``); the penalty is the noise variance over theirs.
    """
    place = tastes.standardised(past.tracks) @ tastes.directions  # (n, 20, D)
    design = np.concatenate([np.ones_like(place[..., :1]), place], axis=2)  # (n, 20, U)
    heard = design[:, :-1] * past.real[..., None]  # (n, 19, U)
    total = before(heard)  # (n, 20, U)
    count = total[..., :1]  # (n, 20, 1)
    mean = (total + design) / (count + 1.0)  # (n, 20, U), of the tracks so far and the target
    mean[..., 0] = 0.0  # patience is not a difference from a mean
    # Sums over the tracks so far of (x - mean)(x - mean)': the mean changes from target to target, so they
    # are computed from sums of x and of x x'.
    cross = total[..., :, None] * mean[..., None, :]
    gram = before(heard[..., :, None] * heard[..., None, :]) - cross - np.swapaxes(cross, 2, 3)
    gram += count[..., None] * mean[..., :, None] * mean[..., None, :]  # (n, 20, U, U)
    residual = tastes.residual(past)[..., None]  # (n, 19, 1)
    moment = before(residual * heard) - before(residual) * mean  # (n, 20, U)
    contrast = design - mean
    contrast[..., 0] = 0.0  # of the target's taste alone
    precision = gram / tastes.noise + np.diag([1.0 / tastes.patience] + [1.0] * DIRECTIONS)
    both = np.stack([moment / tastes.noise, contrast], axis=3)  # (n, 20, U, 2)
    posterior, spread = np.moveaxis(np.linalg.solve(precision, both), 3, 0)  # (n, 20, U) each
    return {
        "patience": posterior[..., 0],
        "taste": (posterior * contrast).sum(axis=2),
        "taste_spread": np.sqrt(np.maximum((spread * contrast).sum(axis=2), 0.0)),
        **{f"direction_{i + 1}": place[..., i] for i in range(DIRECTIONS)},
    }
