"""Scores of predicted probabilities, and each session's contribution to them.

Label 1 means "played to the end", and ``p_not_skipped`` is the probability of that. Labels and probabilities
are (n,), one of each per session.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import rankdata

from skip_pipeline import schema
from skip_pipeline.errors import ContractError, TrainingError
from skip_pipeline.settings import DECISION_THRESHOLD

_EPSILON: Final = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class SplitScores:
    """Scores of one split's last tracks; of every track where that is said, and then counts are of tracks."""

    sessions: int
    accuracy: float  # share of sessions predicted right at the decision threshold
    log_loss: float  # mean of -log of the probability given to the outcome, in nats; ln 2 for a constant 0.5
    roc_auc: float  # probability that a played track scores higher than a skipped one; 0.5 for a constant
    brier: float  # mean squared difference of probability and outcome (Brier, 1950); 0.25 for a constant 0.5


@dataclass(frozen=True)
class Slicing:
    """A division of n sessions, or of n tracks, into slices."""

    name: str  # in metrics and settings
    title: str  # on a page
    labels: tuple[str, ...]  # of the slices, in the order shown
    slice_of: np.ndarray  # int (n,), index into ``labels`` of each session


def score(
    not_skipped: np.ndarray, p_not_skipped: np.ndarray, threshold: float = DECISION_THRESHOLD
) -> SplitScores:
    """Score one split; a track is predicted as played from the threshold on."""
    from sklearn import metrics  # takes a second to import; a server needs only the checks below

    check_probabilities(not_skipped, p_not_skipped)
    need_both_outcomes(not_skipped, "the scores")
    return SplitScores(
        sessions=len(not_skipped),
        accuracy=float(np.mean(correct(not_skipped, p_not_skipped, threshold))),
        log_loss=float(metrics.log_loss(not_skipped, p_not_skipped)),
        roc_auc=float(metrics.roc_auc_score(not_skipped, p_not_skipped)),
        brier=float(metrics.brier_score_loss(not_skipped, p_not_skipped)),
    )


def losses(not_skipped: np.ndarray, p_not_skipped: np.ndarray) -> np.ndarray:
    """Log-loss of each session, in nats: float64 (n,).

    A probability is at least the float64 epsilon, as in scikit-learn, so that the loss is at most 36.04.

    >>> losses(np.array([1, 0]), np.array([0.5, 0.25])).round(4).tolist()
    [0.6931, 0.2877]
    """
    p = p_not_skipped.astype(np.float64)
    given = np.where(not_skipped == 1, p, 1 - p)
    return np.asarray(-np.log(np.maximum(given, _EPSILON)))


def correct(
    not_skipped: np.ndarray, p_not_skipped: np.ndarray, threshold: float | np.ndarray = DECISION_THRESHOLD
) -> np.ndarray:
    """Whether each session is predicted right at the threshold: bool (n,)."""
    return np.asarray((p_not_skipped >= threshold) == (not_skipped == 1))


def roc_auc_pseudovalues(not_skipped: np.ndarray, p_not_skipped: np.ndarray) -> np.ndarray:
    """Pseudovalue of each session for ROC AUC, whose mean is ROC AUC: float64 (n,).

    A session's pseudovalue is ROC AUC plus its influence on ROC AUC, computed from its placement value: the
    share of the sessions of the other outcome that it is ranked against correctly (DeLong, DeLong and
    Clarke-Pearson, 1988). The mean over a resample is the resample's ROC AUC to first order, so that the
    bootstrap of ROC AUC costs as little as that of a mean.
    """
    check_probabilities(not_skipped, p_not_skipped)
    need_both_outcomes(not_skipped, "the scores")
    played = not_skipped == 1
    ranks = rankdata(p_not_skipped)
    placements = np.empty(len(not_skipped))
    for outcome in (played, ~played):
        below = ranks[outcome] - rankdata(p_not_skipped[outcome])  # sessions of the other outcome
        placements[outcome] = below / np.count_nonzero(~outcome)
    placements[~played] = 1 - placements[~played]
    area = float(placements[played].mean())
    share = np.where(played, played.mean(), 1 - played.mean())
    return np.asarray(area + (placements - area) / share)


# --- Checks -------------------------------------------------------------------------------------------


def check_probabilities(not_skipped: np.ndarray, p_not_skipped: np.ndarray) -> None:
    """Raise a ``ContractError`` unless there is one label, 0 or 1, and one probability per session."""
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
    check_range(p_not_skipped)


def check_range(p: np.ndarray) -> None:
    """Raise a ``ContractError`` if a value is outside [0, 1] or NaN."""
    if outside := np.count_nonzero(~((p >= 0) & (p <= 1))):
        raise ContractError(f"{outside} of {p.size} probabilities are not in [0, 1]; train the network again")


def need_both_outcomes(not_skipped: np.ndarray, what: str) -> None:
    """Raise a ``TrainingError``, which names the labels, unless they have both outcomes."""
    played = int(np.count_nonzero(not_skipped))
    if not 0 < played < len(not_skipped):
        raise TrainingError(
            f"{what}: {played} of {len(not_skipped)} tracks were played to their end; both outcomes are "
            "needed in training, validation and test alike. Deliver more sessions"
        )
