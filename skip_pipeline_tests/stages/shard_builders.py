"""Shards of literal session lengths and random contents, with the tracks that they play."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.bundles import parts as files
from skip_pipeline.bundles.gather import ARRAYS, Bundle
from skip_pipeline.bundles.leak import wide_form
from skip_pipeline.bundles.parts import Part, write_part, write_parts
from skip_pipeline.bundles.records import CATEGORIES, SEEKS
from skip_pipeline.stages.bundle import bundle_shard
from skip_pipeline.storage import write_array

WIDE = (*schema.BRANCH_SHAPES, "circumstances", schema.LABEL, "last_flags", schema.SESSION_ID)
"""Arrays of ``wide_form``."""

TRACKS = np.random.default_rng(7).random((40, 31), dtype=np.float32)
"""The scaled features of forty tracks: no two values alike, and a mode each, but for the last."""
TRACKS[:, -2:] = np.arange(40)[:, None] % 2 == (0, 1)
TRACKS[-1, -2:] = 0


class Shard(NamedTuple):
    """One shard as bundling takes it."""

    scaled: pa.Table
    sessions: pa.Table
    track_rows: np.ndarray

    def parts(self, name: str = "log") -> dict[str, Part]:
        return bundle_shard(name, self.scaled, self.sessions, track_rows=self.track_rows, tracks=TRACKS)

    def wide(self) -> dict[str, dict[str, np.ndarray]]:
        """All arrays of a bundle: ``wide_form``, the numbers of tracks, and what is constant."""
        codes, positions = (self.scaled[name].to_numpy() for name in ("session_id", "session_position"))
        lengths = np.bincount(codes)
        numbers = np.full((len(lengths), 20), -1, np.float32)
        numbers[codes, 20 - lengths[codes] + positions - 1] = self.track_rows
        splits = self.sessions["split"].to_numpy()
        whole = wide_form(self.scaled, self.sessions)
        for split, arrays in whole.items():
            own = splits == split
            arrays["track_numbers"] = numbers[own]
            arrays |= {
                "visible_steps": np.full((own.sum(), 1), 19, np.float32),
                "tracks_between": np.zeros((own.sum(), 1), np.float32),
            }
        return whole

    def bundle(self, split: str = "train") -> Bundle:
        return Bundle(TRACKS, [self.parts()[split]])


def shard(
    lengths: Sequence[int],
    splits: Sequence[str] | None = None,
    *,
    seed: int = 0,
    most_seeks: int = 3,
    ids: Sequence[str] | None = None,
) -> Shard:
    """Sessions a, b, … of these lengths, all for training by default; levels include unknown ones."""
    rng = np.random.default_rng(seed)
    n = sum(lengths)
    track_rows = rng.integers(0, len(TRACKS), n).astype(np.int32)
    columns: dict[str, Any] = {
        field.name: rng.integers(0, 2, n) for field in schema.SCALED if field.name not in schema.TRACK_BRANCH
    }
    for i, name in enumerate(schema.TRACK_BRANCH):
        columns[name] = TRACKS[track_rows, i]
    for name in CATEGORIES:
        level = rng.integers(-1, len(schema.LEVELS[name]), n)
        columns |= {indicator: level == code for code, indicator in enumerate(schema.indicators(name))}
    columns |= {name: rng.integers(0, most_seeks, n, endpoint=True) for name in SEEKS}
    columns["hour_of_day"] = rng.integers(0, 24, n)
    columns["session_id"] = np.repeat(np.arange(len(lengths)), lengths)
    columns["session_position"] = np.concatenate([np.arange(1, length + 1) for length in lengths])
    columns["session_length"] = np.repeat(lengths, lengths)
    scaled = pa.table(
        {
            f.name: pa.array(np.asarray(columns[f.name]).astype(f.type.to_pandas_dtype()))
            for f in schema.SCALED
        }
    )
    return Shard(scaled.cast(schema.SCALED), sessions_table(len(lengths), splits, ids), track_rows)


def sessions_table(n: int, splits: Sequence[str] | None, ids: Sequence[str] | None) -> pa.Table:
    indices = [schema.SPLITS.index(name) for name in splits or ["train"] * n]
    return pa.Table.from_arrays(
        [
            pa.array(list(ids) if ids else [chr(ord("a") + i) for i in range(n)], pa.string()),
            pa.array(range(n), pa.int32()),
            pa.DictionaryArray.from_arrays(pa.array(indices, pa.int8()), pa.array(schema.SPLITS)),
        ],
        schema=schema.SESSIONS,
    )


def write(folder: Path, *, tracks: np.ndarray = TRACKS, **shards: Shard) -> None:
    """Write shards by name as one bundle, with the matrix of the tracks that they play."""
    folder.mkdir(exist_ok=True)
    write_array(folder / files.TRACKS, tracks)
    made = (
        bundle_shard(name, scaled, own, track_rows=track_rows, tracks=tracks)
        for name, (scaled, own, track_rows) in shards.items()
    )
    write_parts(folder, [write_part(folder, parts) for parts in made])


def same(one: Mapping[str, Any], other: Mapping[str, Any], names: Sequence[str] = ARRAYS) -> bool:
    """Whether arrays have equal shapes, kinds and, bit for bit, values."""
    return all(_bits(one[name]) == _bits(other[name]) for name in names)


def _bits(values: Any) -> tuple[tuple[int, ...], str, Any]:
    array = np.asarray(values)
    return array.shape, array.dtype.kind, array.tolist() if array.dtype.kind == "U" else array.tobytes()


def joined(*wide: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Wide forms behind one another."""
    return {name: np.concatenate([arrays[name] for arrays in wide]) for name in ARRAYS}
