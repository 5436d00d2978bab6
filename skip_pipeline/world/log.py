"""The session log as a table: from arrays by session and position to rows of the raw format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skip_pipeline.schema import LEVELS, MAX_SESSION_LENGTH, SESSION_LOG
from skip_pipeline.world import constants, sessions
from skip_pipeline.world.arrays import BoolArray, FloatArray, IntArray
from skip_pipeline.world.sessions import Behaviour

_STARTS = "hist_user_behavior_reason_start"
_LEVELS = {name: pa.array(levels) for name, levels in LEVELS.items()}
_LEVELS[_STARTS] = pa.array([*LEVELS[_STARTS], constants.UNKNOWN_START])
UNKNOWN_START_CODE = len(LEVELS[_STARTS])
"""Code of a start that the vocabulary lacks, see ``constants.UNKNOWN_START``."""


@dataclass(frozen=True)
class Places:
    """Places of a log's rows in arrays (sessions, 20); rows are ordered by session, then position."""

    lengths: IntArray  # (sessions,)
    used: BoolArray  # (sessions, 20), the positions that a session has
    session: IntArray  # (rows,), from 0

    @classmethod
    def of(cls, lengths: IntArray) -> Places:
        """Rows of sessions of the given lengths, (sessions,)."""
        used = np.arange(MAX_SESSION_LENGTH) < lengths[:, None]
        return cls(lengths, used, np.repeat(np.arange(len(lengths)), lengths))

    def spread(self, rows: FloatArray) -> FloatArray:
        """Values (rows,) laid out as (sessions, 20), 0 where a session has ended."""
        laid_out = np.zeros(self.used.shape)
        laid_out[self.used] = rows
        return laid_out


def log_table(
    places: Places,
    behaviour: Behaviour,
    playback: dict[str, npt.NDArray[Any]],
    *,
    session_ids: pa.Array,
    track_ids: pa.Array,
) -> pa.Table:
    """Assemble the log, (rows, 21) in the order and dtypes of ``schema.SESSION_LOG``.

    ``playback`` holds the columns of ``draw_playback``; ids are (sessions,), ascending, and (rows,).
    """
    by_position = playback | {
        "session_position": np.broadcast_to(np.arange(1, MAX_SESSION_LENGTH + 1), places.used.shape),
        "session_length": np.broadcast_to(places.lengths[:, None], places.used.shape),
        "skip_1": behaviour.outcome <= sessions.SKIP_1,  # outcomes are ordered: later flags hold earlier ones
        "skip_2": behaviour.outcome <= sessions.SKIP_2,
        "skip_3": behaviour.outcome <= sessions.SKIP_3,
        "not_skipped": behaviour.outcome == sessions.PLAYED,
        "context_switch": behaviour.switched,
        "hist_user_behavior_is_shuffle": behaviour.shuffled,
        "context_type": behaviour.context,
        "hist_user_behavior_reason_start": behaviour.start,
        "hist_user_behavior_reason_end": behaviour.end,
    }
    columns = {name: pa.array(values[places.used]) for name, values in by_position.items()}
    for name in _LEVELS.keys() & columns.keys():
        columns[name] = _LEVELS[name].take(columns[name])
    columns["session_id"] = session_ids.take(pa.array(places.session))
    columns["track_id_clean"] = track_ids
    return pa.table([columns[field.name].cast(field.type) for field in SESSION_LOG], schema=SESSION_LOG)
