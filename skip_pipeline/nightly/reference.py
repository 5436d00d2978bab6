"""The data that a model was trained on, kept beside it: profile, shards with their dates, and its scores."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.nightly.profile import BINS, Distribution, Profile, profile_sessions
from skip_pipeline.raw.folder import data_source
from skip_pipeline.serving import load
from skip_pipeline.serving.tracks import sorted_ids
from skip_pipeline.settings import TRACK_TABLE, DataLayout, DataSource
from skip_pipeline.storage import read_json, read_manifest, read_table, shard_names, write_json

REFERENCE_FILE: Final = "profile.json"
"""Name among the files of a served model."""

SCORES: Final = "champion's p_not_skipped"
"""Name of the model's probabilities among the features."""


@dataclass(frozen=True)
class DeliveredShard:
    """One session log.

    Attributes:
        sha256: of its rows and their tracks' features, as merged.
        sessions: their number.
        day: date of the median row, YYYY-MM-DD, among plausible dates; empty without one. The newest date is
            often another day's: sessions run past midnight, and a wrong date may be plausible.
    """

    sha256: str
    sessions: int
    day: str


@dataclass(frozen=True)
class Reference:
    """The data of one training.

    Attributes:
        data_source: of that data.
        profile: of the training sessions.
        shards: by name, all that had been delivered, including those outside a training window.
        scores: the model's probabilities of its own test sessions, in bins of equal count.
    """

    data_source: DataSource
    profile: Profile
    shards: Mapping[str, DeliveredShard]
    scores: Distribution

    @property
    def newest_day(self) -> str:
        """The newest day of all shards; empty if none has one."""
        return max((shard.day for shard in self.shards.values()), default="")

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "data_source": self.data_source,
            "profile": self.profile.to_json(),
            "shards": {name: asdict(shard) for name, shard in self.shards.items()},
            "scores": {SCORES: self.scores.to_json()},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Reference:
        """Inverse of ``to_json``.

        Raises:
            ContractError: the content is not a reference.
        """
        try:
            return cls(
                content["data_source"],
                Profile.from_json(content["profile"]),
                {name: DeliveredShard(**shard) for name, shard in content["shards"].items()},
                Distribution.from_json(content["scores"][SCORES]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as damage:
            raise ContractError(
                f"what the model was trained on cannot be read ({damage!r}); train and promote a model again"
            ) from damage


def delivered_shards(layout: DataLayout) -> dict[str, DeliveredShard]:
    """Every session log that the bundles were made from, by name of its shard.

    Raises:
        MissingInputError, ContractError: ``merged_table`` has not been materialized, or not by this version.
    """
    manifest = read_manifest(layout.merged, made_by="merged_table")
    found = {}
    for shard in shard_names(manifest):
        summary = manifest.shards[shard].summary
        if "dates" not in summary:
            raise ContractError(
                f"the manifest of {layout.merged} has no dates of {shard}; materialize merged_table again"
            )
        sha256, day = manifest.record(shard).sha256, _median_day(summary["dates"])
        found[Path(shard).stem] = DeliveredShard(sha256, summary["sessions"], day)
    return found


def _median_day(rows_by_day: Mapping[str, int]) -> str:
    """The first day by which half of the rows are counted; empty without rows."""
    rows, half = 0, sum(rows_by_day.values()) / 2
    for day, count in sorted(rows_by_day.items()):
        rows += count
        if rows >= half:
            return day
    return ""


def write_reference(folder: Path, layout: DataLayout, trained_on: Container[str] | None = None) -> Reference:
    """Write ``profile.json`` beside a served model that was trained on today's bundles.

    Args:
        folder: of the packed model.
        trained_on: names of the shards that it was trained on; None for all.

    Raises:
        MissingInputError, ContractError: a stage or the model is missing or not readable.
        TrainingError: there is no session.
    """
    bundles = open_bundles(layout.bundles)
    merged = read_manifest(layout.merged, made_by="merged_table")
    tracks = read_table(merged.path(TRACK_TABLE), schema.TRACK_FEATURES)
    p = load(folder).predict_bundle(bundles["test"], sorted_ids(tracks[schema.TRACK_ID]))
    reference = Reference(
        data_source(layout.raw),
        profile_sessions(bundles["train"].of_shards(trained_on).parts, tracks),
        delivered_shards(layout),
        bin_scores(p),
    )
    write_json(folder / REFERENCE_FILE, reference.to_json())
    return reference


def read_reference(folder: Path) -> Reference:
    """Read the reference beside a served model.

    Raises:
        MissingInputError: there is none.
        ContractError: it is damaged, or of another version.
    """
    try:
        return Reference.from_json(read_json(folder / REFERENCE_FILE))
    except FileNotFoundError:
        raise MissingInputError(
            f"{folder} holds no {REFERENCE_FILE}, so what its model was trained on is unknown; train and "
            "promote a model again"
        ) from None
    except ValueError as damage:
        raise ContractError(
            f"{folder / REFERENCE_FILE} is not readable JSON ({damage}); train and promote a model again"
        ) from damage


def bin_scores(p_not_skipped: np.ndarray, edges: np.ndarray | None = None) -> Distribution:
    """Count probabilities (n,) in bins with the given inner edges, or in bins of equal count.

    >>> bin_scores(np.array([0.1, 0.2, 0.7]), np.array([0.5]))
    Distribution(levels=('0.000 to 0.500', '0.500 to 1.000'), counts=array([2, 1]), edges=array([0.5]))
    """
    if edges is None:
        edges = np.unique(np.quantile(p_not_skipped, np.arange(1, BINS) / BINS))
    counts = np.bincount(np.searchsorted(edges, p_not_skipped, side="right"), minlength=len(edges) + 1)
    bounds = [f"{edge:.3f}" for edge in (0.0, *edges, 1.0)]
    levels = tuple(f"{low} to {high}" for low, high in pairwise(bounds))
    return Distribution(levels, counts.astype(np.int64), edges)
