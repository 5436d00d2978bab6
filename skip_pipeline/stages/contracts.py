"""Judging what a stage has published, from its files alone: the findings behind the asset checks.

Each finding is one property with the facts that explain it. Stages refuse to publish what breaks their
contract; these functions look again later, at what is on disk, whoever wrote it. Judgements are made shard by
shard, and add up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.settings import EXAMPLES_SHOWN
from skip_pipeline.storage import read_columns, read_table, schema_difference

COLUMNS: Final = "columns_and_dtypes"
ROWS: Final = "row_conservation"
COMPLETE: Final = "no_null_or_non_finite"
POSITIONS: Final = "positions_without_gaps"
LENGTHS: Final = "session_lengths"
UNIT_INTERVAL: Final = "features_in_unit_interval"
INDICATORS: Final = "one_level_per_category"

LEVELS_KNOWN: Final = "known_levels"
DATES_PLAUSIBLE: Final = "plausible_dates"
MARKER_FITS: Final = "synthetic_marker_fits"
SESSIONS_WHOLE: Final = "sessions_whole"
TRACKS_UNIQUE: Final = "tracks_unique"
SHAPES: Final = "bundle_shapes"
SESSIONS_ONCE: Final = "each_session_in_one_split"
NO_LEAK: Final = "no_label_leak"
BEATS_MAJORITY: Final = "beats_majority_class"


@dataclass(frozen=True)
class Finding:
    """One judged property: its name, whether it holds, and the facts that show why."""

    name: str
    passed: bool
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TableContract:
    """What one published table must be.

    Attributes:
        asset: name of the asset that fills the folder.
        columns: names, order and dtypes.
        unit_interval: columns whose values must lie in [0, 1].
    """

    asset: str
    columns: pa.Schema
    unit_interval: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[str, ...]:
        """Names of the findings that ``judge_table`` returns for this contract, in order."""
        names = [COLUMNS, ROWS, COMPLETE, POSITIONS, LENGTHS]
        if _encoded_levels(self.columns):
            names.append(INDICATORS)
        if self.unit_interval:
            names.append(UNIT_INTERVAL)
        return tuple(names)


MERGED: Final = TableContract("merged_table", schema.MERGED)
ENCODED: Final = TableContract("encoded_table", schema.ENCODED)
SCALED: Final = TableContract("scaled_table", schema.SCALED, unit_interval=schema.TRACK_BRANCH)


@dataclass(frozen=True)
class ShardJudgement:
    """What is wrong with one shard of a table, as JSON values.

    Attributes:
        difference: words for how its columns differ from the contract's; empty where they do not.
        rows: its rows.
        flaws: per finding, what is wrong in how many places; empty where the columns differ.
    """

    difference: str
    rows: int
    flaws: Mapping[str, Mapping[str, int]]


def judge_shard(path: Path, contract: TableContract) -> ShardJudgement:
    """Judge one shard of a table, as it is on disk.

    Raises:
        MissingInputError: the file is gone.
        ContractError: it is not readable.
    """
    found, rows = read_columns(path)
    if difference := schema_difference(found, contract.columns):
        return ShardJudgement(difference, rows, {})
    levels = [f.name for f in contract.columns if pa.types.is_string(f.type) and f.name != schema.SESSION_ID]
    table = read_table(path, contract.columns, dictionaries=levels)
    return ShardJudgement("", rows, {name: flaws for name, flaws in _flaws(table, contract) if flaws})


def table_findings(
    shards: Mapping[str, ShardJudgement], contract: TableContract, *, expected_rows: int
) -> tuple[Finding, ...]:
    """What the judgements of all shards, by file name, say of the table.

    Args:
        expected_rows: rows of the stage before, all of which must have come through.
    """
    columns = _judge_columns(shards, contract)
    rows = sum(shard.rows for shard in shards.values())
    conserved = Finding(ROWS, rows == expected_rows, {"rows": rows, "expected": expected_rows})
    if not columns.passed:
        unknown = {"not judged": f"{COLUMNS} must pass first"}
        return (columns, conserved, *(Finding(n, False, unknown) for n in contract.findings[2:]))
    flaws = {
        finding: {
            f"{name}: {what}": count
            for name, shard in shards.items()
            for what, count in shard.flaws.get(finding, {}).items()
        }
        for finding in contract.findings[2:]
    }
    return (columns, conserved, *(Finding(n, not f, _facts(f)) for n, f in flaws.items()))


def _judge_columns(shards: Mapping[str, ShardJudgement], contract: TableContract) -> Finding:
    differences = {name: shard.difference for name, shard in shards.items() if shard.difference}
    facts: dict[str, Any] = {"columns": len(contract.columns), "shards": len(shards)}
    return Finding(COLUMNS, not differences and bool(shards), facts | differences)


def _flaws(table: pa.Table, contract: TableContract) -> Iterator[tuple[str, dict[str, int]]]:
    yield COMPLETE, _incomplete(table)
    gaps, odd_lengths = _session_flaws(table)
    yield POSITIONS, gaps
    yield LENGTHS, odd_lengths
    if levels := _encoded_levels(contract.columns):
        yield INDICATORS, _several_levels(table, levels)
    if contract.unit_interval:
        yield UNIT_INTERVAL, _outside(table, contract.unit_interval)


def _incomplete(table: pa.Table) -> dict[str, int]:
    counts = {}
    for name in table.column_names:
        column = table[name]
        count = column.null_count
        if pa.types.is_floating(column.type):
            count = int(np.count_nonzero(~np.isfinite(column.to_numpy())))
        if count:
            counts[name] = count
    return counts


def _session_flaws(table: pa.Table) -> tuple[dict[str, int], dict[str, int]]:
    """Sessions whose rows are not positions 1, 2, … length in one run; and lengths outside 10 to 20."""
    encoded = table[schema.SESSION_ID].combine_chunks().dictionary_encode(null_encoding="encode")
    ids = encoded.indices.to_numpy()
    positions = table[schema.POSITION].fill_null(0).to_numpy().astype(np.int64)
    lengths = table[schema.LENGTH].fill_null(0).to_numpy()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(ids)) + 1])
    counts = np.diff(np.append(starts, len(ids)))
    expected = np.arange(len(ids)) - np.repeat(starts, counts) + 1
    wrong_rows = (positions != expected) | (lengths != np.repeat(counts, counts))
    scattered = np.flatnonzero(np.bincount(ids[starts]) > 1)
    broken = len(np.union1d(ids[wrong_rows], scattered))
    low, high = schema.MIN_SESSION_LENGTH, schema.MAX_SESSION_LENGTH
    odd = int(np.count_nonzero((counts < low) | (counts > high)))
    return (
        {"sessions": broken} if broken else {},
        {f"sessions outside {low} to {high}": odd} if odd else {},
    )


def _encoded_levels(columns: pa.Schema) -> list[str]:
    return [name for name in schema.LEVELS if schema.indicators(name)[0] in columns.names]


def _several_levels(table: pa.Table, levels: list[str]) -> dict[str, int]:
    """Rows with more than one level of a category set, or a value that is not 0 or 1."""
    counts = {}
    for name in levels:
        values = np.column_stack([table[n].to_numpy() for n in schema.indicators(name)])
        wrong = (values.sum(axis=1) > 1) | ((values != 0) & (values != 1)).any(axis=1)
        if count := int(np.count_nonzero(wrong)):
            counts[name] = count
    return counts


def _outside(table: pa.Table, columns: tuple[str, ...]) -> dict[str, int]:
    counts = {}
    for name in columns:
        values = table[name].to_numpy()
        if count := int(np.count_nonzero(~((values >= 0) & (values <= 1)))):
            counts[name] = count
    return counts


def _facts(flaws: Mapping[str, int]) -> dict[str, Any]:
    shown = dict(list(flaws.items())[:EXAMPLES_SHOWN])
    more = len(flaws) - len(shown)
    return shown | ({"and more": more} if more > 0 else {})


# --- Bundles ------------------------------------------------------------------------------------------


_IDS_AT_ONCE: Final = 65_536  # 15 MB as text


def judge_bundles(
    bundles: Mapping[str, Mapping[str, Any]], shape_fault: str, *, expected_sessions: int
) -> tuple[Finding, ...]:
    """Judge the arrays of all splits together.

    Args:
        bundles: per split, the label and the session ids by name; empty where they could not be opened.
        shape_fault: what was wrong on opening, or the empty string.
        expected_sessions: sessions of the scaled table, all of which must be in one split.
    """
    if shape_fault:
        unknown = {"not judged": f"{SHAPES} must pass first"}
        return Finding(SHAPES, False, {"fault": shape_fault}), Finding(SESSIONS_ONCE, False, unknown)
    sessions = {split: len(arrays[schema.LABEL]) for split, arrays in bundles.items()}
    hashes = np.concatenate([_hashes(arrays[schema.SESSION_ID]) for arrays in bundles.values()])
    distinct = len(np.unique(hashes))
    facts = {**sessions, "distinct": distinct, "expected": expected_sessions}
    return (
        Finding(SHAPES, True, sessions),
        Finding(SESSIONS_ONCE, distinct == len(hashes) == expected_sessions, facts),
    )


def _hashes(ids: Any) -> np.ndarray:
    """A 64-bit hash of each session id, uint64 (n,), so that all fit into memory at once.

    Two of a million ids share a hash once in 37 million data sets.
    """
    parts = [np.empty(0, np.uint64)]
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some = np.asarray(ids[start : start + _IDS_AT_ONCE], dtype=object)
        parts.append(pd.util.hash_array(some, categorize=False))
    return np.concatenate(parts)
