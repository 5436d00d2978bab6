"""Drift of the newest data from what the champion was trained on, as an asset whose checks warn."""

from datetime import UTC, datetime

import dagster as dg

from skip_pipeline.code_version import asset_version
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.nightly.monitoring import DRIFT_FILE, SIGNALS, MonitoringReport
from skip_pipeline.nightly.promotion_record import CHAMPION, LONGEST_TAG, NO_VERSION
from skip_pipeline.settings import OWNER, DataSource
from skip_pipeline.storage import publish, write_json


@dg.asset(
    group_name="monitoring",
    kinds={"parquet", "mlflow"},
    owners=[OWNER],
    code_version=asset_version("data_drift"),
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
        before = record.read_bundles(layout, "monitoring")

        from skip_pipeline.nightly.champion import compare_data

        today = datetime.now(UTC).date()
        night, version = compare_data(tracker.registry(), layout, before.data_source, today=today)
        with publish(
            folder, stage="data_drift", data_source=before.data_source, started=record.started
        ) as staging:
            write_json(staging.path(DRIFT_FILE), night.to_json() | {CHAMPION: version})
            staging.rows = night.sessions
        record.tags(
            {"alarms": "; ".join(night.alarms)[:LONGEST_TAG] or "none", CHAMPION: version or NO_VERSION}
        )
        record.show({"alarms": "\n".join(night.alarms) or "none", CHAMPION: version or NO_VERSION})
        record.show({"new_shards": len(night.new_shards)})
        for name, png in _pictures(night, before.data_source).items():
            record.picture(name, png)
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


def _pictures(night: MonitoringReport, source: DataSource) -> dict[str, bytes]:
    """The three features that have changed most, and the champion's probabilities; none without drifts."""
    from skip_pipeline.report import drift_plots

    if not night.drifts:
        return {}
    *features, scores = night.drifts
    return {
        "drift": drift_plots.drift([*features, scores], source),
        "distributions": drift_plots.distributions([*features[:3], scores], source),
    }
