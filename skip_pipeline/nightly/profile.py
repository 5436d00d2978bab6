"""What the sessions of a bundle are like, as counts: small enough to keep beside every model.

Counted are the plays, one for every log row, earlier tracks and predicted ones alike; of what the log says
of a row only the earlier ones, for of the predicted row a bundle holds nothing but track and label.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.bundles.parts import Part, plays
from skip_pipeline.bundles.records import CATEGORIES, FLAGS, SEEKS, SHUFFLE, flag, level_codes
from skip_pipeline.errors import ContractError, TrainingError

BINS: Final = 10
"""Bins of a number, with equally many plays of the reference in each: the usual choice for the population
stability index (Siddiqi, Credit Risk Scorecards, 2006)."""

UNKNOWN_LEVEL: Final = "unknown"
PREDICTED_OUTCOME: Final = "outcome of the predicted track"
EARLIER_OUTCOME: Final = "outcome of earlier tracks"
LENGTHS: Final = schema.LENGTH
_OUTCOMES: Final = ("skipped", "not skipped")
_SEEK_LEVELS: Final = ("0", "1", "2 or more")  # more are rare


@dataclass(frozen=True)
class Distribution:
    """How often each bin or level of one feature occurs.

    Attributes:
        levels: names of the bins or levels.
        counts: int64 (levels,).
        edges: float64 (levels - 1,), for a number: value v is in bin ``searchsorted(edges, v, "right")``;
            None for a category.
    """

    levels: tuple[str, ...]
    counts: np.ndarray
    edges: np.ndarray | None = None

    @property
    def shares(self) -> np.ndarray:
        """Counts as shares, float64 (levels,); zeros where nothing was counted."""
        return self.counts / max(1, int(self.counts.sum()))


@dataclass(frozen=True)
class Profile:
    """Sessions, plays, and the distribution of every feature by name."""

    sessions: int
    plays: int
    features: Mapping[str, Distribution]

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "sessions": self.sessions,
            "plays": self.plays,
            "features": {
                name: {
                    "levels": list(found.levels),
                    "counts": found.counts.tolist(),
                    "edges": None if found.edges is None else found.edges.tolist(),
                }
                for name, found in self.features.items()
            },
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Profile:
        """Inverse of ``to_json``.

        Raises:
            ContractError: the content is not such a profile.
        """
        try:
            features = {
                name: Distribution(
                    tuple(found["levels"]),
                    np.array(found["counts"], np.int64),
                    None if found["edges"] is None else np.array(found["edges"], np.float64),
                )
                for name, found in content["features"].items()
            }
            return cls(int(content["sessions"]), int(content["plays"]), features)
        except (KeyError, TypeError, ValueError) as damage:
            raise ContractError(
                f"the profile of the training data cannot be read ({damage!r}); train a model again"
            ) from damage


def profile(parts: Iterable[Part], tracks: pa.Table, *, like: Profile | None = None) -> Profile:
    """Count the sessions of some parts of a bundle.

    Args:
        parts: of one bundle.
        tracks: the track table (``schema.TRACK_FEATURES``) in the order of the bundle's track matrix.
        like: profile whose bins are used; without one, bins of equally many plays are made.

    Raises:
        TrainingError: there is no session.
        ContractError: ``like`` has other features.
    """
    parts = list(parts)
    played = plays(parts, tracks.num_rows)
    counts: dict[str, np.ndarray] = {name: np.zeros(len(of), np.int64) for name, of in _LEVELS.items()}
    sessions = 0
    for part in parts:
        sessions += len(part.sessions)
        for name, codes in _codes(part):
            counts[name] += np.bincount(codes, minlength=len(counts[name]))
    if not sessions:
        raise TrainingError(
            "there is no session to profile; deliver some, or materialize tensor_bundles again"
        )
    features = {name: Distribution(_LEVELS[name], counts[name]) for name in counts}
    features["mode"] = _by_level(tracks["mode"], played)
    for name in schema.NUMERIC_TRACK_FEATURES:
        values = tracks[name].to_numpy().astype(np.float64)
        features[name] = _by_bin(values, played, _edges(name, values, played, like))
    return Profile(sessions, int(played.sum()), features)


_LEVELS: Final[Mapping[str, tuple[str, ...]]] = {
    PREDICTED_OUTCOME: _OUTCOMES,
    EARLIER_OUTCOME: _OUTCOMES,
    LENGTHS: tuple(map(str, range(schema.MIN_SESSION_LENGTH, schema.MAX_SESSION_LENGTH + 1))),
    **{name: (*schema.LEVELS[name], UNKNOWN_LEVEL) for name in CATEGORIES},
    **{name: ("no", "yes") for name in (*FLAGS, SHUFFLE) if name != schema.LABEL},
    **dict.fromkeys(SEEKS, _SEEK_LEVELS),
}


def _codes(part: Part) -> Iterable[tuple[str, np.ndarray]]:
    """Index of each row's or session's level, by feature of ``_LEVELS``."""
    yield PREDICTED_OUTCOME, part.sessions[schema.LABEL]
    yield LENGTHS, part.sessions["length"] - schema.MIN_SESSION_LENGTH
    for name in (*FLAGS, SHUFFLE):
        yield EARLIER_OUTCOME if name == schema.LABEL else name, flag(part.rows, name)
    for name in SEEKS:
        yield name, np.minimum(part.rows[name], len(_SEEK_LEVELS) - 1)
    for name in CATEGORIES:
        yield name, level_codes(part.rows, name)


def _by_level(column: pa.ChunkedArray, plays: np.ndarray) -> Distribution:
    """Plays by level of a track's category."""
    levels = schema.LEVELS["mode"]
    names = column.to_numpy()
    known = [int(plays[names == level].sum()) for level in levels]
    return Distribution((*levels, UNKNOWN_LEVEL), np.array([*known, plays.sum() - sum(known)], np.int64))


def _by_bin(values: np.ndarray, plays: np.ndarray, edges: np.ndarray) -> Distribution:
    counts = np.bincount(
        np.searchsorted(edges, values, side="right"), weights=plays, minlength=len(edges) + 1
    )
    return Distribution(_bin_names(edges), counts.astype(np.int64), edges)


def _edges(name: str, values: np.ndarray, plays: np.ndarray, like: Profile | None) -> np.ndarray:
    if like is None:
        return _equal_counts(values, plays)
    edges = like.features[name].edges if name in like.features else None
    if edges is None:
        raise ContractError(f"the profile to compare with has no bins of {name}; train a model again")
    return edges


def _equal_counts(values: np.ndarray, plays: np.ndarray) -> np.ndarray:
    """Inner edges of at most ``BINS`` bins that hold equally many plays, where no value is cut in two."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(plays[order]) / plays.sum()
    wanted = np.arange(1, BINS) / BINS
    at = np.minimum(np.searchsorted(reached, wanted), len(order) - 1)
    edges = np.unique(values[order[at]])
    played: np.ndarray = values[plays > 0]
    # A bin begins at its edge, so an edge at the smallest value would leave an empty one before it.
    inner: np.ndarray = edges[edges > played.min()]
    return inner


def _bin_names(edges: np.ndarray) -> tuple[str, ...]:
    if len(edges) == 0:
        return ("all",)
    inner = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
    return (f"below {edges[0]:.4g}", *inner, f"from {edges[-1]:.4g}")


def feature_names() -> Sequence[str]:
    """Every feature of a profile."""
    return (*_LEVELS, "mode", *schema.NUMERIC_TRACK_FEATURES)
