"""What lies behind a score: outcomes against predictions, the ROC curve, and probabilities against shares.

Labels and probabilities in, small numbers out, for plots and tables alike. Label 1 means "played to the end"
and ``p_not_skipped`` is the probability of that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from sklearn import metrics

from skip_pipeline.metrics.scores import check_probabilities, need_both_outcomes
from skip_pipeline.settings import CALIBRATION_BINS, DECISION_THRESHOLD

_CURVE_POINTS: Final = 512
"""Points that a ROC curve keeps; a plot of 700 pixels shows no more."""


@dataclass(frozen=True)
class Confusion:
    """Sessions by what happened and what was predicted."""

    skipped_as_skipped: int
    skipped_as_not_skipped: int
    not_skipped_as_skipped: int
    not_skipped_as_not_skipped: int

    @property
    def rows(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """One row per outcome, one column per prediction, "skipped" first in both."""
        return (
            (self.skipped_as_skipped, self.skipped_as_not_skipped),
            (self.not_skipped_as_skipped, self.not_skipped_as_not_skipped),
        )


@dataclass(frozen=True)
class RocCurve:
    """Shares of skipped (false) and played (true) tracks above each threshold, from (0, 0) to (1, 1).

    Attributes:
        area: under the whole curve, whatever points were left out.
    """

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]
    area: float


@dataclass(frozen=True)
class ReliabilityBin:
    """Sessions of similar probability: how many, the mean of it, and the share that did play on."""

    sessions: int
    mean_p_not_skipped: float
    share_not_skipped: float


def confusion(
    not_skipped: np.ndarray, p_not_skipped: np.ndarray, threshold: float = DECISION_THRESHOLD
) -> Confusion:
    """Count outcomes against predictions at a decision threshold.

    Raises:
        ContractError: as ``evaluate.score``.
    """
    check_probabilities(not_skipped, p_not_skipped)
    matrix = metrics.confusion_matrix(not_skipped, p_not_skipped >= threshold, labels=[0, 1])
    return Confusion(*(int(count) for count in matrix.ravel()))


def roc_curve(not_skipped: np.ndarray, p_not_skipped: np.ndarray) -> RocCurve:
    """The curve over all thresholds, without the points on straight pieces, thinned to what a plot can show.

    Raises:
        ContractError, TrainingError: as ``evaluate.score``.
    """
    check_probabilities(not_skipped, p_not_skipped)
    need_both_outcomes(not_skipped, "the scores")
    false, true, _ = metrics.roc_curve(not_skipped, p_not_skipped)
    kept = np.unique(np.linspace(0, len(false) - 1, _CURVE_POINTS).round().astype(np.int64))
    return RocCurve(
        false_positive_rate=tuple(false[kept].tolist()),
        true_positive_rate=tuple(true[kept].tolist()),
        area=float(metrics.auc(false, true)),
    )


def reliability_curve(
    not_skipped: np.ndarray, p_not_skipped: np.ndarray, bins: int = CALIBRATION_BINS
) -> tuple[ReliabilityBin, ...]:
    """Compare probabilities with what happened, in bins of (nearly) equal count.

    Bin edges are quantiles of the probabilities. Equal probabilities always share a bin, so there are
    fewer and unequal bins where many are equal.

    Raises:
        ContractError: as ``evaluate.score``.
    """
    check_probabilities(not_skipped, p_not_skipped)
    if len(p_not_skipped) == 0:
        return ()
    edges = np.quantile(p_not_skipped, np.linspace(0, 1, bins + 1)[1:-1])  # (bins - 1,)
    bin_of = np.searchsorted(edges, p_not_skipped, side="left")
    return tuple(
        ReliabilityBin(
            sessions=int(np.count_nonzero(bin_of == b)),
            mean_p_not_skipped=float(np.mean(p_not_skipped[bin_of == b])),
            share_not_skipped=float(np.mean(not_skipped[bin_of == b])),
        )
        for b in np.unique(bin_of)
    )


def expected_calibration_error(curve: Sequence[ReliabilityBin]) -> float:
    """Mean gap between probability and what happened, over bins weighted by their sessions; 0 for none.

    The expected calibration error of Naeini et al. (2015) with equal-count bins (Nixon et al., 2019), of the
    probability of one class: the mean distance of the reliability curve from the diagonal, so that number
    and picture say the same. It is never 0, see ``calibration_error_by_chance``.
    """
    return _mean(curve, [abs(b.mean_p_not_skipped - b.share_not_skipped) for b in curve])


def calibration_error_by_chance(curve: Sequence[ReliabilityBin]) -> float:
    """What the error would be on average if every bin's mean probability were right; 0 for no bins.

    The share of m outcomes is then off by sqrt(2 / pi) standard deviations, sqrt(p (1 - p) / m), on average
    (normal approximation of the binomial distribution).
    """
    p = [b.mean_p_not_skipped for b in curve]
    return _mean(
        curve, [math.sqrt(2 / math.pi * q * (1 - q) / b.sessions) for q, b in zip(p, curve, strict=True)]
    )


def _mean(curve: Sequence[ReliabilityBin], values: Sequence[float]) -> float:
    """Of bins, weighted by their sessions."""
    sessions = sum(b.sessions for b in curve)
    return sum(b.sessions * v for b, v in zip(curve, values, strict=True)) / sessions if sessions else 0.0
