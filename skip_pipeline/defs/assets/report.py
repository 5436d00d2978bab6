"""The evaluation report as an asset: the only asset that scores test sessions."""

import dagster as dg

from skip_pipeline.defs import metadata
from skip_pipeline.defs.assets.pipeline_asset import pipeline_asset
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.serving.model_folder import SERVED_MODEL, read_description
from skip_pipeline.settings import METRICS_FILE, PREDICTIONS_FILE, REPORT_FILE

_SHOWN_PLOTS = ("calibration", "roc", "confusion_matrix")  # the other plots are of earlier assets
# The columns that fit on a page of Dagster; MLflow keeps all.
_INTEGERS = ("rank", "parameters")
_LEADERBOARD = (
    "rank", "model", "log_loss", "log_loss_difference", "log_loss_difference_low", "log_loss_difference_high",
    "accuracy", "roc_auc", "pr_auc", "brier", "ece", "parameters", "seconds",
)  # fmt: skip
_LEADERBOARD_COLUMNS = {
    name: "int" if name in _INTEGERS else "string" if name == "model" else "float" for name in _LEADERBOARD
}


@pipeline_asset(
    "report",
    kinds={"sklearn", "html"},
    deps=["best_model", "trained_model", "baseline_models", "tensor_bundles", "merged_table"],
)
def evaluation_report(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker
) -> dg.MaterializeResult:
    """How good the model is, on test sessions that chose nothing: no weight, no stop, no champion.

    A leaderboard with every baseline, curves, slices, the importance of each input, and the worst mistakes:
    metrics.json for programs, report.html for people. predictions.parquet has the probability of every test
    session. All probabilities of the network are calibrated on the validation sessions.
    """
    layout = data.layout()
    with tracker.materialization(context) as record:
        before = record.read_stage(layout, "bundles", "evaluation")

        # scikit-learn and matplotlib take seconds to import.
        from skip_pipeline.report.make import make_report

        made = make_report(
            layout,
            links=tracker.run_links(context, record),
            runs={"dagster": context.run.run_id, "mlflow": record.run_id},
            started=record.started,
        )
        found = made.evaluation
        scores = [{"split": split, **vars(row)} for split, row in found.scores.items()]
        record.show(
            {
                "headline": found.headline,
                "verdict": found.sentences["verdict"],
                "leaderboard": metadata.table(found.leaderboard.rows(), _LEADERBOARD_COLUMNS),
                "scores": metadata.table(scores),
            }
        )
        for name, plot in made.plots.items():
            record.picture(name, plot.png, plot.title, shown=name in _SHOWN_PLOTS)
        record.headline(found.headline_metrics())
        served = read_description(layout.best / SERVED_MODEL)
        record.scored(served.fingerprint, found.headline_metrics(), before)
        record.numbers(found.oracle_metrics())
        record.metrics(found.comparison_metrics())
        record.json(found.leaderboard.table(), "leaderboard.json")
        described = {"data": mark} if (mark := record.description.mark) else {}
        record.parent_tags({"data_source": before.data_source, "preset": made.preset} | described)
        record.show({"report": dg.MetadataValue.path(layout.report / REPORT_FILE)})
        record.made(made.manifest, layout.report)
        record.page("Evaluation report", layout.report / REPORT_FILE)
        for name in (METRICS_FILE, PREDICTIONS_FILE):
            record.artifact(layout.report / name)
    return record.result()
