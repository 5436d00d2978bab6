"""What decides each shard of a stage, as digests of its inputs: with equal ones a published shard is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from skip_pipeline.code_version import code_version
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.raw.own_listening import unknown_columns
from skip_pipeline.settings import DELIVERED_FILES, TRACK_TABLE, DataLayout
from skip_pipeline.stages import merge, track_table
from skip_pipeline.stages.shards import table_file
from skip_pipeline.storage import Apply, Delivered, Manifest, digest_of, identify, read_manifest, shard_names

# Details of manifests.
TRACK_TABLES: Final = "track_tables"  # of the merged table: see track_tables
CODES: Final = "track_codes"  # of the encoded table: see codes_of


def unknown_of(layout: DataLayout, contract: pa.Schema) -> tuple[str, ...]:
    """Columns of a raw table in which a value may be missing, in the contract's order.

    Of the marker of own listening they alone decide shards: its counts change with every import.
    """
    unknown = unknown_columns(layout.raw)
    return tuple(name for name in contract.names if name in unknown)


def identified(paths: Sequence[Path], summaries: Path, apply: Apply) -> tuple[Delivered, ...]:
    """Size and digest of raw files; those that are as they were when they were judged are not read again."""
    judged = earlier_manifest(summaries)
    known = judged.details.get(DELIVERED_FILES, []) if judged else []
    return identify(paths, {file["name"]: Delivered(**file) for file in known}, apply)


def earlier_manifest(folder: Path) -> Manifest | None:
    """What a folder holds; None where that is nothing, or not readable."""
    try:
        return read_manifest(folder, made_by="an earlier run")
    except (MissingInputError, ContractError):
        return None


def decided_by_logs(
    stage: str, paths: Sequence[Path], logs: Sequence[Delivered], unknown: Sequence[str]
) -> dict[str, str]:
    """By shard, digest of its session log, of the columns that may be unknown and of the code of a stage."""
    version = code_version(stage)
    pairs = zip(paths, logs, strict=True)
    return {table_file(path): digest_of(version, log.sha256, *unknown) for path, log in pairs}


def track_tables(decided: Mapping[str, str], folder: Path, current: str, table: Path) -> dict[str, str]:
    """By shard of the merged table, the track table that decides it, as the digest of that table's inputs.

    This is the current one, except for a published shard whose tracks all have the same features in the
    current table: it keeps the table that it was made with, so its inputs and the shard stay as they are.

    Args:
        decided: by shard, digest of everything else that decides it.
        folder: of the merged table.
        current: inputs of the current track ``table``.
    """
    earlier = earlier_manifest(folder)
    if earlier is None:
        return dict.fromkeys(decided, current)
    kept = {
        shard: before
        for shard, before in earlier.details.get(TRACK_TABLES, {}).items()
        if shard in decided and earlier.shards[shard].inputs == digest_of(decided[shard], before)
    }
    if kept and earlier.shards[TRACK_TABLE].inputs != current:
        try:
            changed = track_table.changed_tracks(earlier.path(TRACK_TABLE), table)
            if len(changed):
                plays = {shard: merge.plays_any(earlier.path(shard), changed) for shard in kept}
                kept = {shard: before for shard, before in kept.items() if not plays[shard]}
        except (MissingInputError, ContractError):
            kept = {}  # a published file is damaged: everything is made again
    return dict.fromkeys(decided, current) | kept


@dataclass(frozen=True)
class Codes:
    """The codes of the first so many tracks of a track table, by ``track_table.codes_digest``."""

    tracks: int
    digest: str


def codes_of(beside: str, folder: Path, merged: Manifest) -> dict[str, Codes]:
    """By shard of the encoded table, the codes that decide it.

    These are all codes of the current track table, except for a published shard whose merged shard has not
    changed, and whose codes are still the first ones: it keeps those, and so its inputs.

    Args:
        beside: digest of what decides a shard beside the codes and its merged shard.
        folder: of the encoded table.
        merged: manifest of the merged table.
    """
    table, rows = merged.path(TRACK_TABLE), merged.shards[TRACK_TABLE].summary["rows"]
    codes = dict.fromkeys(shard_names(merged), Codes(rows, track_table.codes_digest(table, rows)))
    earlier = earlier_manifest(folder)
    for shard, before in (earlier.details.get(CODES, {}) if earlier else {}).items():
        own = Codes(**before)
        if earlier and shard in codes and own.digest == track_table.codes_digest(table, own.tracks):
            inputs = table_inputs(digest_of(beside, own.digest), shard, merged)
            if inputs == earlier.shards[shard].inputs:
                codes[shard] = own
    return codes


def table_inputs(decided: str, shard: str, *tables: Manifest) -> str:
    """Inputs of a shard that is made from its files in each of the tables."""
    return digest_of(decided, *(file.sha256 for table in tables for file in own_files(shard, table).files))


def own_files(shard: str, table: Manifest) -> Manifest:
    """A table's files of one shard; a table without the shard refuses its name."""
    return table.only(*(table.shards[shard].files if shard in table.shards else (shard,)))
