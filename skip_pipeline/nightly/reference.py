"""What a model was trained on, kept beside it: the profile, the shards and their dates, its scores."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.nightly.profile import BINS, Distribution, Profile, profile
from skip_pipeline.raw.folder import data_source
from skip_pipeline.serving import load
from skip_pipeline.serving.tracks import sorted_ids
from skip_pipeline.settings import TRACK_TABLE, DataLayout, DataSource
from skip_pipeline.storage import read_json, read_manifest, read_table, shard_names, write_json

REFERENCE_FILE: Final = "profile.json"
"""Among the files of a served model."""

SCORES: Final = "champion's p_not_skipped"


@dataclass(frozen=True)
class DeliveredShard:
    """What is known of one session log.

    Attributes:
        sha256: of its rows and their tracks' features, as merged.
        sessions: in it.
        day: the plausible date in the middle of its rows, YYYY-MM-DD; empty where it has none. Sessions run
            past midnight, and a wrong date may look plausible, so that the newest is often not the day that
            a log is of.
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
        shards: by name, all that had been delivered then, whether a window left some out of training or not.
        scores: the model's probabilities of its own test sessions, in bins of equally many.
    """

    data_source: DataSource
    profile: Profile
    shards: Mapping[str, DeliveredShard]
    scores: Distribution

    @property
    def newest_day(self) -> str:
        """Of all shards; empty where none has one."""
        return max((shard.day for shard in self.shards.values()), default="")

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "data_source": self.data_source,
            "profile": self.profile.to_json(),
            "shards": {name: vars(shard) for name, shard in self.shards.items()},
            "scores": Profile(0, 0, {SCORES: self.scores}).to_json()["features"],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Reference:
        """Inverse of ``to_json``.

        Raises:
            ContractError: the content is not such a reference.
        """
        try:
            scores = Profile.from_json({"sessions": 0, "plays": 0, "features": content["scores"]})
            return cls(
                content["data_source"],
                Profile.from_json(content["profile"]),
                {name: DeliveredShard(**shard) for name, shard in content["shards"].items()},
                scores.features[SCORES],
            )
        except (KeyError, TypeError, AttributeError) as damage:
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
                f"{layout.merged} says nothing of the dates in {shard}; materialize merged_table again"
            )
        found[Path(shard).stem] = DeliveredShard(
            manifest.record(shard).sha256,
            summary["sessions"],
            _middle(summary["dates"]),
        )
    return found


def _middle(dates: Mapping[str, int]) -> str:
    """The first date, in order, by which half of the rows have come; empty where there are none."""
    rows, half = 0, sum(dates.values()) / 2
    for day, count in sorted(dates.items()):
        rows += count
        if rows >= half:
            return day
    return ""


def write_reference(folder: Path, layout: DataLayout, trained_on: Container[str] | None = None) -> Reference:
    """Write ``profile.json`` beside a served model that was trained on today's bundles.

    Args:
        folder: of the served model, packed.
        trained_on: names of the shards that it has learnt from; None for all of them.

    Raises:
        MissingInputError, ContractError: a stage is not there or not readable, or the model is not.
        TrainingError: there is no session.
    """
    bundles = open_bundles(layout.bundles)
    tracks = read_table(layout.merged / TRACK_TABLE, schema.TRACK_FEATURES)
    p = load(folder).predict_bundle(bundles["test"], sorted_ids(tracks[schema.TRACK_ID]))
    reference = Reference(
        data_source(layout.raw),
        profile(bundles["train"].of_shards(trained_on).parts, tracks),
        delivered_shards(layout),
        scores_in_bins(p),
    )
    write_json(folder / REFERENCE_FILE, reference.to_json())
    return reference


def read_reference(folder: Path) -> Reference:
    """Read what lies beside a served model.

    Raises:
        MissingInputError: nothing does.
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


def scores_in_bins(p_not_skipped: np.ndarray, like: Distribution | None = None) -> Distribution:
    """Count probabilities (n,), in bins of equally many of them or in those of another distribution."""
    edges = None if like is None else like.edges
    if edges is None:
        edges = np.unique(np.quantile(p_not_skipped, np.arange(1, BINS) / BINS))
    counts = np.bincount(np.searchsorted(edges, p_not_skipped, side="right"), minlength=len(edges) + 1)
    bounds = [f"{edge:.3f}" for edge in (0.0, *edges, 1.0)]
    levels = tuple(f"{low} to {high}" for low, high in pairwise(bounds))
    return Distribution(levels, counts.astype(np.int64), edges)
