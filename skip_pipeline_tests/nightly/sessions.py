"""Parts of a bundle and track tables made from a few literal values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.bundles.parts import Part
from skip_pipeline.bundles.records import BINARY, CATEGORIES, ROW, SESSION, indicators, outcome_byte, pack


def part(outcomes: list[list[int]], *, tracks: list[list[int]] | None = None, context: int = 0) -> Part:
    """A part of sessions: outcomes of all tracks, rows of the track table, and the code of every context."""
    tracks = tracks or [list(range(len(session))) for session in outcomes]
    sessions = np.zeros(len(outcomes), SESSION)
    sessions["length"] = [len(session) for session in outcomes]
    sessions["last_track"] = [of[-1] for of in tracks]
    none = np.zeros(len(outcomes))
    last = np.array([session[-1] for session in outcomes])
    sessions["outcome"] = outcome_byte([none, none, none, last], none)
    rows = np.zeros(sum(len(session) - 1 for session in outcomes), ROW)
    rows["track"] = np.concatenate([of[:-1] for of in tracks])
    zero = np.zeros(len(rows), np.uint8)
    codes = dict.fromkeys(CATEGORIES, zero) | {"context_type": zero + context}
    played = np.concatenate([session[:-1] for session in outcomes])
    rows["binary"] = pack(dict.fromkeys(BINARY, zero) | {schema.LABEL: played} | indicators(codes))
    ids = np.array([f"s{i}" for i in range(len(outcomes))], "S8")
    return Part("log_0", sessions, rows, ids, 20)


def track_table(**columns: Sequence[object]) -> pa.Table:
    """The track table of 20 tracks: every number counts from 0, every mode is major, unless given."""
    values: dict[str, Sequence[object]] = dict.fromkeys(schema.TRACK_FEATURES.names, range(20))
    values |= {"track_id": [f"t_{i:02d}" for i in range(20)], "mode": ["major"] * 20, **columns}
    return pa.Table.from_pydict(values, schema=schema.TRACK_FEATURES)
