"""A bundle's history step by step, and sums over the steps before each track.

Arrays over steps are (n, 19): the tracks before the predicted one, padded in front. Arrays over targets are
(n, 20): target t is the track at step t, the last target is the predicted track.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from skip_pipeline import schema

TARGETS: Final = schema.STEPS + 1

_BEFORE_TARGET: Final = np.tri(TARGETS, schema.STEPS, -1, dtype=np.float32)  # 1 where a step is

OUTCOMES: Final = ("skip_1", "skip_2", "skip_3", "unflagged", "played")
"""Outcomes, by how much of the track was played; the first three are the nested skip flags."""
PLAYED: Final = OUTCOMES.index("played")

_SESSIONS_AT_ONCE: Final = 4096  # 22 MB of branches, and 150 MB of features made from them


def in_parts(
    arrays: Mapping[str, np.ndarray], names: Sequence[str] = (*schema.BRANCH_SHAPES, schema.LABEL)
) -> Iterator[dict[str, np.ndarray]]:
    """Named arrays of n sessions, in memory or not, in parts of some thousand sessions.

    There is at least one part, which may be empty. A name without an array is skipped.
    """
    wanted = [name for name in names if name in arrays]
    for start in range(0, max(len(arrays[wanted[0]]), 1), _SESSIONS_AT_ONCE):
        yield {name: arrays[name][start : start + _SESSIONS_AT_ONCE] for name in wanted}


@dataclass(frozen=True)
class Listening:
    """What listeners did with each track."""

    real: np.ndarray  # float32 (n, 19), 1 for a track, 0 for padding
    played: np.ndarray  # float32 (n, 19), 1 played to its end, 0 skipped or padding
    depth: np.ndarray  # int64 (n, 19), index into ``OUTCOMES``; 0 for padding
    log: np.ndarray  # float32 (n, 19, 35), ``schema.SESSION_LOG_BRANCH``, 0 for padding
    tracks: np.ndarray  # float32 (n, 20, 31), ``schema.TRACK_BRANCH``; the last is the predicted track

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

    @cached_property
    def sign(self) -> np.ndarray:
        """1 played, -1 skipped, 0 padding: float32 (n, 19)."""
        return np.asarray((2.0 * self.played - 1.0) * self.real)

    @cached_property
    def count(self) -> np.ndarray:
        """Number of tracks before each target: float32 (n, 20)."""
        return before(self.real)

    @cached_property
    def earlier(self) -> np.ndarray:
        """1 where a step is a track before the target: float32 (n, 20, 19)."""
        return np.asarray(_BEFORE_TARGET * self.real[:, None])


def outcome_depths(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Outcome of every track as an index into ``OUTCOMES``: int64 (n, 20), -1 in padding.

    ``not_skipped`` alone decides whether a track was played to its end, also where flags contradict it.

    Args:
        arrays: ``session_log`` (n, 19, 35), ``skip_sequence`` (n, 19, 1), the label (n,) and ``last_flags``
            (n, 3). Without ``last_flags``, a last track that was not played counts as ``unflagged``.
    """
    played = np.column_stack([arrays["skip_sequence"][:, :, 0], arrays[schema.LABEL]])  # (n, 20)
    columns = [log_column(name) for name in OUTCOMES[:3]]
    last = arrays.get("last_flags", np.zeros((len(played), len(columns))))
    flags = np.concatenate([arrays["session_log"][:, :, columns], last[:, None]], axis=1).sum(axis=2)
    depths = np.where(played > 0.5, PLAYED, np.rint(PLAYED - 1 - flags)).astype(np.int64)
    return np.where(played == schema.SKIP_PADDING, -1, depths)


def all_played(split: Mapping[str, Any]) -> np.ndarray:
    """Whether every track of a whole split was played: float32 (n, 20), 1 or 0, NaN in padding."""
    parts = in_parts(split, ("skip_sequence", schema.LABEL))
    played = [np.column_stack([part["skip_sequence"][:, :, 0], part[schema.LABEL]]) for part in parts]
    return np.concatenate([np.where(p == schema.SKIP_PADDING, np.nan, p).astype(np.float32) for p in played])


def log_column(name: str) -> int:
    """Index of a column in the session log's branch."""
    return schema.SESSION_LOG_BRANCH.index(name)


def before(steps: np.ndarray) -> np.ndarray:
    """Sum over all steps before each target: (n, 19, …) to (n, 20, …)."""
    sums = np.zeros((len(steps), TARGETS, *steps.shape[2:]), steps.dtype)
    np.add.accumulate(steps, axis=1, out=sums[:, 1:])
    return sums
