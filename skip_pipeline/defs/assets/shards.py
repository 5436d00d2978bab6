"""From delivered files to tensors, shard by shard, as assets."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import dagster as dg
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.defs import metadata
from skip_pipeline.defs.assets.pipeline_asset import pipeline_asset
from skip_pipeline.defs.record import Record
from skip_pipeline.defs.resources import DataDirectory, ShardEngine
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.raw import folder as raw_folder
from skip_pipeline.settings import (
    LOGS_FAIL_AFTER_HOURS,
    LOGS_WARN_AFTER_HOURS,
    SCALER_FILE,
    TRACK_FEATURES,
    TRAINING_SET,
    DataLayout,
)
from skip_pipeline.stages import bundle, findings, ingest, lineage
from skip_pipeline.stages import flow as stages
from skip_pipeline.stages.findings import Finding
from skip_pipeline.storage import Apply, FileRecord, Manifest, StoredFile, read_json

_WARNINGS = (findings.LEVELS_KNOWN, findings.DATES_PLAUSIBLE, findings.MARKER_FITS)
"""Oddities of the delivered data: they are counted and shown, and stop nothing."""

_INPUTS = {
    name: f"float32 ({', '.join(['n', *map(str, shape)])})"
    for name, shape in (schema.BRANCH_SHAPES | {schema.LABEL: ()}).items()
}
"""Types and shapes of the inputs of the four branches and of the label, the columns of the bundles."""


def _types(columns: pa.Schema) -> dict[str, str]:
    return {column.name: str(column.type) for column in columns}


Stage = Callable[[DataLayout, Apply, Record], Sequence[Finding]]
"""Makes a stage, records it, and returns what was found in delivered files."""


def _asset(
    *, part: str, checks: Sequence[str] = (), **options: Any
) -> Callable[[Stage], dg.AssetsDefinition]:
    """Make a stage an asset that has the stage's name and docstring; ``checks`` name its findings."""

    def decorate(stage: Stage) -> dg.AssetsDefinition:
        name = stage.__name__

        @pipeline_asset(
            part,
            name=name,
            description=inspect.getdoc(stage),
            check_specs=metadata.check_specs(name, checks),
            **options,
        )
        def asset(
            context: dg.AssetExecutionContext,
            data: DataDirectory,
            tracker: MlflowTracker,
            engine: ShardEngine,
        ) -> dg.MaterializeResult:
            with tracker.materialization(context) as record, engine.applying(name) as apply:
                found = stage(data.layout(), apply, record)
            for finding in found:
                if not finding.passed:
                    context.log.warning(f"{name}, {finding.name}: {dict(finding.facts)}")
            return record.result(metadata.check_results(name, found, warnings=_WARNINGS))

        return asset

    return decorate


def _delivered(manifest: Manifest, files: Sequence[FileRecord]) -> Manifest:
    """The manifest of some delivered files, made from that of a stage with what was found in them."""
    return replace(manifest, files=tuple(StoredFile(f.name, f.bytes, f.sha256, path=f.name) for f in files))


@_asset(
    part="ingest",
    kinds={"csv", "pyarrow"},
    checks=ingest.LOG_FINDINGS,
    # A night without a new delivery is skipped, so only a delivery can be overdue.
    freshness_policy=dg.FreshnessPolicy.time_window(
        fail_window=timedelta(hours=LOGS_FAIL_AFTER_HOURS), warn_window=timedelta(hours=LOGS_WARN_AFTER_HOURS)
    ),
)
def session_logs(layout: DataLayout, apply: Apply, record: Record) -> Sequence[Finding]:
    """Session logs as delivered: 21 columns, whole sessions of 10 to 20 tracks, one file per shard.

    Every new or changed file is parsed and judged. A file that breaks the contract fails this asset; the
    error names the file, the column and the first rows. Levels outside the vocabulary and junk dates are
    counted and warned about.
    """
    logs = stages.session_logs(layout, apply=apply, started=record.started)
    delivered, folder = _delivered(logs.staging.manifest, logs.files), layout.raw / TRAINING_SET
    record.describe(layout, delivered.data_source)
    record.read(delivered, folder, schema.SESSION_LOG)
    record.made(delivered, folder, schema.SESSION_LOG)
    summary = logs.summary
    unknown = sum(sum(counts.values()) for counts in summary.unknown_levels.values())
    junk = sum(summary.junk_dates.values())
    record.numbers({"sessions": summary.sessions, "values_of_unknown_level": unknown, "junk_dates": junk})
    record.shards(logs.staging)
    return ingest.log_findings(summary, raw_folder.marker_doubt(layout.raw), logs.unknown)


@_asset(part="ingest", kinds={"csv", "pyarrow"}, checks=ingest.TRACK_FINDINGS)
def track_features(layout: DataLayout, apply: Apply, record: Record) -> Sequence[Finding]:
    """Track features as delivered: 30 columns, each track once, every number finite.

    A file that breaks the contract fails this asset; the error names the file, the column and the first rows.
    Levels of ``mode`` outside the vocabulary are counted and warned about.
    """
    tracks = stages.track_features(layout, apply=apply, started=record.started)
    delivered, folder = _delivered(tracks.staging.manifest, tracks.files), layout.raw / TRACK_FEATURES
    record.describe(layout, delivered.data_source)
    record.read(delivered, folder, schema.TRACK_FEATURES)
    record.made(delivered, folder, schema.TRACK_FEATURES)
    return tracks.findings


@_asset(
    part="features",
    kinds={"pyarrow", "parquet"},
    deps=["session_logs", "track_features"],
    metadata=metadata.columns(_types(schema.MERGED), lineage.MERGED),
)
def merged_table(layout: DataLayout, apply: Apply, record: Record) -> Sequence[Finding]:
    """Every log row with the features of its track: 50 columns, as many rows as the log.

    A track of the log without features fails this asset. The table of all tracks is kept beside it, sorted by
    id; a track's row number in that table is its ordinal code.
    """
    made = stages.merged_table(layout, apply=apply, started=record.started)
    staging = made.staging
    logs = replace(_delivered(staging.manifest, made.logs), stage="session_logs")
    tracks = replace(_delivered(staging.manifest, made.track_files), stage="track_features", rows=made.tracks)
    record.describe(layout, staging.manifest.data_source)
    record.read(logs, layout.raw / TRAINING_SET, schema.SESSION_LOG)
    record.read(tracks, layout.raw / TRACK_FEATURES, schema.TRACK_FEATURES)
    record.made(staging.manifest, layout.merged, schema.MERGED)
    record.shards(staging)
    return ()


@_asset(
    part="features",
    kinds={"pyarrow", "parquet"},
    deps=["merged_table"],
    metadata=metadata.columns(_types(schema.ENCODED), lineage.ENCODED),
)
def encoded_table(layout: DataLayout, apply: Apply, record: Record) -> Sequence[Finding]:
    """Numbers for words: 24 indicator columns for four categories, ordinal codes for ids, 0/1 for booleans.

    69 columns. A level outside the vocabulary is counted, and all its indicators are 0. Each shard's sessions
    are kept beside it, with the split that a hash of the session id assigns for good.
    """
    record.read_stage(layout, "merged")
    staging = stages.encoded_table(layout, apply=apply, started=record.started)
    record.made(staging.manifest, layout.encoded, schema.ENCODED)
    record.shards(staging)
    record.numbers({"values_of_unknown_level": staging.details["values_of_unknown_level"]})
    return ()


@_asset(
    part="features",
    kinds={"pyarrow", "parquet"},
    deps=["encoded_table"],
    metadata=metadata.columns(_types(schema.SCALED), lineage.SCALED),
)
def scaled_table(layout: DataLayout, apply: Apply, record: Record) -> Sequence[Finding]:
    """Track features in [0, 1], by a min-max scaler fitted on the training sessions; 69 columns.

    Values outside the range of the training sessions are clipped and counted. The fitted ranges are in
    scaler.json, beside the table.
    """
    record.read_stage(layout, "encoded")
    staging = stages.scaled_table(layout, apply=apply, started=record.started)
    record.made(staging.manifest, layout.scaled, schema.SCALED)
    record.shards(staging)
    record.numbers({"values_clipped": staging.details["values_clipped"]})
    record.json(read_json(staging.manifest.path(SCALER_FILE)), SCALER_FILE)
    return ()


@_asset(
    part="features",
    kinds={"numpy"},
    deps=["merged_table", "encoded_table", "scaled_table"],
    metadata=metadata.columns(_INPUTS, lineage.BUNDLES),
)
def tensor_bundles(layout: DataLayout, apply: Apply, record: Record) -> Sequence[Finding]:
    """The four inputs and the label of every session, in small records from which float32 is made.

    Per split: session log (n, 19, 35), previous tracks (n, 19, 31), skip sequence (n, 19, 1), last track
    (n, 31). Sequences are padded in front, so that the last step is always the track before the predicted
    one. Of the predicted position, only its track and the label are used. Each shard has a folder of records,
    which point into one matrix of all tracks, scaled.
    """
    record.read_stage(layout, "scaled")
    record.read_stage(layout, "encoded")  # for the track of each row
    record.read_stage(layout, "merged")
    staging = stages.tensor_bundles(layout, apply=apply, started=record.started)

    from skip_pipeline.report import plots  # matplotlib takes half a second to import

    balance, lengths = bundle.class_balance(staging.manifest), bundle.session_lengths(staging.manifest)
    record.picture("class_balance", plots.class_balance(balance, record.description.mark).png)
    record.picture("session_lengths", plots.session_lengths(lengths, record.description.mark).png)
    record.numbers({f"{split}_sessions": n for split, n in staging.details["sessions"].items()})
    record.made(staging.manifest, layout.bundles)
    record.shards(staging)
    return ()
