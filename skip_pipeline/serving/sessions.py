"""Sessions to be scored, in the small records that bundles are made of, and the network's inputs from them.

Requests (``requests``) and log files (``logs``) both end here, and from here on goes the code that made the
inputs for training: ``bundles.decode``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.decode import Steps, decode, padding_of
from skip_pipeline.bundles.records import CATEGORIES, ROW, level_codes

LEVEL_CODES: Final[Mapping[str, Mapping[str, int]]] = {
    name: {level: code for code, level in enumerate(schema.LEVELS[name])} for name in CATEGORIES
}
"""Code of each level of a row's categories; any other level is unknown."""


@dataclass(frozen=True)
class Sessions:
    """m sessions, each with the tracks played so far and the one that comes next.

    The network is told how many tracks a session has in all, and so whether the next one is its last. That
    matters: what a listener leaves with is played to its end more often than what they go on from. A session
    of which nobody knows when it ends has the greatest length, since a network that has learnt from every
    track then takes the next one for one of many. On 2,046 synthetic test sessions cut in half that has a
    log-loss of 0.462, where the true length gives 0.461 and taking the next track for the last one 0.663
    (``benchmarks.midway``).

    Attributes:
        session_id: m texts, which only come back with the answer.
        earlier: int64 (m,), number of earlier tracks, 1 to 19.
        length: int64 (m,), number of tracks in all, more than ``earlier`` and up to 20.
        rows: ``ROW`` (sum of ``earlier``,), one session after another; ``track`` indexes ``track_ids``.
        next_track: int64 (m,), indexes ``track_ids``.
        track_ids: texts, the same one as often as it may be.
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
        """First row of each session, and behind them the number of rows: int64 (m + 1,)."""
        return np.concatenate([[0], np.cumsum(self.earlier)])

    @property
    def next_track_ids(self) -> list[str | None]:
        """Ids of the tracks to be scored, m; None for a track of which only features were given."""
        return [self.track_ids[i] or None for i in self.next_track.tolist()]

    @property
    def unknown_levels(self) -> int:
        """Values outside the vocabulary; their indicators are all zero, as in training."""
        return sum(int(np.sum(level_codes(self.rows, n) == len(schema.LEVELS[n]))) for n in CATEGORIES)


def branches(
    sessions: Sessions, own: slice, track_rows: np.ndarray, tracks: np.ndarray, neutral: np.ndarray
) -> dict[str, np.ndarray]:
    """The four inputs of some sessions, made by what decodes the bundles.

    Args:
        own: which sessions; from 0, without steps, within their number.
        track_rows: int64 (track ids,), row of ``tracks`` for each of ``sessions.track_ids``; -1 for none.
        tracks: float32 (tracks, 31), scaled.
        neutral: float32 (31,), what stands for a track without a row.

    Returns:
        float32 (n, …), ``schema.BRANCH_SHAPES``.
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
