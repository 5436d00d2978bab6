"""A linear mixed model of listeners' tastes, fitted on training sessions by a method of moments.

How much of a track was played (its depth), minus the mean depth after the same previous outcome, is

    residual = patience + taste · (features of the track - mean features of the session) + noise.

Each session has its own patience and taste, both normal with mean 0. Their variances are estimated from
products of residuals of two tracks of one session: the noise of two tracks is independent, so the mean
product is the variance that they share. Haseman and Elston (Behavior Genetics 2, 1972) estimate the variance
shared by siblings in this way. A session's patience and taste are then posterior means: a ridge regression
over its tracks, whose penalty is the noise variance over those variances.

Shapes: n sessions, 19 steps, 20 targets (``networks.listening``), F = 29 features, D = 4 directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from sklearn.preprocessing import StandardScaler

from skip_pipeline import schema
from skip_pipeline.networks.listening import OUTCOMES, Listening, before, in_parts

FEATURES: Final = tuple(n for n in schema.TRACK_BRANCH if n not in (schema.LOG_TRACK_ID, "mode_minor"))
"""Track features of the model: all but the track's number, which has no meaningful order, and ``mode_minor``,
which is 1 where ``mode_major`` is 0."""

DIRECTIONS: Final = 4
"""Directions of taste that are kept, D. Synthetic log-loss is the same within 0.001 from 2 to 8."""

_SHRINKAGE: Final = 0.3
"""Added to the variances of features when these are made uncorrelated; without it, small differences between
nearly equal features would become directions. Synthetic log-loss is the same within 0.001 from 0.1 to 1."""

_LIMIT: Final = 4.0
"""Standardised features are clipped at ±4 standard deviations, so that one unusual track does not decide a
session's taste."""

_FLOOR: Final = 1e-3
"""Least variance of patience and of noise, for data without any."""

_FIRST: Final = len(OUTCOMES)  # in place of the previous outcome, at a session's first track
_COLUMNS: Final = [schema.TRACK_BRANCH.index(name) for name in FEATURES]


@dataclass(frozen=True)
class Tastes:
    """The parameters of the model.

    Attributes:
        mean: float64 (F,), of each of ``FEATURES`` over training rows.
        scale: float64 (F,), standard deviations.
        usual_depth: float64 (6,), mean depth by the previous track's depth; the last entry is for a session's
            first track.
        directions: float64 (F, D), maps standardised features to directions in which tastes differ, the most
            important first; the weight of each direction has variance 1 between listeners.
        patience: variance of patience between sessions.
        noise: variance of the rest.
    """

    mean: np.ndarray
    scale: np.ndarray
    usual_depth: np.ndarray
    directions: np.ndarray
    patience: float
    noise: float

    @classmethod
    def fit(cls, training: Mapping[str, np.ndarray]) -> Tastes:
        """Fit on the history of training sessions (``schema.BRANCH_SHAPES``); no label is read.

        The sessions are read twice, in parts of some thousand.
        """
        scaler, usual = _usual(training)
        moments = _Moments()
        for part in in_parts(training):
            past = Listening.of(part)
            tracks = _standardised(past.tracks[:, :-1], scaler.mean_, scaler.scale_)
            moments.add(tracks, _residual(past, usual), past.real.astype(np.float64))
        return cls(
            mean=scaler.mean_,
            scale=scaler.scale_,
            usual_depth=usual,
            directions=moments.directions(),
            patience=moments.patience,
            noise=moments.noise,
        )

    def before_each(self, past: Listening) -> dict[str, np.ndarray]:
        """Posterior patience and taste before each target, as features float64 (n, 20) by name.

        Returns:
            ``patience``: posterior mean; ``taste``: posterior mean of taste times the target's features;
            ``taste_spread``: its posterior standard deviation; ``direction_1`` …: the target's coordinate in
            each direction.
        """
        place = _standardised(past.tracks, self.mean, self.scale) @ self.directions  # (n, 20, D)
        heard = place[:, :-1] * past.real[:, :, None]  # (n, 19, D)
        residual = _residual(past, self.usual_depth)  # (n, 19)
        count, total = (
            before(past.real.astype(np.float64))[..., None],
            before(heard),
        )  # (n, 20, 1), (n, 20, D)
        mean = (total + place) / (count + 1.0)  # (n, 20, D), of the tracks so far and the target
        # Sums over the tracks so far of (1, place - mean)(1, place - mean)': the mean changes from target to
        # target, so they are computed from sums of places and of products of places.
        squares = before(heard[..., :, None] * heard[..., None, :])  # (n, 20, D, D)
        cross = total[..., :, None] * mean[..., None, :]
        squares = squares - cross - np.swapaxes(cross, 2, 3)
        squares = squares + count[..., None] * mean[..., :, None] * mean[..., None, :]
        off = total - count * mean  # (n, 20, D)
        gram = np.concatenate(
            [
                np.concatenate([count, off], axis=2)[..., None, :],
                np.concatenate([off[..., None], squares], axis=3),
            ],
            axis=2,
        )  # (n, 20, D + 1, D + 1)
        residuals, by_place = before(residual)[..., None], before(residual[..., None] * heard)
        moment = np.concatenate([residuals, by_place - residuals * mean], axis=2)  # (n, 20, D + 1)
        precision = gram / self.noise + np.diag([1.0 / self.patience] + [1.0] * place.shape[2])
        contrast = np.concatenate([np.zeros_like(count), place - mean], axis=2)  # (n, 20, D + 1)
        both = np.stack([moment / self.noise, contrast], axis=3)  # (n, 20, D + 1, 2)
        posterior, spread = np.moveaxis(np.linalg.solve(precision, both), 3, 0)  # (n, 20, D + 1) each
        return {
            "patience": posterior[..., 0],
            "taste": (posterior * contrast).sum(axis=2),
            "taste_spread": np.sqrt(np.maximum((spread * contrast).sum(axis=2), 0.0)),
            **{f"direction_{i + 1}": place[..., i] for i in range(place.shape[2])},
        }


def _previous(past: Listening) -> np.ndarray:
    """Depth of the track before each step, or ``_FIRST``: int64 (n, 19)."""
    previous = np.full(past.depth.shape, _FIRST)
    previous[:, 1:] = np.where(past.real[:, :-1] > 0, past.depth[:, :-1], _FIRST)
    return previous


def _residual(past: Listening, usual_depth: np.ndarray) -> np.ndarray:
    """Depth of each track minus the mean depth after the same previous depth: float64 (n, 19)."""
    return np.asarray((past.depth - usual_depth[_previous(past)]) * past.real, dtype=np.float64)


def _standardised(tracks: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip((tracks[..., _COLUMNS] - mean) / scale, -_LIMIT, _LIMIT), dtype=np.float64)


def _usual(training: Mapping[str, np.ndarray]) -> tuple[StandardScaler, np.ndarray]:
    """Means and standard deviations of ``FEATURES`` over training rows, and ``usual_depth``."""
    scaler = StandardScaler()
    times, depths = np.zeros(_FIRST + 1), np.zeros(_FIRST + 1)
    for part in in_parts(training):
        past = Listening.of(part)
        real = past.real > 0
        scaler.partial_fit(past.tracks[:, :-1][real][:, _COLUMNS].astype(np.float64))
        previous = _previous(past)[real]
        times += np.bincount(previous, minlength=_FIRST + 1)
        depths += np.bincount(previous, past.depth[real], minlength=_FIRST + 1)
    return scaler, depths / np.maximum(times, 1.0)


class _Moments:
    """Running sums over sessions, from which variances and directions are estimated.

    A pair is an ordered pair of two different tracks of one session. The sum of x_i x_j over its pairs is
    (sum of x)² minus the sum of x².
    """

    def __init__(self) -> None:
        features = len(FEATURES)
        self._rows = self._pairs = 0.0
        self._squares = self._products = 0.0  # of residuals, over tracks and over pairs
        # A contrast is a track's features minus the session's mean features.
        self._contrasts = np.zeros((features, features))  # products of contrasts, over tracks
        self._shared = np.zeros((features, features))  # products of residual times contrast, over pairs

    def add(self, tracks: np.ndarray, residual: np.ndarray, real: np.ndarray) -> None:
        """Add sessions: standardised tracks (n, 19, F), residuals (n, 19), 0 in padding, and real (n, 19)."""
        count = real.sum(axis=1)  # (n,)
        self._rows += count.sum()
        self._pairs += (count * (count - 1.0)).sum()
        squares = (residual**2).sum()
        self._squares += squares
        self._products += (residual.sum(axis=1) ** 2).sum() - squares
        mean = (tracks * real[:, :, None]).sum(axis=1) / count[:, None]  # (n, F)
        contrast = (tracks - mean[:, None]) * real[:, :, None]  # (n, 19, F)
        rows = contrast[real > 0]  # (rows, F)
        self._contrasts += rows.T @ rows
        weighted = rows * residual[real > 0][:, None]
        sums = (residual[:, :, None] * contrast).sum(axis=1)  # (n, F)
        self._shared += sums.T @ sums - weighted.T @ weighted

    @property
    def patience(self) -> float:
        """Variance of patience between sessions."""
        return max(float(self._products / self._pairs), _FLOOR)

    @property
    def noise(self) -> float:
        """Variance of residuals within sessions."""
        return max(float(self._squares / self._rows) - self.patience, _FLOOR)

    def directions(self) -> np.ndarray:
        """Directions in which tastes differ, scaled by their standard deviations: float64 (F, D)."""
        variances, axes = np.linalg.eigh(self._contrasts / self._rows)
        whitening = axes / np.sqrt(np.maximum(variances, 0.0) + _SHRINKAGE)
        shared = whitening.T @ self._shared @ whitening / self._pairs
        strength, turned = np.linalg.eigh((shared + shared.T) / 2.0)
        order = np.argsort(-strength)[:DIRECTIONS]
        directions = whitening @ turned[:, order] * np.sqrt(np.maximum(strength[order], 0.0))
        # The sign of an eigenvector is arbitrary: the largest entry is made positive.
        largest = np.abs(directions).argmax(axis=0)
        return np.asarray(directions * np.where(directions[largest, range(len(order))] < 0, -1.0, 1.0))
