"""The second half of sessions, the challenge's question: hidden from a network's inputs, or told as outcomes.

A session of L tracks has T = L - floor(L / 2) tracks in its second half (the challenge's starter kit). In
arrays of 20 tracks, padded in front, these are the last T. The network predicts them from the outcomes of the
first half; it may know the tracks, positions and length of the second half, and nothing else of it.

Values of halves are flat, (rows,): session after session, in order of positions.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from skip_pipeline import schema

_TRACKS: Final = schema.STEPS + 1
_ADDRESS: Final = [schema.SESSION_LOG_BRANCH.index(name) for name in (schema.POSITION, schema.LENGTH)]
_SKIP_2: Final = "skip_2"


def first_half(lengths: np.ndarray) -> np.ndarray:
    """Number of tracks in the first half of sessions of these lengths.

    >>> first_half(np.array([10, 15])).tolist()
    [5, 7]
    """
    return np.asarray(lengths // 2)


def lengths_of(arrays: Mapping[str, Any]) -> np.ndarray:
    """Number of tracks of each session, int64 (n,), from ``skip_sequence`` (n, 19, 1)."""
    real = np.asarray(arrays["skip_sequence"])[:, :, 0] != schema.SKIP_PADDING
    return np.asarray(real.sum(axis=1) + 1)


def is_asked(lengths: np.ndarray) -> np.ndarray:
    """Which of its 20 tracks, padded in front, are in the second half of each session: bool (n, 20).

    >>> is_asked(np.array([10, 15])).sum(axis=1).tolist()
    [5, 8]
    """
    return np.asarray(np.arange(_TRACKS) >= _TRACKS - (lengths - first_half(lengths))[:, None])


def hide(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Inputs of n whole sessions without what is logged in their second halves.

    ``visible_steps`` are those of the first half. In later steps of ``session_log`` only position and length
    stay, and ``skip_sequence`` is 0. Tracks, their numbers and their memory stay, as do hour and premium,
    which are the first track's. The arguments are not changed.

    Args:
        inputs: float32 (n, …) by name, ``schema.INPUT_SHAPES`` or some of them, with ``skip_sequence``.
    """
    asked = is_asked(lengths_of(inputs))
    hidden = asked[:, : schema.STEPS]
    made = dict(inputs)
    made["skip_sequence"] = np.where(hidden[:, :, None], np.float32(0.0), inputs["skip_sequence"])
    if "session_log" in inputs:
        log = np.where(hidden[:, :, None], np.float32(0.0), inputs["session_log"])
        log[:, :, _ADDRESS] = inputs["session_log"][:, :, _ADDRESS]
        made["session_log"] = log
    if "visible_steps" in inputs:
        made["visible_steps"] = (_TRACKS - asked.sum(axis=1, keepdims=True)).astype(np.float32)
    return made


def skips(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """``skip_2`` of every second-half track of n sessions: uint8 (rows,).

    Args:
        arrays: ``skip_sequence``, ``session_log`` and ``last_flags`` (n, 3).
    """
    return np.asarray(_skip_2(arrays)[is_asked(lengths_of(arrays))])


def heard_skips(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """``skip_2`` of every first-half track of n sessions: uint8 (rows,); argument as of ``skips``."""
    lengths = lengths_of(arrays)
    real = np.arange(_TRACKS) >= _TRACKS - lengths[:, None]
    return np.asarray(_skip_2(arrays)[real & ~is_asked(lengths)])


def _skip_2(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Of every track, padded in front: uint8 (n, 20)."""
    of_steps = arrays["session_log"][:, :, schema.SESSION_LOG_BRANCH.index(_SKIP_2)]
    of_last = arrays["last_flags"][:, schema.OUTCOME_FLAGS.index(_SKIP_2)]
    return np.column_stack([of_steps, of_last]).astype(np.uint8)
