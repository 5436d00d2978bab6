"""How good a model is on parts of the test sessions: by length, context, account, hour and track."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from scipy import sparse

from skip_pipeline import schema
from skip_pipeline.metrics import scores as evaluate
from skip_pipeline.metrics.intervals import Estimate, estimates, resampled
from skip_pipeline.report.circumstances import Circumstances
from skip_pipeline.settings import DECISION_THRESHOLD, FEW_SESSIONS


@dataclass(frozen=True)
class Slicing:
    """One way to part the test sessions.

    Attributes:
        name: identifies it in metrics.
        title: in words.
        labels: of the slices, in the order they are shown.
        slice_of: int (n,), index into ``labels`` of each session.
    """

    name: str
    title: str
    labels: tuple[str, ...]
    slice_of: np.ndarray


@dataclass(frozen=True)
class Slice:
    """One part of the test sessions and the model's scores on it."""

    label: str
    sessions: int
    share_not_skipped: float
    accuracy: Estimate
    log_loss: Estimate

    @property
    def few(self) -> bool:
        """Whether it holds too few sessions to judge by."""
        return self.sessions < FEW_SESSIONS


@dataclass(frozen=True)
class SliceTable:
    """The slices of one ``Slicing`` that hold any session."""

    name: str
    title: str
    slices: tuple[Slice, ...]

    def metrics(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "name": self.name,
            "slices": [asdict(part) | {"few_sessions": part.few} for part in self.slices],
        }


# Bounds inclusive. Most sessions have all 20 tracks, so that single lengths below would hold too few.
_LENGTHS: Final = ((10, 12), (13, 15), (16, 19), (20, 20))
_HOURS: Final = 4  # hours to a slice; single ones of 2,000 test sessions would hold 20 at night
_POPULARITY_SLICES: Final = 5
_ORDINALS: Final = (
    "least popular fifth",
    "second fifth",
    "third fifth",
    "fourth fifth",
    "most popular fifth",
)


def slicings(sessions: Circumstances) -> tuple[Slicing, ...]:
    """The ways in which the report parts the test sessions."""
    return (_by_length(sessions), _by_context(sessions), *_by_flags(sessions), _by_hour(sessions))


def _by_length(sessions: Circumstances) -> Slicing:
    labels = tuple(str(low) if low == high else f"{low} to {high}" for low, high in _LENGTHS)
    ends = [high for _, high in _LENGTHS]
    return Slicing("session_length", "Tracks in the session", labels, np.searchsorted(ends, sessions.length))


def _by_context(sessions: Circumstances) -> Slicing:
    levels = schema.LEVELS["context_type"]
    at = np.searchsorted(levels, sessions.context_type)
    at[~np.isin(sessions.context_type, levels)] = len(levels)
    labels = tuple(level.replace("_", " ") for level in levels)
    return Slicing("context_type", "Played from", (*labels, "a context unknown to the vocabulary"), at)


def _by_flags(sessions: Circumstances) -> tuple[Slicing, ...]:
    inner = np.arange(1, _POPULARITY_SLICES) / _POPULARITY_SLICES
    edges = np.quantile(sessions.popularity, inner) if len(sessions.popularity) else inner
    return (
        Slicing("premium", "Account", ("free", "premium"), sessions.premium.astype(np.int64)),
        Slicing(
            "track_popularity",
            "Popularity of the predicted track",
            _ORDINALS,
            np.searchsorted(edges, sessions.popularity, side="left"),
        ),
        Slicing(
            "track_in_training",
            "Predicted track",
            ("not played in any training session", "played in a training session"),
            sessions.known_track.astype(np.int64),
        ),
    )


def _by_hour(sessions: Circumstances) -> Slicing:
    labels = tuple(f"{hour:02d}:00 to {hour + _HOURS - 1:02d}:59" for hour in range(0, 24, _HOURS))
    return Slicing("hour_of_day", "Hour of day", labels, sessions.hour.astype(np.int64) // _HOURS)


def score_slices(
    not_skipped: np.ndarray,
    p_not_skipped: np.ndarray,
    ways: Sequence[Slicing],
    threshold: float = DECISION_THRESHOLD,
) -> tuple[SliceTable, ...]:
    """Accuracy and log-loss of every slice, with intervals from the same resamples as the leaderboard's.

    Args:
        not_skipped: labels (n,), 0 or 1.
        p_not_skipped: probabilities (n,).
        ways: to part the sessions.
        threshold: probability from which on a track is predicted as played.

    Raises:
        ContractError, TrainingError: see ``evaluate.score``.
    """
    evaluate.check_probabilities(not_skipped, p_not_skipped)
    evaluate.need_both_outcomes(not_skipped, "the test sessions")
    n = len(not_skipped)
    sizes = [len(way.labels) for way in ways]
    first = np.cumsum([0, *sizes])
    member = np.concatenate([way.slice_of + at for way, at in zip(ways, first[:-1], strict=True)])
    every = np.tile(np.arange(n), len(ways))
    values = (
        np.ones(n),
        evaluate.losses(not_skipped, p_not_skipped),
        evaluate.correct(not_skipped, p_not_skipped, threshold).astype(np.float64),
    )
    # (slices, n) each: a session is in one slice of each way, so nearly all is zero.
    sums = sparse.vstack(
        [sparse.csr_array((v[every], (member, every)), shape=(first[-1], n)) for v in values], format="csr"
    )

    def means(counts: np.ndarray) -> np.ndarray:
        sessions, *totals = np.split((sums @ counts.T).T, len(values), axis=1)
        nothing = np.full_like(sessions, np.nan)
        return np.hstack([np.divide(t, sessions, out=nothing.copy(), where=sessions > 0) for t in totals])

    found = estimates(means(np.ones((1, n)))[0], resampled(n, means))
    losses, accuracies = found[: first[-1]], found[first[-1] :]
    count = np.bincount(member, minlength=first[-1])
    played = np.bincount(member, weights=not_skipped[every], minlength=first[-1])
    return tuple(
        SliceTable(
            way.name,
            way.title,
            tuple(
                Slice(label, int(count[i]), float(played[i] / count[i]), accuracies[i], losses[i])
                for i, label in enumerate(way.labels, start=at)
                if count[i]
            ),
        )
        for way, at in zip(ways, first[:-1].tolist(), strict=True)
    )
