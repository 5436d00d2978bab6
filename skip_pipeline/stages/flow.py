"""The stages from raw files to tensors: which shards there are, what decides each, and how they add up.

Each function makes one stage of a data directory whole and publishes it. What happens to a single shard is
in ``shard_work``; where that happens is the caller's choice (``Apply``), and so is who is told about it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from skip_pipeline import schema
from skip_pipeline.bundles.parts import TRACKS, record_from_json, write_parts
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.raw import folder as raw_folder
from skip_pipeline.raw.session_log import SessionLogSummary, combine
from skip_pipeline.settings import SCALER_FILE, TRACK_TABLE, DataLayout
from skip_pipeline.stages import shards as shard_work
from skip_pipeline.stages.code_version import stages_version
from skip_pipeline.stages.contracts import Finding
from skip_pipeline.storage import (
    Apply,
    Delivered,
    FileRecord,
    Made,
    Manifest,
    ShardJob,
    Staging,
    digest_of,
    fingerprint,
    identify,
    in_turn,
    publish,
    read_manifest,
    shard_names,
    write_json,
)

_DELIVERED: Final = "delivered"  # in the summaries' manifests: each raw file as it was found


# --- Delivered files ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class SessionLogs:
    """The session logs as delivered: files, what they hold, and how the summaries were published."""

    files: tuple[FileRecord, ...]
    summary: SessionLogSummary
    staging: Staging


def session_logs(layout: DataLayout, *, apply: Apply = in_turn, started: float | None = None) -> SessionLogs:
    """Judge every session log; one that has been judged as it is now is not read again.

    Raises:
        MissingInputError, BadInputError, BrokenSessionError: see ``raw.session_log.load_session_log`` and
            ``raw.session_log.combine``.
    """
    paths = raw_folder.find_session_logs(layout.raw)
    folder = layout.session_log_summaries
    delivered = identify(paths, _known(folder), apply)
    source = raw_folder.data_source(layout.raw)
    with publish(folder, stage="session_logs", data_source=source, started=started) as staging:
        judge = partial(shard_work.judge_log, among=paths, today=_today())
        made = staging.make_shards(_jobs(judge, paths, delivered, stages_version()), apply)
        summary = _combined(paths, made, staging)
        staging.rows = summary.rows
        staging.details |= {_DELIVERED: [file.to_json() for file in delivered], "sessions": summary.sessions}
    return SessionLogs(tuple(file.record for file in delivered), summary, staging)


@dataclass(frozen=True)
class TrackFeatures:
    """The track features as delivered: files, what they say of their contract, and how that was published."""

    files: tuple[FileRecord, ...]
    findings: tuple[Finding, ...]
    staging: Staging


def track_features(
    layout: DataLayout, *, apply: Apply = in_turn, started: float | None = None
) -> TrackFeatures:
    """Judge all track features together; files that have been judged as they are now are not read again.

    Raises:
        MissingInputError, BadInputError: see ``raw.track_features.read_track_features``.
    """
    paths = raw_folder.find_track_features(layout.raw)
    folder = layout.track_feature_summaries
    delivered = identify(paths, _known(folder), apply)
    records = tuple(file.record for file in delivered)
    source = raw_folder.data_source(layout.raw)
    with publish(folder, stage="track_features", data_source=source, started=started) as staging:
        judge = partial(shard_work.judge_tracks, paths)
        inputs = digest_of(stages_version(), fingerprint(records))
        made = staging.make_shards([ShardJob(TRACK_TABLE, inputs, judge)])[TRACK_TABLE]
        staging.rows = made["rows"]
        staging.details[_DELIVERED] = [file.to_json() for file in delivered]
    return TrackFeatures(records, tuple(Finding(**finding) for finding in made["findings"]), staging)


def _jobs(
    make: Callable[..., Made], paths: Sequence[Path], files: Sequence[Delivered], inputs: str
) -> list[ShardJob]:
    """A shard for each session log, decided by the log's contents and by ``inputs``."""
    return [
        ShardJob(shard_work.table_file(path), digest_of(inputs, file.record.sha256), partial(make, path))
        for path, file in zip(paths, files, strict=True)
    ]


def _known(folder: Path) -> dict[str, Delivered]:
    """Raw files by name as they were when they were judged; none where nothing has been."""
    try:
        files = read_manifest(folder, made_by="session_logs").details[_DELIVERED]
    except (MissingInputError, ContractError, KeyError):
        return {}
    return {file["record"]["name"]: Delivered.from_json(file) for file in files}


def _combined(
    paths: Sequence[Path], made: Mapping[str, Mapping[str, Any]], staging: Staging
) -> SessionLogSummary:
    return combine(
        {
            path: shard_work.summary_of(summary, staging.find(shard_work.hashes_file(shard)))
            for path, (shard, summary) in zip(paths, made.items(), strict=True)
        }
    )


def _today() -> dt.date:
    return dt.datetime.now(tz=dt.UTC).date()


# --- Tables -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MergedTable:
    """The merged table, and the raw files that it was made from."""

    logs: tuple[FileRecord, ...]
    track_files: tuple[FileRecord, ...]
    tracks: int
    staging: Staging


def merged_table(layout: DataLayout, *, apply: Apply = in_turn, started: float | None = None) -> MergedTable:
    """Every log row with the features of its track, and the track table.

    Raises:
        MissingInputError, BadInputError, BrokenSessionError: see ``shard_work.merge_shard`` and
            ``raw.session_log.combine``.
    """
    paths = raw_folder.find_session_logs(layout.raw)
    track_paths = raw_folder.find_track_features(layout.raw)
    logs = identify(paths, _known(layout.session_log_summaries), apply)
    track_files = identify(track_paths, _known(layout.track_feature_summaries), apply)
    source = raw_folder.data_source(layout.raw)
    with publish(layout.merged, stage="merged_table", data_source=source, started=started) as staging:
        inputs = digest_of(stages_version(), fingerprint(tuple(file.record for file in track_files)))
        make_tracks = partial(shard_work.track_table, track_paths, data_source=source)
        tracks = staging.make_shards([ShardJob(TRACK_TABLE, inputs, make_tracks)])[TRACK_TABLE]
        make = partial(
            shard_work.merge_shard,
            among=paths,
            tracks=staging.find(TRACK_TABLE),
            today=_today(),
            data_source=source,
        )
        made = staging.make_shards(_jobs(make, paths, logs, inputs), apply)
        staging.rows = _combined(paths, made, staging).rows
    return MergedTable(
        tuple(file.record for file in logs),
        tuple(file.record for file in track_files),
        tracks["rows"],
        staging,
    )


def encoded_table(layout: DataLayout, *, apply: Apply = in_turn, started: float | None = None) -> Staging:
    """The merged table in numbers, and its sessions with their splits.

    Details: ``values_of_unknown_level``.

    Raises:
        MissingInputError, ContractError: the merged table is not there, or not readable.
    """
    before = read_manifest(layout.merged, made_by="merged_table")
    tracks = before.record(TRACK_TABLE).sha256
    with publish(
        layout.encoded, stage="encoded_table", data_source=before.data_source, started=started
    ) as staging:
        make = partial(
            shard_work.encode_shard, tracks=before.path(TRACK_TABLE), data_source=before.data_source
        )
        jobs = [
            ShardJob(
                shard,
                digest_of(stages_version(), tracks, before.record(shard).sha256),
                partial(make, shard, merged=before.path(shard)),
            )
            for shard in shard_names(before)
        ]
        made = staging.make_shards(jobs, apply).values()
        staging.rows = _sum_of("rows", made)
        staging.details["values_of_unknown_level"] = _sum_of("values_of_unknown_level", made)
    return staging


def scaled_table(layout: DataLayout, *, apply: Apply = in_turn, started: float | None = None) -> Staging:
    """The encoded table with its track features in [0, 1], and the scaler.

    A shard that widens the range seen in training moves every value, and every shard is made again.

    Details: ``values_clipped``.

    Raises:
        TrainingError: no session is for training.
        MissingInputError, ContractError: the encoded table is not there, or not readable.
    """
    before = read_manifest(layout.encoded, made_by="encoded_table")
    shards = shard_names(before)
    scaler = shard_work.fit_scaler(before.shards[shard].summary for shard in shards)
    fitted = json.dumps(scaler.to_json())
    with publish(
        layout.scaled, stage="scaled_table", data_source=before.data_source, started=started
    ) as staging:
        make = partial(shard_work.scale_shard, scaler=scaler, data_source=before.data_source)
        jobs = [
            ShardJob(
                shard,
                digest_of(
                    stages_version(), fitted, *_digests(before, shard, shard_work.sessions_file(shard))
                ),
                partial(
                    make,
                    shard,
                    encoded=before.path(shard),
                    sessions=before.path(shard_work.sessions_file(shard)),
                ),
            )
            for shard in shards
        ]
        made = staging.make_shards(jobs, apply).values()
        staging.rows = _sum_of("rows", made)
        write_json(staging.path(SCALER_FILE), scaler.to_json())
        staging.details["values_clipped"] = _sum_of("values_clipped", made)
    return staging


# --- Tensors ------------------------------------------------------------------------------------------


def tensor_bundles(layout: DataLayout, *, apply: Apply = in_turn, started: float | None = None) -> Staging:
    """The compact bundle of every split: a part per shard, and one matrix of scaled tracks.

    Details: ``sessions``, their number per split.

    Raises:
        MissingInputError, ContractError: a table is not there, not readable, or does not fit the others.
    """
    before = read_manifest(layout.scaled, made_by="scaled_table")
    encoded = read_manifest(layout.encoded, made_by="encoded_table")
    merged = read_manifest(layout.merged, made_by="merged_table")
    tracks = merged.record(TRACK_TABLE).sha256
    with publish(
        layout.bundles, stage="tensor_bundles", data_source=before.data_source, started=started
    ) as staging:
        make_matrix = partial(
            shard_work.track_matrix,
            tracks=merged.path(TRACK_TABLE),
            scaler=before.path(SCALER_FILE),
        )
        matrix_inputs = digest_of(stages_version(), tracks, before.record(SCALER_FILE).sha256)
        staging.make_shards([ShardJob("_tracks", matrix_inputs, make_matrix)])
        make = partial(shard_work.bundle_shard, matrix=staging.find(TRACKS))
        jobs = [
            ShardJob(
                shard,
                digest_of(
                    stages_version(),
                    tracks,
                    encoded.record(shard).sha256,
                    *_digests(before, shard, shard_work.sessions_file(shard)),
                ),
                partial(
                    make,
                    shard,
                    encoded=encoded.path(shard),
                    scaled=before.path(shard),
                    sessions=before.path(shard_work.sessions_file(shard)),
                ),
            )
            for shard in shard_names(before)
        ]
        parts = [record_from_json(summary) for summary in staging.make_shards(jobs, apply).values()]
        write_parts(staging.folder, parts)
        sessions = {split: sum(part.sessions[split] for part in parts) for split in schema.SPLITS}
        staging.rows = sum(sessions.values())
        staging.details["sessions"] = sessions
    return staging


def _digests(manifest: Manifest, *names: str) -> tuple[str, ...]:
    return tuple(manifest.record(name).sha256 for name in names)


def _sum_of(name: str, summaries: Iterable[Mapping[str, Any]]) -> int:
    return sum(summary[name] for summary in summaries)
