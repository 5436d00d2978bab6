"""Numbers, column schemas and pictures as Dagster metadata, and column types as MLflow names them."""

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.defs.tracked_materialization import DatasetFacts, TrackedMaterialization
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.settings import FILES_SHOWN
from skip_pipeline.stages.findings import Finding
from skip_pipeline.storage import FileRecord, Manifest, Staging, fingerprint
from skip_pipeline.training.history import EpochReport

if TYPE_CHECKING:
    from skip_pipeline.metrics.scores import SplitScores
    from skip_pipeline.report.html import RunLink

SECONDS = "seconds"
DATA_SOURCE = "data_source"

Metadata = dict[str, dg.MetadataValue]


def stage(manifest: Manifest, folder: Path, columns: pa.Schema | None = None) -> Metadata:
    """What every published stage says about itself."""
    return files(
        rows=manifest.rows,
        size=manifest.bytes,
        sha256=manifest.fingerprint,
        seconds=manifest.seconds,
        path=folder,
        data_source=manifest.data_source,
        columns=columns,
    ) | {"files": file_table(manifest.files)}


def shards(staging: Staging, folder: Path, columns: pa.Schema | None = None) -> Metadata:
    """What a published stage of shards says about itself, and how many of them were made anew."""
    return stage(staging.manifest, folder, columns) | {
        name: dg.MetadataValue.int(count) for name, count in shard_counts(staging).items()
    }


def shard_counts(staging: Staging) -> dict[str, int]:
    """How many shards a stage has, and how many of them were made anew; lookups are not counted."""
    return {
        "shards": sum(not name.startswith("_") for name in staging.shards),
        "shards_made": sum(not name.startswith("_") for name in staging.made),
    }


def files(
    *,
    rows: int,
    size: int,
    sha256: str,
    seconds: float,
    path: Path,
    data_source: str,
    columns: pa.Schema | None,
) -> Metadata:
    """Rows, bytes, digest, seconds, place and column schema of a set of files."""
    described: Metadata = {
        "dagster/row_count": dg.MetadataValue.int(rows),
        "dagster/uri": dg.MetadataValue.text(path.as_uri()),
        "path": dg.MetadataValue.path(str(path)),
        "sha256": dg.MetadataValue.text(sha256),
        "bytes": dg.MetadataValue.int(size),
        SECONDS: dg.MetadataValue.float(seconds),
        DATA_SOURCE: dg.MetadataValue.text(data_source),
    }
    if columns is not None:
        described["dagster/column_schema"] = dg.MetadataValue.table_schema(column_schema(columns))
    return described


def file_table(records: Sequence[FileRecord]) -> dg.MetadataValue:
    """Name, bytes and SHA-256 of the first files; a full data set has hundreds."""
    shown = records[:FILES_SHOWN]
    return dg.MetadataValue.table(
        [dg.TableRecord({"file": r.name, "bytes": r.bytes, "sha256": r.sha256}) for r in shown],
        schema=dg.TableSchema(
            columns=[
                dg.TableColumn("file"),
                dg.TableColumn("bytes", type="int"),
                dg.TableColumn("sha256"),
            ]
        ),
    )


def column_schema(columns: pa.Schema) -> dg.TableSchema:
    """Arrow columns as Dagster shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name, type=str(column.type), constraints=dg.TableColumnConstraints(nullable=False)
            )
            for column in columns
        ]
    )


def picture(png: bytes, title: str) -> dg.MetadataValue:
    """A PNG that Dagster shows in place."""
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})")


def recorded(run: TrackedMaterialization, unavailable: str | None) -> Metadata:
    """Link to the MLflow run, and why it is not there or not whole."""
    if run.link is None:
        lost = f"not recorded: {unavailable or 'no tracking configured'}"
        return {"mlflow_run": dg.MetadataValue.text(lost)}
    described: Metadata = {"mlflow_run": dg.MetadataValue.url(run.link)}
    if unavailable:
        described["mlflow_run_incomplete"] = dg.MetadataValue.text(unavailable)
    return described


def run_links(
    context: dg.AssetExecutionContext, tracker: MlflowTracker, run: TrackedMaterialization
) -> "tuple[RunLink, ...]":
    """The Dagster run and, if there is one, the MLflow run, for a page to link to."""
    from skip_pipeline.report.html import RunLink

    dagster = RunLink("Dagster run", context.run.run_id, tracker.run_url(context.run.run_id))
    return (dagster, RunLink("MLflow run", run.run_id, run.link)) if run.run_id else (dagster,)


def score_table(scores: "Mapping[str, SplitScores]") -> dg.MetadataValue:
    """One row of scores per split."""
    return dg.MetadataValue.table(
        [dg.TableRecord({"split": split, **dataclasses.asdict(row)}) for split, row in scores.items()]
    )


_LEADERBOARD_COLUMNS: Mapping[str, str] = {
    "rank": "int",
    "model": "string",
    "log_loss": "float",
    "log_loss_difference": "float",
    "log_loss_difference_low": "float",
    "log_loss_difference_high": "float",
    "accuracy": "float",
    "roc_auc": "float",
    "pr_auc": "float",
    "brier": "float",
    "ece": "float",
    "parameters": "int",
    "seconds": "float",
}
"""As many as a person reads in Dagster; MLflow has all."""


def leaderboard(rows: Sequence[Mapping[str, str | int | float | None]]) -> dg.MetadataValue:
    """One row of scores per model, the best first; what a model lacks stays empty."""
    return dg.MetadataValue.table(
        [dg.TableRecord({name: row[name] for name in _LEADERBOARD_COLUMNS}) for row in rows],
        schema=dg.TableSchema(
            columns=[dg.TableColumn(name, type=type_) for name, type_ in _LEADERBOARD_COLUMNS.items()]
        ),
    )


def check_specs(asset: str, names: Sequence[str]) -> list[dg.AssetCheckSpec]:
    """Blocking checks of these names on one asset."""
    return [dg.AssetCheckSpec(name, asset=asset, blocking=True) for name in names]


def check_result(finding: Finding, asset: str, *, severity: dg.AssetCheckSeverity) -> dg.AssetCheckResult:
    """A finding as the result of the asset check of its name."""
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=finding.name,
        passed=finding.passed,
        severity=severity,
        metadata=dict(finding.facts),
    )


_MLFLOW_TYPES: Mapping[str, str] = {
    "string": "string",
    "bool": "boolean",
    "int8": "integer",
    "int16": "integer",
    "int32": "integer",
    "float": "float",
    "double": "double",
}


def mlflow_columns(columns: pa.Schema) -> dict[str, str]:
    """MLflow's type of each Arrow column."""
    return {column.name: _MLFLOW_TYPES[str(column.type)] for column in columns}


def log_stage(run: TrackedMaterialization, manifest: Manifest, columns: pa.Schema | None = None) -> None:
    """What every published stage records in MLflow: source, digest, numbers, and a table's schema."""
    run.tags({DATA_SOURCE: manifest.data_source, "sha256": manifest.fingerprint})
    run.metrics({"rows": manifest.rows, "bytes": manifest.bytes, SECONDS: manifest.seconds})
    if columns is not None:
        run.json({column.name: str(column.type) for column in columns}, "schema.json")


def log_delivered(
    run: TrackedMaterialization,
    asset: str,
    records: Sequence[FileRecord],
    folder: Path,
    columns: pa.Schema,
    rows: int,
) -> None:
    """Record in MLflow which raw files the run read."""
    size = sum(record.bytes for record in records)
    facts = DatasetFacts(name=asset, digest=fingerprint(tuple(records)), rows=rows, bytes=size)
    run.dataset(facts, folder, mlflow_columns(columns), "input")


def log_input(
    run: TrackedMaterialization,
    manifest: Manifest,
    folder: Path,
    columns: pa.Schema,
    context: str = "input",
) -> None:
    """Record in MLflow which published stage the run read."""
    facts = DatasetFacts(manifest.stage, manifest.fingerprint, manifest.rows, manifest.bytes)
    run.dataset(facts, folder, mlflow_columns(columns), context)


def log_bundles(run: TrackedMaterialization, manifest: Manifest, folder: Path, context: str) -> None:
    """Record in MLflow which bundles the run read; a branch counts as one tensor."""
    branches = pa.schema([(name, pa.float32()) for name in (*schema.BRANCH_SHAPES, schema.LABEL)])
    log_input(run, manifest, folder, branches, context)


def epoch_metrics(epoch: EpochReport) -> dict[str, float]:
    """One epoch of training as metrics."""
    return {
        "loss": epoch.loss,
        "accuracy": epoch.accuracy,
        "validation_loss": epoch.validation_loss,
        "validation_accuracy": epoch.validation_accuracy,
        "learning_rate": epoch.learning_rate,
        "epoch_seconds": epoch.seconds,
    }


def result(tracker: MlflowTracker, run: TrackedMaterialization, metadata: Metadata) -> dg.MaterializeResult:
    """A materialization whose data version is its files' digest, linked to its MLflow run."""
    return dg.MaterializeResult(
        metadata=metadata | recorded(run, tracker.unavailable),
        data_version=dg.DataVersion(str(metadata["sha256"].value)),
    )
