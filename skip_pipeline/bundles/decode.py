"""From records to the four float32 inputs of a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.records import FLAGS, SEEKS, flag, unpack

_COLUMN: Final = {name: i for i, name in enumerate(schema.SESSION_LOG_BRANCH)}
_FLAGS: Final = slice(_COLUMN[FLAGS[0]], _COLUMN[SEEKS[0]])
_OTHER_BINARY: Final = slice(_COLUMN[SEEKS[-1]] + 1, None)


@dataclass(frozen=True)
class Steps:
    """m sessions as ``schema.STEPS`` steps each, padded in front.

    Attributes:
        rows: ``records.ROW`` (m, 19), zero in the padding.
        padding: bool (m, 19).
        length: int (m,), tracks of the session, the predicted one included.
        last_track: int (m,), row of the track matrix.
    """

    rows: np.ndarray
    padding: np.ndarray
    length: np.ndarray
    last_track: np.ndarray


def padding_of(earlier: np.ndarray) -> np.ndarray:
    """Which steps are padding, where so many tracks precede the predicted one: bool (m, 19).

    >>> padding_of(np.array([17, 19])).sum(axis=1)
    array([2, 0])
    """
    return np.arange(schema.STEPS) < schema.STEPS - earlier[:, None]


def decode(name: str, steps: Steps, tracks: np.ndarray, out: np.ndarray) -> None:
    """Fill one input.

    Args:
        name: of ``schema.BRANCH_SHAPES``.
        steps: m sessions.
        tracks: float32 (tracks, 31), the track matrix.
        out: float32 (m, …), gets the input.
    """
    if name == "session_log":
        _session_log(steps, out)
    elif name == "skip_sequence":
        out[:, :, 0] = flag(steps.rows, schema.LABEL)
        out[steps.padding] = schema.SKIP_PADDING
    elif name == "previous_tracks":
        # Numbers of tracks were compared with the matrix when they were written: "clip" is the fastest mode.
        np.take(tracks, steps.rows["track"].astype(np.int64), axis=0, out=out, mode="clip")
        out[steps.padding] = 0
    else:
        np.take(tracks, steps.last_track.astype(np.int64), axis=0, out=out, mode="clip")


def _session_log(steps: Steps, out: np.ndarray) -> None:
    real = ~steps.padding
    out[:, :, _COLUMN[schema.POSITION]] = np.cumsum(real, axis=1)
    out[:, :, _COLUMN[schema.LENGTH]] = steps.length[:, None] * real
    for name in SEEKS:
        out[:, :, _COLUMN[name]] = steps.rows[name]
    binary = unpack(steps.rows)
    out[:, :, _FLAGS] = binary[:, :, : len(FLAGS)]
    out[:, :, _OTHER_BINARY] = binary[:, :, len(FLAGS) :]
