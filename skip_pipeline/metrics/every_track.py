"""Scores of every track of n sessions, each predicted from the tracks before it.

Labels are float (n, 20): 1 played to the end, 0 skipped, NaN where the session has no track. Probabilities
are (n, 20), of any value where there is no track. Tracks of one session are not independent, so a score is a
ratio of sums over sessions, and its interval comes from resampling sessions (``intervals.estimate_ratios``).
"""

from dataclasses import dataclass

import numpy as np

from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.intervals import Estimate, estimate_ratios
from skip_pipeline.metrics.scores import check_probabilities, losses, roc_auc_pseudovalues


@dataclass(frozen=True)
class PositionScores:
    """Scores of the tracks at one position of their sessions."""

    position: int  # 1 for a session's first track, which has no track before it
    tracks: int  # at least 1
    share_not_skipped: float
    log_loss: Estimate
    calibration_gap: Estimate  # mean probability minus share not skipped; 0 if right on average


def is_track(not_skipped: np.ndarray) -> np.ndarray:
    """Where sessions have a track: bool (n, 20)."""
    return np.asarray(~np.isnan(not_skipped))


def answers_every_track(not_skipped: np.ndarray, p_not_skipped: np.ndarray) -> bool:
    """Whether a model gives a probability of every track, and not of each session's last one alone."""
    check_shapes(not_skipped, p_not_skipped)
    return not np.isnan(p_not_skipped[is_track(not_skipped)]).any()


def positions(not_skipped: np.ndarray) -> np.ndarray:
    """Position of each track in its session, from 1; 0 where there is no track: int64 (n, 20).

    >>> positions(np.array([[np.nan, 1.0, 0.0]])).tolist()
    [[0, 1, 2]]
    """
    real = is_track(not_skipped)
    return np.asarray(np.cumsum(real, axis=1) * real)


def session_aucs(not_skipped: np.ndarray, p_not_skipped: np.ndarray) -> np.ndarray:
    """ROC AUC within each session: float64 (n,), NaN for a session without both outcomes.

    It measures whether a model ranks the tracks of one listener. ROC AUC over all tracks also rises when a
    model only tells listeners apart. Every pair of a played and a skipped track of the session counts; a tie
    counts half.

    >>> session_aucs(np.array([[np.nan, 1, 0, 1]]), np.array([[0.0, 0.9, 0.5, 0.5]])).tolist()
    [0.75]
    """
    check_tracks(not_skipped, p_not_skipped)
    played, skipped = not_skipped == 1, not_skipped == 0
    won = np.zeros(len(not_skipped))
    for column in range(not_skipped.shape[1]):
        own = p_not_skipped[:, column, None]
        better = (own > p_not_skipped) + 0.5 * (own == p_not_skipped)
        won += played[:, column] * (better * skipped).sum(axis=1)
    pairs = (played.sum(axis=1) * skipped.sum(axis=1)).astype(np.float64)
    return np.asarray(np.divide(won, pairs, out=np.full(len(won), np.nan), where=pairs > 0))


def auc_pseudovalues(not_skipped: np.ndarray, p_not_skipped: np.ndarray) -> np.ndarray:
    """``scores.roc_auc_pseudovalues`` over the tracks of all sessions: float64 (n, 20), NaN for no track.

    Their mean over the tracks of resampled sessions is the resample's ROC AUC to first order, as in the
    estimator for clustered data by Obuchowski (Biometrics 53, 1997).
    """
    check_tracks(not_skipped, p_not_skipped)
    real, values = is_track(not_skipped), np.full(not_skipped.shape, np.nan)
    values[real] = roc_auc_pseudovalues(not_skipped[real], p_not_skipped[real])
    return values


def mean_over(values: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the chosen values, and their number, by session: float64 (n,) each, for ``estimate_ratios``.

    Args:
        values: (n, 20).
        chosen: bool (n, 20).
    """
    return np.where(chosen, values, 0.0).sum(axis=1), chosen.sum(axis=1).astype(np.float64)


def score_positions(not_skipped: np.ndarray, p_not_skipped: np.ndarray) -> tuple[PositionScores, ...]:
    """Log-loss and calibration at each position that has a track."""
    check_tracks(not_skipped, p_not_skipped)
    position = positions(not_skipped)
    tracks = np.bincount(position.ravel(), minlength=1)
    found = [int(place) for place in np.flatnonzero(tracks) if place > 0]
    values = {"log_loss": losses(not_skipped, p_not_skipped), "gap": p_not_skipped - not_skipped}
    columns = [mean_over(each, position == place) for each in values.values() for place in found]
    estimates = estimate_ratios(*(np.column_stack(side) for side in zip(*columns, strict=True)))
    return tuple(
        PositionScores(
            place,
            int(tracks[place]),
            float(not_skipped[position == place].mean(dtype=np.float64)),
            estimates[i],
            estimates[i + len(found)],
        )
        for i, place in enumerate(found)
    )


# --- Checks -------------------------------------------------------------------------------------------


def check_shapes(not_skipped: np.ndarray, p_not_skipped: np.ndarray) -> None:
    """Raise a ``ContractError`` unless labels and probabilities are of the same sessions and places."""
    if not_skipped.shape != p_not_skipped.shape or not_skipped.ndim != 2:
        raise ContractError(
            f"labels have shape {not_skipped.shape} and probabilities {p_not_skipped.shape}, expected "
            "(n, 20) of the same sessions; predict the same split that the labels come from"
        )


def check_tracks(not_skipped: np.ndarray, p_not_skipped: np.ndarray) -> None:
    """Raise a ``ContractError`` unless every track has a label, 0 or 1, and a probability."""
    check_shapes(not_skipped, p_not_skipped)
    real = is_track(not_skipped)
    check_probabilities(not_skipped[real], p_not_skipped[real])
