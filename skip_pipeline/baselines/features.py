"""Hand-made features: the history that the networks read, as one row of numbers for each predicted track.

Features are computed from the four branches of a bundle. Of the predicted position only its track's features
and the session's length are used, as by the networks. ``docs/handmade_features.md`` explains each feature.

A training session gives an example for its last track, and one for each earlier track with at least nine
tracks before it, since every predicted track has nine (``training_examples``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from skip_pipeline import schema
from skip_pipeline.networks.listening import (
    OUTCOMES,
    TARGETS,
    Listening,
    before,
    fading,
    in_parts,
    lagged,
    latest,
    log_column,
)
from skip_pipeline.networks.tastes import FEATURES, Tastes

LAGS: Final = 5
"""Latest outcomes that have a feature of their own."""
WINDOWS: Final = (3, 5)
"""Numbers of latest tracks over which shares and means are taken."""
MEMORIES: Final = (0.5, 0.7, 0.85)
"""Factors by which a track's weight decays with each later track: half-lives of 1, 2 and 4 tracks."""

LEAST_HISTORY: Final = schema.MIN_SESSION_LENGTH - 1

_OCCURRENCES: Final = schema.SESSION_LOG_BRANCH[log_column("context_switch") :]
"""Log columns other than position, length and outcome."""
_SEEKS: Final = ("hist_user_behavior_n_seekfwd", "hist_user_behavior_n_seekback")


@dataclass(frozen=True)
class Examples:
    """Rows to fit a classifier to.

    Attributes:
        features: float32 (rows, F).
        not_skipped: float32 (rows,), 1 played to the end, 0 skipped.
    """

    features: np.ndarray
    not_skipped: np.ndarray


def handmade_features(
    branches: Mapping[str, np.ndarray], tastes: Tastes
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Features of each session's last track.

    Args:
        branches: ``schema.BRANCH_SHAPES`` of n sessions.
        tastes: fitted on training sessions.

    Returns:
        float32 (n, F), finite; and the F names.
    """
    last = [_features(part, tastes)[0][:, -1] for part in in_parts(branches)]
    return np.concatenate(last), feature_names(tastes)


def feature_names(tastes: Tastes) -> tuple[str, ...]:
    """Names of the features, in their order."""
    no_session = {name: np.empty((0, *shape), np.float32) for name, shape in schema.BRANCH_SHAPES.items()}
    return _features(no_session, tastes)[1]


def training_examples(bundle: Mapping[str, np.ndarray], tastes: Tastes) -> Examples:
    """Examples of every track with at least ``LEAST_HISTORY`` tracks before it.

    Args:
        bundle: the branches and the label of n sessions.
        tastes: fitted on training sessions.

    Returns:
        About 8 rows a session, grouped by session, the label's row last in each.
    """
    features, outcomes = [], []
    for part in in_parts(bundle):
        rows, _ = _features(part, tastes)
        past = Listening.of(part)
        real = np.concatenate([past.real, np.ones((len(past.real), 1))], axis=1) > 0
        chosen = real & (before(past.real) >= LEAST_HISTORY)  # (n, 20)
        features.append(rows[chosen])
        outcomes.append(np.concatenate([past.played, part[schema.LABEL][:, None]], axis=1)[chosen])
    return Examples(np.concatenate(features), np.concatenate(outcomes))


def _features(branches: Mapping[str, np.ndarray], tastes: Tastes) -> tuple[np.ndarray, tuple[str, ...]]:
    """Features of every target: float32 (n, 20, F), arbitrary for padding; and their names."""
    past = Listening.of(branches)
    columns = {
        **_place(past),
        **_outcomes(past),
        **_habits(past),
        **_occurrences(past),
        **_track(past),
        **tastes.before_each(past),
    }
    features = np.empty((*past.tracks.shape[:2], len(columns)), np.float32)
    for i, values in enumerate(columns.values()):
        features[:, :, i] = values
    return features, tuple(columns)


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
        columns[f"played_{lag}_ago"] = lagged(past.played, lag)
        columns[f"depth_{lag}_ago"] = lagged(past.depth, lag)
    for depth, name in enumerate(OUTCOMES[:-1]):
        happened = (past.depth == depth) * past.real
        columns |= {f"{name}_{lag}_ago": lagged(happened, lag) for lag in (1, 2)}
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
        tracks = np.maximum(latest(past.real, window), 1.0)
        columns[f"share_played_of_{window}"] = latest(past.played, window) / tracks
        columns[f"mean_depth_of_{window}"] = latest(depth, window) / tracks
    for memory in MEMORIES:
        weight = fading(past.real, memory)
        weight[weight == 0.0] = 1.0
        columns[f"share_played_fading_{memory}"] = fading(past.played, memory) / weight
        columns[f"mean_depth_fading_{memory}"] = fading(depth, memory) / weight
    changed = np.zeros_like(past.played)
    changed[:, 1:] = (past.played[:, 1:] != past.played[:, :-1]) * past.real[:, :-1]
    columns["share_changed"] = before(changed) / count
    columns["run"] = _run(past) * (2.0 * lagged(past.played, 1) - 1.0)
    return columns


def _run(past: Listening) -> np.ndarray:
    """Length of the run of equal outcomes, played or not, before each target: (n, 20)."""
    run = np.zeros((len(past.real), TARGETS), np.float32)
    for target in range(1, TARGETS):
        step = target - 1
        same = past.played[:, step] == past.played[:, step - 1] if step else False
        run[:, target] = past.real[:, step] * (1.0 + same * run[:, step])
    return run


def _occurrences(past: Listening) -> dict[str, np.ndarray]:
    """Every other log column, of the track before and as the mean over the session so far."""
    count = np.maximum(before(past.real), 1.0)
    columns = {}
    for name in _OCCURRENCES:
        values = past.log[:, :, log_column(name)]
        values = np.log1p(values) if name in _SEEKS else values
        columns[f"{name}_1_ago"] = lagged(values, 1)
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
