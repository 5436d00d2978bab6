"""Judging what the stages have published, shard by shard; what has been judged as it is is not read again.

A night's new files cost a night's work here as in the stages. A file counts as another as soon as the file
system says that it was touched, by whomever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from skip_pipeline import schema
from skip_pipeline.bundles.gather import Bundle
from skip_pipeline.bundles.leak import LeakReport, find_leaks
from skip_pipeline.bundles.parts import PART_FILES, TRACKS, PartRecord, open_part, open_tracks, read_parts
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.settings import SESSIONS_FOLDER, DataLayout
from skip_pipeline.stages.code_version import stages_version
from skip_pipeline.stages.contracts import Finding, ShardJudgement, TableContract, judge_shard, table_findings
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
    read_manifest,
    read_table,
    shard_names,
)


def judge_table(
    layout: DataLayout,
    folder: Path,
    contract: TableContract,
    *,
    expected_rows: int,
    apply: Apply = in_turn,
) -> tuple[Finding, ...]:
    """Judge a published table.

    Args:
        folder: of the table.
        expected_rows: rows of the stage before, all of which must have come through.
        apply: see ``storage.Apply``.

    Raises:
        MissingInputError: the folder holds no published table, or a file of it is gone.
        ContractError: a file of it is not readable.
    """
    manifest = read_manifest(folder, made_by=contract.asset)
    jobs = {
        name: ([manifest.path(name)], partial(_judge, manifest.path(name), contract))
        for name in shard_names(manifest)
    }
    found = _judged(layout.judgements(contract.asset), manifest, jobs, apply)
    shards = {name: ShardJudgement(**judgement) for name, judgement in found.items()}
    return table_findings(shards, contract, expected_rows=expected_rows)


def _judge(path: Path, contract: TableContract, *, out: Path) -> Made:  # noqa: ARG001
    return Made((), asdict(judge_shard(path, contract)))


def find_bundle_leaks(layout: DataLayout, *, apply: Apply = in_turn) -> Mapping[str, LeakReport]:
    """Per shard, whether the bundles have seen what no model may see (``bundles.leak``).

    Raises:
        MissingInputError, ContractError: a table or a part of the bundles is not there, is not readable, or
            the two are not of the same shards.
    """
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
    return {
        shard: LeakReport(sessions=leaks["sessions"], leaking=tuple(leaks["leaking"]))
        for shard, leaks in found.items()
    }


def _find_leaks(record: PartRecord, *, table: Path, sessions: Path, bundles: Manifest, out: Path) -> Made:  # noqa: ARG001
    here = on_this_machine(bundles, evict=False)
    tracks = open_tracks(here.path(TRACKS))
    parts = open_part(bundles.folder, here.path, record, len(tracks))
    leaks = find_leaks(
        read_table(table, schema.SCALED),
        read_table(sessions, schema.SESSIONS),
        {split: Bundle(tracks, [parts[split]]) for split in schema.SPLITS},
    )
    return Made((), asdict(leaks))


def _judged(
    folder: Path,
    judged: Manifest,
    jobs: Mapping[str, tuple[Iterable[Path], Callable[..., Made]]],
    apply: Apply,
) -> Mapping[str, Mapping[str, Any]]:
    """Judgements by shard, kept in ``folder`` and made anew where a file they depend on has been touched."""
    shard_jobs = [
        ShardJob(name, digest_of(stages_version(), *(_mark(path, judged.stage) for path in paths)), make)
        for name, (paths, make) in jobs.items()
    ]
    with publish(folder, stage=f"{judged.stage}_judged", data_source=judged.data_source) as staging:
        found = staging.make_shards(shard_jobs, apply)
        staging.rows = judged.rows
    return found


def _mark(path: Path, asset: str) -> str:
    try:
        return mark(path)
    except MissingInputError:
        raise MissingInputError(f"{path} is missing; materialize {asset} again") from None
