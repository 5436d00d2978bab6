"""Sessions as arrays, and the network's inputs made of them by the decoder that training uses."""

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
    """m sessions: the tracks played so far, and k tracks to predict, one or more of each session.

    The tracks to predict are the next track, candidates for it, or the next tracks in their order.

    The number of tracks of a session is an input, so the network knows whether the next track is the last.
    Listeners play the last track of a session to its end more often than other tracks. Where the length is
    not known it is set to the greatest one, so that the next track is an ordinary one. On 2,046 synthetic
    held-out sessions cut in half the log-loss is 0.466 with the true length, 0.466 with the greatest length,
    and 0.664 if the next track is taken to be the last one (``benchmarks.midway``).
    """

    session_id: Sequence[str]
    earlier: np.ndarray  # int64 (m,), number of earlier tracks, 1 to 19
    length: np.ndarray  # int64 (m,), number of tracks in all, more than `earlier` and up to 20
    rows: np.ndarray  # ROW (sum of `earlier`,), session after session; "track" indexes `track_ids`
    next_track: np.ndarray  # int64 (k,), session after session; indexes `track_ids`
    track_ids: Sequence[str]
    # Raw features of some next tracks (`schema.TRACK_ATTRIBUTES`), by their place in `next_track`.
    next_features: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    # Of the first track, int64 (m,); -1 where it is not known. None if it is known of no session.
    hour: np.ndarray | None = None
    premium: np.ndarray | None = None
    levels_missing: int = 0  # of a log that may lack them: these are not known, rather than of unknown level
    asked: np.ndarray | None = None  # int64 (m,), next tracks of each session; None for one of each
    following: bool = False  # whether next tracks follow one another; else each may come next

    def __len__(self) -> int:
        return len(self.earlier)

    @cached_property
    def bounds(self) -> np.ndarray:
        """First row of each session, then the number of rows: int64 (m + 1,)."""
        return np.concatenate([[0], np.cumsum(self.earlier)])

    @cached_property
    def candidates(self) -> np.ndarray:
        """Number of next tracks of each session: int64 (m,)."""
        return np.ones(len(self), np.int64) if self.asked is None else np.asarray(self.asked)

    def next_tracks(self, own: np.ndarray) -> np.ndarray:
        """Places in ``next_track`` of the next tracks of n sessions that have N each: int64 (n, N)."""
        return np.asarray(self._first_asked[own, None] + np.arange(self.candidates[own[0]]))

    @cached_property
    def between(self) -> np.ndarray:
        """Tracks between a session's earlier tracks and each of its next tracks: int64 (k,)."""
        if not self.following:
            return np.zeros(len(self.next_track), np.int64)
        return ranges(np.zeros(len(self), np.int64), self.candidates)

    @cached_property
    def session_of(self) -> np.ndarray:
        """Number of the session of each next track: int64 (k,)."""
        return np.repeat(np.arange(len(self)), self.candidates)

    @cached_property
    def _first_asked(self) -> np.ndarray:
        return np.asarray(np.cumsum(self.candidates) - self.candidates)

    @property
    def asked_ids(self) -> list[str]:
        """Session id of each next track."""
        return list(np.array(self.session_id, object)[self.session_of])

    @property
    def next_track_ids(self) -> list[str | None]:
        """Id of each next track; None where only its features were given."""
        return [self.track_ids[i] or None for i in self.next_track.tolist()]

    @property
    def unknown_levels(self) -> int:
        """Number of values outside the vocabulary; all their indicators are zero, as in training."""
        without = sum(int(np.sum(level_codes(self.rows, n) == len(schema.LEVELS[n]))) for n in CATEGORIES)
        return without - self.levels_missing


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
    sessions: Sessions, own: np.ndarray, track_rows: np.ndarray, known: KnownTracks
) -> dict[str, np.ndarray]:
    """The network's inputs for n sessions that ask for N tracks each: float32 (n, …).

    The shapes are those of ``schema.INPUT_SHAPES``, with N tracks in place of one as in
    ``training.onnx_model.predict_outcomes``: ``last_track`` is (n, N, 31).

    Args:
        own: int64 (n,), numbers of the sessions.
        track_rows: int64 (track ids,), row of ``known`` of each of ``sessions.track_ids``; -1 for none.
        known: the table of tracks.
    """
    earlier, asked = sessions.earlier[own], sessions.next_tracks(own)
    padding = padding_of(earlier)
    padded = np.zeros(padding.shape, ROW)
    padded[~padding] = sessions.rows[ranges(sessions.bounds[own], earlier)]
    heard = padded["track"].astype(np.int64)
    ids = np.concatenate([heard, sessions.next_track[asked]], axis=1)  # (n, 19 + N)
    row_of = track_rows[ids]
    # Numbers only have to be equal where the track is the same, also for tracks that are not in the table.
    numbers = np.where(row_of < 0, len(known.matrix) + ids, row_of)
    row_of[:, : schema.STEPS][padding] = numbers[:, : schema.STEPS][padding] = -1
    padded["track"] = np.maximum(row_of[:, : schema.STEPS], 0)
    last = row_of[:, schema.STEPS :]
    unknown_number = np.full(len(own), -1)
    hour, premium = (unknown_number if of is None else of[own] for of in (sessions.hour, sessions.premium))
    steps = Steps(padded, padding, sessions.length[own], np.maximum(last[:, 0], 0), hour, premium)
    made = {
        "last_track": known.matrix[np.maximum(last, 0)],
        "track_numbers": numbers.astype(np.float32),
        "track_memory": known.memory_of(row_of),
        "tracks_between": sessions.between[asked].astype(np.float32),
    }
    for name in INPUTS:
        if name not in made:
            made[name] = np.empty((len(own), *schema.INPUT_SHAPES[name]), np.float32)
            decode(name, steps, known.matrix, made[name])
    made["previous_tracks"][(row_of[:, : schema.STEPS] < 0) & ~padding] = known.neutral
    made["last_track"][last < 0] = known.neutral
    if sessions.next_features and (given := np.isin(asked, list(sessions.next_features))).any():
        features = [sessions.next_features[number] for number in asked[given].tolist()]
        made["last_track"][given] = known.scaled(features)
    return made


def ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The numbers from each start on, so many of each.

    >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    return np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
