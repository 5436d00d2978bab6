"""A linear mixed model of listeners' tastes, fitted on training sessions by a method of moments.

How much of a track was played (its depth), minus the mean depth after the same previous outcome, is

    residual = patience + taste · (features of the track - mean features of the session) + noise.

Each session has its own patience and taste, both normal with mean 0. Their variances are estimated from
products of residuals of two tracks of one session: the noise of two tracks is independent, so the mean
product is the variance that they share. Haseman and Elston (Behavior Genetics 2, 1972) estimate the variance
shared by siblings in this way.

Shapes: n sessions, 19 steps, 20 targets (``networks.listening``), F = 29 features, D = 4 directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sklearn.preprocessing import StandardScaler

from skip_pipeline import schema
from skip_pipeline.networks.listening import OUTCOMES, Listening, in_parts

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

_FLOOR: Final = 1e-3  # least variance of patience and of noise, for data without any
_FIRST: Final = len(OUTCOMES)  # in place of the previous outcome, at a session's first track
_COLUMNS: Final = [schema.TRACK_BRANCH.index(name) for name in FEATURES]


@dataclass(frozen=True)
class Tastes:
    """The parameters of the model."""

    mean: np.ndarray  # float64 (F,), of each of ``FEATURES`` over training rows
    scale: np.ndarray  # float64 (F,), standard deviations
    usual_depth: np.ndarray  # float64 (6,), mean depth by the previous track's; last: of a first track
    directions: np.ndarray
    """float64 (F, D), maps standardised features to directions in which tastes differ, the most important
    first; the weight of each direction has variance 1 between listeners."""
    patience: float  # variance of patience between sessions
    noise: float  # variance of the rest

    @classmethod
    def fit(cls, training: Mapping[str, np.ndarray]) -> Tastes:
        """Fit on the history of training sessions (``schema.BRANCH_SHAPES``); no label is read.

        The sessions are read twice, in parts of some thousand.
        """
        scaler = StandardScaler()
        times, depths = np.zeros(_FIRST + 1), np.zeros(_FIRST + 1)
        for part in in_parts(training):
            past = Listening.of(part)
            real = past.real > 0
            scaler.partial_fit(past.tracks[:, :-1][real][:, _COLUMNS].astype(np.float64))
            previous = _previous(past)[real]
            times += np.bincount(previous, minlength=_FIRST + 1)
            depths += np.bincount(previous, past.depth[real], minlength=_FIRST + 1)
        usual = depths / np.maximum(times, 1.0)
        unknown = cls(scaler.mean_, scaler.scale_, usual, np.empty(0), 0.0, 0.0)
        moments: Any = (unknown._moments(Listening.of(part)) for part in in_parts(training))
        sums: list[Any] = [sum(each) for each in zip(*moments, strict=True)]
        rows, pairs, squares, products, contrasts, shared = sums
        patience = max(float(products / pairs), _FLOOR)
        noise = max(float(squares / rows) - patience, _FLOOR)
        directions = _directions(contrasts / rows, shared, pairs)
        return cls(scaler.mean_, scaler.scale_, usual, directions, patience, noise)

    def residual(self, past: Listening) -> np.ndarray:
        """Depth of each track minus the mean depth after the same previous depth: float64 (n, 19)."""
        usual = self.usual_depth[_previous(past)]
        return np.asarray((past.depth - usual) * past.real, dtype=np.float64)

    def standardised(self, tracks: np.ndarray) -> np.ndarray:
        """``FEATURES`` of tracks (…, 31), standardised and clipped: float64 (…, F)."""
        distance = (tracks[..., _COLUMNS] - self.mean) / self.scale
        return np.asarray(np.clip(distance, -_LIMIT, _LIMIT), dtype=np.float64)

    def _moments(self, past: Listening) -> tuple[Any, ...]:
        """Sums over sessions, from which variances and directions are estimated.

        A contrast is a track's features minus the session's mean features. A pair is an ordered pair of two
        different tracks of one session: the sum of x_i x_j over its pairs is (sum of x)² - (sum of x²).

        Returns:
            Numbers of tracks and of pairs; products of residuals, over tracks and over pairs; products of
            contrasts, over tracks (F, F); products of residual times contrast, over pairs (F, F).
        """
        real = past.real.astype(np.float64)
        tracks, residual = self.standardised(past.tracks[:, :-1]), self.residual(past)
        count = real.sum(axis=1)  # (n,)
        squares = (residual**2).sum()
        products = (residual.sum(axis=1) ** 2).sum() - squares
        mean = (tracks * real[:, :, None]).sum(axis=1) / count[:, None]  # (n, F)
        contrast = (tracks - mean[:, None]) * real[:, :, None]  # (n, 19, F)
        rows = contrast[real > 0]  # (rows, F)
        weighted = rows * residual[real > 0][:, None]
        sums = (residual[:, :, None] * contrast).sum(axis=1)  # (n, F)
        shared = sums.T @ sums - weighted.T @ weighted
        return count.sum(), (count * (count - 1.0)).sum(), squares, products, rows.T @ rows, shared


def _previous(past: Listening) -> np.ndarray:
    """Depth of the track before each step, or ``_FIRST``: int64 (n, 19)."""
    previous = np.full(past.depth.shape, _FIRST)
    previous[:, 1:] = np.where(past.real[:, :-1] > 0, past.depth[:, :-1], _FIRST)
    return previous


def _directions(covariance: np.ndarray, shared: np.ndarray, pairs: float) -> np.ndarray:
    """Directions in which tastes differ, scaled by their standard deviations: float64 (F, D)."""
    variances, axes = np.linalg.eigh(covariance)
    whitening = axes / np.sqrt(np.maximum(variances, 0.0) + _SHRINKAGE)
    shared = whitening.T @ shared @ whitening / pairs
    strength, turned = np.linalg.eigh((shared + shared.T) / 2.0)
    order = np.argsort(-strength)[:DIRECTIONS]
    directions = whitening @ turned[:, order] * np.sqrt(np.maximum(strength[order], 0.0))
    # The sign of an eigenvector is arbitrary: the largest entry is made positive.
    largest = np.abs(directions).argmax(axis=0)
    return np.asarray(directions * np.where(directions[largest, range(len(order))] < 0, -1.0, 1.0))
