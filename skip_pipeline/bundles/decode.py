"""From a bundle's small records to the four float32 inputs of a network, and the label.

Each function fills one array of m sessions. All take the track matrix (tracks, 31), the session records (m,),
the records of the steps (m, 19), which of those are padding (m, 19), and the array to fill.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.records import CATEGORIES, CIRCUMSTANCE_SIZES, FLAGS, SEEKS, SHUFFLE, flag

_COLUMN: Final = {name: i for i, name in enumerate(schema.SESSION_LOG_BRANCH)}
_FLAG_COLUMNS: Final = slice(_COLUMN[FLAGS[0]], _COLUMN[FLAGS[0]] + len(FLAGS))  # side by side in the branch


def _flag_table() -> np.ndarray:
    """Columns of the eight flags for every value of their bits: float32 (256, 8)."""
    bits = np.arange(2 ** len(FLAGS))[:, None] >> np.arange(len(FLAGS))
    return (bits & 1).astype(np.float32)


def _circumstance_table() -> np.ndarray:
    """Rows of the log branch for shuffle and every combination of levels, 0 in all other columns.

    The last code of each category is the unknown level. Small enough for a processor's cache, so that 23
    columns take one look-up.
    """
    shuffle, *codes = np.unravel_index(np.arange(np.prod(CIRCUMSTANCE_SIZES)), CIRCUMSTANCE_SIZES)
    table = np.zeros((len(shuffle), len(_COLUMN)), np.float32)
    table[:, _COLUMN[SHUFFLE]] = shuffle
    for name, code in zip(CATEGORIES, codes, strict=True):
        for level, column in enumerate(schema.indicators(name)):
            table[:, _COLUMN[column]] = code == level
    return table


_FLAG_TABLE: Final = _flag_table()
_CIRCUMSTANCES: Final = _circumstance_table()


def _session_log(
    _: np.ndarray, sessions: np.ndarray, rows: np.ndarray, pad: np.ndarray, out: np.ndarray
) -> None:
    np.take(_CIRCUMSTANCES, rows["circumstances"], axis=0, out=out, mode="clip")
    out[:, :, _FLAG_COLUMNS] = _FLAG_TABLE[rows["flags"]]
    length = sessions["length"].astype(np.float32)[:, None]
    position = np.arange(schema.STEPS, dtype=np.float32) + 1 - (schema.MAX_SESSION_LENGTH - length)
    out[:, :, _COLUMN[schema.POSITION]] = np.maximum(position, 0)
    out[:, :, _COLUMN[schema.LENGTH]] = length * ~pad
    for name in SEEKS:
        out[:, :, _COLUMN[name]] = rows[name]


def _previous_tracks(
    tracks: np.ndarray, _: np.ndarray, rows: np.ndarray, pad: np.ndarray, out: np.ndarray
) -> None:
    np.take(tracks, rows["track"].astype(np.int64), axis=0, out=out, mode="clip")
    out[pad] = 0


def _skip_sequence(_: np.ndarray, __: np.ndarray, rows: np.ndarray, pad: np.ndarray, out: np.ndarray) -> None:
    out[:, :, 0] = flag(rows, schema.LABEL)
    out[pad] = schema.SKIP_PADDING


def _last_track(
    tracks: np.ndarray, sessions: np.ndarray, _: np.ndarray, __: np.ndarray, out: np.ndarray
) -> None:
    np.take(tracks, sessions["last_track"].astype(np.int64), axis=0, out=out, mode="clip")


def _label(_: np.ndarray, sessions: np.ndarray, __: np.ndarray, ___: np.ndarray, out: np.ndarray) -> None:
    out[:] = sessions[schema.LABEL]


DECODERS: Final = {
    "session_log": _session_log,
    "previous_tracks": _previous_tracks,
    "skip_sequence": _skip_sequence,
    "last_track": _last_track,
    schema.LABEL: _label,
}
