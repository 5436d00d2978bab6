"""Sessions as arrays, and the network's inputs made of them.

Requests and log files both become ``Sessions``. The code that makes the inputs for training,
``bundles.records``, makes them here too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.records import CATEGORIES, ROW, Steps, decode, level_codes, padding_of

LEVEL_CODES: Final[Mapping[str, Mapping[str, int]]] = {
    name: {level: code for code, level in enumerate(schema.LEVELS[name])} for name in CATEGORIES
}
"""Code of each level of a row's categories; any other level is unknown."""


@dataclass(frozen=True)
class Sessions:
    """m sessions: the tracks played so far, and the track that comes next.

    The network is told how many tracks a session has in all, and so whether the next track is the last one.
    Listeners play the last track of a session to its end more often than other tracks. Where the length is
    not known it is set to the greatest one, so that the next track is an ordinary one. On 2,046 synthetic
    test sessions cut in half the log-loss is 0.461 with the true length, 0.462 with the greatest length, and
    0.663 if the next track is taken to be the last one (``benchmarks.midway``).

    Attributes:
        session_id: m texts; the answer repeats them.
        earlier: int64 (m,), number of earlier tracks, 1 to 19.
        length: int64 (m,), number of tracks in all, more than ``earlier`` and up to 20.
        rows: ``ROW`` (sum of ``earlier``,), session after session; ``track`` indexes ``track_ids``.
        next_track: int64 (m,), indexes ``track_ids``.
        track_ids: texts; an id may occur several times.
        next_features: raw features of the next track (``schema.TRACK_ATTRIBUTES``), by number of the session.
    """

    session_id: Sequence[str]
    earlier: np.ndarray
    length: np.ndarray
    rows: np.ndarray
    next_track: np.ndarray
    track_ids: Sequence[str]
    next_features: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.earlier)

    @cached_property
    def bounds(self) -> np.ndarray:
        """First row of each session, then the number of rows: int64 (m + 1,)."""
        return np.concatenate([[0], np.cumsum(self.earlier)])

    @property
    def next_track_ids(self) -> list[str | None]:
        """Id of each next track; None where only its features were given."""
        return [self.track_ids[i] or None for i in self.next_track.tolist()]

    @property
    def unknown_levels(self) -> int:
        """Number of values outside the vocabulary; all their indicators are zero, as in training."""
        return sum(int(np.sum(level_codes(self.rows, n) == len(schema.LEVELS[n]))) for n in CATEGORIES)


def branches(
    sessions: Sessions, own: slice, track_rows: np.ndarray, tracks: np.ndarray, neutral: np.ndarray
) -> dict[str, np.ndarray]:
    """The network's four inputs for the sessions of a slice: float32 (n, …), ``schema.BRANCH_SHAPES``.

    Args:
        own: a slice with a start, a stop and no step.
        track_rows: int64 (track ids,), row of ``tracks`` of each of ``sessions.track_ids``; -1 for none.
        tracks: float32 (tracks, 31), scaled.
        neutral: float32 (31,), features of a track without a row.
    """
    earlier = sessions.earlier[own]
    rows = sessions.rows[slice(*sessions.bounds[[own.start, own.stop]])]
    last = track_rows[sessions.next_track[own]]
    played = track_rows[rows["track"]]
    padding = padding_of(earlier)
    resolved = rows.copy()
    resolved["track"] = np.maximum(played, 0)
    padded = np.zeros(padding.shape, ROW)
    padded[~padding] = resolved  # in the order of sessions and positions
    steps = Steps(padded, padding, sessions.length[own], np.maximum(last, 0))
    made = {}
    for name, shape in schema.BRANCH_SHAPES.items():
        made[name] = np.empty((len(earlier), *shape), np.float32)
        decode(name, steps, tracks, made[name])
    if (played < 0).any():
        unknown = np.zeros(padding.shape, bool)
        unknown[~padding] = played < 0
        made["previous_tracks"][unknown] = neutral
    made["last_track"][last < 0] = neutral
    return made
