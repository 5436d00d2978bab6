"""From records to the four float32 inputs of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.records import BINARY, SEEKS, flag, unpack

_COLUMN: Final = {name: i for i, name in enumerate(schema.SESSION_LOG_BRANCH)}
_BINARY: Final = [_COLUMN[name] for name in BINARY]


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
        out[:, :, _BINARY] = unpack(steps.rows)
    elif name == "skip_sequence":
        out[:, :, 0] = flag(steps.rows, schema.LABEL)
        out[steps.padding] = schema.SKIP_PADDING
    elif name == "previous_tracks":
        # Numbers of tracks were compared with the matrix when they were written: "clip" is the fastest mode.
        np.take(tracks, steps.rows["track"].astype(np.int64), axis=0, out=out, mode="clip")
        out[steps.padding] = 0
    else:
        np.take(tracks, steps.last_track.astype(np.int64), axis=0, out=out, mode="clip")
