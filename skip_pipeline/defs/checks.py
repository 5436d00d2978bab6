"""Blocking checks over what the assets have published, one step per asset, from the files on disk.

What holds while a file is being read is checked by the ingest assets themselves. Every property below
comes from ``contracts``, and most of those from ``schema``; a failed one stops everything downstream.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import dagster as dg

from skip_pipeline import contracts, schema
from skip_pipeline.contracts import Finding, TableContract
from skip_pipeline.defs import describe
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.errors import ContractError
from skip_pipeline.flow.bundle import find_leaks, open_bundle, shard_parts
from skip_pipeline.flow.ingest import read_session_log
from skip_pipeline.raw_folder import find_session_logs
from skip_pipeline.settings import METRICS_FILE, SESSIONS_FOLDER, DataLayout
from skip_pipeline.storage import read_columns, read_json, read_manifest, read_table, shard_names


def _results(asset: str, findings: Sequence[Finding]) -> Iterator[dg.AssetCheckResult]:
    for finding in findings:
        yield describe.check_result(finding, asset, severity=dg.AssetCheckSeverity.ERROR)


def _rows_delivered(layout: DataLayout) -> int:
    return sum(read_session_log(path).num_rows for path in find_session_logs(layout.raw))


def _rows_merged(layout: DataLayout) -> int:
    return read_manifest(layout.merged, made_by="merged_table").rows


def _rows_encoded(layout: DataLayout) -> int:
    return read_manifest(layout.encoded, made_by="encoded_table").rows


def _table_checks(
    contract: TableContract,
    folder: Callable[[DataLayout], Path],
    rows_before: Callable[[DataLayout], int],
) -> dg.AssetChecksDefinition:
    """The checks of one table, whose rows must be as many as those of the stage before."""

    @dg.multi_asset_check(
        name=f"{contract.asset}_checks", specs=describe.check_specs(contract.asset, contract.findings)
    )
    def checks(data: DataDirectory) -> Iterator[dg.AssetCheckResult]:
        layout = data.layout()
        findings = contracts.judge_table(folder(layout), contract, expected_rows=rows_before(layout))
        yield from _results(contract.asset, findings)

    return checks


@dg.multi_asset_check(
    specs=describe.check_specs(
        "tensor_bundles", (contracts.SHAPES, contracts.SESSIONS_ONCE, contracts.NO_LEAK)
    )
)
def tensor_bundles_checks(data: DataDirectory) -> Iterator[dg.AssetCheckResult]:
    """Shapes, sessions that add up, and no way for the label to reach an input."""
    layout = data.layout()
    shards = shard_names(read_manifest(layout.scaled, made_by="scaled_table"))
    tables = {name: layout.scaled / SESSIONS_FOLDER / name for name in shards}
    try:
        bundles, fault = {split: open_bundle(layout.bundles, split) for split in schema.SPLITS}, ""
    except ContractError as broken:
        bundles, fault = {}, str(broken)
    yield from _results(
        "tensor_bundles",
        contracts.judge_bundles(
            bundles, fault, expected_sessions=sum(read_columns(path)[1] for path in tables.values())
        ),
    )
    if fault:
        yield from _results(
            "tensor_bundles",
            [Finding(contracts.NO_LEAK, False, {"not judged": f"{contracts.SHAPES} must pass first"})],
        )
        return
    leaks = {
        name: find_leaks(
            read_table(layout.scaled / name, schema.SCALED), read_table(tables[name], schema.SESSIONS), part
        )
        for name, part in shard_parts(bundles, shards)
    }
    leaking = {name: ", ".join(report.leaking) for name, report in leaks.items() if report.leaking}
    tried = sum(report.sessions for report in leaks.values())
    yield from _results(
        "tensor_bundles", [Finding(contracts.NO_LEAK, not leaking, {"sessions tried": tried, **leaking})]
    )


@dg.multi_asset_check(
    specs=describe.check_specs("evaluation_report", (contracts.BEATS_MAJORITY,)),
)
def evaluation_report_checks(data: DataDirectory) -> Iterator[dg.AssetCheckResult]:
    """A model that does not beat always giving the commoner answer is not worth reporting."""
    layout = data.layout()
    read_manifest(layout.report, made_by="evaluation_report")
    metrics = read_json(layout.report / METRICS_FILE)
    accuracy, majority = metrics["test"]["accuracy"], metrics["baselines"]["majority"]["accuracy"]
    facts = {"test accuracy": accuracy, "majority class": majority}
    yield from _results("evaluation_report", [Finding(contracts.BEATS_MAJORITY, accuracy > majority, facts)])


ALL_CHECKS = (
    _table_checks(contracts.MERGED, lambda layout: layout.merged, _rows_delivered),
    _table_checks(contracts.ENCODED, lambda layout: layout.encoded, _rows_merged),
    _table_checks(contracts.SCALED, lambda layout: layout.scaled, _rows_encoded),
    tensor_bundles_checks,
    evaluation_report_checks,
)
