"""Streams of random numbers: one for each part of the world and each block of sessions.

So a part's draws do not change another part's, and a block is the same whatever was drawn before.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Part(IntEnum):
    """What a stream is for. The numbers must not change: every world depends on them."""

    CATALOGUE = 0
    PLAYS = 1
    LENGTHS = 2
    LISTENERS = 3
    DEALING = 4
    BEHAVIOUR = 5
    PLAYBACK = 6
    IDENTIFIERS = 7
    DRIFT_PLAYS = 8
    DRIFT_LEVELS = 9


def other_seed(seed: int) -> int:
    """Another seed, for sessions that share only the catalogue with the sessions of ``seed``."""
    return int(np.random.SeedSequence(seed, spawn_key=(_OTHER,)).generate_state(1, np.uint32)[0])


_OTHER = 1_000  # no part has this number


def stream(seed: int, part: Part, block: int = 0) -> np.random.Generator:
    """The stream of one part of one block of the world of a seed."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(part), block)))
