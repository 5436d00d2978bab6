"""The delivered files as assets: validated and fingerprinted where they lie, never written to."""

import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.code_version import asset_version
from skip_pipeline.defs import describe
from skip_pipeline.defs.resources import DataDirectory, ShardEngine
from skip_pipeline.defs.tracked_materialization import TrackedMaterialization
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.raw import folder as raw_folder
from skip_pipeline.settings import (
    LOGS_FAIL_AFTER_HOURS,
    LOGS_WARN_AFTER_HOURS,
    OWNER,
    TRACK_FEATURES,
    TRAINING_SET,
)
from skip_pipeline.stages import findings as named
from skip_pipeline.stages import flow as stages
from skip_pipeline.stages import ingest
from skip_pipeline.stages.findings import Finding
from skip_pipeline.storage import FileRecord, Staging, fingerprint

# Oddities of the data that are counted and shown, while the night goes on.
_WARNINGS = {named.LEVELS_KNOWN, named.DATES_PLAUSIBLE, named.MARKER_FITS}


@dg.asset(
    group_name="ingest",
    kinds={"csv", "pyarrow"},
    owners=[OWNER],
    code_version=asset_version("session_logs"),
    check_specs=describe.check_specs("session_logs", ingest.LOG_FINDINGS),
    # A night on which nothing has come is left out, and nothing after this asset grows old by that. What is
    # overdue then is a delivery, so that is what Dagster shows.
    freshness_policy=dg.FreshnessPolicy.time_window(
        fail_window=timedelta(hours=LOGS_FAIL_AFTER_HOURS),
        warn_window=timedelta(hours=LOGS_WARN_AFTER_HOURS),
    ),
)
def session_logs(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker, engine: ShardEngine
) -> dg.MaterializeResult:
    """Session logs as delivered: 21 columns, whole sessions of 10 to 20 tracks, one file per shard.

    Every new or changed file is parsed and judged; a file that breaks the contract fails this asset with the
    file, the column and the first rows. Levels outside the vocabulary and junk dates are counted and warned
    about.
    """
    layout = data.layout()
    with tracker.materialization(context) as run:
        with engine.applying("session_logs") as apply:
            logs = stages.session_logs(layout, apply=apply, started=run.started)
        folder = layout.raw / TRAINING_SET
        metadata = _describe(run, logs.files, folder, schema.SESSION_LOG, logs.staging)
        summary = logs.summary
        metadata["sessions"] = dg.MetadataValue.int(summary.sessions)
        oddities = {
            "values_of_unknown_level": sum(
                sum(counts.values()) for counts in summary.unknown_levels.values()
            ),
            "junk_dates": sum(summary.junk_dates.values()),
        }
        run.metrics({"sessions": summary.sessions, **oddities, **describe.shard_counts(logs.staging)})
        findings = ingest.log_findings(summary, raw_folder.marker_doubt(layout.raw))
    return _result(context, tracker, run, metadata, findings)


@dg.asset(
    group_name="ingest",
    kinds={"csv", "pyarrow"},
    owners=[OWNER],
    code_version=asset_version("track_features"),
    check_specs=describe.check_specs("track_features", ingest.TRACK_FINDINGS),
)
def track_features(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker, engine: ShardEngine
) -> dg.MaterializeResult:
    """Track features as delivered: 30 columns, each track once, every number finite.

    A file that breaks the contract fails this asset with the file, the column and the first rows. Levels
    of ``mode`` outside the vocabulary are counted and warned about.
    """
    layout = data.layout()
    with tracker.materialization(context) as run:
        with engine.applying("track_features") as apply:
            tracks = stages.track_features(layout, apply=apply, started=run.started)
        folder = layout.raw / TRACK_FEATURES
        metadata = _describe(run, tracks.files, folder, schema.TRACK_FEATURES, tracks.staging)
    return _result(context, tracker, run, metadata, tracks.findings)


def _describe(
    run: TrackedMaterialization,
    records: Sequence[FileRecord],
    folder: Path,
    columns: pa.Schema,
    staging: Staging,
) -> describe.Metadata:
    """Record the delivered files themselves, of which ``staging`` holds only what was found in them."""
    rows, source = staging.manifest.rows, staging.manifest.data_source
    describe.log_delivered(run, staging.manifest.stage, records, folder, columns, rows)
    size = sum(record.bytes for record in records)
    digest = fingerprint(tuple(records))
    seconds = round(time.perf_counter() - run.started, 3)
    run.tags({describe.DATA_SOURCE: source, "sha256": digest})
    run.metrics({"rows": rows, "bytes": size, describe.SECONDS: seconds})
    return describe.files(
        rows=rows,
        size=size,
        sha256=digest,
        seconds=seconds,
        path=folder,
        data_source=source,
        columns=columns,
    ) | {"files": describe.file_table(records)}


def _result(
    context: dg.AssetExecutionContext,
    tracker: MlflowTracker,
    run: TrackedMaterialization,
    metadata: describe.Metadata,
    findings: Sequence[Finding],
) -> dg.MaterializeResult:
    asset = context.asset_key.to_user_string()
    for finding in findings:
        if not finding.passed:
            context.log.warning(f"{asset}, {finding.name}: {dict(finding.facts)}")
    return dg.MaterializeResult(
        metadata=metadata | describe.recorded(run, tracker.unavailable),
        data_version=dg.DataVersion(str(metadata["sha256"].value)),
        check_results=[
            describe.check_result(
                finding,
                asset,
                severity=dg.AssetCheckSeverity.WARN
                if finding.name in _WARNINGS
                else dg.AssetCheckSeverity.ERROR,
            )
            for finding in findings
        ],
    )
