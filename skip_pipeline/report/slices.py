"""Scores on slices of sessions: by length, context, account, popularity, known track and hour."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from scipy import sparse

from skip_pipeline import schema
from skip_pipeline.metrics import scores
from skip_pipeline.metrics.intervals import Estimate, estimates, resampled
from skip_pipeline.metrics.scores import Slicing
from skip_pipeline.report.session_attributes import SessionAttributes
from skip_pipeline.settings import FEW_SESSIONS


@dataclass(frozen=True)
class Slice:
    """The model's scores on one slice."""

    label: str
    sessions: int
    tracks: int  # predicted: one a session, or all of its tracks that belong to the slice
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
        slices = [asdict(part) | {"few_sessions": part.few} for part in self.slices]
        return {"name": self.name, "slices": slices}


# Most sessions have all 20 tracks, so a single shorter length would hold too few.
_LENGTHS: Final = {"10 to 12": 12, "13 to 15": 15, "16 to 19": 19, "20": 20}  # the longest of each slice
_HOURS: Final = 4  # per slice; a single hour at night would hold 20 of 2,000 sessions
UNKNOWN: Final = "unknown"  # slice of the sessions for which the log does not know the attribute
_FIFTHS: Final = ("least popular fifth", "second fifth", "third fifth", "fourth fifth", "most popular fifth")


def slicings(sessions: SessionAttributes) -> tuple[Slicing, ...]:
    """Every slicing of the report; none by popularity where all tracks have the same, as unknown ones do."""
    contexts = schema.LEVELS["context_type"]
    context = np.searchsorted(contexts, sessions.context_type)
    context[~np.isin(sessions.context_type, contexts)] = len(contexts)
    context[sessions.context_type == ""] = len(contexts) + 1
    inner = np.linspace(0, 1, len(_FIFTHS) + 1)[1:-1]
    edges = np.quantile(sessions.popularity, inner) if len(sessions.popularity) else inner
    hours = tuple(f"{hour:02d}:00 to {hour + _HOURS - 1:02d}:59" for hour in range(0, 24, _HOURS))
    known = ("not played in any training session", "played in a training session")
    levels = (
        *(level.replace("_", " ") for level in contexts),
        "a context unknown to the vocabulary",
        UNKNOWN,
    )
    length = np.searchsorted(list(_LENGTHS.values()), sessions.length)
    account = np.where(sessions.premium < 0, 2, sessions.premium)
    fifth = np.searchsorted(edges, sessions.popularity, side="left")
    by_popularity = Slicing("track_popularity", "Popularity of the predicted track", _FIFTHS, fifth)
    return (
        Slicing("session_length", "Tracks in the session", tuple(_LENGTHS), length),
        Slicing("context_type", "Played from", levels, context),
        Slicing("premium", "Account", ("free", "premium", UNKNOWN), account),
        *([by_popularity] if edges[0] < edges[-1] else []),
        Slicing("track_in_training", "Predicted track", known, sessions.known_track.astype(np.int64)),
        Slicing("hour_of_day", "Hour of day", hours, sessions.hour.astype(np.int64) // _HOURS),
    )


def score_slices(
    not_skipped: np.ndarray,
    p_not_skipped: np.ndarray,
    slicings: Sequence[Slicing],
    threshold: float,
    session_of: np.ndarray | None = None,
) -> tuple[SliceTable, ...]:
    """Accuracy and log-loss of every slice, with intervals from the same resamples as the leaderboard's.

    Args:
        not_skipped: labels of t tracks.
        p_not_skipped: probabilities (t,).
        slicings: of the tracks.
        threshold: a track is predicted as played from this probability on.
        session_of: int (t,), number of each track's session, every session having one; None if track i is
            that of session i.
    """
    scores.check_probabilities(not_skipped, p_not_skipped)
    scores.need_both_outcomes(not_skipped, "the test sessions")
    session_of = np.arange(len(not_skipped)) if session_of is None else session_of
    n = int(session_of.max()) + 1
    # One column per slice, 1 for its tracks. Sparse, since a track is in one slice of each slicing.
    members = sparse.hstack([_one_hot(slicing) for slicing in slicings], format="csr")
    filled = np.flatnonzero(members.sum(axis=0))
    members = members[:, filled]
    losses = scores.losses(not_skipped, p_not_skipped)
    correct = scores.correct(not_skipped, p_not_skipped, threshold)
    shares = (not_skipped.astype(np.float64) @ members) / members.sum(axis=0)
    by_session = sparse.csr_array((np.ones(len(session_of)), (session_of, np.arange(len(session_of)))))
    sums = [by_session @ members.multiply(values[:, None]).tocsr() for values in (losses, correct)]
    members = by_session @ members  # (n, slices), number of tracks

    def means(counts: np.ndarray) -> np.ndarray:
        drawn = counts @ members
        with np.errstate(invalid="ignore"):  # 0 / 0 where a resample holds no session of a slice
            return np.hstack([counts @ of_value / drawn for of_value in sums])

    found = estimates(means(np.ones((1, n)))[0], resampled(n, means))
    tracks, sessions = members.sum(axis=0).astype(int), (members > 0).sum(axis=0).astype(int)
    names = [(slicing.name, label) for slicing in slicings for label in slicing.labels]
    slices: dict[str, list[Slice]] = {slicing.name: [] for slicing in slicings}
    for i, column in enumerate(filled):
        name, label = names[column]
        log_loss, accuracy = found[i], found[i + len(filled)]
        slices[name].append(
            Slice(label, int(sessions[i]), int(tracks[i]), float(shares[i]), accuracy, log_loss)
        )
    return tuple(SliceTable(slicing.name, slicing.title, tuple(slices[slicing.name])) for slicing in slicings)


def _one_hot(slicing: Slicing) -> sparse.csr_array:
    n = len(slicing.slice_of)
    return sparse.csr_array((np.ones(n), (np.arange(n), slicing.slice_of)), shape=(n, len(slicing.labels)))
