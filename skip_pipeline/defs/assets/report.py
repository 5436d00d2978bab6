"""The evaluation report as an asset: the one place where test sessions are scored."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from skip_pipeline import schema
from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.code_version import asset_version
from skip_pipeline.defs import describe
from skip_pipeline.defs.assets.baselines import published_baselines
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.settings import (
    CALIBRATION_FILE,
    HISTORY_FILE,
    METRICS_FILE,
    ONNX_FILE,
    OWNER,
    PREDICTIONS_FILE,
    REPORT_FILE,
    TRAINING_FILE,
    DataLayout,
)
from skip_pipeline.stages import bundle
from skip_pipeline.storage import Manifest, publish, read_json, read_manifest, write_json, write_table
from skip_pipeline.training.history import history_from_json

if TYPE_CHECKING:
    from skip_pipeline.report.report_page import DataRow

_FILES = (REPORT_FILE, METRICS_FILE, PREDICTIONS_FILE)
_LEADERBOARD = "leaderboard.json"  # among the artifacts, as MLflow itself writes a table
_SHOWN_PLOTS = ("calibration", "roc", "confusion_matrix")


@dg.asset(
    group_name="report",
    kinds={"sklearn", "html"},
    owners=[OWNER],
    code_version=asset_version("evaluation_report"),
    deps=["trained_model", "baseline_models", "tensor_bundles", "merged_table"],
)
def evaluation_report(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker
) -> dg.MaterializeResult:
    """How good the model is, on test sessions that neither training nor early stopping has seen.

    A leaderboard with every baseline, curves, slices, the importance of inputs and the worst predictions:
    metrics.json for programs, report.html for people. predictions.parquet has every test session's
    probability, calibrated on the validation sessions as are all of the network's here.
    """
    layout = data.layout()
    with tracker.materialization(context) as run:
        before = read_manifest(layout.bundles, made_by="tensor_bundles")
        model = read_manifest(layout.model, made_by="trained_model")
        if model.details["bundles"] != before.fingerprint:
            raise ContractError(
                f"{layout.model} was trained on other bundles than those in {layout.bundles}; expected a "
                "model and the bundles it comes from. Materialize trained_model again"
            )
        describe.log_bundles(run, before, layout.bundles, context="evaluation")
        bundles = open_bundles(before)
        rivals, baselines = published_baselines(layout, before, bundles)
        merged, *tables = _table_manifests(layout)
        manifests = (merged, *tables, before, model, rivals)
        history, best_epoch = history_from_json(read_json(model.path(HISTORY_FILE)))
        settings = read_json(model.path(TRAINING_FILE))

        # scikit-learn and matplotlib: seconds that nothing but a run may cost.
        from skip_pipeline.report import evaluation, report_page
        from skip_pipeline.report.oracle import find_oracle
        from skip_pipeline.report.session_attributes import read_session_attributes
        from skip_pipeline.training.onnx_model import open_onnx, predict_onnx

        network = open_onnx(model.path(ONNX_FILE))  # what is served, so what is judged
        p_not_skipped = {split: predict_onnx(network, bundles[split]) for split in schema.SPLITS}
        result = evaluation.evaluate_model(
            bundles,
            p_not_skipped,
            lambda inputs: predict_onnx(network, inputs),
            evaluation.network_model(
                settings["preset"],
                parameters=model.details["parameters"],
                seconds=sum(epoch.seconds for epoch in history),
            ),
            read_session_attributes(merged.path, bundles["train"], bundles["test"]),
            baselines=baselines,
            calibration=Calibration.from_json(read_json(model.path(CALIBRATION_FILE))),
            # The one asset that may look: to a model the oracle would be the answer.
            oracle=find_oracle(layout.raw),
        )
        plots = report_page.draw_plots(
            result,
            balance=bundle.class_balance(before),
            lengths=bundle.session_lengths(before),
            history=history,
            best_epoch=best_epoch,
            data_source=before.data_source,
        )
        with publish(
            layout.report, stage="evaluation_report", data_source=before.data_source, started=run.started
        ) as staging:
            write_table(
                evaluation.predictions_table(bundles["test"], result.p_not_skipped),
                staging.path(PREDICTIONS_FILE),
                schema.PREDICTIONS,
                data_source=before.data_source,
            )
            html = report_page.render_report(
                result,
                plots,
                data_source=before.data_source,
                made_at=f"{datetime.now(UTC):%-d %B %Y, %H:%M} UTC",
                settings=settings,
                data=_data_rows(manifests),
                runs=describe.run_links(context, tracker, run),
            )
            staging.path(REPORT_FILE).write_text(html, encoding="utf-8")
            seconds = {
                **_ingest_seconds(context),
                **{m.stage: m.seconds for m in manifests},
                "evaluation_report": round(time.perf_counter() - run.started, 3),
            }
            facts = {
                "data_source": before.data_source,
                "preset": settings["preset"],
                "seconds": seconds,
                "run": {
                    "dagster": context.run.run_id,
                    "mlflow": run.run_id,
                    "training_seconds": result.leaderboard.seconds(),
                },
            }
            write_json(staging.path(METRICS_FILE), result.metrics() | facts)
            staging.rows = bundles["test"].sessions
        describe.log_stage(run, staging.manifest)
        run.headline(result.headline_metrics())
        run.metrics(result.oracle_metrics() | result.comparison_metrics())
        run.json(result.leaderboard.table(), _LEADERBOARD)
        run.parent_tags({describe.DATA_SOURCE: before.data_source, "preset": settings["preset"]})
        for name in _FILES:
            run.artifact(layout.report / name)
        for name, plot in plots.items():
            run.image(plot.png, name)
    # What a person looks for comes first.
    metadata: describe.Metadata = {
        "headline": dg.MetadataValue.text(result.headline),
        "verdict": dg.MetadataValue.text(result.sentences["verdict"]),
        "leaderboard": describe.leaderboard(result.leaderboard.rows()),
        "scores": describe.score_table(result.scores),
        **{name: describe.picture(plots[name].png, plots[name].title) for name in _SHOWN_PLOTS},
        **{
            name: dg.MetadataValue.float(value)
            for name, value in (result.headline_metrics() | result.oracle_metrics()).items()
        },
        "report": dg.MetadataValue.path(layout.report / REPORT_FILE),
        **describe.stage(staging.manifest, layout.report),
    }
    return describe.result(tracker, run, metadata)


def _ingest_seconds(context: dg.AssetExecutionContext) -> dict[str, float]:
    """Seconds of the ingest assets, which leave no manifest, from what Dagster knows of them."""
    seconds = {}
    for name in ("session_logs", "track_features"):
        event = context.instance.get_latest_materialization_event(dg.AssetKey(name))
        if event and event.asset_materialization:
            value = event.asset_materialization.metadata.get(describe.SECONDS)
            if isinstance(value, dg.FloatMetadataValue) and value.value is not None:
                seconds[name] = value.value
    return seconds


def _table_manifests(layout: DataLayout) -> tuple[Manifest, ...]:
    return (
        read_manifest(layout.merged, made_by="merged_table"),
        read_manifest(layout.encoded, made_by="encoded_table"),
        read_manifest(layout.scaled, made_by="scaled_table"),
    )


def _data_rows(manifests: Iterable[Manifest]) -> "tuple[DataRow, ...]":
    from skip_pipeline.report.report_page import DataRow

    return tuple(
        DataRow(name=m.stage, rows=m.rows, files=len(m.files), bytes=m.bytes, sha256=m.fingerprint)
        for m in manifests
    )
