"""How good probabilities are: scores, baselines and the curves behind the plots.

Labels and probabilities in, numbers out; nothing here knows a network, a file or a plot. Throughout,
label 1 means "played to the end" and ``p_not_skipped`` is the probability of that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn import metrics

from skip_pipeline import schema
from skip_pipeline.errors import ContractError, TrainingError
from skip_pipeline.settings import CALIBRATION_BINS, DECISION_THRESHOLD


@dataclass(frozen=True)
class SplitScores:
    """Scores of one split, as plain numbers that JSON can hold.

    Attributes:
        sessions: n.
        accuracy: share of sessions whose outcome was predicted right at the decision threshold.
        log_loss: mean of -log of the probability given to what happened, in nats; ln 2 is a coin's.
        roc_auc: chance that a played track got a higher probability than a skipped one; 0.5 is a coin's.
        brier: mean squared difference of probability and outcome (Brier, 1950); 0.25 is a coin's.
    """

    sessions: int
    accuracy: float
    log_loss: float
    roc_auc: float
    brier: float


def score(not_skipped: np.ndarray, p_not_skipped: np.ndarray) -> SplitScores:
    """Score the probabilities of one split.

    Args:
        not_skipped: labels (n,), 0 or 1.
        p_not_skipped: probabilities (n,), in [0, 1].

    Raises:
        ContractError: lengths differ, a label is neither 0 nor 1, or a probability is outside [0, 1].
        TrainingError: no session, or all of one class, so that ROC AUC is not defined.
    """
    _check(not_skipped, p_not_skipped)
    need_both_outcomes(not_skipped, "the scores")
    return SplitScores(
        sessions=len(not_skipped),
        accuracy=_accuracy(not_skipped, p_not_skipped >= DECISION_THRESHOLD),
        log_loss=float(metrics.log_loss(not_skipped, p_not_skipped, labels=[0, 1])),
        roc_auc=float(metrics.roc_auc_score(not_skipped, p_not_skipped)),
        brier=float(metrics.brier_score_loss(not_skipped, p_not_skipped, pos_label=1)),
    )


# --- Baselines ----------------------------------------------------------------------------------------


def majority_class(train_labels: np.ndarray) -> int:
    """The commoner outcome of the training sessions: 1 not skipped, 0 skipped; a tie counts as skipped."""
    if len(train_labels) == 0:
        raise TrainingError("there is no training session to learn the commoner outcome from")
    return int(np.mean(train_labels) > 0.5)


def majority_accuracy(train_labels: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy on ``labels`` of always answering what was commoner in training."""
    return _accuracy(labels, np.full(len(labels), majority_class(train_labels)))


def repeat_last_outcome_accuracy(skip_sequence: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy of answering that the listener does again what they did with the track before.

    Args:
        skip_sequence: (n, 19, 1); padding is in front, so the last step is always a real track.
        labels: (n,), 0 or 1.
    """
    return _accuracy(labels, skip_sequence[:, -1, 0])


# --- Curves -------------------------------------------------------------------------------------------


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
    """Shares of skipped (false) and played (true) tracks above each threshold, from (0, 0) to (1, 1)."""

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]
    area: float


@dataclass(frozen=True)
class ReliabilityBin:
    """Sessions of similar probability: how many, the mean of it, and the share that did play on."""

    sessions: int
    mean_p_not_skipped: float
    share_not_skipped: float


def confusion(not_skipped: np.ndarray, p_not_skipped: np.ndarray) -> Confusion:
    """Count outcomes against predictions at the decision threshold.

    Raises:
        ContractError: as ``score``.
    """
    _check(not_skipped, p_not_skipped)
    matrix = metrics.confusion_matrix(not_skipped, p_not_skipped >= DECISION_THRESHOLD, labels=[0, 1])
    return Confusion(*(int(count) for count in matrix.ravel()))


def roc_curve(not_skipped: np.ndarray, p_not_skipped: np.ndarray) -> RocCurve:
    """The curve over all thresholds, without the points on straight pieces.

    Raises:
        ContractError, TrainingError: as ``score``.
    """
    _check(not_skipped, p_not_skipped)
    need_both_outcomes(not_skipped, "the scores")
    false, true, _ = metrics.roc_curve(not_skipped, p_not_skipped)
    return RocCurve(
        false_positive_rate=tuple(false.tolist()),
        true_positive_rate=tuple(true.tolist()),
        area=float(metrics.auc(false, true)),
    )


def reliability_curve(
    not_skipped: np.ndarray, p_not_skipped: np.ndarray, bins: int = CALIBRATION_BINS
) -> tuple[ReliabilityBin, ...]:
    """Compare probabilities with what happened, in bins of (nearly) equal count.

    Bin edges are quantiles of the probabilities. Equal probabilities always share a bin, so there are
    fewer and unequal bins where many are equal.

    Raises:
        ContractError: as ``score``.
    """
    _check(not_skipped, p_not_skipped)
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


def _accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    if len(labels) == 0:
        raise TrainingError("accuracy is not defined for no sessions; deliver more sessions")
    return float(np.mean(np.asarray(labels) == predicted))


def _check(not_skipped: np.ndarray, p_not_skipped: np.ndarray) -> None:
    if not_skipped.shape != p_not_skipped.shape or not_skipped.ndim != 1:
        raise ContractError(
            f"labels have shape {not_skipped.shape} and probabilities {p_not_skipped.shape}, expected one "
            "of each per session; predict the same split that the labels come from"
        )
    if strange := np.count_nonzero(~np.isin(not_skipped, (0, 1))):
        raise ContractError(
            f"{strange} of {len(not_skipped)} values of {schema.LABEL} are neither 0 nor 1; "
            "materialize tensor_bundles again"
        )
    outside = np.count_nonzero(~((p_not_skipped >= 0) & (p_not_skipped <= 1)))  # NaN is outside, too
    if outside:
        raise ContractError(
            f"{outside} of {len(p_not_skipped)} probabilities are not in [0, 1]; train the network again"
        )


def need_both_outcomes(not_skipped: np.ndarray, what: str) -> None:
    """Refuse labels from which ROC AUC is not defined.

    Args:
        not_skipped: labels (n,), 0 or 1.
        what: whose labels they are, in words that may begin a message.

    Raises:
        TrainingError: no session, or all of one outcome.
    """
    played = int(np.count_nonzero(not_skipped))
    if 0 < played < len(not_skipped):
        return
    raise TrainingError(
        f"{what}: of {len(not_skipped)} sessions, {played} end with a track played to its end; "
        "both outcomes are needed in training, validation and test alike. Deliver more sessions"
    )
