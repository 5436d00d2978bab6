"""Drift of the newest data from what the champion was trained on, as an asset whose checks warn."""

from datetime import UTC, datetime

import dagster as dg

from skip_pipeline.defs.assets.pipeline_asset import pipeline_asset
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.nightly.monitoring import DRIFT_FILE, SIGNALS
from skip_pipeline.nightly.promotion_record import CHAMPION, LONGEST_TAG, NO_VERSION
from skip_pipeline.storage import publish, write_json


@pipeline_asset(
    "monitoring",
    kinds={"parquet", "mlflow"},
    deps=["tensor_bundles", "merged_table"],
    check_specs=[
        dg.AssetCheckSpec(name, asset="data_drift", description=text) for name, text in SIGNALS.items()
    ],
)
def data_drift(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker
) -> dg.MaterializeResult:
    """How far the shards delivered since the champion was trained are from what it was trained on.

    Compared are every feature, the outcomes, unknown levels and tracks, volume, dates, and the champion's own
    probabilities. A warning names whatever has changed; nothing is stopped.
    """
    layout, folder = data.layout(), data.layout().monitoring
    with tracker.materialization(context) as record:
        before = record.read_stage(layout, "bundles", "monitoring")

        from skip_pipeline.nightly.champion import compare_data

        today = datetime.now(UTC).date()
        night, version = compare_data(tracker.registry(), layout, before.data_source, today=today)
        with publish(
            folder, stage="data_drift", data_source=before.data_source, started=record.started
        ) as staging:
            write_json(staging.path(DRIFT_FILE), night.to_json() | {CHAMPION: version})
            staging.rows = night.sessions
        champion = {CHAMPION: version or NO_VERSION}
        record.tags({"alarms": "; ".join(night.alarms)[:LONGEST_TAG] or "none"} | champion)
        record.show({"alarms": "\n".join(night.alarms) or "none"} | champion)
        record.show({"new_shards": len(night.new_shards)})
        if night.drifts:
            from skip_pipeline.report import drift_plots

            *features, scores = night.drifts
            changed_most, mark = [*features[:3], scores], record.description.mark
            record.picture("drift", drift_plots.drift(night.drifts, mark))
            record.picture("distributions", drift_plots.distributions(changed_most, mark))
        record.headline({"drift_alarms": float(len(night.alarms))})
        record.made(staging.manifest, folder)
        record.artifact(folder / DRIFT_FILE)
    for alarm in night.alarms:
        context.log.warning(alarm)
    return record.result(
        dg.AssetCheckResult(
            asset_key="data_drift",
            check_name=signal.name,
            passed=not signal.alarm,
            severity=dg.AssetCheckSeverity.WARN,
            description=signal.message,
            metadata={"says": signal.message, **signal.facts},
        )
        for signal in night.signals
    )
