"""One session and one log row as a bundle holds them: small records, and how values get in and out.

A row's circumstances, of which there are few combinations, are one number: a table in a processor's cache
(``bundles.decode``) turns it into 23 columns at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from skip_pipeline import schema

FLAGS: Final = (
    "skip_1",
    "skip_2",
    "skip_3",
    schema.LABEL,
    "context_switch",
    "no_pause_before_play",
    "short_pause_before_play",
    "long_pause_before_play",
)
"""Columns of zeros and ones; flag i is bit i of a row's ``flags``."""

SHUFFLE: Final = "hist_user_behavior_is_shuffle"

SEEKS: Final = ("hist_user_behavior_n_seekfwd", "hist_user_behavior_n_seekback")

CATEGORIES: Final = tuple(
    name for name in schema.LEVELS if schema.indicators(name)[0] in schema.SESSION_LOG_BRANCH
)
"""Categories of a log row; a track's own, ``mode``, is in the track matrix."""

UNKNOWN: Final[Mapping[str, int]] = {name: len(schema.LEVELS[name]) for name in CATEGORIES}
"""Per category the code of a level outside the vocabulary, whose indicators are all zero: the one after the
last level's."""

CIRCUMSTANCE_SIZES: Final = (2, *(unknown + 1 for unknown in UNKNOWN.values()))
"""Values of ``SHUFFLE`` and of each of ``CATEGORIES``: a row's ``circumstances`` is the flat index of its
combination."""

SESSION: Final = np.dtype(
    [
        ("first_row", "<u4"),  # of the part's rows; length - 1 rows belong to the session
        ("last_track", "<u4"),  # row of tracks.npy
        ("length", "u1"),  # tracks, the predicted one included
        ("split", "u1"),  # index into schema.SPLITS
        (schema.LABEL, "u1"),
    ]
)
"""One session: 11 bytes."""

SEEK_TYPES: Final = (np.dtype("u1"), np.dtype("<u2"), np.dtype("<u4"))
"""Types that a part may count seeks in; the widest holds every value of the raw contract's int32."""

TRACK_TYPES: Final = (np.dtype("<u2"), np.dtype("<u4"))
"""Types that a part may number tracks in; the mini set's 50,704 fit into the first."""


def smallest(types: tuple[np.dtype, ...], largest: int) -> np.dtype:
    """The first of some unsigned types that holds a number; the last where none is said to."""
    return next((t for t in types if largest <= np.iinfo(t).max), types[-1])


def row_type(seeks: np.dtype, track: np.dtype) -> np.dtype:
    """Record of one log row: 7 bytes with the smallest of ``SEEK_TYPES`` and ``TRACK_TYPES``, 15 at most."""
    return np.dtype(
        [
            ("track", track),  # row of tracks.npy
            ("flags", "u1"),
            ("circumstances", "<u2"),
            *((name, seeks) for name in SEEKS),
        ]
    )


ROW_TYPES: Final = tuple(row_type(seeks, track) for track in TRACK_TYPES for seeks in SEEK_TYPES)
"""Every record that a part's rows may be."""

WIDEST_ROW: Final = ROW_TYPES[-1]


def flags_of(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """A row's ``flags`` from the values, 0 or 1, of each of ``FLAGS``: uint8 (rows,)."""
    flags = np.zeros(len(values[FLAGS[0]]), np.uint8)
    for bit, name in enumerate(FLAGS):
        flags |= values[name].astype(np.uint8) << np.uint8(bit)
    return flags


def circumstances_of(shuffle: np.ndarray, codes: Mapping[str, np.ndarray]) -> np.ndarray:
    """A row's ``circumstances`` from shuffle, 0 or 1, and its code in each of ``CATEGORIES``: uint16."""
    combination = shuffle.astype(np.uint16)
    for name in CATEGORIES:
        combination = combination * np.uint16(UNKNOWN[name] + 1) + codes[name].astype(np.uint16)
    return combination


def flag(rows: np.ndarray, name: str) -> np.ndarray:
    """One of ``FLAGS`` of some rows, 0 or 1: uint8 (rows,)."""
    bit: np.ndarray = rows["flags"] >> np.uint8(FLAGS.index(name)) & np.uint8(1)
    return bit


def circumstances(rows: np.ndarray) -> dict[str, np.ndarray]:
    """``SHUFFLE``, 0 or 1, and the code in each of ``CATEGORIES`` of some rows: int64 (rows,) each."""
    values = np.unravel_index(rows["circumstances"].astype(np.int64), CIRCUMSTANCE_SIZES)
    return dict(zip((SHUFFLE, *CATEGORIES), values, strict=True))


def padding_record(dtype: np.dtype) -> np.ndarray:
    """The record that stands for no track: no flag, no seek, no level."""
    record = np.zeros((), dtype)
    zero = np.zeros(1, np.uint16)
    record["circumstances"] = circumstances_of(zero, {name: zero + UNKNOWN[name] for name in CATEGORIES})[0]
    return record
