"""Requests that a person can read: for the schema page, MLflow and the check of a model that was opened."""

from collections.abc import Mapping
from typing import Any, Final

from skip_pipeline import schema
from skip_pipeline.bundles.records import FLAGS, SEEKS, SHUFFLE

# Why each earlier track started and ended; one that ended with `fwdbtn` was skipped.
_PLAYED: Final = (("clickrow", "trackdone"), ("trackdone", "fwdbtn"), ("fwdbtn", "fwdbtn"))
EXAMPLE: Final[dict[str, Any]] = {
    "session_id": "0_example",
    "history": [
        {
            schema.POSITION: position,
            schema.LOG_TRACK_ID: f"t_example_{position}",
            **dict.fromkeys((*FLAGS, *SEEKS), 0),
            **dict.fromkeys(("skip_1", "skip_2", "skip_3"), end == "fwdbtn"),
            schema.LABEL: end != "fwdbtn",
            "no_pause_before_play": 1,
            SHUFFLE: False,
            "context_type": "editorial_playlist",
            "hist_user_behavior_reason_start": start,
            "hist_user_behavior_reason_end": end,
        }
        for position, (start, end) in enumerate(_PLAYED, start=1)
    ],
    "next_track_id": "t_example_4",
}
"""A ``Session`` that a person can read, also in ``docs/request.json``; no track table has its tracks."""

EXAMPLE_OF_CANDIDATES: Final[Mapping[str, Any]] = {
    **{name: value for name, value in EXAMPLE.items() if name != "next_track_id"},
    "candidates": ["t_example_1", "t_example_2", "t_example_4"],  # played before, skipped before, new
}
"""``EXAMPLE`` with candidates, also in ``docs/candidates.json``."""

EXAMPLE_OF_LAST_TRACK: Final[Mapping[str, Any]] = EXAMPLE | {
    "history": [{**row, schema.LENGTH: len(EXAMPLE["history"]) + 1} for row in EXAMPLE["history"]]
}
"""``EXAMPLE`` with the length of the session, whose next track is its last one: every network answers it."""
