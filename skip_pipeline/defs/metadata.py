"""Values as Dagster metadata: tables, column schemas, pictures, and the results of checks."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from skip_pipeline.settings import FILES_SHOWN
from skip_pipeline.stages.findings import Finding
from skip_pipeline.storage import FileRecord

_COLOURS = 128  # of a picture in Dagster's event log; a plot has fewer, apart from the edges of its letters


def table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str] | None = None) -> dg.MetadataValue:
    """Rows as a table; Dagster infers the columns' types from the first row unless they are given.

    Args:
        rows: values by column.
        columns: type by name of the columns to show, such as ``float``; None for all.
    """
    if columns is None:
        return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows])
    return dg.MetadataValue.table(
        [dg.TableRecord({name: row[name] for name in columns}) for row in rows],
        schema=dg.TableSchema(columns=[dg.TableColumn(name, type=type_) for name, type_ in columns.items()]),
    )


def file_table(records: Sequence[FileRecord]) -> dg.MetadataValue:
    """Name, bytes and SHA-256 of the first files; the manifest beside the files has all."""
    return table(
        ({"file": r.name, "bytes": r.bytes, "sha256": r.sha256} for r in records[:FILES_SHOWN]),
        {"file": "string", "bytes": "int", "sha256": "string"},
    )


def column_schema(columns: pa.Schema) -> dg.TableSchema:
    """Arrow columns, none of which may hold nulls."""
    required = dg.TableColumnConstraints(nullable=False)
    return dg.TableSchema(
        columns=[dg.TableColumn(c.name, type=str(c.type), constraints=required) for c in columns]
    )


def picture(png: bytes, title: str) -> dg.MetadataValue:
    """A PNG that Dagster shows in place, with fewer colours and a third of the bytes."""
    from PIL import Image

    small = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(_COLOURS).save(small, "PNG", optimize=True)
    encoded = base64.b64encode(small.getvalue()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{encoded})")


def check_specs(asset: str, names: Iterable[str]) -> list[dg.AssetCheckSpec]:
    """Blocking checks of these names on one asset."""
    return [dg.AssetCheckSpec(name, asset=asset, blocking=True) for name in names]


def check_results(
    asset: str, findings: Iterable[Finding], *, warnings: Iterable[str] = ()
) -> list[dg.AssetCheckResult]:
    """Each finding as the result of the check of its name.

    Args:
        asset: that was checked.
        findings: what was found.
        warnings: names of the checks that stop nothing.
    """
    return [
        dg.AssetCheckResult(
            asset_key=asset,
            check_name=finding.name,
            passed=finding.passed,
            severity=dg.AssetCheckSeverity.WARN if finding.name in warnings else dg.AssetCheckSeverity.ERROR,
            metadata=dict(finding.facts),
        )
        for finding in findings
    ]
