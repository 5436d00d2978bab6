"""Profile of a bundle's sessions: the distribution of every feature, small enough to keep with each model.

Every log row is a play, earlier tracks and predicted ones alike. A bundle holds only track and label of the
predicted row, so log features are counted over earlier rows.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Final

import numpy as np
import pyarrow as pa
from pydantic import PlainSerializer, PlainValidator, TypeAdapter

from skip_pipeline import schema
from skip_pipeline.bundles.parts import Part, plays
from skip_pipeline.bundles.records import CATEGORIES, FLAGS, SEEKS, SHUFFLE, flag, level_codes, outcome_bits
from skip_pipeline.errors import ContractError, TrainingError

BINS: Final = 10
"""Bins of a number, of equally many plays in the reference: the usual choice for the population stability
index (Siddiqi, Credit Risk Scorecards, 2006)."""

UNKNOWN_LEVEL: Final = "unknown"
PREDICTED_OUTCOME: Final = "outcome of the predicted track"
EARLIER_OUTCOME: Final = "outcome of earlier tracks"
_SEEK_LEVELS: Final = ("0", "1", "2 or more")  # more are rare


def _array(numbers: type[int] | type[float]) -> Any:
    """Annotations of an array that is a list of numbers in JSON."""
    listed: TypeAdapter[list[Any]] = TypeAdapter(list[numbers])  # type: ignore[valid-type]
    return PlainValidator(lambda values: np.array(listed.validate_python(values), numbers))


_AS_LIST: Final = PlainSerializer(lambda array: array.tolist())


@dataclass(frozen=True)
class Distribution:
    """Counts of each level of a category, or of each bin of a number.

    Where a number is not known of every play, ``UNKNOWN_LEVEL`` follows its bins.
    """

    levels: tuple[str, ...]  # names of the levels or bins
    counts: Annotated[np.ndarray, _array(int), _AS_LIST]  # int64 (levels,)
    # float64 (bins - 1,), for a number: value v is in bin ``searchsorted(edges, v, "right")``
    edges: Annotated[np.ndarray, _array(float), _AS_LIST] | None = None

    @property
    def shares(self) -> np.ndarray:
        """Counts as shares, float64 (levels,); zeros if nothing was counted."""
        return self.counts / max(1, int(self.counts.sum()))


@dataclass(frozen=True)
class Profile:
    """Number of sessions and plays, and the distribution of every feature by name."""

    sessions: int
    plays: int
    features: Mapping[str, Distribution]


_LEVELS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys((PREDICTED_OUTCOME, EARLIER_OUTCOME), ("skipped", "not skipped")),
    schema.LENGTH: tuple(map(str, range(schema.MIN_SESSION_LENGTH, schema.MAX_SESSION_LENGTH + 1))),
    **{name: (*schema.LEVELS[name], UNKNOWN_LEVEL) for name in CATEGORIES},
    **{name: ("no", "yes") for name in (*FLAGS, SHUFFLE) if name != schema.LABEL},
    **dict.fromkeys(SEEKS, _SEEK_LEVELS),
}
"""Levels of every feature of sessions and log rows."""


def profile_sessions(parts: Iterable[Part], tracks: pa.Table, *, bins_of: Profile | None = None) -> Profile:
    """Count the sessions of some parts of a bundle.

    Args:
        parts: of one bundle.
        tracks: the track table (``schema.TRACK_FEATURES``) in the order of the bundle's track matrix.
        bins_of: profile whose bins are used; without one, bins of equally many plays are made.
    """
    parts = list(parts)
    sessions = sum(len(part.sessions) for part in parts)
    if not sessions:
        raise TrainingError(
            "there is no session to profile; deliver some, or materialize tensor_bundles again"
        )
    played = plays(parts, tracks.num_rows)
    counts: dict[str, np.ndarray] = {name: np.zeros(len(of), np.int64) for name, of in _LEVELS.items()}
    for part in parts:
        for name, codes in _codes(part):
            counts[name] += np.bincount(codes, minlength=len(counts[name]))
    features = {name: Distribution(_LEVELS[name], counts[name]) for name in counts}
    features["mode"] = _mode(tracks["mode"].to_numpy(), played)
    for name in schema.NUMERIC_TRACK_FEATURES:
        bins = None if bins_of is None else _bins_of(bins_of, name)
        features[name] = _number(tracks[name], played, bins)
    return Profile(sessions, int(played.sum()), features)


def _codes(part: Part) -> Iterator[tuple[str, np.ndarray]]:
    """Index of each row's or session's level, by feature of ``_LEVELS``."""
    yield PREDICTED_OUTCOME, outcome_bits(part.sessions)[:, schema.OUTCOME_FLAGS.index(schema.LABEL)]
    yield schema.LENGTH, part.sessions["length"] - schema.MIN_SESSION_LENGTH
    for name in (*FLAGS, SHUFFLE):
        yield EARLIER_OUTCOME if name == schema.LABEL else name, flag(part.rows, name)
    for name in SEEKS:
        yield name, np.minimum(part.rows[name], len(_SEEK_LEVELS) - 1)
    for name in CATEGORIES:
        yield name, level_codes(part.rows, name)


def _mode(modes: np.ndarray, played: np.ndarray) -> Distribution:
    levels = schema.LEVELS["mode"]
    known = [int(played[modes == level].sum()) for level in levels]
    return Distribution((*levels, UNKNOWN_LEVEL), np.array([*known, played.sum() - sum(known)], np.int64))


def _number(
    column: pa.ChunkedArray, played: np.ndarray, bins: tuple[np.ndarray, bool] | None
) -> Distribution:
    """Plays by bin of a number, null where it is not known of a track; ``bins`` are of ``_bins_of``."""
    values = column.to_numpy().astype(np.float64)
    unknown = np.empty(0, np.int64)
    if column.null_count or (bins and bins[1]):
        known = np.asarray(column.is_valid())
        unknown = played[~known].sum(keepdims=True)
        values, played = values[known], played[known]
    edges = bins[0] if bins else _equal_count_edges(values, played)
    binned = np.bincount(np.searchsorted(edges, values, side="right"), played, len(edges) + 1)
    levels = (*_bin_names(edges), *[UNKNOWN_LEVEL] * len(unknown))
    return Distribution(levels, np.concatenate([binned.astype(np.int64), unknown]), edges)


def _bins_of(profile: Profile, name: str) -> tuple[np.ndarray, bool]:
    """Inner edges of a number's bins, and whether ``UNKNOWN_LEVEL`` follows them."""
    found = profile.features.get(name)
    if found is None or found.edges is None:
        raise ContractError(f"the profile to compare with has no bins of {name}; train a model again")
    return found.edges, found.levels[-1] == UNKNOWN_LEVEL


def _equal_count_edges(values: np.ndarray, played: np.ndarray) -> np.ndarray:
    """Inner edges of at most ``BINS`` bins of equally many plays; equal values share a bin."""
    if not played.any():
        return np.empty(0)
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(played[order]) / played.sum()
    at = np.minimum(np.searchsorted(reached, np.arange(1, BINS) / BINS), len(order) - 1)
    edges = np.unique(values[order[at]])
    # A bin includes its lower edge, so an edge at the smallest played value would leave an empty bin below.
    return np.asarray(edges[edges > values[played > 0].min()])


def _bin_names(edges: np.ndarray) -> tuple[str, ...]:
    if not len(edges):
        return ("all",)
    inner = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
    return (f"below {edges[0]:.4g}", *inner, f"from {edges[-1]:.4g}")
