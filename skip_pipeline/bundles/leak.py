"""Whether a bundle has seen what no model may see: found by changing it and building the inputs again.

The inputs are built here the plain way, as whole float32 arrays (``wide_form``). It shares no code with the
records that a bundle keeps on disk, so it is also what those are measured against.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from skip_pipeline import schema

_AT_ONCE: Final = 4096
"""Sessions compared together; their wide forms, twice, are 44 MB."""


def wide_form(scaled: pa.Table, sessions: pa.Table) -> dict[str, dict[str, np.ndarray]]:
    """Arrange one shard's rows as the inputs of its sessions, whole and in memory, 5.4 kB a session.

    Args:
        scaled: 69 columns (``schema.SCALED``), rows ordered by session code and position.
        sessions: the shard's ``schema.SESSIONS``, one row per session code.

    Returns:
        Per split, some perhaps of no sessions, the arrays of a ``Bundle``.
    """
    whole = _arrange(scaled, sessions[schema.SESSION_ID].to_numpy())
    splits = sessions["split"].to_numpy()
    return {
        name: {array: values[splits == name] for array, values in whole.items()} for name in schema.SPLITS
    }


def _arrange(scaled: pa.Table, ids: np.ndarray) -> dict[str, np.ndarray]:
    codes = scaled[schema.SESSION_ID].to_numpy()
    positions = scaled[schema.POSITION].to_numpy().astype(np.int64)
    n = len(ids)
    rows_per_session = np.bincount(codes, minlength=n)
    last = np.cumsum(rows_per_session) - 1
    label = scaled[schema.LABEL].to_numpy().astype(np.float32)
    log = _matrix(scaled, schema.SESSION_LOG_BRANCH)  # (rows, 35)
    tracks = _matrix(scaled, schema.TRACK_BRANCH)  # (rows, 31)

    earlier = np.ones(len(codes), bool)
    earlier[last] = False
    session = codes[earlier]
    # The track before the predicted one, position L - 1, goes to the last step.
    step = schema.STEPS - 1 - (rows_per_session[session] - 1 - positions[earlier])

    session_log = np.zeros((n, *schema.BRANCH_SHAPES["session_log"]), np.float32)
    previous_tracks = np.zeros((n, *schema.BRANCH_SHAPES["previous_tracks"]), np.float32)
    skip_sequence = np.full((n, *schema.BRANCH_SHAPES["skip_sequence"]), schema.SKIP_PADDING, np.float32)
    session_log[session, step] = log[earlier]
    previous_tracks[session, step] = tracks[earlier]
    skip_sequence[session, step, 0] = label[earlier]
    return {
        "session_log": session_log,
        "previous_tracks": previous_tracks,
        "skip_sequence": skip_sequence,
        "last_track": tracks[last],
        schema.LABEL: label[last],
        schema.SESSION_ID: ids.astype(str),
    }


def _matrix(table: pa.Table, columns: tuple[str, ...]) -> np.ndarray:
    """Columns side by side as float32 (rows, len(columns))."""
    matrix = np.empty((table.num_rows, len(columns)), np.float32)
    for i, name in enumerate(columns):
        matrix[:, i] = table[name].to_numpy()
    return matrix


@dataclass(frozen=True)
class LeakReport:
    """Which arrays changed when values that no model may see were changed."""

    sessions: int
    leaking: tuple[str, ...]


def find_leaks(
    scaled: pa.Table, sessions: pa.Table, published: Mapping[str, Mapping[str, Any]]
) -> LeakReport:
    """Overwrite everything at each predicted position but its track, and compare with what was published.

    The session code and the two columns that say where a row stands are left, since they are the row's
    address and not an observation of it. Memory is bounded by ``_AT_ONCE`` sessions beside the table.

    Args:
        scaled: 69 columns (``schema.SCALED``) of one shard.
        sessions: the shard's ``schema.SESSIONS``.
        published: the shard's part of the bundles, per split.

    Returns:
        The inputs that are not the same without those values: they have seen one, or come from another
        table.
    """
    counts = np.bincount(scaled[schema.SESSION_ID].to_numpy(), minlength=sessions.num_rows)
    ends = np.concatenate([[0], np.cumsum(counts)])
    compared = dict.fromkeys(schema.SPLITS, 0)
    differing = set()
    for start in range(0, sessions.num_rows, _AT_ONCE):
        block = sessions.slice(start, _AT_ONCE)
        stop = start + block.num_rows
        rows = scaled.slice(ends[start], ends[stop] - ends[start])
        again = wide_form(_tampered(rows, start, ends[start + 1 : stop + 1] - ends[start] - 1), block)
        for split, wide in again.items():
            own = slice(compared[split], compared[split] + len(wide[schema.LABEL]))
            compared[split] = own.stop
            differing |= {
                n for n in schema.BRANCH_SHAPES if not np.array_equal(published[split][n][own], wide[n])
            }
    for split, count in compared.items():
        differing |= {n for n in schema.BRANCH_SHAPES if len(published[split][n]) != count}
    return LeakReport(
        sessions=sessions.num_rows, leaking=tuple(n for n in schema.BRANCH_SHAPES if n in differing)
    )


def _tampered(rows: pa.Table, first_code: int, last: np.ndarray) -> pa.Table:
    """Some sessions' rows, counted from code 0, with other values in their last rows."""
    untouched = {schema.POSITION, schema.LENGTH, *schema.TRACK_BRANCH}
    for i, field in enumerate(schema.SCALED):
        if field.name in untouched:
            continue
        values = rows[field.name].to_numpy().copy()
        if field.name == schema.SESSION_ID:
            values -= first_code
        else:
            values[last] = values[last] + 1
        rows = rows.set_column(i, field, pa.array(values, field.type))
    return rows
