"""The delivered files as assets: validated and fingerprinted where they lie, never written to."""

import datetime as dt
import time
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pyarrow as pa

from skip_pipeline import contracts, raw_folder, schema
from skip_pipeline.contracts import Finding
from skip_pipeline.defs import describe
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.tracked_materialization import TrackedMaterialization
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.flow import ingest
from skip_pipeline.settings import OWNER, DataSource
from skip_pipeline.storage import fingerprint, record_files

# Oddities of the data that are counted and shown, while the night goes on.
_WARNINGS = {contracts.LEVELS_KNOWN, contracts.DATES_PLAUSIBLE, contracts.MARKER_FITS}


@dg.asset(
    group_name="ingest",
    kinds={"csv", "pyarrow"},
    owners=[OWNER],
    code_version="1",
    check_specs=describe.check_specs("session_logs", ingest.LOG_FINDINGS),
)
def session_logs(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker
) -> dg.MaterializeResult:
    """Session logs as delivered: 21 columns, whole sessions of 10 to 20 tracks, one file per shard.

    Every file is parsed and judged; a file that breaks the contract fails this asset with the file, the
    column and the first rows. Levels outside the vocabulary and junk dates are counted and warned about.
    """
    raw = data.layout().raw
    with tracker.materialization(context) as run:
        paths = raw_folder.find_session_logs(raw)
        today = dt.datetime.now(tz=dt.UTC).date()
        summary = ingest.combine(
            {path: ingest.load_session_log(path, among=paths, today=today)[1] for path in paths}
        )
        metadata = _describe(
            run,
            "session_logs",
            paths,
            schema.SESSION_LOG,
            rows=summary.rows,
            source=raw_folder.data_source(raw),
        )
        metadata["sessions"] = dg.MetadataValue.int(summary.sessions)
        oddities = {
            "values_of_unknown_level": sum(
                sum(counts.values()) for counts in summary.unknown_levels.values()
            ),
            "junk_dates": sum(summary.junk_dates.values()),
        }
        run.metrics({"sessions": summary.sessions, **oddities})
        findings = ingest.log_findings(summary, raw_folder.marker_doubt(raw))
    return _result(context, tracker, run, metadata, findings)


@dg.asset(
    group_name="ingest",
    kinds={"csv", "pyarrow"},
    owners=[OWNER],
    code_version="1",
    check_specs=describe.check_specs("track_features", ingest.TRACK_FINDINGS),
)
def track_features(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker
) -> dg.MaterializeResult:
    """Track features as delivered: 30 columns, each track once, every number finite.

    A file that breaks the contract fails this asset with the file, the column and the first rows. Levels
    of ``mode`` outside the vocabulary are counted and warned about.
    """
    raw = data.layout().raw
    with tracker.materialization(context) as run:
        paths = raw_folder.find_track_features(raw)
        tracks = ingest.read_track_features(paths)
        metadata = _describe(
            run,
            "track_features",
            paths,
            schema.TRACK_FEATURES,
            rows=tracks.num_rows,
            source=raw_folder.data_source(raw),
        )
        findings = ingest.track_findings(tracks)
    return _result(context, tracker, run, metadata, findings)


def _describe(
    run: TrackedMaterialization,
    asset: str,
    paths: Sequence[Path],
    columns: pa.Schema,
    *,
    rows: int,
    source: DataSource,
) -> describe.Metadata:
    records = record_files(paths)
    describe.log_delivered(run, asset, records, paths[0].parent, columns, rows)
    size = sum(record.bytes for record in records)
    digest = fingerprint(records)
    seconds = round(time.perf_counter() - run.started, 3)
    run.tags({describe.DATA_SOURCE: source, "sha256": digest})
    run.metrics({"rows": rows, "bytes": size, describe.SECONDS: seconds})
    return describe.files(
        rows=rows,
        size=size,
        sha256=digest,
        seconds=seconds,
        path=paths[0].parent,
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
