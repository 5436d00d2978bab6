"""The numpy records of a bundle, of sessions and of earlier tracks, and the inputs that they decode to."""

from collections.abc import Mapping, Sequence
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

_PREMIUM: Final = len(schema.OUTCOME_FLAGS)

_COLUMN: Final = {name: i for i, name in enumerate(schema.SESSION_LOG_BRANCH)}

CATEGORIES: Final = tuple(name for name in schema.LEVELS if schema.indicators(name)[0] in BINARY)
"""Categorical columns of the log; a track's ``mode`` is in the track matrix."""

SEEK_TYPES: Final = ("u1", "<u2", "<u4")
"""Types that a shard may count seeks in; the widest holds every value of the raw contract."""


def session_record(track: DTypeLike) -> np.dtype:
    """Record of one session, 5 bytes where the track number takes 2.

    The bits of ``outcome`` are ``schema.OUTCOME_FLAGS`` of the last track, premium of the first one, and
    whether that is not known. The hour is the first track's.
    """
    return np.dtype([("last_track", track), ("length", "u1"), ("outcome", "u1"), ("hour", "u1")])


def outcome_byte(flags: Sequence[np.ndarray], premium: np.ndarray) -> np.ndarray:
    """The field ``outcome``, uint8 (n,), from (n,) of zeros and ones for each flag and for premium.

    Premium is -1 where it is not known.
    """
    bits = np.stack([*flags, premium == 1, premium < 0]).astype(np.uint8)
    return np.asarray(np.packbits(bits, axis=0, bitorder="little")[0])


def outcome_bits(sessions: np.ndarray) -> np.ndarray:
    """The flags of ``outcome``: uint8 (n, 4) of zeros and ones."""
    return np.unpackbits(sessions["outcome"][:, None], axis=1, bitorder="little", count=_PREMIUM)


def premium_of(sessions: np.ndarray) -> np.ndarray:
    """Premium of each session: int8 (n,), 1, 0, or -1 where it is not known."""
    premium, unknown = ((sessions["outcome"] >> bit) & 1 for bit in (_PREMIUM, _PREMIUM + 1))
    return np.asarray(premium.astype(np.int8) - unknown.astype(np.int8))


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
    hour: np.ndarray  # int (m,), of the first track, 0 to 23; -1 where it is not known
    premium: np.ndarray  # int (m,), of the first track, 0 or 1; -1 where it is not known


def padding_of(earlier: np.ndarray) -> np.ndarray:
    """Which steps are padding, where so many tracks precede the predicted one: bool (m, 19).

    >>> padding_of(np.array([17, 19])).sum(axis=1)
    array([2, 0])
    """
    return np.arange(schema.STEPS) < schema.STEPS - earlier[:, None]


def decode(name: str, steps: Steps, tracks: np.ndarray, out: np.ndarray) -> None:
    """Fill ``out``, float32 (m, …), with one input of ``schema.INPUT_SHAPES``, all but the memory of tracks.

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
    elif name == "last_track":
        np.take(tracks, steps.last_track.astype(np.int64), axis=0, out=out, mode="clip")
    elif name == "circumstances":
        angle = np.outer(steps.hour * (2.0 * np.pi / 24.0), (1, 2))
        out[:] = np.column_stack([np.sin(angle), np.cos(angle), steps.premium - 0.5])
        out[steps.hour < 0, :-1] = 0.0
        out[steps.premium < 0, -1] = 0.0
    elif name == "track_numbers":
        out[:, :-1] = np.where(steps.padding, -1.0, steps.rows["track"])
        out[:, -1] = steps.last_track
    else:  # a bundle hides no step, and the predicted track follows the last one
        out[:] = {"visible_steps": schema.STEPS, "tracks_between": 0}[name]
