"""What a listener likes, estimated from one session by a model that all training sessions share.

How far a track is heard, above what usually follows the outcome before it, is taken as

    residual = patience + taste · (features of the track - features usual in the session) + noise,

with a patience and a taste of each session's own, both normal with mean 0. The variances come from products
of residuals of two tracks of one session, whose mean is what the two share: a method of moments, as Haseman
and Elston (Behavior Genetics 2, 1972) use it for pairs of siblings. A session's patience and taste are then
its posterior means: a ridge regression over its tracks, whose penalty is the noise over those variances.
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
"""What taste is about: all but the track's number, which orders nothing, and what ``mode_major`` says too."""

DIRECTIONS: Final = 4
"""Directions of taste that are kept. Synthetic log-loss is the same within 0.001 from 2 to 8."""

_SHRINKAGE: Final = 0.3
"""Added to the variances (of features with variance 1) when features are made uncorrelated, so that near
copies of one another do not turn their differences into directions. The same within 0.001 from 0.1 to 1."""

_LIMIT: Final = 4.0
"""Standardised features end at ±4 standard deviations: one odd track must not make a session's taste."""

_FLOOR: Final = 1e-3
"""Least variance of patience and of noise, for data in which there is none."""

_FIRST: Final = len(OUTCOMES)  # stands for the outcome before the first track
_COLUMNS: Final = [schema.TRACK_BRANCH.index(name) for name in FEATURES]


@dataclass(frozen=True)
class Tastes:
    """What training sessions tell about tastes in general.

    Attributes:
        mean: float64 (F,), of each of ``FEATURES`` over training rows.
        scale: float64 (F,), standard deviations.
        usual_depth: float64 (6,), mean depth by the depth before; the last one at the start of a session.
        directions: float64 (F, ``DIRECTIONS``), from standardised features to directions in which tastes
            differ, each with variance 1 between listeners; the most important first.
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
        """Learn from the history of training sessions (``schema.BRANCH_SHAPES``); no label is read.

        It goes over them twice, some thousand sessions at a time, and adds up what each part says.
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
        """What is known of a session's tastes before each target, as features (n, 20) by name.

        Returns:
            ``patience``: posterior mean; ``taste``: what the target's features are worth to this listener,
            posterior mean; ``taste_spread``: its posterior standard deviation; ``direction_1`` …: the
            target's own place in each direction.
        """
        place = _standardised(past.tracks, self.mean, self.scale) @ self.directions  # (n, 20, D)
        heard = place[:, :-1] * past.real[:, :, None]
        residual = _residual(past, self.usual_depth)
        count, tracks = before(past.real.astype(np.float64))[..., None], before(heard)
        usual = (tracks + place) / (count + 1.0)  # of the tracks so far and the target
        # Sums over earlier tracks of products of (1, place - usual), written out, because `usual` moves.
        squares = before(heard[..., :, None] * heard[..., None, :])
        cross = tracks[..., :, None] * usual[..., None, :]
        squares = squares - cross - np.swapaxes(cross, 2, 3)
        squares = squares + count[..., None] * usual[..., :, None] * usual[..., None, :]
        off = tracks - count * usual
        gram = np.concatenate(
            [
                np.concatenate([count, off], axis=2)[..., None, :],
                np.concatenate([off[..., None], squares], axis=3),
            ],
            axis=2,
        )
        told, told_by_place = before(residual)[..., None], before(residual[..., None] * heard)
        moment = np.concatenate([told, told_by_place - told * usual], axis=2)
        precision = gram / self.noise + np.diag([1.0 / self.patience] + [1.0] * place.shape[2])
        contrast = np.concatenate([np.zeros_like(count), place - usual], axis=2)
        both = np.stack([moment / self.noise, contrast], axis=3)
        belief, uncertain = np.moveaxis(np.linalg.solve(precision, both), 3, 0)
        return {
            "patience": belief[..., 0],
            "taste": (belief * contrast).sum(axis=2),
            "taste_spread": np.sqrt(np.maximum((uncertain * contrast).sum(axis=2), 0.0)),
            **{f"direction_{i + 1}": place[..., i] for i in range(place.shape[2])},
        }


def _previous(past: Listening) -> np.ndarray:
    """Depth of the track before each step, ``_FIRST`` where there is none: int64 (n, 19)."""
    previous = np.full(past.depth.shape, _FIRST)
    previous[:, 1:] = np.where(past.real[:, :-1] > 0, past.depth[:, :-1], _FIRST)
    return previous


def _residual(past: Listening, usual_depth: np.ndarray) -> np.ndarray:
    """How much further each track was heard than is usual after the one before: float64 (n, 19)."""
    return np.asarray((past.depth - usual_depth[_previous(past)]) * past.real, dtype=np.float64)


def _standardised(tracks: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip((tracks[..., _COLUMNS] - mean) / scale, -_LIMIT, _LIMIT), dtype=np.float64)


def _usual(training: Mapping[str, np.ndarray]) -> tuple[StandardScaler, np.ndarray]:
    """Means and deviations of ``FEATURES`` over training rows, and ``usual_depth``."""
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
    """Sums over sessions from which variances and directions are estimated; F features, n sessions at a time.

    A pair is an ordered pair of two tracks of one session. What a sum over all pairs of products is, follows
    from sums over sessions: (sum of x)(sum of x) less the sum of each track's own x x.
    """

    def __init__(self) -> None:
        features = len(FEATURES)
        self._rows = self._pairs = 0.0
        self._squares = self._products = 0.0  # of residuals: a track's with itself, and over pairs
        self._contrasts = np.zeros((features, features))  # of contrasts, a track's with itself
        self._shared = np.zeros((features, features))  # of residual times contrast, over pairs

    def add(self, tracks: np.ndarray, residual: np.ndarray, real: np.ndarray) -> None:
        """Add sessions: standardised tracks (n, 19, F), residuals (n, 19), 0 in padding, and real (n, 19)."""
        count = real.sum(axis=1)  # (n,)
        self._rows += count.sum()
        self._pairs += (count * (count - 1.0)).sum()
        squares = (residual**2).sum()
        self._squares += squares
        self._products += (residual.sum(axis=1) ** 2).sum() - squares
        # Features of each track beside those usual in its session.
        usual = (tracks * real[:, :, None]).sum(axis=1) / count[:, None]
        contrast = (tracks - usual[:, None]) * real[:, :, None]
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
        """Directions in which tastes differ, scaled by how much: float64 (F, ``DIRECTIONS``)."""
        variances, axes = np.linalg.eigh(self._contrasts / self._rows)
        whitening = axes / np.sqrt(np.maximum(variances, 0.0) + _SHRINKAGE)
        shared = whitening.T @ self._shared @ whitening / self._pairs
        strength, turned = np.linalg.eigh((shared + shared.T) / 2.0)
        order = np.argsort(-strength)[:DIRECTIONS]
        directions = whitening @ turned[:, order] * np.sqrt(np.maximum(strength[order], 0.0))
        # An eigenvector has no sign of its own; the largest entry is made positive.
        largest = np.abs(directions).argmax(axis=0)
        return np.asarray(directions * np.where(directions[largest, range(len(order))] < 0, -1.0, 1.0))
