"""How good probabilities are: scores, what each session adds to them, and rules that need no network.

Labels and probabilities in, numbers out; nothing here knows a network, a file or a plot. Throughout,
label 1 means "played to the end" and ``p_not_skipped`` is the probability of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import rankdata
from sklearn import metrics

from skip_pipeline import schema
from skip_pipeline.errors import ContractError, TrainingError
from skip_pipeline.settings import DECISION_THRESHOLD

_EPSILON: Final = float(np.finfo(np.float64).eps)


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


def score(
    not_skipped: np.ndarray, p_not_skipped: np.ndarray, threshold: float = DECISION_THRESHOLD
) -> SplitScores:
    """Score the probabilities of one split.

    Args:
        not_skipped: labels (n,), 0 or 1.
        p_not_skipped: probabilities (n,), in [0, 1].
        threshold: probability from which on a track is predicted as played.

    Raises:
        ContractError: lengths differ, a label is neither 0 nor 1, or a probability is outside [0, 1].
        TrainingError: no session, or all of one class, so that ROC AUC is not defined.
    """
    check_probabilities(not_skipped, p_not_skipped)
    need_both_outcomes(not_skipped, "the scores")
    return SplitScores(
        sessions=len(not_skipped),
        accuracy=_accuracy(not_skipped, p_not_skipped >= threshold),
        log_loss=float(metrics.log_loss(not_skipped, p_not_skipped, labels=[0, 1])),
        roc_auc=float(metrics.roc_auc_score(not_skipped, p_not_skipped)),
        brier=float(metrics.brier_score_loss(not_skipped, p_not_skipped, pos_label=1)),
    )


def losses(not_skipped: np.ndarray, p_not_skipped: np.ndarray) -> np.ndarray:
    """What each session adds to log-loss, in nats: float64 (n,).

    As scikit-learn does, a probability counts as no closer to 0 or 1 than a float64 can tell, so that
    certainty that fails costs 36 nats and not infinity.
    """
    p = p_not_skipped.astype(np.float64)
    given = np.where(not_skipped == 1, p, 1 - p)
    return np.asarray(-np.log(np.clip(given, _EPSILON, 1 - _EPSILON)))


def correct(
    not_skipped: np.ndarray, p_not_skipped: np.ndarray, threshold: float = DECISION_THRESHOLD
) -> np.ndarray:
    """Whether each session's outcome was predicted right at the threshold: bool (n,)."""
    return np.asarray((p_not_skipped >= threshold) == (not_skipped == 1))


def roc_auc_shares(not_skipped: np.ndarray, p_not_skipped: np.ndarray) -> np.ndarray:
    """What each session adds to the area under the ROC curve, so that their mean is the area: float64 (n,).

    The area is a mean over pairs, not over sessions. These are the sessions' placements (DeLong, DeLong and
    Clarke-Pearson, 1988), weighted so that other sessions' area is the mean of their shares but for terms of
    second order: which makes resampling it as cheap as resampling a mean.

    Raises:
        ContractError, TrainingError: see ``score``.
    """
    check_probabilities(not_skipped, p_not_skipped)
    need_both_outcomes(not_skipped, "the scores")
    played = not_skipped == 1
    placements = np.empty(len(not_skipped))  # share of the sessions of the other outcome that it is right of
    among_all = rankdata(p_not_skipped)
    below = among_all[played] - rankdata(p_not_skipped[played])
    placements[played] = below / np.count_nonzero(~played)
    below = among_all[~played] - rankdata(p_not_skipped[~played])
    placements[~played] = 1 - below / np.count_nonzero(played)
    area = float(placements[played].mean())
    share = np.where(played, played.mean(), 1 - played.mean())
    return np.asarray(area + (placements - area) / share)


def average_precision(not_skipped: np.ndarray, p_not_skipped: np.ndarray) -> float:
    """Area under the curve of precision over recall of "not skipped", by its steps; a coin gets their share.

    Raises:
        ContractError, TrainingError: see ``score``.
    """
    check_probabilities(not_skipped, p_not_skipped)
    need_both_outcomes(not_skipped, "the scores")
    return float(metrics.average_precision_score(not_skipped, p_not_skipped))


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


# --- Checks -------------------------------------------------------------------------------------------


def _accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    if len(labels) == 0:
        raise TrainingError("accuracy is not defined for no sessions; deliver more sessions")
    return float(np.mean(np.asarray(labels) == predicted))


def check_probabilities(not_skipped: np.ndarray, p_not_skipped: np.ndarray) -> None:
    """Refuse what is not a label and a probability for each of the same sessions.

    Raises:
        ContractError: see ``score``.
    """
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
