"""Values as Dagster metadata: tables and pictures; and findings as the results of checks."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from skip_pipeline.stages.findings import SENTENCES, Finding
from skip_pipeline.stages.lineage import Origins

_COLOURS = 128  # of a picture in Dagster's event log; a plot has fewer, apart from the edges of its letters


def table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str] | None = None) -> dg.MetadataValue:
    """Rows as a table of the columns to show, by name and type; None for all, typed by the first row."""
    if columns is None:
        return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows])
    return dg.MetadataValue.table(
        [dg.TableRecord({name: row[name] for name in columns}) for row in rows],
        schema=dg.TableSchema(columns=[dg.TableColumn(name, type=type_) for name, type_ in columns.items()]),
    )


def picture(png: bytes, title: str) -> dg.MetadataValue:
    """A PNG that Dagster shows in place, with fewer colours and a third of the bytes."""
    from PIL import Image

    small = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(_COLOURS).save(small, "PNG", optimize=True)
    encoded = base64.b64encode(small.getvalue()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{encoded})")


def linked_picture(address: str, title: str, page: str) -> dg.MetadataValue:
    """A picture of MLflow's, which Dagster shows in place because the text has under 1,000 characters."""
    return dg.MetadataValue.md(f"[![{title}]({address})]({page})")


def columns(types: Mapping[str, str], origins: Origins) -> dict[str, Any]:
    """Types and origins of an asset's columns, for its definition, where no run stores them again.

    Dagster's own page shows no lineage of columns, so that each column is described by its origins, too.
    """
    deps = {
        column: [dg.TableColumnDep(asset_key=asset, column_name=origin) for asset, origin in of_column]
        for column, of_column in origins.items()
    }
    shown = [dg.TableColumn(name, type_, description=_from(origins[name])) for name, type_ in types.items()]
    return {
        "dagster/column_schema": dg.TableSchema(columns=shown),
        "dagster/column_lineage": dg.TableColumnLineage(deps),
    }


def _from(origins: Sequence[tuple[str, str]]) -> str:
    """The origins of a column in words; those of one asset together."""
    assets = dict.fromkeys(asset for asset, _ in origins)
    named = {asset: [column for of, column in origins if of == asset] for asset in assets}
    return "; ".join(f"from {', '.join(columns)} of {asset}" for asset, columns in named.items())


def check_specs(asset: str, names: Iterable[str]) -> list[dg.AssetCheckSpec]:
    """Blocking checks of these names on one asset."""
    return [
        dg.AssetCheckSpec(name, asset=asset, blocking=True, description=SENTENCES[name]) for name in names
    ]


def check_results(
    asset: str, findings: Iterable[Finding], *, warnings: Sequence[str] = ()
) -> list[dg.AssetCheckResult]:
    """Each finding as the result of the check of its name; those among ``warnings`` stop nothing."""
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
