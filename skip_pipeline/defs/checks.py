"""Blocking checks of what the assets have published, one step per asset, from the files on disk.

The ingest assets check the delivered files while they read them. A failed check stops everything downstream.
A check of shards keeps its judgement of each shard in ``01_summaries``, so that a night judges only new ones.
"""

from collections.abc import Callable, Iterator, Sequence

import dagster as dg

from skip_pipeline import schema
from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.defs.metadata import check_results, check_specs
from skip_pipeline.defs.resources import DataDirectory, ShardEngine
from skip_pipeline.errors import ContractError
from skip_pipeline.settings import METRICS_FILE, SESSIONS_FOLDER, DataLayout
from skip_pipeline.stages import checks, findings
from skip_pipeline.stages import flow as stages
from skip_pipeline.stages.findings import Finding
from skip_pipeline.storage import Apply, read_columns, read_json, read_manifest, shard_names

Judge = Callable[[DataLayout, Apply], Sequence[Finding]]


def _checks(
    asset: str, names: Sequence[str], judge: Judge, warnings: Sequence[str] = ()
) -> dg.AssetChecksDefinition:
    """The checks of one asset, as one step; the judge gives a finding for each name.

    Those among ``warnings`` stop nothing.
    """

    @dg.multi_asset_check(name=f"{asset}_checks", specs=check_specs(asset, names))
    def asset_checks(data: DataDirectory, engine: ShardEngine) -> Iterator[dg.AssetCheckResult]:
        with engine.applying(f"{asset}_checks") as apply:
            found = judge(data.layout(), apply)
        yield from check_results(asset, found, warnings=warnings)

    return asset_checks


def _merged(layout: DataLayout, apply: Apply) -> Sequence[Finding]:
    delivered = stages.session_logs(layout).summary.rows  # reads only logs that have changed since the ingest
    return checks.judge_table(layout, layout.merged, checks.MERGED, expected_rows=delivered, apply=apply)


def _encoded(layout: DataLayout, apply: Apply) -> Sequence[Finding]:
    rows = read_manifest(layout.merged, made_by="merged_table").rows
    return checks.judge_table(layout, layout.encoded, checks.ENCODED, expected_rows=rows, apply=apply)


def _scaled(layout: DataLayout, apply: Apply) -> Sequence[Finding]:
    rows = read_manifest(layout.encoded, made_by="encoded_table").rows
    return checks.judge_table(layout, layout.scaled, checks.SCALED, expected_rows=rows, apply=apply)


def _bundles(layout: DataLayout, apply: Apply) -> Sequence[Finding]:
    """Shapes, sessions that add up, and no label in any input."""
    scaled = read_manifest(layout.scaled, made_by="scaled_table")
    tables = [scaled.path(f"{SESSIONS_FOLDER}/{shard}") for shard in shard_names(scaled)]
    sessions = sum(read_columns(table)[1] for table in tables)
    try:
        bundles = open_bundles(layout.bundles, schema.SPLITS)
    except ContractError as broken:
        unknown = Finding(findings.NO_LEAK, False, {"not judged": f"{findings.SHAPES} must pass first"})
        return *checks.judge_bundles({}, str(broken), expected_sessions=sessions), unknown
    leaks = checks.find_bundle_leaks(layout, apply=apply)
    leaking = {shard: ", ".join(inputs) for shard, inputs in leaks.items() if inputs}
    return (
        *checks.judge_bundles(bundles, "", expected_sessions=sessions),
        Finding(findings.NO_LEAK, not leaking, {"sessions tried": sessions, **leaking}),
    )


def _report(layout: DataLayout, _apply: Apply) -> Sequence[Finding]:
    """The model beats always predicting the commoner outcome: a warning, as test sessions decide nothing."""
    metrics = read_json(read_manifest(layout.report, made_by="evaluation_report").path(METRICS_FILE))
    accuracy, majority = metrics["test"]["accuracy"], metrics["baselines"]["majority"]["accuracy"]
    facts = {"test accuracy": accuracy, "majority class": majority}
    return (Finding(findings.BEATS_MAJORITY, accuracy > majority, facts),)


tensor_bundles_checks = _checks(
    "tensor_bundles", (findings.SHAPES, findings.SESSIONS_ONCE, findings.NO_LEAK), _bundles
)
ALL_CHECKS = (
    _checks("merged_table", checks.MERGED.findings, _merged),
    _checks("encoded_table", checks.ENCODED.findings, _encoded),
    _checks("scaled_table", checks.SCALED.findings, _scaled),
    tensor_bundles_checks,
    _checks("evaluation_report", (findings.BEATS_MAJORITY,), _report, warnings=(findings.BEATS_MAJORITY,)),
)
