"""Decisions without a model: rivals, and the baselines that the challenge published.

Each rule gives a digit for each row of ``asked``, uint8 (rows,), 1 for skipped.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from skip_pipeline import schema
from skip_pipeline.challenge.half_sessions import HalfSessions
from skip_pipeline.challenge.submission import Decide
from skip_pipeline.storage import digest_of

Rule = Literal["random", "last-action", "majority"]


def random(sessions: HalfSessions) -> np.ndarray:
    """Uniformly random digits, the same for the same sessions."""
    seed = int(digest_of(sessions.asked[schema.SESSION_ID][0].as_py()), 16)
    return np.asarray(np.random.default_rng(seed).integers(0, 2, sessions.asked.num_rows, np.uint8))


def last_action(sessions: HalfSessions) -> np.ndarray:
    """The outcome of the last track that was heard, again for each track."""
    last = _skipped(sessions)[np.cumsum(sessions.heard) - 1]
    return np.asarray(np.repeat(last, sessions.tracks))


def majority(sessions: HalfSessions) -> np.ndarray:
    """The commoner outcome of the tracks that were heard; the last one where both are as common."""
    skipped = _skipped(sessions)
    starts = np.cumsum(sessions.heard) - sessions.heard
    balance = 2 * np.add.reduceat(skipped.astype(np.int64), starts) - sessions.heard
    last = skipped[starts + sessions.heard - 1]
    return np.repeat(np.where(balance == 0, last, balance > 0).astype(np.uint8), sessions.tracks)


def _skipped(sessions: HalfSessions) -> np.ndarray:
    return np.asarray(sessions.log["skip_2"].cast("uint8").to_numpy())


RULES: Final[dict[Rule, Decide]] = {"random": random, "last-action": last_action, "majority": majority}
