"""The numpy records of a bundle, of sessions and of earlier tracks, and the inputs that they decode to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import DTypeLike

from skip_pipeline import schema

SEEKS: Final = ("hist_user_behavior_n_seekfwd", "hist_user_behavior_n_seekback")
SHUFFLE: Final = "hist_user_behavior_is_shuffle"

BINARY: Final = tuple(
    name for name in schema.SESSION_LOG_BRANCH if name not in (schema.POSITION, schema.LENGTH, *SEEKS)
)
"""The 31 columns of the log branch that hold 0 or 1, in its order."""

FLAGS: Final = BINARY[: BINARY.index(SHUFFLE)]
"""The eight of them that precede the seeks."""

_COLUMN: Final = {name: i for i, name in enumerate(schema.SESSION_LOG_BRANCH)}

CATEGORIES: Final = tuple(name for name in schema.LEVELS if schema.indicators(name)[0] in BINARY)
"""Categorical columns of the log; a track's ``mode`` is in the track matrix."""

SEEK_TYPES: Final = ("u1", "<u2", "<u4")
"""Types that a shard may count seeks in; the widest holds every value of the raw contract."""


def session_record(track: DTypeLike) -> np.dtype:
    """Record of one session, 4 bytes where the track number takes 2."""
    return np.dtype([("last_track", track), ("length", "u1"), (schema.LABEL, "u1")])


def row_record(track: DTypeLike, seeks: DTypeLike) -> np.dtype:
    """Record of one earlier track, 8 bytes where the track number takes 2 and either count of seeks 1."""
    return np.dtype([("track", track), ("binary", "u1", -(-len(BINARY) // 8)), *((s, seeks) for s in SEEKS)])


# A session, and an earlier track, of any bundle.
SESSION: Final = session_record("<u4")
ROW: Final = row_record("<u4", "<u4")


def track_type(tracks: int) -> np.dtype:
    """The smallest type that numbers so many tracks.

    >>> track_type(50_704)
    dtype('uint16')
    """
    return np.min_scalar_type(max(0, tracks - 1))


def pack(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """The field ``binary``, uint8 (rows, 4), from (rows,) of zeros and ones for each column of ``BINARY``."""
    return np.packbits(np.stack([columns[name] for name in BINARY]).astype(np.uint8), axis=0).T


def indicators(codes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The indicator columns of some rows, bool (rows,), from their codes of each of ``CATEGORIES``.

    Args:
        codes: int (rows,), index of a row's level in ``schema.LEVELS``; any other number if it is unknown.
    """
    return {
        column: codes[name] == code
        for name in CATEGORIES
        for code, column in enumerate(schema.indicators(name))
    }


def unpack(rows: np.ndarray) -> np.ndarray:
    """The columns ``BINARY`` of some records: uint8 (…, 31) of zeros and ones."""
    return np.unpackbits(rows["binary"], axis=-1, count=len(BINARY))


def flag(rows: np.ndarray, name: str) -> np.ndarray:
    """One column of ``BINARY`` of some records: uint8 (…) of zeros and ones."""
    return unpack(rows)[..., BINARY.index(name)]


def level_codes(rows: np.ndarray, category: str) -> np.ndarray:
    """Index of each row's level in ``schema.LEVELS``, one more than the last for an unknown one: int64."""
    first = BINARY.index(schema.indicators(category)[0])
    levels = unpack(rows)[..., first : first + len(schema.LEVELS[category])]
    codes: np.ndarray = np.where(levels.any(axis=-1), levels.argmax(axis=-1), levels.shape[-1])
    return codes


@dataclass(frozen=True)
class Steps:
    """m sessions as ``schema.STEPS`` steps each, padded in front."""

    rows: np.ndarray  # ``records.ROW`` (m, 19), zero in the padding
    padding: np.ndarray  # bool (m, 19)
    length: np.ndarray  # int (m,), tracks of the session, the predicted one included
    last_track: np.ndarray  # int (m,), row of the track matrix


def padding_of(earlier: np.ndarray) -> np.ndarray:
    """Which steps are padding, where so many tracks precede the predicted one: bool (m, 19).

    >>> padding_of(np.array([17, 19])).sum(axis=1)
    array([2, 0])
    """
    return np.arange(schema.STEPS) < schema.STEPS - earlier[:, None]


def decode(name: str, steps: Steps, tracks: np.ndarray, out: np.ndarray) -> None:
    """Fill ``out``, float32 (m, …), with one input of ``schema.BRANCH_SHAPES``.

    Args:
        tracks: float32 (tracks, 31), the track matrix.
    """
    if name == "session_log":
        real = ~steps.padding
        out[:, :, _COLUMN[schema.POSITION]] = np.cumsum(real, axis=1)
        out[:, :, _COLUMN[schema.LENGTH]] = steps.length[:, None] * real
        for seeks in SEEKS:
            out[:, :, _COLUMN[seeks]] = steps.rows[seeks]
        out[:, :, [_COLUMN[column] for column in BINARY]] = unpack(steps.rows)
    elif name == "skip_sequence":
        out[:, :, 0] = flag(steps.rows, schema.LABEL)
        out[steps.padding] = schema.SKIP_PADDING
    elif name == "previous_tracks":
        # Numbers of tracks were compared with the matrix when they were written: "clip" is the fastest mode.
        np.take(tracks, steps.rows["track"].astype(np.int64), axis=0, out=out, mode="clip")
        out[steps.padding] = 0
    else:
        np.take(tracks, steps.last_track.astype(np.int64), axis=0, out=out, mode="clip")
