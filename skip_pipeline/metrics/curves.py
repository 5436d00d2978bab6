"""Curves that compare probabilities with outcomes, and the confusion matrix."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from sklearn import metrics

from skip_pipeline.metrics.scores import check_probabilities, need_both_outcomes
from skip_pipeline.settings import CALIBRATION_BINS, DECISION_THRESHOLD

_CURVE_POINTS: Final = 512  # that a ROC curve keeps; a plot of 700 pixels shows no more


@dataclass(frozen=True)
class RocCurve:
    """Rates at falling thresholds, from (0, 0) to (1, 1), with "not skipped" as the positive class."""

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]
    area: float  # under the curve through all thresholds, before points were left out


@dataclass(frozen=True)
class ReliabilityBin:
    """Sessions of similar probability."""

    sessions: int
    mean_p_not_skipped: float
    share_not_skipped: float


def confusion_matrix(
    not_skipped: np.ndarray, p_not_skipped: np.ndarray, threshold: float = DECISION_THRESHOLD
) -> np.ndarray:
    """Sessions by outcome (row) and prediction (column), "skipped" first: int64 (2, 2).

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0.1, 0.6, 0.8])).tolist()
    [[1, 1], [0, 1]]
    """
    check_probabilities(not_skipped, p_not_skipped)
    return np.asarray(metrics.confusion_matrix(not_skipped, p_not_skipped >= threshold, labels=[0, 1]))


def roc_curve(not_skipped: np.ndarray, p_not_skipped: np.ndarray) -> RocCurve:
    """ROC curve, thinned to what a plot can show."""
    check_probabilities(not_skipped, p_not_skipped)
    need_both_outcomes(not_skipped, "the scores")
    false, true, _ = metrics.roc_curve(not_skipped, p_not_skipped)
    kept = np.unique(np.linspace(0, len(false) - 1, _CURVE_POINTS).round().astype(np.int64))
    area = float(metrics.auc(false, true))
    return RocCurve(tuple(false[kept].tolist()), tuple(true[kept].tolist()), area)


def reliability_curve(
    not_skipped: np.ndarray, p_not_skipped: np.ndarray, bins: int = CALIBRATION_BINS
) -> tuple[ReliabilityBin, ...]:
    """Compare probabilities with outcomes in bins of equal count; no bin for no session.

    Bin edges are quantiles of the probabilities. Equal probabilities share a bin, so that there are fewer
    bins, of unequal count, where many probabilities are equal.
    """
    check_probabilities(not_skipped, p_not_skipped)
    if len(p_not_skipped) == 0:
        return ()
    edges = np.quantile(p_not_skipped, np.linspace(0, 1, bins + 1)[1:-1])  # (bins - 1,)
    bin_of = np.searchsorted(edges, p_not_skipped)
    members = [bin_of == b for b in np.unique(bin_of)]
    return tuple(
        ReliabilityBin(
            sessions=int(np.count_nonzero(member)),
            mean_p_not_skipped=float(np.mean(p_not_skipped[member])),
            share_not_skipped=float(np.mean(not_skipped[member])),
        )
        for member in members
    )


def expected_calibration_error(curve: Sequence[ReliabilityBin]) -> float:
    """Mean distance of probability and share not skipped, bins weighted by their sessions; 0 for no bins.

    Expected calibration error (Naeini et al., 2015) of one class's probability, with bins of equal count
    (Nixon et al., 2019). Chance alone makes it positive: see ``calibration_error_by_chance``.
    """
    return _mean([abs(b.mean_p_not_skipped - b.share_not_skipped) for b in curve], curve)


def calibration_error_by_chance(curve: Sequence[ReliabilityBin]) -> float:
    """Expected calibration error if every bin's mean probability p were right; 0 for no bins.

    The share of m outcomes is then off by sqrt(2 / pi) standard deviations, sqrt(p (1 - p) / m), on average
    (normal approximation of the binomial distribution).
    """
    variances = [b.mean_p_not_skipped * (1 - b.mean_p_not_skipped) / b.sessions for b in curve]
    return _mean(np.sqrt(2 / np.pi * np.array(variances)), curve)


def _mean(values: Sequence[float] | np.ndarray, curve: Sequence[ReliabilityBin]) -> float:
    return float(np.average(values, weights=[b.sessions for b in curve])) if curve else 0.0
