"""The published statistics, measured on a raw data set: the world's side of the comparison.

Group and figure names are those of ``published.figures``. What a set does not hold, such as the skip rate
of a level that never occurs, has no figure here.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.world_figures.correlation_measures import correlations, label_correlations, row_correlations
from benchmarks.world_figures.log_measures import (
    SEEKS,
    SKIPS,
    LogColumns,
    conditional_figures,
    count_figures,
    filtered_figures,
)
from benchmarks.world_figures.sequence_measures import skip_sequence
from benchmarks.world_figures.track_measures import row_figures, track_figures
from skip_pipeline import schema
from skip_pipeline.errors import BadInputError
from skip_pipeline.settings import EXAMPLES_SHOWN

FEWER_SEEKS: Final = {SEEKS[0]: 3, SEEKS[1]: 4}
LOUDNESS_KEPT: Final = (-31.202999, 0.0)
"""The outlier filter of Puspha22/spotify-skip-prediction, EDA-PCA.ipynb: fewer seeks than these, loudness
strictly between these. Its thresholds are quantiles of the mini set, taken over as they are printed."""

SECOND_RANK: Final = 1  # place, from 0, of the track whose skips are published among the most played


def measure(log: pa.Table, tracks: pa.Table) -> Mapping[str, Mapping[str, float]]:
    """Measure every figure of ``published.figures`` that has a counterpart.

    Args:
        log: (rows, 21), ``schema.SESSION_LOG``; in file order, the rows of a session together.
        tracks: (tracks, 30), ``schema.TRACK_FEATURES``, one row a track.

    Returns:
        Group name -> figure name -> value.

    Raises:
        BadInputError: a log row plays a track that has no features, or a session's rows lie apart.
    """
    columns = LogColumns.of(log)
    played = _played(log, tracks)
    plays = np.bincount(played, minlength=tracks.num_rows)
    features = {name: tracks[name].to_numpy().astype(np.float64) for name in schema.NUMERIC_TRACK_FEATURES}
    major = np.asarray(pc.equal(tracks["mode"], "major"))
    kept = _kept(columns, features["loudness"][played])
    of_rows = {**{name: values[played] for name, values in features.items()}, "mode_major": major[played]}
    return {
        "sizes": _sizes(log, tracks, columns, plays),
        **count_figures(columns),
        **conditional_figures(columns),
        **filtered_figures(columns, kept, major[played]),
        **skip_sequence(columns.flags["skip_2"], columns.session),
        **track_figures(features, major, plays),
        **row_figures(features, played, columns.numbers["hour_of_day"]),
        "mode_of_rows": {"major": float(major[played].mean()), "minor": float(1 - major[played].mean())},
        "second_track": _second_track(columns, played, plays),
        "correlations_of_tracks": correlations(features),
        "correlations_of_rows": row_correlations(columns, of_rows, kept),
        "correlations_with_not_skipped": label_correlations(columns),
    }


def _played(log: pa.Table, tracks: pa.Table) -> npt.NDArray[np.intp]:
    """Row of the track table that each log row plays, (rows,)."""
    ids = log[schema.LOG_TRACK_ID]
    places = pc.index_in(ids, value_set=tracks[schema.TRACK_ID])
    if places.null_count:
        unknown = pc.unique(ids.filter(pc.is_null(places)))
        examples = ", ".join(unknown[:EXAMPLES_SHOWN].to_pylist())
        raise BadInputError(
            f"{len(unknown):,} tracks of the log have no features, such as {examples}; expected a row of the "
            "track features for each. Deliver the track features that belong to this log"
        )
    return np.asarray(places.to_numpy(), dtype=np.intp)


def _kept(log: LogColumns, loudness: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Rows that pass the published outlier filter, (rows,)."""
    quietest, loudest = LOUDNESS_KEPT
    few = [log.numbers[name] < bound for name, bound in FEWER_SEEKS.items()]
    return np.asarray(np.logical_and.reduce([*few, loudness > quietest, loudness < loudest]))


def _sizes(
    log: pa.Table, tracks: pa.Table, columns: LogColumns, plays: npt.NDArray[np.intp]
) -> dict[str, float]:
    nulls = sum(column.null_count for table in (log, tracks) for column in table.columns)
    return {
        "log rows": float(log.num_rows),
        "log columns": float(log.num_columns),
        "sessions": float(columns.first.sum()),
        "tracks in the log": float((plays > 0).sum()),
        "track rows": float(tracks.num_rows),
        "track columns": float(tracks.num_columns),
        "missing values": float(nulls),
        "tracks in one table only": float((plays == 0).sum()),
    }


def _second_track(
    log: LogColumns, played: npt.NDArray[np.intp], plays: npt.NDArray[np.intp]
) -> dict[str, float]:
    """Skips of the track that is the second most played."""
    if len(plays) <= SECOND_RANK:
        return {}
    rows = played == np.argsort(-plays, kind="stable")[SECOND_RANK]
    return {name: float(log.flags[name][rows].mean()) for name in SKIPS} if rows.any() else {}
