"""A bundle's history step by step, and sums over the steps before each track.

Arrays over steps are (n, 19): the tracks before the predicted one, padded in front. Arrays over targets are
(n, 20): target t is the track at step t, the last target is the predicted track. Every function computes a
target's value from the steps before it alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from skip_pipeline import schema

TARGETS: Final = schema.STEPS + 1

OUTCOMES: Final = ("skip_1", "skip_2", "skip_3", "unflagged", "played")
"""Outcomes, by how much of the track was played; the first three are the nested skip flags."""
PLAYED: Final = OUTCOMES.index("played")

_SESSIONS_AT_ONCE: Final = 4096
"""Sessions per part: 22 MB of branches, and 150 MB of features made from them."""


def in_parts(
    arrays: Mapping[str, np.ndarray], names: Sequence[str] = (*schema.BRANCH_SHAPES, schema.LABEL)
) -> Iterator[dict[str, np.ndarray]]:
    """Arrays of n sessions in parts of some thousand sessions; at least one part, which may be empty.

    Args:
        arrays: by name; they need not be in memory.
        names: of the arrays to take; a name without an array is skipped.
    """
    wanted = [name for name in names if name in arrays]
    for start in range(0, max(len(arrays[wanted[0]]), 1), _SESSIONS_AT_ONCE):
        yield {name: arrays[name][start : start + _SESSIONS_AT_ONCE] for name in wanted}


@dataclass(frozen=True)
class Listening:
    """What listeners did with each track.

    Attributes:
        real: float32 (n, 19), 1 for a track, 0 for padding.
        played: float32 (n, 19), 1 played to its end, 0 skipped or padding.
        depth: int64 (n, 19), index into ``OUTCOMES``; 0 for padding.
        log: float32 (n, 19, 35), ``schema.SESSION_LOG_BRANCH``, 0 for padding.
        tracks: float32 (n, 20, 31), ``schema.TRACK_BRANCH``; the last is the predicted track.
    """

    real: np.ndarray
    played: np.ndarray
    depth: np.ndarray
    log: np.ndarray
    tracks: np.ndarray

    @classmethod
    def of(cls, branches: Mapping[str, np.ndarray]) -> Listening:
        """Read the four branches (``schema.BRANCH_SHAPES``) of n sessions."""
        skips = np.asarray(branches["skip_sequence"])[:, :, 0]  # (n, 19, 1) to (n, 19)
        real = skips != schema.SKIP_PADDING
        log = branches["session_log"] * real[:, :, None].astype(np.float32)
        played = np.where(real, skips, 0.0).astype(np.float32)
        flags = sum(log[:, :, log_column(name)] for name in OUTCOMES[:3])  # (n, 19)
        depth = np.where(real, np.rint(PLAYED - flags - (1.0 - played)), 0.0).astype(np.int64)
        last = np.asarray(branches["last_track"])[:, None]  # (n, 31) to (n, 1, 31)
        tracks = np.concatenate([branches["previous_tracks"], last], axis=1)  # (n, 20, 31)
        return cls(real.astype(np.float32), played, np.clip(depth, 0, PLAYED), log, tracks)


def log_column(name: str) -> int:
    """Index of a column in the session log's branch."""
    return schema.SESSION_LOG_BRANCH.index(name)


def before(steps: np.ndarray) -> np.ndarray:
    """Sum over all steps before each target: (n, 19, …) to (n, 20, …)."""
    sums = np.zeros((len(steps), TARGETS, *steps.shape[2:]), steps.dtype)
    np.cumsum(steps, axis=1, out=sums[:, 1:])
    return sums


def lagged(steps: np.ndarray, lag: int) -> np.ndarray:
    """Value ``lag`` steps before each target, 0 where there is none: (n, 19, …) to (n, 20, …)."""
    values = np.zeros((len(steps), TARGETS, *steps.shape[2:]), steps.dtype)
    values[:, lag:] = steps[:, : TARGETS - lag]
    return values


def latest(steps: np.ndarray, count: int) -> np.ndarray:
    """Sum over the ``count`` steps before each target: (n, 19, …) to (n, 20, …)."""
    sums = before(steps)
    sums[:, count:] -= sums[:, :-count].copy()
    return sums


def fading(steps: np.ndarray, memory: float) -> np.ndarray:
    """Sum over the steps before each target, each weighted by ``memory`` to the power of its distance."""
    sums = np.zeros((len(steps), TARGETS, *steps.shape[2:]), steps.dtype)
    for target in range(1, TARGETS):
        sums[:, target] = memory * (sums[:, target - 1] + steps[:, target - 1])
    return sums
