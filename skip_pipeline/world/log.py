"""The session log as a table: from arrays by session and position to rows of the raw format."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from skip_pipeline.schema import LEVELS, MAX_SESSION_LENGTH, SESSION_LOG
from skip_pipeline.world import constants, sessions
from skip_pipeline.world.arrays import BoolArray, FloatArray, IntArray
from skip_pipeline.world.playback import Playback
from skip_pipeline.world.sessions import Behaviour


@dataclass(frozen=True)
class Places:
    """Places of a log's rows in arrays (sessions, 20); rows are ordered by session, then position.

    Attributes:
        lengths: int64 (sessions,).
        used: bool (sessions, 20), the positions that a session has.
        session, position: int64 (rows,), both from 0.
    """

    lengths: IntArray
    used: BoolArray
    session: IntArray
    position: IntArray

    @classmethod
    def of(cls, lengths: IntArray) -> Places:
        """Rows of sessions of the given lengths, int64 (sessions,)."""
        used = np.arange(MAX_SESSION_LENGTH) < lengths[:, None]  # (sessions, 20)
        session, position = np.nonzero(used)
        return cls(lengths, used, session, position)

    def spread(self, rows: FloatArray) -> FloatArray:
        """Values (rows,) laid out as (sessions, 20), 0 where a session has ended."""
        laid_out = np.zeros(self.used.shape)
        laid_out[self.used] = rows
        return laid_out


def log_table(
    places: Places,
    behaviour: Behaviour,
    playback: Playback,
    *,
    session_ids: pa.Array,
    track_ids: pa.Array,
) -> pa.Table:
    """Assemble the log, (rows, 21) in the order and dtypes of ``schema.SESSION_LOG``.

    Args:
        places: the rows.
        behaviour: reactions, (sessions, 20).
        playback: pauses, seeks, times and premium, (sessions, 20).
        session_ids: string (sessions,), ascending.
        track_ids: string (rows,).
    """
    used = places.used
    outcome = behaviour.outcome[used]
    columns = {
        "session_id": session_ids.take(pa.array(places.session)),
        "session_position": places.position + 1,
        "session_length": places.lengths[places.session],
        "track_id_clean": track_ids,
        "skip_1": outcome <= sessions.SKIP_1,  # outcomes are ordered, so later flags hold earlier ones
        "skip_2": outcome <= sessions.SKIP_2,
        "skip_3": outcome <= sessions.SKIP_3,
        "not_skipped": outcome == sessions.PLAYED,
        "context_switch": behaviour.switched[used].astype(np.int8),
        "no_pause_before_play": playback.no_pause[used].astype(np.int8),
        "short_pause_before_play": playback.short_pause[used].astype(np.int8),
        "long_pause_before_play": playback.long_pause[used].astype(np.int8),
        "hist_user_behavior_n_seekfwd": playback.seeks_forward[used],
        "hist_user_behavior_n_seekback": playback.seeks_back[used],
        "hist_user_behavior_is_shuffle": behaviour.shuffled[used],
        "hour_of_day": playback.hour[used],
        "date": playback.date[used],
        "premium": playback.premium[used],
        "context_type": _CONTEXTS.take(pa.array(behaviour.context[used])),
        "hist_user_behavior_reason_start": _STARTS.take(pa.array(behaviour.start[used])),
        "hist_user_behavior_reason_end": _ENDS.take(pa.array(behaviour.end[used])),
    }
    arrays = [pa.array(columns[field.name]).cast(field.type) for field in SESSION_LOG]
    return pa.Table.from_arrays(arrays, schema=SESSION_LOG)


UNKNOWN_START_CODE = len(LEVELS["hist_user_behavior_reason_start"])
"""Code of a start that the vocabulary lacks, see ``constants.UNKNOWN_START``."""

_CONTEXTS = pa.array(LEVELS["context_type"])
_STARTS = pa.array([*LEVELS["hist_user_behavior_reason_start"], constants.UNKNOWN_START])
_ENDS = pa.array(LEVELS["hist_user_behavior_reason_end"])
