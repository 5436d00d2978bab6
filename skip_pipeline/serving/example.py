"""A request that a person can read: three tracks of one listener, and the track that comes next."""

from __future__ import annotations

from typing import Any

import pandas as pd

from skip_pipeline import schema


def request_example() -> pd.DataFrame:
    """One session as a request, one row; its tracks are in no table, so they are unknown to every model."""
    return pd.DataFrame(
        [
            {
                schema.SESSION_ID: "0_example",
                "history": [
                    _row(1, "t_example_1", skipped=False, start="clickrow", end="trackdone"),
                    _row(2, "t_example_2", skipped=True, start="trackdone", end="fwdbtn"),
                    _row(3, "t_example_3", skipped=True, start="fwdbtn", end="fwdbtn"),
                ],
                "next_track_id": "t_example_4",
            }
        ]
    )


def _row(position: int, track: str, *, skipped: bool, start: str, end: str) -> dict[str, Any]:
    return {
        schema.POSITION: position,
        schema.LOG_TRACK_ID: track,
        "skip_1": skipped,
        "skip_2": skipped,
        "skip_3": skipped,
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
