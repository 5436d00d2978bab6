"""Session lengths, and the assignment of plays to sessions.

``catalogue.play_counts`` gives the number of plays of each track; over the whole world it is kept exactly,
unless plays drift. Nothing here depends on the reactions of listeners.
"""

from dataclasses import dataclass

import numpy as np

from skip_pipeline.world import constants
from skip_pipeline.world.arrays import FloatArray, IntArray
from skip_pipeline.world.extent import Extent
from skip_pipeline.world.playlists import Playlists, bands_of, by_bands
from skip_pipeline.world.randomness import Part, apportion, stream

_LENGTHS = np.array(list(constants.SESSIONS_BY_LENGTH), dtype=np.int64)
_SHARES = np.array(list(constants.SESSIONS_BY_LENGTH.values()), dtype=np.int64)


@dataclass(frozen=True)
class Lengths:
    """Session lengths of a world in the published shares, exact at multiples of 10,000 sessions.

    The number of rows before a block depends on the block's number only, so any block can be drawn alone.
    """

    extent: Extent
    seed: int

    def block(self, block: int) -> IntArray:
        """Length of each session of a block, in random order."""
        lengths = np.repeat(_LENGTHS, self._counts(block))
        return stream(self.seed, Part.LENGTHS, block).permutation(lengths)

    def rows_before(self, block: int) -> int:
        """Log rows of all blocks before this one; ``block`` may be the number of blocks."""
        if block == self.extent.blocks:
            return self.rows_before(block - 1) + int(self._counts(block - 1) @ _LENGTHS)
        return int(_counts_through(block * constants.BLOCK_SESSIONS) @ _LENGTHS)

    def _counts(self, block: int) -> IntArray:
        sessions = self.extent.block_sessions(block)
        if len(sessions) < constants.BLOCK_SESSIONS:
            return apportion(len(sessions), _SHARES.astype(np.float64))
        return _counts_through(sessions.stop) - _counts_through(sessions.start)


def _counts_through(sessions: int) -> IntArray:
    """Sessions of each length among the first ``sessions``: cumulative shares, rounded."""
    through = (2 * sessions * np.cumsum(_SHARES) + _SHARES.sum()) // (2 * _SHARES.sum())
    return np.asarray(np.diff(through, prepend=0))


@dataclass(frozen=True)
class PlaySchedule:
    """All plays of a world in one order, of which any range can be computed without the rest.

    The plays of a track are evenly spread over the order, from a random first place.
    """

    counts: IntArray  # (tracks,), plays of each track
    places: FloatArray  # (tracks,) in (0, 1], place of a track's plays within the equal parts of the order

    def between(self, first: int, last: int) -> IntArray:
        """Tracks of plays ``first`` to ``last - 1``, by track."""
        here = self._before(last) - self._before(first)
        tracks = np.flatnonzero(here)
        return np.repeat(tracks, here[tracks])

    def _before(self, plays: int) -> IntArray:
        """Plays of each track among the first ``plays`` of the order.

        Play j of a track is at (j + place) / count. Two nearby points bracket the one that is asked for, and
        the few plays between the two are sorted.
        """
        total = int(self.counts.sum())
        # At any point, each track has had its share of plays with an error of less than one.
        margin = max(4.0 * np.sqrt(len(self.counts)), 1.0) / total
        middle = plays / total
        low, high = self._until(middle - margin), self._until(middle + margin)
        while low.sum() > plays or high.sum() < plays:
            margin *= 2.0
            low, high = self._until(middle - margin), self._until(middle + margin)
        tracks = np.flatnonzero(high > low)
        many = high[tracks] - low[tracks]
        track = np.repeat(tracks, many)
        nth = np.arange(len(track)) - np.repeat(np.cumsum(many) - many, many) + low[track]
        order = np.argsort((nth + self.places[track]) / self.counts[track], kind="stable")
        chosen = track[order[: plays - int(low.sum())]]
        return low + np.bincount(chosen, minlength=len(low))

    def _until(self, point: float) -> IntArray:
        """Plays of each track before a point of the order."""
        reached = np.ceil(self.counts * point - self.places)
        return np.clip(reached, 0, self.counts).astype(np.int64)


def deal_tracks(
    rng: np.random.Generator, plays: IntArray, playlists: Playlists, session: IntArray, browsing: FloatArray
) -> IntArray:
    """Assign each play to a log row: a session mixes two playlists near what its listener browses.

    The rows of a session that come from one playlist are a part of it. Plays are laid in a row by playlist,
    parts by the style that they want, and the two rows are matched. So each play is used once, and a part at
    the end of a playlist goes on with the next one.

    Args:
        plays: (rows,), tracks, ascending.
        session: (rows,), session of each row, ascending from 0.
        browsing: (sessions, 2).
    """
    playlist = playlists.of_plays(rng, plays)
    order = np.lexsort((plays, playlist))
    # The plays of a track are evenly spread over its playlist, so that a part rarely holds two of them.
    group = np.flatnonzero(np.diff(plays[order], prepend=-1) | np.diff(playlist[order], prepend=-1))
    size = np.diff(group, append=len(plays))
    nth = np.arange(len(plays)) - np.repeat(group, size)
    place = (nth + np.repeat(rng.random(len(group)), size)) / np.repeat(size, size)
    offered = order[np.lexsort((place, playlist[order]))]
    part = _parts_of_sessions(rng, session)
    wanted = browsing[session] + constants.BROWSING_WITHIN * rng.standard_normal((2 * len(browsing), 2))[part]
    tracks = np.empty(len(plays), dtype=np.int64)
    tracks[by_bands(wanted, bands_of(playlists.count))] = plays[offered]
    return tracks


def _parts_of_sessions(rng: np.random.Generator, session: IntArray) -> IntArray:
    """Which of its session's two playlists each row (rows,) comes from: ``2 * session`` or one more."""
    changes = np.cumsum(rng.random(len(session)) < constants.CHANGE_OF_PLAYLIST)
    return 2 * session + changes % 2
