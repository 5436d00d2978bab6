"""Which session plays which track: session lengths, and plays dealt out by style.

The number of plays of each track is given by ``tracks.play_counts`` and kept exactly; nothing here depends
on how a listener reacts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from skip_pipeline.world import figures
from skip_pipeline.world.apportion import apportion
from skip_pipeline.world.listeners import BROWSED_STYLES

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def draw_lengths(rng: np.random.Generator, sessions: int) -> IntArray:
    """Length of each session: int64 (sessions,), the published shares apportioned, in random order."""
    lengths = np.array(list(figures.SESSIONS_BY_LENGTH))
    shares = np.array(list(figures.SESSIONS_BY_LENGTH.values()), dtype=np.float64)
    return rng.permutation(np.repeat(lengths, apportion(sessions, shares)))


def deal_tracks(
    rng: np.random.Generator, counts: IntArray, styles: FloatArray, session: IntArray, browsing: FloatArray
) -> IntArray:
    """Give every log row a track near its listener's browsing style.

    Plays and rows are cut into bands by the first browsed style and matched within a band by the second, so
    each track is used exactly as often as ``counts`` says.

    Args:
        rng: source of the spread within sessions.
        counts: int64 (tracks,), of sum rows.
        styles: float64 (tracks, 6).
        session: int64 (rows,), session of each row.
        browsing: float64 (sessions, 2).

    Returns:
        Index of the track of each row, int64 (rows,).
    """
    plays = np.repeat(np.arange(len(counts)), counts)  # (rows,)
    wanted = browsing[session] + figures.BROWSING_WITHIN * rng.standard_normal((len(session), 2))
    offered = styles[plays][:, BROWSED_STYLES] + figures.OFFERED_SPREAD * rng.standard_normal((len(plays), 2))
    tracks = np.empty(len(plays), dtype=np.int64)
    tracks[_by_bands(wanted)] = plays[_by_bands(offered)]
    return tracks


def _by_bands(keys: FloatArray) -> IntArray:
    """Order of (n, 2) keys: by bands of the first, by the second within a band."""
    order = np.argsort(keys[:, 0], kind="stable")
    band = np.empty(len(keys), dtype=np.int64)
    band[order] = np.arange(len(keys)) // figures.PLAYS_IN_BAND
    return np.lexsort((keys[:, 1], band))
