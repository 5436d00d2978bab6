"""Playlists: tracks that occur together, and a kind of each track that no feature tells.

A playlist holds tracks whose browsed styles are alike. Its kind is a random vector, for which listeners have
a taste. A track's kind is the mean of its playlists' kinds; only a track that is played much is on several.
So the tracks that occur together tell the kind, and features tell roughly which tracks are together.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from skip_pipeline.world import track_constants as constants
from skip_pipeline.world.arrays import FloatArray, IntArray
from skip_pipeline.world.listeners import browsed


@dataclass(frozen=True)
class Playlists:
    """Playlists of a catalogue, all with the same number of plays; neighbours hold similar tracks."""

    count: int
    first: IntArray  # (tracks + 1,), a track is on ``member_of[first[track] : first[track + 1]]``
    member_of: IntArray  # (memberships,), playlists
    kinds: FloatArray  # (tracks, KINDS); on one playlist alone, of mean square 1

    def of_plays(self, rng: np.random.Generator, plays: IntArray) -> IntArray:
        """Playlist from which each play (n,) of a track comes: (n,)."""
        homes = np.diff(self.first)[plays]
        return self.member_of[self.first[plays] + (homes * rng.random(len(plays))).astype(np.int64)]


def draw_playlists(rng: np.random.Generator, styles: FloatArray, plays: IntArray) -> Playlists:
    """Draw the playlists of a catalogue.

    Args:
        styles: (tracks, 6).
        plays: (tracks,), in proportion to the plays of each track, of positive sum.
    """
    tracks = len(styles)
    few = max(constants.FEWEST_PLAYLISTS, tracks // constants.TRACKS_ON_PLAYLIST)
    count = min(few, constants.MOST_PLAYLISTS, tracks)
    most = constants.MOST_OF_PLAYLIST * plays.sum() / count
    homes = np.ceil(plays / most).astype(np.int64).clip(1, count)
    track = np.repeat(np.arange(tracks), homes)
    weight = (plays / homes)[track]
    places = browsed(styles)[track] + constants.PLAYLIST_SPREAD * rng.standard_normal((len(track), 2))
    member_of = np.empty(len(track), dtype=np.int64)
    order = by_bands(places, bands_of(count), weight)
    member_of[order] = parts(weight[order], count)
    own = rng.standard_normal((count, constants.KINDS))
    own *= np.sqrt(constants.KINDS / (own**2).sum(axis=1, keepdims=True))
    kinds = [np.bincount(track, axis[member_of]) / homes for axis in own.T]
    return Playlists(count, np.append(0, np.cumsum(homes)), member_of, np.stack(kinds, axis=1))


def bands_of(playlists: int) -> int:
    """Number of bands of the first browsed axis into which playlists are divided."""
    return max(1, round(sqrt(playlists)))


def by_bands(keys: FloatArray, bands: int, weight: FloatArray | None = None) -> IntArray:
    """Order of (n, 2) keys: by bands of the first, of equal weight, by the second within a band."""
    order = np.argsort(keys[:, 0], kind="stable")
    band = np.empty(len(keys), dtype=np.int64)
    band[order] = parts(np.ones(len(keys)) if weight is None else weight[order], bands)
    return np.asarray(np.lexsort((keys[:, 1], band)), dtype=np.int64)


def parts(weight: FloatArray, count: int) -> IntArray:
    """Part of each of (n,) items, in a row that is cut into ``count`` parts of equal weight: (n,).

    >>> parts(np.array([1.0, 1.0, 2.0, 4.0]), 2).tolist()
    [0, 0, 0, 1]
    """
    middle = np.cumsum(weight) - weight / 2.0
    part: IntArray = (middle * (count / weight.sum())).astype(np.int64)
    return part.clip(0, count - 1)
