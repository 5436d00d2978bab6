"""Outcome of each play: played, skipped or cut off, and how early it was skipped.

The export has no track durations. A track's duration is taken from plays that started before the play in
question, never from later ones: those would tell what the listener has yet to do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

FINISHED: Final = "trackdone"

CHOSEN: Final = (
    "fwdbtn", "nextbtn", "backbtn", "endplay", "clickrow", "click-row", "clickside", "playbtn", "popup",
)  # fmt: skip
"""Reasons for which a play ends because the listener chose something else."""

UNHEARD_DURATION: Final = 222_000.0
"""Milliseconds, before any play was finished: mean duration of the tracks of the public mini set."""

# The public data describe skip_1 as "very briefly" and skip_2 as "briefly" played, without limits in time.
_SKIP_1_PARTS: Final = 10  # played for less than a tenth of the duration
_SKIP_2_PARTS: Final = 3  # for less than a third


@dataclass(frozen=True)
class Outcomes:
    """One bool per play in each array; a play with none of them was cut off."""

    not_skipped: np.ndarray
    skip_1: np.ndarray
    skip_2: np.ndarray
    skip_3: np.ndarray

    @property
    def cut_off(self) -> np.ndarray:
        """Plays that ended for another reason than the track's end or the listener's choice."""
        ended: np.ndarray = self.not_skipped | self.skip_3
        return ~ended


def outcomes_of(plays: pa.Table) -> Outcomes:
    """Outcomes of plays of the schema ``plays.PLAYS``, in their order."""
    heard = plays["heard"].to_numpy()
    finished = _is_one_of(plays["reason_end"], [FINISHED]) & (heard > 0)
    skipped = _is_one_of(plays["reason_end"], CHOSEN)
    duration = known_durations(plays, finished)
    return Outcomes(
        not_skipped=finished,
        skip_1=skipped & (heard * _SKIP_1_PARTS < duration),
        skip_2=skipped & (heard * _SKIP_2_PARTS < duration),
        skip_3=skipped,
    )


def known_durations(plays: pa.Table, finished: np.ndarray) -> np.ndarray:
    """Duration of each play's track in ms (float64), as known when the play started.

    It is the time heard in the latest earlier finished play of the track, else the mean of all earlier
    finished plays, else ``UNHEARD_DURATION``. Earlier means an earlier start, of any person; of equal starts,
    an earlier row. Plays without a track neither give nor need a duration, and get the mean.

    Args:
        finished: bool per play.
    """
    in_time = np.argsort(plays["start"].to_numpy(), kind="stable")
    track = pc.fill_null(plays["track"].combine_chunks().dictionary_encode().indices, -1).to_numpy()[in_time]
    heard = plays["heard"].to_numpy()[in_time]
    ends = finished[in_time] & (track >= 0)
    known = np.where(ends, heard, 0)
    count, total = np.cumsum(ends) - ends, np.cumsum(known) - known
    duration = np.where(count > 0, total / np.maximum(count, 1), UNHEARD_DURATION)

    by_track = np.argsort(track, kind="stable")
    rows, group = np.arange(len(track)), track[by_track]
    latest = np.maximum.accumulate(np.where(ends[by_track], rows, -1))
    before = np.concatenate([[-1], latest[:-1]]).astype(np.int64)
    has_own = (before >= 0) & (group[before] == group)
    duration[by_track[has_own]] = heard[by_track[before[has_own]]]

    result = np.empty(len(track), np.float64)
    result[in_time] = duration
    return result


def _is_one_of(column: pa.ChunkedArray, values: Sequence[str]) -> np.ndarray:
    return np.asarray(pc.is_in(column, pa.array(values)))
