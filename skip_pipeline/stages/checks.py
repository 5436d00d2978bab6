"""Checks of published tables and bundles: each shard is judged from its files on disk, and judgements add up.

A judgement is kept, and made again when the file system reports a change of one of its files.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.bundles.gather import Bundle
from skip_pipeline.bundles.leak import find_leaks
from skip_pipeline.bundles.parts import PART_FILES, TRACKS, PartRecord, open_part, open_tracks, read_parts
from skip_pipeline.code_version import code_version
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.settings import EXAMPLES_SHOWN, SESSIONS_FOLDER, DataLayout
from skip_pipeline.stages import findings as named
from skip_pipeline.stages.findings import Finding
from skip_pipeline.stages.shards import UNKNOWN
from skip_pipeline.storage import (
    Apply,
    Made,
    Manifest,
    ShardJob,
    digest_of,
    in_turn,
    mark,
    on_this_machine,
    publish,
    read_columns,
    read_manifest,
    read_table,
    schema_difference,
    shard_names,
)

# --- Tables -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TableContract:
    """What one published table must be."""

    asset: str  # that fills the folder
    columns: pa.Schema
    findings: tuple[str, ...]  # names of those that ``judge_table`` returns, in order


_ALL_TABLES: Final = (named.COLUMNS, named.ROWS, named.COMPLETE, named.POSITIONS, named.LENGTHS)
MERGED: Final = TableContract("merged_table", schema.MERGED, _ALL_TABLES)
ENCODED: Final = TableContract("encoded_table", schema.ENCODED, (*_ALL_TABLES, named.INDICATORS))
SCALED: Final = TableContract(
    "scaled_table", schema.SCALED, (*_ALL_TABLES, named.INDICATORS, named.UNIT_INTERVAL)
)


def judge_table(
    layout: DataLayout, folder: Path, contract: TableContract, *, expected_rows: int, apply: Apply = in_turn
) -> tuple[Finding, ...]:
    """Judge the published table in a folder, which must hold every row of the stage before."""
    manifest = read_manifest(folder, made_by=contract.asset)
    unknown = manifest.details.get(UNKNOWN, ())
    jobs = {
        name: ([path], partial(_judge_shard, path, contract, unknown))
        for name, path in ((name, manifest.path(name)) for name in shard_names(manifest))
    }
    shards = _judged(layout.judgements(contract.asset), manifest, jobs, apply)
    differences = {name: shard["difference"] for name, shard in shards.items() if shard["difference"]}
    rows = sum(shard["rows"] for shard in shards.values())
    counted = {"columns": len(contract.columns), "shards": len(shards)}
    columns = Finding(named.COLUMNS, bool(shards) and not differences, counted | differences)
    conserved = Finding(named.ROWS, rows == expected_rows, {"rows": rows, "expected": expected_rows})
    others = contract.findings[2:]
    if not columns.passed:
        unknown = {"not judged": f"{named.COLUMNS} must pass first"}
        return (columns, conserved, *(Finding(name, False, unknown) for name in others))
    judged = [columns, conserved]
    for finding in others:
        flaws = {
            f"{name}: {flaw}": count
            for name, shard in shards.items()
            for flaw, count in shard["flaws"][finding].items()
        }
        shown = dict(list(flaws.items())[:EXAMPLES_SHOWN])
        more = {"and more": len(flaws) - len(shown)} if len(flaws) > len(shown) else {}
        judged.append(Finding(finding, not flaws, shown | more))
    return tuple(judged)


def _judge_shard(path: Path, contract: TableContract, unknown: Collection[str], *, out: Path) -> Made:  # noqa: ARG001
    """Judge one shard of a table, in which the columns ``unknown`` may be null.

    The summary holds its ``rows``, the ``difference`` of its columns from the contract's in words, and, where
    there is none, per finding its ``flaws``: in how many places what is wrong.
    """
    found, rows = read_columns(path)
    difference = schema_difference(found, contract.columns)
    flaws = {} if difference else _flaws(path, contract, unknown)
    return Made((), {"rows": rows, "difference": difference, "flaws": flaws})


def _flaws(path: Path, contract: TableContract, unknown: Collection[str]) -> dict[str, dict[str, int]]:
    levels = [f.name for f in contract.columns if pa.types.is_string(f.type) and f.name != schema.SESSION_ID]
    table = read_table(path, contract.columns, dictionaries=levels)
    gaps, odd_lengths = _session_flaws(table)
    flaws = {
        named.COMPLETE: {
            name: _incomplete(table[name], may_be_null=name in unknown) for name in table.column_names
        },
        named.POSITIONS: {"sessions": gaps},
        named.LENGTHS: {
            f"sessions outside {schema.MIN_SESSION_LENGTH} to {schema.MAX_SESSION_LENGTH}": odd_lengths
        },
    }
    if named.INDICATORS in contract.findings:
        flaws[named.INDICATORS] = {name: _several_levels(table, name) for name in schema.LEVELS}
    if named.UNIT_INTERVAL in contract.findings:
        flaws[named.UNIT_INTERVAL] = {name: _outside(table[name]) for name in schema.TRACK_BRANCH}
    return {finding: {name: n for name, n in counts.items() if n} for finding, counts in flaws.items()}


def _incomplete(column: pa.ChunkedArray, *, may_be_null: bool) -> int:
    """Values that are not finite, or null where they may not be."""
    if may_be_null and column.null_count:
        column = column.drop_null()
    if pa.types.is_floating(column.type):
        return int(np.count_nonzero(~np.isfinite(column.to_numpy())))
    return int(column.null_count)


def _session_flaws(table: pa.Table) -> tuple[int, int]:
    """Sessions whose rows are not positions 1, 2, … length in one run; and sessions of other lengths."""
    encoded = table[schema.SESSION_ID].combine_chunks().dictionary_encode(null_encoding="encode")
    ids = encoded.indices.to_numpy()
    positions = table[schema.POSITION].fill_null(0).to_numpy().astype(np.int64)
    lengths = table[schema.LENGTH].fill_null(0).to_numpy()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(ids)) + 1])
    counts = np.diff(np.append(starts, len(ids)))
    expected = np.arange(len(ids)) - np.repeat(starts, counts) + 1
    wrong_rows = (positions != expected) | (lengths != np.repeat(counts, counts))
    scattered = np.flatnonzero(np.bincount(ids[starts]) > 1)
    odd = (counts < schema.MIN_SESSION_LENGTH) | (counts > schema.MAX_SESSION_LENGTH)
    return len(np.union1d(ids[wrong_rows], scattered)), int(np.count_nonzero(odd))


def _several_levels(table: pa.Table, category: str) -> int:
    """Rows with more than one level of a category, or an indicator that is not 0 or 1."""
    values = np.column_stack([table[name].to_numpy() for name in schema.indicators(category)])
    wrong = (values.sum(axis=1) > 1) | ((values != 0) & (values != 1)).any(axis=1)
    return int(np.count_nonzero(wrong))


def _outside(column: pa.ChunkedArray) -> int:
    """Values outside [0, 1], NaN among them."""
    values = column.to_numpy()
    return int(np.count_nonzero(~((values >= 0) & (values <= 1))))


# --- Bundles ------------------------------------------------------------------------------------------

_IDS_AT_ONCE: Final = 65_536  # 15 MB as text


def judge_bundles(
    bundles: Mapping[str, Mapping[str, Any]], shape_fault: str, *, expected_sessions: int
) -> tuple[Finding, ...]:
    """Judge the arrays of all splits together: each session of the scaled table must be in one split.

    Args:
        bundles: per split, the label and the session ids by name; empty where they could not be opened.
        shape_fault: why they could not be opened, or the empty string.
    """
    if shape_fault:
        unknown = Finding(named.SESSIONS_ONCE, False, {"not judged": f"{named.SHAPES} must pass first"})
        return Finding(named.SHAPES, False, {"fault": shape_fault}), unknown
    sessions = {split: len(arrays[schema.LABEL]) for split, arrays in bundles.items()}
    hashes = np.concatenate([_hashes(arrays[schema.SESSION_ID]) for arrays in bundles.values()])
    distinct = len(np.unique(hashes))
    facts = {**sessions, "distinct": distinct, "expected": expected_sessions}
    once = Finding(named.SESSIONS_ONCE, distinct == len(hashes) == expected_sessions, facts)
    return Finding(named.SHAPES, True, sessions), once


def _hashes(ids: Any) -> np.ndarray:
    """A 64-bit hash of each session id, uint64 (n,), so that all fit into memory at once.

    Two of a million ids share a hash once in 37 million data sets.
    """
    parts = [np.empty(0, np.uint64)]
    for start in range(0, len(ids), _IDS_AT_ONCE):
        some = np.asarray(ids[start : start + _IDS_AT_ONCE], dtype=object)
        parts.append(pd.util.hash_array(some, categorize=False))
    return np.concatenate(parts)


def find_bundle_leaks(layout: DataLayout, *, apply: Apply = in_turn) -> dict[str, list[str]]:
    """Per shard, the inputs that hold values that no model may see (``bundles.leak``)."""
    scaled = read_manifest(layout.scaled, made_by="scaled_table")
    shards = shard_names(scaled)
    bundles = read_manifest(layout.bundles, made_by="tensor_bundles")
    parts = {f"{part.name}.parquet": part for part in read_parts(layout.bundles, bundles.path)}
    if set(parts) != set(shards):
        raise ContractError(
            f"the bundles hold the parts {sorted(parts)}, expected {sorted(shards)}; "
            "materialize tensor_bundles again"
        )
    jobs = {}
    for shard, part in parts.items():
        table, sessions = scaled.path(shard), scaled.path(f"{SESSIONS_FOLDER}/{shard}")
        files = [TRACKS, *(f"{part.name}/{name}" for name in PART_FILES)]
        find = partial(_find_leaks, part, table=table, sessions=sessions, bundles=bundles.only(*files))
        jobs[shard] = [table, sessions, *map(bundles.path, files)], find
    found = _judged(layout.judgements("tensor_bundles"), bundles, jobs, apply)
    return {shard: leaks["leaking"] for shard, leaks in found.items()}


def _find_leaks(record: PartRecord, *, table: Path, sessions: Path, bundles: Manifest, out: Path) -> Made:  # noqa: ARG001
    here = on_this_machine(bundles, evict=False)
    tracks = open_tracks(here.path(TRACKS))
    parts = open_part(bundles.folder, here.path, record, len(tracks))
    leaking = find_leaks(
        read_table(table, schema.SCALED),
        read_table(sessions, schema.SESSIONS),
        {split: Bundle(tracks, [parts[split]]) for split in schema.SPLITS},
    )
    return Made((), {"leaking": leaking})


# --- Judgements that are kept ---------------------------------------------------------------------------


def _judged(
    folder: Path,
    published: Manifest,
    jobs: Mapping[str, tuple[Iterable[Path], Callable[..., Made]]],
    apply: Apply,
) -> Mapping[str, Mapping[str, Any]]:
    """Judgements of the published stage by shard, from ``folder`` or made anew.

    Args:
        jobs: per shard, the files that decide its judgement, and the function that judges it.
    """
    version = code_version(__name__)
    shard_jobs = [
        ShardJob(name, digest_of(version, *(_mark(path, published.stage) for path in paths)), make)
        for name, (paths, make) in jobs.items()
    ]
    with publish(folder, stage=f"{published.stage}_judged", data_source=published.data_source) as staging:
        found = staging.make_shards(shard_jobs, apply)
        staging.rows = published.rows
    return found


def _mark(path: Path, asset: str) -> str:
    try:
        return mark(path)
    except MissingInputError:
        raise MissingInputError(f"{path} is missing; materialize {asset} again") from None
