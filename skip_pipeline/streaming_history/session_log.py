"""The raw session log of a table of plays, in the columns and the spelling of the public data."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline import schema
from skip_pipeline.errors import RefusedError
from skip_pipeline.streaming_history.outcomes import Outcomes
from skip_pipeline.streaming_history.sittings import Sessions
from skip_pipeline.streaming_history.tracks import Tracks

UNKNOWN_COLUMNS: Final = (
    "context_switch",
    "hist_user_behavior_n_seekfwd",
    "hist_user_behavior_n_seekback",
    "premium",
    "context_type",
)
"""Of the log, about which an export says nothing."""

# In ms. Most plays follow one another within five seconds. The public data set the flag of the short pause
# with each long one.
SHORT_PAUSE: Final = 5_000
LONG_PAUSE: Final = 15_000

_SPELLING: Final = {"click-row": "clickrow", "clickside": "clickrow", "nextbtn": "fwdbtn", "": "unknown"}
"""Reasons that mean what a level of the public data means; a missing one is ``unknown``."""


def session_log(
    plays: pa.Table, outcomes: Outcomes, sessions: Sessions, tracks: Tracks, time_zone: str
) -> pa.Table:
    """One row per play of a session, of ``schema.SESSION_LOG``; nulls in ``UNKNOWN_COLUMNS`` alone."""
    rows = pa.array(sessions.plays)
    local = local_times(plays["start"].combine_chunks().take(rows), time_zone)
    later = sessions.position > 1
    short, long = (later & (sessions.gap > pause) for pause in (SHORT_PAUSE, LONG_PAUSE))
    known = {
        schema.SESSION_ID: sessions.ids.take(pa.array(sessions.session)),
        schema.POSITION: sessions.position,
        schema.LENGTH: sessions.length,
        schema.LOG_TRACK_ID: tracks.ids.take(pa.array(tracks.of_row)),
        "skip_1": outcomes.skip_1[sessions.plays],
        "skip_2": outcomes.skip_2[sessions.plays],
        "skip_3": outcomes.skip_3[sessions.plays],
        schema.LABEL: outcomes.not_skipped[sessions.plays],
        "no_pause_before_play": later & ~short,
        "short_pause_before_play": short,
        "long_pause_before_play": long,
        "hist_user_behavior_is_shuffle": plays["shuffle"].combine_chunks().take(rows),
        "hour_of_day": pc.hour(local),
        schema.DATE: local.cast(pa.date32()).cast(pa.string()),
        "hist_user_behavior_reason_start": _levels(plays["reason_start"], rows),
        "hist_user_behavior_reason_end": _levels(plays["reason_end"], rows),
    }
    columns = [
        pa.array(known[field.name]).cast(field.type)
        if field.name in known
        else pa.nulls(len(rows), field.type)
        for field in schema.SESSION_LOG
    ]
    return pa.Table.from_arrays(columns, schema=schema.SESSION_LOG)


def by_month(log: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each month, ``YYYYMM``, in which a session begins; the order of rows stays."""
    opens = np.flatnonzero(log[schema.POSITION].to_numpy() == 1)
    months = pc.replace_substring(
        pc.utf8_slice_codeunits(log[schema.DATE].combine_chunks().take(opens), 0, 7), "-", ""
    )
    encoded = months.dictionary_encode()
    of_row = np.repeat(encoded.indices.to_numpy(), np.diff(opens, append=len(log)))
    ordered = log.take(pa.array(np.argsort(of_row, kind="stable")))
    ends = np.cumsum(np.bincount(of_row), dtype=int).tolist()
    parts = {
        month: ordered.slice(begin, end - begin)
        for month, (begin, end) in zip(encoded.dictionary.to_pylist(), pairwise([0, *ends]), strict=True)
    }
    yield from sorted(parts.items(), key=lambda part: part[0])


def local_times(start: pa.Array, time_zone: str) -> pa.Array:
    """Wall clock times, without a zone, of milliseconds since the epoch.

    Raises:
        RefusedError: the time zone is not known.
    """
    try:
        return pc.local_timestamp(start.cast(pa.timestamp("ms", tz=time_zone or "(empty)")))
    except pa.ArrowInvalid as unknown:
        raise RefusedError(
            f"the time zone {time_zone!r} is not known ({unknown}); expected a name such as "
            "Europe/Stockholm. Correct --time-zone"
        ) from unknown


def _levels(reasons: pa.ChunkedArray, rows: pa.Array) -> pa.Array:
    encoded = pc.fill_null(reasons.combine_chunks(), "").dictionary_encode()
    spelled = encoded.dictionary
    for found, level in _SPELLING.items():
        spelled = pc.if_else(pc.equal(spelled, found), level, spelled)
    return spelled.take(encoded.indices.take(rows))
