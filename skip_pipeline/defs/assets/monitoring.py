"""The newest data beside what the champion was trained on, as an asset whose checks warn."""

from datetime import UTC, datetime

import dagster as dg

from skip_pipeline.code_version import asset_version
from skip_pipeline.defs import describe
from skip_pipeline.defs.registry import Registry
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.served_model import CHAMPION
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.errors import SkipPipelineError
from skip_pipeline.nightly.monitoring import DRIFT_FILE, SIGNALS, MonitoringReport, monitor, not_compared
from skip_pipeline.settings import OWNER, DataLayout, DataSource
from skip_pipeline.storage import publish, read_manifest, write_json


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
    """How far the shards that have come since the champion was trained are from what it was trained on.

    Every feature, the outcomes, unknown levels and tracks, volume, dates, and the champion's own
    probabilities. What has moved is named in a warning; nothing is stopped.
    """
    layout = data.layout()
    with tracker.materialization(context) as run:
        before = read_manifest(layout.bundles, made_by="tensor_bundles")
        describe.log_bundles(run, before, layout.bundles, context="monitoring")
        night, version = _night(Registry(tracker.client(), tracker.tracking_uri), layout, before.data_source)
        folder = layout.monitoring
        with publish(
            folder, stage="data_drift", data_source=before.data_source, started=run.started
        ) as staging:
            write_json(staging.path(DRIFT_FILE), night.to_json() | {CHAMPION: version})
            staging.rows = night.sessions
        describe.log_stage(run, staging.manifest)
        run.tags({"alarms": "; ".join(night.alarms)[:2_000] or "none", CHAMPION: version or "none"})
        run.headline({"drift_alarms": float(len(night.alarms))})
        run.artifact(folder / DRIFT_FILE)
        pictures = _pictures(night, before.data_source)
        for name, png in pictures.items():
            run.image(png, name)
    for alarm in night.alarms:
        context.log.warning(alarm)
    metadata: describe.Metadata = {
        "alarms": dg.MetadataValue.text("\n".join(night.alarms) or "none"),
        CHAMPION: dg.MetadataValue.text(version or "none"),
        "new_shards": dg.MetadataValue.int(len(night.new_shards)),
        **{name: describe.picture(png, name) for name, png in pictures.items()},
        **describe.stage(staging.manifest, folder),
    }
    result = describe.result(tracker, run, metadata)
    return result._replace(
        check_results=[
            dg.AssetCheckResult(
                asset_key="data_drift",
                check_name=signal.name,
                passed=not signal.alarm,
                severity=dg.AssetCheckSeverity.WARN,
                description=signal.message,
                metadata={"says": signal.message, **signal.facts},
            )
            for signal in night.signals
        ]
    )


def _night(registry: Registry, layout: DataLayout, source: DataSource) -> tuple[MonitoringReport, str | None]:
    """The night, and the version that it was compared with."""
    from skip_pipeline.nightly.reference import read_reference
    from skip_pipeline.serving import load

    version = None
    try:
        version = registry.aliases().get(CHAMPION)
        if version is None:
            return not_compared("there is no champion yet", alarm=False), None
        with registry.fetched(version) as folder:
            reference, champion = read_reference(folder), load(folder)
            if reference.data_source != source:
                why = f"version {version} was trained on {reference.data_source} data, and this is {source}"
                return not_compared(why, alarm=True), version
            today = datetime.now(UTC).date()
            return monitor(layout, reference, champion, today=today), version
    except SkipPipelineError as refusal:
        # Monitoring only warns. If the registry is unreachable, promotion fails and names the remedy.
        why = str(refusal) if version is None else f"version {version}: {refusal}"
        return not_compared(why, alarm=True), version


def _pictures(night: MonitoringReport, source: DataSource) -> dict[str, bytes]:
    from skip_pipeline.report import drift_plots

    if not night.drifts:
        return {}
    *features, scores = night.drifts
    return {
        "drift": drift_plots.drift([*features, scores], source),
        "distributions": drift_plots.distributions([*features[:3], scores], source),
    }
