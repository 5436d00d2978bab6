"""Sessions in a table of plays: sittings cut at pauses, and windows of at most 20 tracks in a sitting."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skip_pipeline.schema import MAX_SESSION_LENGTH, MIN_SESSION_LENGTH
from skip_pipeline.settings import SITTING_PAUSE_MINUTES

LEAST_PAUSE_MINUTES: Final = 1.0  # so that starts of sittings, in whole seconds, tell the sittings apart

WITHOUT_TRACK: Final = "music without a track id (local or removed tracks)"
CUT_OFF: Final = "cut off at the end of a session, so neither played nor skipped"
SHORT: Final = f"in a session of fewer than {MIN_SESSION_LENGTH} tracks"


@dataclass(frozen=True)
class Sessions:
    """The rows of all sessions, in the order of persons and starts.

    Attributes:
        plays: index of each row's play.
        session: number of each row's session, from 0, ascending.
        position: of each row in its session, from 1.
        length: of each row's session.
        gap: ms between the latest end of the earlier plays of the sitting and the row's start; negative where
            plays overlap, 0 for the first play of a sitting.
        ids: text id of each session.
        left_out: number of plays that are no rows, by reason.
    """

    plays: np.ndarray
    session: np.ndarray
    position: np.ndarray
    length: np.ndarray
    gap: np.ndarray
    ids: pa.Array
    left_out: dict[str, int]


def sessions_of(
    plays: pa.Table, cut_off: np.ndarray, pause_minutes: float = SITTING_PAUSE_MINUTES
) -> Sessions:
    """Cut plays into sessions of 10 to 20 tracks, each of which ends with a play that was not cut off.

    A play without a track bridges a pause and makes no row.

    Args:
        plays: of the schema ``plays.PLAYS``.
        cut_off: bool per play.
        pause_minutes: a longer pause begins another sitting.
    """
    person, start = plays["person"].to_numpy().astype(np.int64), plays["start"].to_numpy()
    gap, first = _sittings(person, start, start + plays["heard"].to_numpy(), pause_minutes)
    sitting = np.cumsum(first) - 1

    rows = np.flatnonzero(pc.is_valid(plays["track"]).to_numpy())
    index = _index_in_run(sitting[rows])
    offset = index % MAX_SESSION_LENGTH
    opens = offset == 0
    window = np.cumsum(opens) - 1
    ends_at = (
        np.maximum.reduceat(np.where(cut_off[rows], -1, offset), np.flatnonzero(opens))
        if len(rows)
        else offset
    )
    kept = offset <= ends_at[window]
    is_long = ends_at + 1 >= MIN_SESSION_LENGTH
    whole = kept & is_long[window]

    chosen = np.flatnonzero(is_long)
    openings = np.flatnonzero(opens)[chosen]
    begins = np.flatnonzero(first)[sitting[rows[openings]]]
    return Sessions(
        plays=rows[whole],
        session=(np.cumsum(is_long) - 1)[window[whole]],
        position=offset[whole] + 1,
        length=ends_at[window[whole]] + 1,
        gap=gap[rows[whole]],
        ids=_ids(person[begins], start[begins], index[openings] // MAX_SESSION_LENGTH),
        left_out={
            WITHOUT_TRACK: len(plays) - len(rows),
            CUT_OFF: int((~kept).sum()),
            SHORT: int((kept & ~whole).sum()),
        },
    )


def _sittings(
    person: np.ndarray, start: np.ndarray, end: np.ndarray, pause_minutes: float
) -> tuple[np.ndarray, np.ndarray]:
    """Gap before each play in ms, 0 at the first play of a sitting; and whether a play is that first one."""
    if not len(start):
        return start, np.zeros(0, bool)
    # A person's times are lifted above all times of the earlier persons, so that the running maximum of the
    # ends begins anew with each person.
    lift = person * (max(end.max(), start.max()) - start.min() + 1)
    latest = np.maximum.accumulate(end + lift)[:-1] - lift[1:]
    gap = np.concatenate([[0], start[1:] - latest])
    first = np.concatenate([[True], (person[1:] != person[:-1]) | (gap[1:] > pause_minutes * 60_000)])
    return np.where(first, 0, gap), first


def _index_in_run(numbers: np.ndarray) -> np.ndarray:
    """Index of each element among its equal neighbours.

    >>> _index_in_run(np.array([4, 4, 4, 7, 7]))
    array([0, 1, 2, 0, 1])
    """
    at = np.arange(len(numbers))
    begins = np.concatenate([[True], numbers[1:] != numbers[:-1]])[: len(numbers)]
    return at - np.maximum.accumulate(np.where(begins, at, 0))


def _ids(person: np.ndarray, start: np.ndarray, window: np.ndarray) -> pa.Array:
    """Ids that sort by person and time, and stay as they are when later plays are added."""
    seconds = pa.array(start // 1000, pa.timestamp("s")).cast(pa.string())  # "2018-07-15 14:13:22"
    compact = pc.replace_substring(pc.replace_substring_regex(seconds, "[-:]", ""), " ", "T")
    number = pc.utf8_lpad(pa.array(window).cast(pa.string()), 3, "0")
    return pc.binary_join_element_wise(pa.array(person).cast(pa.string()), compact, number, "_")
