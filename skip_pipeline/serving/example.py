"""A request that a person can read. No track table has its tracks, so every model scores them as unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from skip_pipeline import schema


def _row(position: int, *, skipped: bool, start: str, end: str) -> dict[str, Any]:
    return {
        schema.POSITION: position,
        schema.LOG_TRACK_ID: f"t_example_{position}",
        **dict.fromkeys(("skip_1", "skip_2", "skip_3"), skipped),
        schema.LABEL: not skipped,
        "context_switch": 0,
        "no_pause_before_play": 1,
        "short_pause_before_play": 0,
        "long_pause_before_play": 0,
        "hist_user_behavior_n_seekfwd": 0,
        "hist_user_behavior_n_seekback": 0,
        "hist_user_behavior_is_shuffle": False,
        "context_type": "editorial_playlist",
        "hist_user_behavior_reason_start": start,
        "hist_user_behavior_reason_end": end,
    }


EXAMPLE: Final[Mapping[str, Any]] = {
    "session_id": "0_example",
    "history": [
        _row(1, skipped=False, start="clickrow", end="trackdone"),
        _row(2, skipped=True, start="trackdone", end="fwdbtn"),
        _row(3, skipped=True, start="fwdbtn", end="fwdbtn"),
    ],
    "next_track_id": "t_example_4",
}
"""One ``requests.Session``; ``docs/request.json`` shows it."""
