"""Listeners: what differs between people before they hear the first track.

One listener has one session, as in the published data. How patience, taste and habits turn into skips is
in ``sessions.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skip_pipeline.world import figures
from skip_pipeline.world.track_figures import STYLES

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

BROWSED_STYLES = (3, 2)
"""The two styles by which a session chooses its tracks: its era, and vocal and loud against instrumental."""


@dataclass(frozen=True)
class Listeners:
    """Traits of ``n`` listeners; logits where no unit is given.

    Attributes:
        patience: float64 (n,), added to the attention every track gets.
        taste: float64 (n, 6), attention to one unit of each style of a track.
        browsing: float64 (n, 2), the middle of the styles a listener chooses tracks from.
        shuffling: float64 (n,) in [0, 1); shuffle is on in contexts where more than this share shuffles.
        premium: bool (n,).
    """

    patience: FloatArray
    taste: FloatArray
    browsing: FloatArray
    shuffling: FloatArray
    premium: BoolArray


def draw_listeners(rng: np.random.Generator, count: int) -> Listeners:
    """Draw ``count`` independent listeners."""
    return Listeners(
        patience=figures.PATIENCE_SPREAD * rng.standard_normal(count),
        taste=figures.COMMON_TASTE + np.array(figures.TASTE_SPREAD) * rng.standard_normal((count, STYLES)),
        browsing=rng.standard_normal((count, len(BROWSED_STYLES))),
        shuffling=rng.random(count),
        premium=rng.random(count) < figures.PREMIUM_SHARE,
    )


def liking(listeners: Listeners, styles: FloatArray, session: IntArray) -> FloatArray:
    """How much each track of each session is to its listener's taste: float64 (rows,), logits.

    Args:
        listeners: traits, one a session.
        styles: float64 (rows, 6), styles of the track on each row.
        session: int64 (rows,), session of each row; every session has a row.
    """
    match = np.einsum("rs,rs->r", styles, listeners.taste[session])  # (rows,)
    average = np.bincount(session, weights=match) / np.bincount(session)  # (sessions,)
    return np.asarray(match - figures.HABITUATION * average[session], dtype=np.float64)
