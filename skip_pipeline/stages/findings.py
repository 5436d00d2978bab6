"""A judged property of a table, and the names of all properties that are judged."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

# Delivered files and published tables.
COLUMNS: Final = "columns_and_dtypes"
LENGTHS: Final = "session_lengths"
COMPLETE: Final = "no_null_or_non_finite"
# Delivered files alone.
LEVELS_KNOWN: Final = "known_levels"
DATES_PLAUSIBLE: Final = "plausible_dates"
MARKER_FITS: Final = "marker_fits"
SESSIONS_WHOLE: Final = "sessions_whole"
TRACKS_UNIQUE: Final = "tracks_unique"
# Published tables alone.
ROWS: Final = "row_conservation"
POSITIONS: Final = "positions_without_gaps"
UNIT_INTERVAL: Final = "features_in_unit_interval"
INDICATORS: Final = "one_level_per_category"
# Bundles.
SHAPES: Final = "bundle_shapes"
SESSIONS_ONCE: Final = "each_session_in_one_split"
NO_LEAK: Final = "no_label_leak"
# The report.
BEATS_MAJORITY: Final = "beats_majority_class"

SENTENCES: Final[Mapping[str, str]] = {
    COLUMNS: "The table has exactly the expected columns, each of the expected type.",
    LENGTHS: "Every session has 10 to 20 tracks, as many as its rows say.",
    COMPLETE: "No value is missing where one is required, and every number is finite.",
    LEVELS_KNOWN: "Every category has a level that the model knows; others are counted, and count as none.",
    DATES_PLAUSIBLE: "Every date lies between the launch of the service and tomorrow.",
    MARKER_FITS: "The mark of synthetic data, if there is one, lists the delivered files.",
    SESSIONS_WHOLE: "Every session is whole and in one file: positions 1 to its length, each once.",
    TRACKS_UNIQUE: "Every track has one row.",
    ROWS: "The table has as many rows as the stage before it.",
    POSITIONS: "The rows of every session lie together, at positions 1 to its length.",
    UNIT_INTERVAL: "Every scaled feature lies between 0 and 1.",
    INDICATORS: "Of the indicators of a category, at most one is 1, and the others are 0.",
    SHAPES: "Every input has its shape and type, and no value outside its range.",
    SESSIONS_ONCE: "Every session is in one split, and none is lost.",
    NO_LEAK: "A changed label changes no input, so the network cannot read the answer.",
    BEATS_MAJORITY: "On test sessions the model is right more often than always the commoner answer.",
}
"""The condition of each property, for people."""


@dataclass(frozen=True)
class Finding:
    """One judged property: its name, whether it holds, and the facts that explain the outcome."""

    name: str
    passed: bool
    facts: Mapping[str, Any] = field(default_factory=dict)
