"""A judged property of a table, and the names of all properties that are judged."""

from __future__ import annotations

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


@dataclass(frozen=True)
class Finding:
    """One judged property: its name, whether it holds, and the facts that explain the outcome."""

    name: str
    passed: bool
    facts: Mapping[str, Any] = field(default_factory=dict)
