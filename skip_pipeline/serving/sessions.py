"""Sessions as arrays, and the network's inputs made of them by the decoder that training uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.gather import INPUTS
from skip_pipeline.bundles.records import (
    CATEGORIES,
    ROW,
    SEEKS,
    Steps,
    decode,
    indicators,
    level_codes,
    pack,
    padding_of,
)
from skip_pipeline.serving.tracks import KnownTracks


@dataclass(frozen=True)
class Sessions:
    """m sessions: the tracks played so far, and the track that comes next.

    The number of tracks of a session is an input, so the network knows whether the next track is the last.
    Listeners play the last track of a session to its end more often than other tracks. Where the length is
    not known it is set to the greatest one, so that the next track is an ordinary one. On 2,046 synthetic
    test sessions cut in half the log-loss is 0.461 with the true length, 0.462 with the greatest length, and
    0.663 if the next track is taken to be the last one (``benchmarks.midway``).
    """

    session_id: Sequence[str]
    earlier: np.ndarray  # int64 (m,), number of earlier tracks, 1 to 19
    length: np.ndarray  # int64 (m,), number of tracks in all, more than `earlier` and up to 20
    rows: np.ndarray  # ROW (sum of `earlier`,), session after session; "track" indexes `track_ids`
    next_track: np.ndarray  # int64 (m,), indexes `track_ids`
    track_ids: Sequence[str]  # an id may occur several times
    # Raw features of the next track (`schema.TRACK_ATTRIBUTES`), by number of the session.
    next_features: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    # Of the first track, int64 (m,); -1 where it is not known. None if it is known of no session.
    hour: np.ndarray | None = None
    premium: np.ndarray | None = None

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


def row_records(
    tracks: np.ndarray, columns: Mapping[str, np.ndarray], codes: Mapping[str, np.ndarray]
) -> np.ndarray:
    """``ROW`` (rows,) from ``FLAGS``, ``SHUFFLE`` and ``SEEKS``, and the codes of levels, -1 if unknown."""
    records = np.zeros(len(tracks), ROW)
    records["track"] = tracks
    records["binary"] = pack({**columns, **indicators(codes)})
    for name in SEEKS:
        records[name] = columns[name]
    return records


def branches(
    sessions: Sessions, own: slice, track_rows: np.ndarray, known: KnownTracks
) -> dict[str, np.ndarray]:
    """The network's inputs for the sessions of a slice: float32 (n, …), ``schema.INPUT_SHAPES``.

    Args:
        own: a slice with a start, a stop and no step.
        track_rows: int64 (track ids,), row of ``known`` of each of ``sessions.track_ids``; -1 for none.
        known: the table of tracks.
    """
    earlier = sessions.earlier[own]
    rows = sessions.rows[slice(*sessions.bounds[[own.start, own.stop]])].copy()
    last = track_rows[sessions.next_track[own]]
    ids_played, played = rows["track"], track_rows[rows["track"]]
    padding = padding_of(earlier)
    rows["track"] = np.maximum(played, 0)
    padded = np.zeros(padding.shape, ROW)
    padded[~padding] = rows  # in the order of sessions and positions
    unknown_number = np.full(len(earlier), -1)
    hour, premium = (unknown_number if of is None else of[own] for of in (sessions.hour, sessions.premium))
    steps = Steps(padded, padding, sessions.length[own], np.maximum(last, 0), hour, premium)
    made = {}
    for name in INPUTS:
        made[name] = np.empty((len(earlier), *schema.INPUT_SHAPES[name]), np.float32)
        decode(name, steps, known.matrix, made[name])
    row_of = np.full((len(earlier), schema.STEPS + 1), -1)
    row_of[:, :-1][~padding] = played
    row_of[:, -1] = last
    made["track_memory"] = known.memory_of(row_of)
    # Numbers only have to be equal where the track is the same, also for tracks that are not in the table.
    made["track_numbers"][:, :-1][~padding] = _same_number(ids_played, played, len(known.matrix))
    made["track_numbers"][:, -1] = _same_number(sessions.next_track[own], last, len(known.matrix))
    if (played < 0).any():
        made["previous_tracks"][(row_of[:, :-1] < 0) & ~padding] = known.neutral
    made["last_track"][last < 0] = known.neutral
    return made


def _same_number(ids: np.ndarray, rows: np.ndarray, tracks: int) -> np.ndarray:
    """The row of each track, or its id's place after the table if it has none."""
    return np.where(rows < 0, tracks + ids.astype(np.int64), rows)
