"""The data that a model was trained on, kept beside it: profile, shards with their dates, and its scores."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from skip_pipeline import schema
from skip_pipeline.bundles.gather import Bundle, open_bundles
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.nightly.profile import BINS, Distribution, Profile, profile_sessions
from skip_pipeline.raw.folder import data_source
from skip_pipeline.serving import ServedModel, load
from skip_pipeline.serving.tracks import sorted_ids
from skip_pipeline.settings import TRACK_TABLE, DataLayout, DataSource
from skip_pipeline.storage import read_manifest, read_table, shard_names, write_json

REFERENCE_FILE: Final = "profile.json"
"""Name among the files of a served model."""

SCORES: Final = "champion's p_not_skipped"
SCORES_OF_TRACKS: Final = "champion's p_not_skipped at any position"
"""Names of the model's probabilities among the features, of last tracks and of every track."""


@dataclass(frozen=True)
class DeliveredShard:
    """One session log."""

    sha256: str  # of its rows and their tracks' features, as merged
    sessions: int
    # Date of the median row, YYYY-MM-DD, among plausible dates; empty without one. The newest date is often
    # another day's: sessions run past midnight, and a wrong date may be plausible.
    day: str


@dataclass(frozen=True)
class Reference:
    """The data of one training."""

    data_source: DataSource
    profile: Profile  # of the training sessions
    shards: Mapping[str, DeliveredShard]  # all that had been delivered, also those outside a training window
    # The model's probabilities of its own gate sessions, in bins of equal count, by ``SCORES``, and by
    # ``SCORES_OF_TRACKS`` if it answers every track.
    scores: Annotated[Mapping[str, Distribution], Field(min_length=1)]

    @property
    def newest_day(self) -> str:
        """The newest day of all shards; empty if none has one."""
        return max((shard.day for shard in self.shards.values()), default="")


_FORMAT: Final = TypeAdapter(Reference)


def delivered_shards(layout: DataLayout) -> dict[str, DeliveredShard]:
    """Every session log that the bundles were made from, by name of its shard."""
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
    days = sorted(rows_by_day)
    reached = np.cumsum([rows_by_day[day] for day in days])
    return days[int(np.searchsorted(reached, reached[-1] / 2))] if days else ""


def write_reference(folder: Path, layout: DataLayout, trained_on: Container[str] | None = None) -> Reference:
    """Write ``profile.json`` beside a served model that was trained on today's bundles.

    Args:
        folder: of the packed model.
        trained_on: names of the shards that it was trained on; None for all.
    """
    bundles = open_bundles(layout.bundles)
    merged = read_manifest(layout.merged, made_by="merged_table")
    tracks = read_table(merged.path(TRACK_TABLE), schema.TRACK_FEATURES)
    model, gate = load(folder), bundles["gate"]
    p_not_skipped = answers(model, gate, sorted_ids(tracks[schema.TRACK_ID]), np.arange(gate.sessions))
    reference = Reference(
        data_source(layout.raw),
        profile_sessions(bundles["train"].of_shards(trained_on).parts, tracks),
        delivered_shards(layout),
        {name: bin_scores(p) for name, p in p_not_skipped.items()},
    )
    write_json(folder / REFERENCE_FILE, _FORMAT.dump_python(reference))
    return reference


def read_reference(folder: Path) -> Reference:
    """Read the reference beside a served model."""
    path = folder / REFERENCE_FILE
    try:
        return _FORMAT.validate_json(path.read_bytes())
    except FileNotFoundError:
        raise MissingInputError(
            f"{folder} holds no {REFERENCE_FILE}, so what its model was trained on is unknown; train and "
            "promote a model again"
        ) from None
    except ValidationError as damage:
        first = damage.errors()[0]
        at = ".".join(map(str, first["loc"]))
        raise ContractError(
            f"{path} cannot be read ({at}: {first['msg']}); train and promote a model again"
        ) from damage


def answers(
    model: ServedModel, sessions: Bundle, track_ids: np.ndarray, chosen: np.ndarray
) -> dict[str, np.ndarray]:
    """A model's probabilities of last tracks (m,), and of every track (t,) if it answers these.

    Args:
        model: any.
        sessions: of a bundle.
        track_ids: ids of the bundle's tracks.
        chosen: int (m,), numbers of sessions.
    """
    p_not_skipped = model.predict_bundle_tracks(sessions, track_ids, chosen)
    real = np.column_stack([sessions.skip_sequence[chosen][:, :, 0] != schema.SKIP_PADDING, chosen >= 0])
    of_tracks = p_not_skipped[real]
    found = {SCORES: p_not_skipped[:, -1]}
    return found if np.isnan(of_tracks).any() else found | {SCORES_OF_TRACKS: of_tracks}


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
