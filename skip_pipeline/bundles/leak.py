"""Whether a bundle holds what no model may see: the log is changed there, and the inputs built again.

``wide_form`` builds most inputs as whole float32 arrays. It shares no code with the records of a bundle, so
it is also the reference that bundles are compared with.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.bundles.second_half import first_half, hide

_COMPARED: Final = (*schema.BRANCH_SHAPES, "circumstances")

_AT_ONCE: Final = 4096
"""Sessions compared together; their wide forms, twice, are 44 MB."""


def wide_form(scaled: pa.Table, sessions: pa.Table) -> dict[str, dict[str, np.ndarray]]:
    """Arrange one shard's rows as arrays of a ``Bundle`` per split, in memory, 5.4 kB a session.

    Numbers of tracks, which a scaled table does not hold, and inputs that are constant are left out.

    Args:
        scaled: ``schema.SCALED``, rows ordered by session code and position.
        sessions: the shard's ``schema.SESSIONS``, one row per session code.
    """
    codes = scaled[schema.SESSION_ID].to_numpy()
    positions = scaled[schema.POSITION].to_numpy().astype(np.int64)
    n = sessions.num_rows
    lengths = np.bincount(codes, minlength=n)
    last = np.cumsum(lengths) - 1
    *flags, label = (scaled[name].to_numpy().astype(np.float32) for name in schema.OUTCOME_FLAGS)
    log, tracks = (
        np.column_stack([scaled[name].to_numpy().astype(np.float32) for name in columns])
        for columns in (schema.SESSION_LOG_BRANCH, schema.TRACK_BRANCH)
    )

    earlier = np.ones(len(codes), bool)
    earlier[last] = False
    session = codes[earlier]
    # Position length - 1, the track before the predicted one, goes to the last step.
    step = schema.STEPS - lengths[session] + positions[earlier]
    whole = {name: np.zeros((n, *shape), np.float32) for name, shape in schema.BRANCH_SHAPES.items()}
    whole["skip_sequence"][:] = schema.SKIP_PADDING
    whole["session_log"][session, step] = log[earlier]
    whole["previous_tracks"][session, step] = tracks[earlier]
    whole["skip_sequence"][session, step, 0] = label[earlier]
    whole |= {
        "last_track": tracks[last],
        "circumstances": _circumstances(scaled, last - lengths + 1),
        schema.LABEL: label[last],
        "last_flags": np.column_stack([flag[last] for flag in flags]),
        schema.SESSION_ID: sessions[schema.SESSION_ID].to_numpy().astype(str),
    }
    splits = sessions["split"].to_numpy()
    return {
        split: {name: values[splits == split] for name, values in whole.items()} for split in schema.SPLITS
    }


def _circumstances(scaled: pa.Table, first: np.ndarray) -> np.ndarray:
    """Two harmonics of the hour, and premium, of each session's first row: float32 (n, 5).

    Unknown premium, null, is 0, between -0.5 and 0.5.
    """
    hour, premium = (scaled[name].to_numpy()[first].astype(np.float64) for name in ("hour_of_day", "premium"))
    day = 2.0 * np.pi / 24.0 * hour
    columns = [np.sin(day), np.sin(2.0 * day), np.cos(day), np.cos(2.0 * day), np.nan_to_num(premium - 0.5)]
    return np.column_stack(columns).astype(np.float32)


def find_leaks(scaled: pa.Table, sessions: pa.Table, published: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names of inputs that hold what no model may see, or that were made from another table.

    Everything but its track is changed at each predicted position, and the inputs are built again; an input
    that differs then contains a changed value. The same is done at every position of the second half, for the
    inputs that are left of it (``bundles.second_half.hide``). The session code, the position and the length
    stay, since they are the row's address.

    Args:
        scaled: ``schema.SCALED`` of one shard.
        sessions: the shard's ``schema.SESSIONS``.
        published: the shard's arrays of the bundles, per split.
    """
    counts = np.bincount(scaled[schema.SESSION_ID].to_numpy(), minlength=sessions.num_rows)
    ends = np.concatenate([[0], np.cumsum(counts)])
    compared = dict.fromkeys(schema.SPLITS, 0)
    differing: set[str] = set()
    for start in range(0, sessions.num_rows, _AT_ONCE):
        block = sessions.slice(start, _AT_ONCE)
        stop = start + block.num_rows
        rows = scaled.slice(ends[start], ends[stop] - ends[start])
        last = ends[start + 1 : stop + 1] - ends[start] - 1
        again = wide_form(_tampered(rows, start, last), block)
        position, length = (rows[name].to_numpy() for name in (schema.POSITION, schema.LENGTH))
        halves = wide_form(_tampered(rows, start, np.flatnonzero(position > first_half(length))), block)
        for split, wide in again.items():
            own = slice(compared[split], compared[split] + len(wide[schema.LABEL]))
            compared[split] = own.stop
            found = {name: published[split][name][own] for name in _COMPARED}
            hidden, expected = hide(found), hide(halves[split])
            differing |= {
                name
                for name in _COMPARED
                if not np.array_equal(found[name], wide[name])
                or not np.array_equal(hidden[name], expected[name])
            }
    for split, count in compared.items():
        differing |= {n for n in _COMPARED if len(published[split][n]) != count}
    return [name for name in _COMPARED if name in differing]


def _tampered(rows: pa.Table, first_code: int, chosen: np.ndarray) -> pa.Table:
    """Some sessions' rows, their codes counted from 0, with other values in the chosen rows."""
    untouched = {schema.POSITION, schema.LENGTH, *schema.TRACK_BRANCH}
    for i, field in enumerate(schema.SCALED):
        if field.name in untouched:
            continue
        column = rows[field.name]
        unknown = np.array(column.is_null()) if column.null_count else None
        values = column.fill_null(0).to_numpy().copy()
        if field.name == schema.SESSION_ID:
            values -= first_code
        else:
            values[chosen] = values[chosen] + 1
            if unknown is not None:
                unknown[chosen] = False
        rows = rows.set_column(i, field, pa.array(values, field.type, mask=unknown))
    return rows
