"""Calibration of a network's probabilities, and the threshold from which a track is predicted as played.

Both are fitted to validation sessions, of which the mini set has 1,000. So the log-odds are scaled by one
number (temperature scaling, Guo et al., ICML 2017), and shifted by a second one (Platt, 1999) only if a
likelihood ratio test asks for it. The reason is the gain in log-loss below: mean and standard deviation over
200 draws of 1,000 synthetic sessions, judged on 11,000 others.

    network                        scaled            scaled and shifted   shifted if tested
    overconfident                  0.0025 ± 0.0011   0.0021 ± 0.0013      0.0025 ± 0.0012
    and its log-odds 0.3 too high  0.0023 ± 0.0009   0.0071 ± 0.0013      0.0065 ± 0.0021

A network that answers every track is calibrated on every track. Tracks of one session are not independent, so
both tests count sessions: the likelihood ratio is divided by a design effect, and McNemar's test sums over
sessions before it squares. With one track a session these are the usual tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.scores import check_probabilities, check_range, correct, need_both_outcomes
from skip_pipeline.settings import DECISION_THRESHOLD

_CLIP: Final = 1e-6
"""Least distance of a probability from 0 and 1: a wrong prediction costs at most 14 nats, and float32 can
represent it."""

_LEAST_SKIPPED: Final = 1e-12
"""Least probability of a skip to divide by; where it is smaller, those of the flags are, too."""

_STEEPEST: Final = 20.0  # slopes lie between 1 / 20 and 20; perfectly separated sessions have no best slope
_FURTHEST: Final = 10.0  # largest offset of the log-odds, at which every track is played or skipped

_OFFSET_EVIDENCE: Final = 3.84
"""Likelihood ratio statistic from which the offset is kept: chi-squared with 1 degree of freedom, 5%."""

_THRESHOLDS: Final = np.round(np.arange(0.25, 0.7501, 0.01), 2)
_SMOOTHED: Final = 5  # neighbouring thresholds whose accuracies are averaged, a window of 0.05
_STANDARD_ERRORS: Final = 2.58
"""Gain in accuracy that another threshold than 0.5 needs: two-sided 1% of a normal distribution."""


@dataclass(frozen=True)
class Calibration:
    """A correction of probabilities: log-odds times ``slope`` plus ``offset``."""

    slope: float  # above 0, so that the ranking of sessions stays; below 1 for an overconfident network
    offset: float  # 0 unless the likelihood ratio test asked for it
    threshold: float  # a track is predicted as played from this corrected probability on
    tracks: int  # number that it was fitted to: every validation track that the network answers

    def apply(self, p_not_skipped: np.ndarray) -> np.ndarray:
        """Correct probabilities: any shape, to float64 of that shape, in (0, 1).

        >>> Calibration(slope=0.5, offset=0.0, threshold=0.5, tracks=9).apply(np.array([0.5, 0.9])).round(2)
        array([0.5 , 0.75])
        """
        return probability_of(log_odds_of(p_not_skipped), self.slope, self.offset)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Calibration:
        """Inverse of ``to_json``; a ``ContractError`` where a value is missing or impossible."""
        try:
            read = cls(
                slope=float(content["slope"]),
                offset=float(content["offset"]),
                threshold=float(content["threshold"]),
                tracks=int(content["tracks"]),
            )
            if not (0 < read.slope < np.inf and np.isfinite(read.offset) and 0 < read.threshold < 1):
                raise ValueError(f"slope {read.slope}, offset {read.offset}, threshold {read.threshold}")
        except (KeyError, TypeError, ValueError) as damage:
            raise ContractError(
                f"the calibration is damaged or of another version ({damage!r}), expected slope, offset, "
                "threshold and tracks; materialize trained_model again"
            ) from damage
        return read


def fit(
    not_skipped: np.ndarray, p_not_skipped: np.ndarray, session_of: np.ndarray | None = None
) -> Calibration:
    """Fit slope and offset by log-loss, then the threshold by accuracy, to labels and probabilities (n,).

    Args:
        not_skipped: labels of n tracks, 0 or 1.
        p_not_skipped: a network's own probabilities.
        session_of: int (n,), number of each track's session; None if each track is of another one.

    The threshold is the best of 0.25 to 0.75 by accuracies averaged over five neighbours. It stays at 0.5
    unless it gains more than 2.58 standard errors, counted over the tracks that the two thresholds decide
    differently (McNemar, 1947), summed by session. Without these rules the best threshold of 1,000 sessions
    has a standard deviation of 0.06, and costs 0.2 points of accuracy on other sessions.
    """
    labels = np.asarray(not_skipped, np.float64)
    check_probabilities(labels, p_not_skipped)
    need_both_outcomes(labels, "the validation sessions")
    log_odds = log_odds_of(p_not_skipped)
    sessions = np.arange(len(labels)) if session_of is None else session_of
    slope, offset, loss = _minimize_log_loss(log_odds, labels, furthest=0.0)
    shifted = _minimize_log_loss(log_odds, labels, furthest=_FURTHEST)
    effect = _design_effect(log_odds, labels, slope, sessions)
    if 2 * len(labels) * (loss - shifted[2]) / effect > _OFFSET_EVIDENCE:
        slope, offset, _ = shifted
    threshold = _threshold(labels, probability_of(log_odds, slope, offset), sessions)
    return Calibration(slope=slope, offset=offset, threshold=threshold, tracks=len(labels))


def within(outcomes: np.ndarray, p_skip: np.ndarray) -> np.ndarray:
    """Probabilities of ``skip_1``, ``skip_2`` and ``skip_3`` that fit a calibrated ``p_skip`` (k,): (k, 3).

    Calibration corrects whether a track is skipped. How early, given that it is skipped, stays as the network
    has it, so each flag's share of all skips stays, and the three remain nested and at most ``p_skip``.

    Args:
        outcomes: the network's probabilities of ``schema.OUTCOME_FLAGS``, float64 (k, 4).
        p_skip: calibrated.

    >>> within(np.array([[0.1, 0.2, 0.3, 0.6]]), np.array([0.2])).round(3).tolist()
    [[0.05, 0.1, 0.15]]
    """
    share = outcomes[:, :-1] / np.maximum(1.0 - outcomes[:, -1:], _LEAST_SKIPPED)
    return np.asarray(np.minimum(share, 1.0) * p_skip[:, None])


def _design_effect(log_odds: np.ndarray, labels: np.ndarray, slope: float, sessions: np.ndarray) -> float:
    """Variance of the offset's score summed by session, relative to that of independent tracks.

    A likelihood ratio divided by it is chi-squared again (Rotnitzky and Jewell, Biometrika 77, 1990). The
    score is that at offset 0, less what the slope explains of it.
    """
    p = expit(slope * log_odds)
    weight = p * (1 - p)
    of_slope = float(weight @ log_odds**2)
    explained = float(weight @ log_odds) / of_slope if of_slope > 0 else 0.0
    scores = (labels - p) * (1 - explained * log_odds)  # (n,)
    return float(np.square(np.bincount(sessions, scores)).sum() / np.square(scores).sum())


def _minimize_log_loss(
    log_odds: np.ndarray, labels: np.ndarray, *, furthest: float
) -> tuple[float, float, float]:
    """Best slope, best offset (at most ``furthest`` from 0) and their mean log-loss."""
    sign = 2 * labels - 1

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        slope = np.exp(at[0])
        z = slope * log_odds + at[1]
        error = expit(z) - labels  # (n,)
        gradient = np.array([(error * log_odds).mean() * slope, error.mean()])
        return float(np.logaddexp(0, -sign * z).mean()), gradient

    steepest = np.log(_STEEPEST)
    best = minimize(
        loss,
        np.zeros(2),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-steepest, steepest), (-furthest, furthest)],
        options={"ftol": 1e-13, "gtol": 1e-9},
    )
    return float(np.exp(best.x[0])), float(best.x[1]), float(best.fun)


def _threshold(labels: np.ndarray, p_not_skipped: np.ndarray, sessions: np.ndarray) -> float:
    right = correct(labels[:, None], p_not_skipped[:, None], _THRESHOLDS)  # (n, thresholds)
    smooth = np.convolve(right.mean(axis=0), np.full(_SMOOTHED, 1 / _SMOOTHED), "valid")
    as_good = np.flatnonzero(smooth >= smooth.max() - 1e-12) + _SMOOTHED // 2
    best = int(as_good[np.abs(_THRESHOLDS[as_good] - DECISION_THRESHOLD).argmin()])
    usual = correct(labels, p_not_skipped)
    gained = np.bincount(sessions, right[:, best].astype(np.float64) - usual)
    significant = gained.sum() > _STANDARD_ERRORS * np.sqrt(np.square(gained).sum())
    return float(_THRESHOLDS[best]) if significant else DECISION_THRESHOLD


def log_odds_of(p_not_skipped: np.ndarray) -> np.ndarray:
    """Log-odds of probabilities, of any shape; clipped, so that they are finite."""
    p = np.asarray(p_not_skipped, np.float64)
    check_range(p)
    return np.asarray(logit(np.clip(p, _CLIP, 1 - _CLIP)))


def probability_of(log_odds: np.ndarray, slope: float = 1.0, offset: float = 0.0) -> np.ndarray:
    """Probabilities of corrected log-odds, of any shape; clipped, so that none is 0 or 1."""
    return np.asarray(np.clip(expit(slope * log_odds + offset), _CLIP, 1 - _CLIP))
