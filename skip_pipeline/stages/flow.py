"""The stages from raw files to tensors: which shards there are, and how they add up.

Each function makes one stage of a data directory whole and publishes it. A shard is made again only if the
digest of its inputs has changed (``shard_inputs``): the files it is made from, and the code that makes it.
What happens to a single shard is in the module of the stage; ``apply`` decides where that happens.
"""

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from skip_pipeline import schema
from skip_pipeline.bundles.parts import TRACKS, PartRecord, write_parts
from skip_pipeline.code_version import code_version
from skip_pipeline.raw import folder as raw_folder
from skip_pipeline.raw.session_log import SessionLogSummary, combine
from skip_pipeline.raw.track_groups import track_groups_file
from skip_pipeline.settings import DELIVERED_FILES, SCALER_FILE, TRACK_TABLE, DataLayout
from skip_pipeline.stages import bundle, encode, ingest, merge, scale, track_matrix, track_table
from skip_pipeline.stages.findings import Finding
from skip_pipeline.stages.shard_inputs import (
    CODES,
    TRACK_TABLES,
    codes_of,
    decided_by_logs,
    identified,
    own_files,
    table_inputs,
    track_tables,
    unknown_of,
)
from skip_pipeline.stages.shards import UNKNOWN, hashes_file, table_file
from skip_pipeline.storage import (
    Apply,
    FileRecord,
    Made,
    Manifest,
    ShardJob,
    Staging,
    digest_of,
    fingerprint,
    in_turn,
    map_array,
    publish,
    read_manifest,
    record_file,
    shard_names,
    write_json,
)

# --- Delivered files ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class SessionLogs:
    """The session logs as delivered: files, what they hold, and how the summaries were published."""

    files: tuple[FileRecord, ...]
    summary: SessionLogSummary
    unknown: tuple[str, ...]  # columns in which a value may be missing
    staging: Staging


def session_logs(layout: DataLayout, *, apply: Apply = in_turn, started: float | None = None) -> SessionLogs:
    """Judge every session log that is new or has changed; raises as ``load_session_log`` and ``combine``."""
    paths = raw_folder.find_session_logs(layout.raw)
    folder = layout.session_log_summaries
    delivered = identified(paths, folder, apply)
    source = raw_folder.data_source(layout.raw)
    with publish(folder, stage="session_logs", data_source=source, started=started) as staging:
        unknown = unknown_of(layout, schema.SESSION_LOG)
        today = dt.datetime.now(tz=dt.UTC).date()
        make = partial(ingest.judge_log, among=paths, today=today, unknown=unknown)
        decided = decided_by_logs(ingest.__name__, paths, delivered, unknown)
        summary = _combined(staging, make, paths, decided, apply)
        staging.rows = summary.rows
        staging.details |= {
            DELIVERED_FILES: [asdict(file) for file in delivered],
            "sessions": summary.sessions,
        }
        staging.details[UNKNOWN] = unknown
    return SessionLogs(delivered, summary, unknown, staging)


@dataclass(frozen=True)
class TrackFeatures:
    """The track features as delivered: files, findings on their contract, and how these were published."""

    files: tuple[FileRecord, ...]
    findings: tuple[Finding, ...]
    staging: Staging


def track_features(
    layout: DataLayout, *, apply: Apply = in_turn, started: float | None = None
) -> TrackFeatures:
    """Judge all track features together, if a file is new or has changed; raises as their reader."""
    paths = raw_folder.find_track_features(layout.raw)
    folder = layout.track_feature_summaries
    delivered = identified(paths, folder, apply)
    source = raw_folder.data_source(layout.raw)
    with publish(folder, stage="track_features", data_source=source, started=started) as staging:
        unknown = unknown_of(layout, schema.TRACK_FEATURES)
        inputs = digest_of(code_version(ingest.__name__), fingerprint(delivered), *unknown)
        job = ShardJob(TRACK_TABLE, inputs, partial(ingest.judge_tracks, paths, unknown=unknown))
        made = staging.make_shards([job])[TRACK_TABLE]
        staging.rows = made["rows"]
        staging.details |= {DELIVERED_FILES: [asdict(file) for file in delivered], UNKNOWN: unknown}
    findings = tuple(Finding(**finding) for finding in made["findings"])
    return TrackFeatures(delivered, findings, staging)


# --- Tables -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MergedTable:
    """The merged table, and the raw files that it was made from."""

    logs: tuple[FileRecord, ...]
    track_files: tuple[FileRecord, ...]
    tracks: int
    staging: Staging


def merged_table(layout: DataLayout, *, apply: Apply = in_turn, started: float | None = None) -> MergedTable:
    """Every log row with the features of its track, the track table, and, of own listening, groups of tracks.

    New track files make those shards again that play a track which they change. Raises as ``merge_shard`` and
    ``combine``.
    """
    paths = raw_folder.find_session_logs(layout.raw)
    track_paths = raw_folder.find_track_features(layout.raw)
    logs = identified(paths, layout.session_log_summaries, apply)
    track_files = identified(track_paths, layout.track_feature_summaries, apply)
    source = raw_folder.data_source(layout.raw)
    with publish(layout.merged, stage="merged_table", data_source=source, started=started) as staging:
        of_tracks = unknown_of(layout, schema.TRACK_FEATURES)
        of_logs = unknown_of(layout, schema.SESSION_LOG)
        unknown = (*of_logs, *of_tracks)
        current = digest_of(code_version(ingest.__name__), fingerprint(track_files), *of_tracks)
        make_tracks = partial(ingest.track_table, track_paths, unknown=of_tracks, data_source=source)
        tracks = staging.make_shards([ShardJob(TRACK_TABLE, current, make_tracks)])[TRACK_TABLE]
        table = staging.find(TRACK_TABLE)
        if groups := track_groups_file(layout.raw):
            inputs_of_groups = digest_of(current, record_file(groups, groups.name).sha256)
            make_groups = partial(ingest.track_groups, groups, tracks=table)
            staging.make_shards([ShardJob(ingest.GROUPS, inputs_of_groups, make_groups)])
        decided = decided_by_logs(merge.__name__, paths, logs, of_logs)
        tables = track_tables(decided, layout.merged, current, table)
        today = dt.datetime.now(tz=dt.UTC).date()
        make = partial(
            merge.merge_shard, among=paths, tracks=table, today=today, unknown=unknown, data_source=source
        )
        inputs = {shard: digest_of(decided[shard], tables[shard]) for shard in decided}
        staging.rows = _combined(staging, make, paths, inputs, apply).rows
        staging.details |= {TRACK_TABLES: tables, UNKNOWN: unknown}
    return MergedTable(logs, track_files, tracks["rows"], staging)


def _combined(
    staging: Staging,
    make: Callable[..., Made],
    paths: Sequence[Path],
    inputs: Mapping[str, str],
    apply: Apply,
) -> SessionLogSummary:
    """Make the shard of each session log, and add up their summaries."""
    shards = [table_file(path) for path in paths]
    jobs = [ShardJob(s, inputs[s], partial(make, path)) for path, s in zip(paths, shards, strict=True)]
    made = staging.make_shards(jobs, apply)
    hashes = [map_array(staging.find(hashes_file(shard))) for shard in shards]
    return combine(
        {
            path: SessionLogSummary.from_json(made[shard], own)
            for path, shard, own in zip(paths, shards, hashes, strict=True)
        }
    )


def encoded_table(layout: DataLayout, *, apply: Apply = in_turn, started: float | None = None) -> Staging:
    """The merged table in numbers, and its sessions with their splits; details: ``values_of_unknown_level``.

    A track's code is its row number in the track table, sorted by id. A new track moves the tracks after it
    by one, so every shard is made again, unless all new tracks come after those of the earlier table.
    """
    before = read_manifest(layout.merged, made_by="merged_table")
    tracks, source = before.path(TRACK_TABLE), before.data_source
    with publish(layout.encoded, stage="encoded_table", data_source=source, started=started) as staging:
        unknown, incomplete = before.details.get(UNKNOWN, ()), track_table.incomplete_features(tracks)
        make = partial(
            encode.encode_shard, tracks=tracks, unknown=unknown, incomplete=incomplete, data_source=source
        )
        beside = digest_of(code_version(encode.__name__), *unknown, "", *incomplete)
        codes = codes_of(beside, layout.encoded, before)
        decided = {shard: digest_of(beside, own.digest) for shard, own in codes.items()}
        _make_table(staging, _table_jobs(make, decided, before), apply, "values_of_unknown_level")
        staging.details |= {
            UNKNOWN: [name for name in unknown if name in schema.NULL_IN_ENCODED],
            CODES: {shard: asdict(own) for shard, own in codes.items()},
        }
    return staging


def scaled_table(layout: DataLayout, *, apply: Apply = in_turn, started: float | None = None) -> Staging:
    """The encoded table with its track features in [0, 1], and the scaler; details: ``values_clipped``.

    A shard that widens the range of a feature in training changes every scaled value, and every shard is made
    again. So does a new track at the end of the track table, which widens the range of codes.
    """
    before = read_manifest(layout.encoded, made_by="encoded_table")
    source = before.data_source
    ranges = (before.shards[shard].summary["training_range"] for shard in shard_names(before))
    scaler = scale.fit_scaler(ranges)
    with publish(layout.scaled, stage="scaled_table", data_source=source, started=started) as staging:
        unknown = before.details.get(UNKNOWN, ())
        staging.details[UNKNOWN] = [name for name in unknown if name in schema.NULL_IN_SCALED]
        make = partial(scale.scale_shard, scaler=scaler, data_source=source)
        own = digest_of(code_version(scale.__name__), json.dumps(scaler.to_json()))
        decided = dict.fromkeys(shard_names(before), own)
        _make_table(staging, _table_jobs(make, decided, before), apply, "values_clipped")
        write_json(staging.path(SCALER_FILE), scaler.to_json())
    return staging


def _table_jobs(make: Callable[..., Made], decided: Mapping[str, str], *tables: Manifest) -> list[ShardJob]:
    """A job for each shard, made from, and decided by, its files in each of the tables.

    Args:
        make: makes a shard from its name and its files in each table.
        decided: by shard, digest of everything else that decides it.
        tables: manifests of the tables.
    """
    return [
        ShardJob(
            shard,
            table_inputs(digest, shard, *tables),
            partial(make, shard, *(own_files(shard, table) for table in tables)),
        )
        for shard, digest in decided.items()
    ]


def _make_table(staging: Staging, jobs: Sequence[ShardJob], apply: Apply, counted: str) -> None:
    """Make the shards, and add up their rows and one more number of their summaries."""
    made = staging.make_shards(jobs, apply).values()
    staging.rows = sum(summary["rows"] for summary in made)
    staging.details[counted] = sum(summary[counted] for summary in made)


# --- Tensors ------------------------------------------------------------------------------------------


def tensor_bundles(layout: DataLayout, *, apply: Apply = in_turn, started: float | None = None) -> Staging:
    """The compact bundle of every split: a part per shard, one matrix of scaled tracks, and their groups.

    Details: ``sessions``, their number per split.
    """
    scaled = read_manifest(layout.scaled, made_by="scaled_table")
    encoded = read_manifest(layout.encoded, made_by="encoded_table")
    merged = read_manifest(layout.merged, made_by="merged_table")
    table, scaler, source = merged.path(TRACK_TABLE), scaled.path(SCALER_FILE), scaled.data_source
    with publish(layout.bundles, stage="tensor_bundles", data_source=source, started=started) as staging:
        digests = merged.record(TRACK_TABLE).sha256, scaled.record(SCALER_FILE).sha256
        inputs = digest_of(code_version(track_matrix.__name__), *digests)
        make_matrix = partial(track_matrix.make_matrix, tracks=table, scaler=scaler)
        staging.make_shards([ShardJob("_tracks", inputs, make_matrix)])
        grouped = ingest.GROUPS in merged.shards
        if grouped:
            inputs = digest_of(code_version(track_matrix.__name__), merged.record(ingest.GROUPS).sha256)
            copy = partial(track_matrix.copy_groups, groups=merged.path(ingest.GROUPS))
            staging.make_shards([ShardJob("_groups", inputs, copy)])
        make = partial(bundle.make_part, matrix=staging.find(TRACKS))
        rows = merged.shards[TRACK_TABLE].summary["rows"]
        own = digest_of(code_version(bundle.__name__), track_table.codes_digest(table, rows))
        decided = dict.fromkeys(shard_names(scaled), own)
        made = staging.make_shards(_table_jobs(make, decided, scaled, encoded), apply).values()
        parts = [PartRecord(**summary) for summary in made]
        write_parts(staging.folder, parts, groups=grouped)
        sessions = {split: sum(part.sessions[split] for part in parts) for split in schema.SPLITS}
        staging.rows = sum(sessions.values())
        staging.details["sessions"] = sessions
    return staging
