"""Streams of random numbers: one for each part of the world and each block of sessions.

What one part draws never shifts another, and a block is the same whichever process draws it and however
the sessions are cut into files.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Part(IntEnum):
    """What a stream is for; the numbers are part of every world and never change their meaning."""

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
    """A seed for sessions that are to have nothing in common with those of a seed but the catalogue."""
    return int(np.random.SeedSequence(seed, spawn_key=(_OTHER,)).generate_state(1, np.uint32)[0])


_OTHER = 1_000  # no part has this number


def stream(seed: int, part: Part, block: int = 0) -> np.random.Generator:
    """The stream of one part of one block of the world of a seed."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(part), block)))
