"""Parts of a bundle and track tables made from a few literal values."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.bundles.parts import Part
from skip_pipeline.bundles.records import BINARY, CATEGORIES, ROW, SESSION, indicators, pack


def part(outcomes: list[list[int]], *, tracks: list[list[int]] | None = None, context: int = 0) -> Part:
    """A part of sessions given by the outcomes of all their tracks, 1 played to the end; tracks count from 0.

    Args:
        outcomes: per session 10 to 20 of them; the last is the label.
        tracks: row of the track table for each.
        context: code of the context of every row.
    """
    tracks = tracks or [list(range(len(session))) for session in outcomes]
    sessions = np.zeros(len(outcomes), SESSION)
    sessions["length"] = [len(session) for session in outcomes]
    sessions["last_track"] = [of[-1] for of in tracks]
    sessions[schema.LABEL] = [session[-1] for session in outcomes]
    rows = np.zeros(sum(len(session) - 1 for session in outcomes), ROW)
    rows["track"] = np.concatenate([of[:-1] for of in tracks])
    zero = np.zeros(len(rows), np.uint8)
    codes = dict.fromkeys(CATEGORIES, zero) | {"context_type": zero + context}
    played = np.concatenate([session[:-1] for session in outcomes])
    rows["binary"] = pack(dict.fromkeys(BINARY, zero) | {schema.LABEL: played} | indicators(codes))
    ids = np.array([f"s{i}" for i in range(len(outcomes))], "S8")
    return Part("log_0", sessions, rows, ids, 20)


def track_table(n: int = 20, **columns: list[object]) -> pa.Table:
    """The track table of n tracks: every number counts from 0, every mode is major, unless given."""
    values: dict[str, list[object]] = {
        field.name: [f"t_{i:02d}" if pa.types.is_string(field.type) else i for i in range(n)]
        for field in schema.TRACK_FEATURES
    }
    values |= {"mode": ["major"] * n} | columns
    return pa.Table.from_pydict(values, schema=schema.TRACK_FEATURES)
