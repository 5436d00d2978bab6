"""Blocking checks over what the assets have published, one step per asset, from the files on disk.

What holds while a file is being read is checked by the ingest assets themselves. Every property below
comes from ``stages.checks``, and most of those from ``schema``; a failed one stops everything downstream.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import dagster as dg

from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.defs import describe
from skip_pipeline.defs.resources import DataDirectory, ShardEngine
from skip_pipeline.errors import ContractError
from skip_pipeline.settings import METRICS_FILE, SESSIONS_FOLDER, DataLayout
from skip_pipeline.stages import checks as judging
from skip_pipeline.stages import findings as named
from skip_pipeline.stages import flow as stages
from skip_pipeline.stages.checks import TableContract
from skip_pipeline.stages.findings import Finding
from skip_pipeline.storage import read_columns, read_json, read_manifest, shard_names


def _results(asset: str, findings: Sequence[Finding]) -> Iterator[dg.AssetCheckResult]:
    for finding in findings:
        yield describe.check_result(finding, asset, severity=dg.AssetCheckSeverity.ERROR)


def _rows_delivered(layout: DataLayout) -> int:
    return stages.session_logs(layout).summary.rows  # reads only what has not been judged as it is now


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
    def checks(data: DataDirectory, engine: ShardEngine) -> Iterator[dg.AssetCheckResult]:
        layout = data.layout()
        with engine.applying(f"{contract.asset}_checks") as apply:
            findings = judging.judge_table(
                layout, folder(layout), contract, expected_rows=rows_before(layout), apply=apply
            )
        yield from _results(contract.asset, findings)

    return checks


@dg.multi_asset_check(
    specs=describe.check_specs("tensor_bundles", (named.SHAPES, named.SESSIONS_ONCE, named.NO_LEAK))
)
def tensor_bundles_checks(data: DataDirectory, engine: ShardEngine) -> Iterator[dg.AssetCheckResult]:
    """Shapes, sessions that add up, and no way for the label to reach an input."""
    layout = data.layout()
    scaled = read_manifest(layout.scaled, made_by="scaled_table")
    tables = [scaled.path(f"{SESSIONS_FOLDER}/{name}") for name in shard_names(scaled)]
    try:
        bundles, fault = open_bundles(layout.bundles), ""
    except ContractError as broken:
        bundles, fault = {}, str(broken)
    sessions = sum(read_columns(path)[1] for path in tables)
    yield from _results("tensor_bundles", judging.judge_bundles(bundles, fault, expected_sessions=sessions))
    if fault:
        yield from _results(
            "tensor_bundles",
            [Finding(named.NO_LEAK, False, {"not judged": f"{named.SHAPES} must pass first"})],
        )
        return
    with engine.applying("tensor_bundles_checks") as apply:
        leaks = judging.find_bundle_leaks(layout, apply=apply)
    leaking = {shard: ", ".join(inputs) for shard, inputs in leaks.items() if inputs}
    yield from _results(
        "tensor_bundles", [Finding(named.NO_LEAK, not leaking, {"sessions tried": sessions, **leaking})]
    )


@dg.multi_asset_check(
    specs=describe.check_specs("evaluation_report", (named.BEATS_MAJORITY,)),
)
def evaluation_report_checks(data: DataDirectory) -> Iterator[dg.AssetCheckResult]:
    """A model that does not beat always giving the commoner answer is not worth reporting."""
    layout = data.layout()
    metrics = read_json(read_manifest(layout.report, made_by="evaluation_report").path(METRICS_FILE))
    accuracy, majority = metrics["test"]["accuracy"], metrics["baselines"]["majority"]["accuracy"]
    facts = {"test accuracy": accuracy, "majority class": majority}
    yield from _results("evaluation_report", [Finding(named.BEATS_MAJORITY, accuracy > majority, facts)])


ALL_CHECKS = (
    _table_checks(judging.MERGED, lambda layout: layout.merged, _rows_delivered),
    _table_checks(judging.ENCODED, lambda layout: layout.encoded, _rows_merged),
    _table_checks(judging.SCALED, lambda layout: layout.scaled, _rows_encoded),
    tensor_bundles_checks,
    evaluation_report_checks,
)
