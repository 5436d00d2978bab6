"""Decisions without a model: rivals, and the baselines that the challenge published.

Each rule gives a digit for each row of ``asked``, uint8 (rows,), 1 for skipped.
"""

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
    return np.repeat(last_outcome(_skipped(sessions), sessions.heard), sessions.tracks)


def majority(sessions: HalfSessions) -> np.ndarray:
    """The commoner outcome of the tracks that were heard, again for each track."""
    return np.repeat(commoner_outcome(_skipped(sessions), sessions.heard), sessions.tracks)


def last_outcome(skipped: np.ndarray, heard: np.ndarray) -> np.ndarray:
    """The outcome of the last track of each first half: uint8 (n,).

    Args:
        skipped: outcomes of all first halves, 0 or 1, uint8, session after session.
        heard: number of tracks of each, int (n,), at least 1.

    >>> last_outcome(np.array([0, 1, 0], np.uint8), np.array([2, 1])).tolist()
    [1, 0]
    """
    return np.asarray(skipped[np.cumsum(heard) - 1])


def commoner_outcome(skipped: np.ndarray, heard: np.ndarray) -> np.ndarray:
    """The commoner outcome of each first half, the last one if both are as common; as ``last_outcome``.

    >>> commoner_outcome(np.array([1, 1, 0, 0, 1], np.uint8), np.array([3, 2])).tolist()
    [1, 1]
    """
    balance = 2 * np.add.reduceat(skipped.astype(np.int64), np.cumsum(heard) - heard) - heard
    return np.where(balance == 0, last_outcome(skipped, heard), balance > 0).astype(np.uint8)


def _skipped(sessions: HalfSessions) -> np.ndarray:
    return np.asarray(sessions.log["skip_2"].cast("uint8").to_numpy())


RULES: Final[dict[Rule, Decide]] = {"random": random, "last-action": last_action, "majority": majority}
