"""The challenge's metric: decisions on the second half of a session, skipped (1) or not (0).

A session has T tracks to be decided, 5 to 10 in the published test set. Its average accuracy is the mean
over these tracks of A(i) L(i): A(i) is the accuracy of the first i decisions, and L(i) is 1 where decision i
is right, else 0 (Brost, Mehrotra and Jehan, 2019). The challenge ranks by the mean over sessions, and ties by
the accuracy of the first decision.

Digits of n sessions are one flat array, session after session, with the number of each session's tracks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.intervals import Estimate, estimate_means


@dataclass(frozen=True)
class SessionScores:
    """Scores of the decisions on n sessions."""

    average_accuracy: np.ndarray  # float64 (n,), each 0 to 1
    first_right: np.ndarray  # bool (n,), whether the first decision is right

    def __len__(self) -> int:
        return len(self.average_accuracy)


@dataclass(frozen=True)
class ChallengeScores:
    """Scores of one set of decisions, or differences of two sets on the same sessions."""

    maa: Estimate  # mean average accuracy
    fpa: Estimate  # first-prediction accuracy


def average_accuracy(right: np.ndarray) -> np.ndarray:
    """Average accuracy of sessions with T tracks each: float64 (n,).

    Args:
        right: bool (n, T), whether each decision agrees with the outcome.

    >>> average_accuracy(np.array([[True, False, True]])).round(4).tolist()
    [0.5556]
    """
    so_far = np.cumsum(right, axis=1) / np.arange(1, right.shape[1] + 1)
    return np.asarray((so_far * right).mean(axis=1), dtype=np.float64)


def score_sessions(decided: np.ndarray, skipped: np.ndarray, tracks: np.ndarray) -> SessionScores:
    """Score decisions on sessions of any lengths.

    Args:
        decided: decisions, 0 or 1, (rows,).
        skipped: outcomes, 0 or 1, (rows,).
        tracks: number of tracks of each session, int (n,), at least 1; they add up to the rows.

    Raises:
        ContractError: the numbers of decisions, outcomes and tracks differ, or a value is neither 0 nor 1.

    >>> score_sessions(np.array([1, 0, 1]), np.array([1, 1, 1]), np.array([2, 1])).average_accuracy.tolist()
    [0.5, 1.0]
    """
    check_digits(decided, tracks, "decisions")
    check_digits(skipped, tracks, "outcomes")
    right = decided == skipped
    starts = np.cumsum(tracks) - tracks
    average = np.empty(len(tracks))
    for length in np.unique(tracks):
        alike = np.flatnonzero(tracks == length)
        average[alike] = average_accuracy(right[starts[alike, None] + np.arange(length)])
    return SessionScores(average, right[starts])


def joined(parts: Sequence[SessionScores]) -> SessionScores:
    """Scores of several groups of sessions, one after the other."""
    return SessionScores(
        np.concatenate([part.average_accuracy for part in parts]),
        np.concatenate([part.first_right for part in parts]),
    )


def estimate_scores(scores: Sequence[SessionScores]) -> tuple[list[ChallengeScores], list[ChallengeScores]]:
    """Scores of several sets of decisions, and how far each but the first is above the first.

    Sessions are resampled together, so that a difference is of pairs.

    Args:
        scores: of the same sessions in the same order, at least one set.

    Raises:
        ContractError: the sets have different numbers of sessions, or none.
    """
    sizes = [len(own) for own in scores]
    if len(set(sizes)) != 1 or not sizes[0]:
        raise ContractError(f"scores of {sizes} sessions, expected sets of the same sessions, at least one")
    columns = np.stack([(own.average_accuracy, own.first_right.astype(np.float64)) for own in scores])
    pairs = np.concatenate([columns, columns[1:] - columns[0]])  # (2 k - 1, 2, n)
    found = estimate_means(pairs.reshape(-1, sizes[0]).T)
    each = [ChallengeScores(maa, fpa) for maa, fpa in zip(found[::2], found[1::2], strict=True)]
    return each[: len(scores)], each[len(scores) :]


def check_digits(digits: np.ndarray, tracks: np.ndarray, what: str) -> None:
    """Raise a ``ContractError`` unless there is one digit, 0 or 1, for each track of each session."""
    if tracks.ndim != 1 or digits.shape != (tracks.sum(),) or (tracks < 1).any():
        raise ContractError(
            f"{what} have shape {digits.shape}, and sessions {tracks.sum()} tracks in all, at least "
            f"{tracks.min(initial=0)} each; expected one of the {what} for each track of the second half, in "
            "the order of the input file, and at least one track a session"
        )
    if strange := np.count_nonzero((digits != 0) & (digits != 1)):
        raise ContractError(
            f"{strange} of {len(digits)} {what} are neither 0 nor 1; expected 1 for skipped, 0 for not"
        )
