"""The predictors that a network has to beat, as an asset."""

from dataclasses import asdict

import dagster as dg

from skip_pipeline import schema
from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.code_version import asset_version
from skip_pipeline.defs import metadata
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.settings import BASELINE_FITS_FILE, BASELINE_SEED, BASELINE_SESSIONS, OWNER
from skip_pipeline.storage import publish


@dg.asset(
    group_name="model",
    kinds={"sklearn", "parquet"},
    owners=[OWNER],
    code_version=asset_version("baseline_models"),
    deps=["tensor_bundles"],
)
def baseline_models(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker
) -> dg.MaterializeResult:
    """Predictions of validation and test sessions by four models without a network.

    Majority class, last outcome, logistic regression and gradient-boosted trees on hand-made features, fitted
    to training sessions. The scores here are of validation sessions; only the report scores test sessions.
    """
    layout = data.layout()
    with tracker.materialization(context) as record:
        before = record.read_bundles(layout, "training")
        record.params({"seed": BASELINE_SEED, "most_sessions": BASELINE_SESSIONS})
        bundles = open_bundles(before)

        # scikit-learn takes a second to import.
        from skip_pipeline.baselines.fit import fit_baselines
        from skip_pipeline.baselines.predictions import write_baselines
        from skip_pipeline.metrics.scores import score

        with publish(
            layout.baselines, stage="baseline_models", data_source=before.data_source, started=record.started
        ) as staging:
            baselines = fit_baselines(bundles)
            staging.rows = write_baselines(staging.folder, baselines, bundles, data_source=before.data_source)
            staging.details |= {
                "bundles": before.fingerprint,
                "training_sessions": {baseline.name: baseline.sessions for baseline in baselines},
            }
        rows = []
        for baseline in baselines:
            of_validation = score(bundles["validation"].not_skipped, baseline.p_not_skipped["validation"])
            scores = {f"validation_{k}": v for k, v in asdict(of_validation).items() if k != "sessions"}
            measured = scores | {"seconds": baseline.seconds}
            record.metrics({f"{baseline.name}_{name}": value for name, value in measured.items()})
            record.show({f"{baseline.name}_validation_log_loss": scores["validation_log_loss"]})
            sizes = {
                "training_sessions": baseline.sessions or 0,
                "parameters": baseline.parameters or 0,
                "seconds": round(baseline.seconds, 3),
            }
            rows.append({"baseline": baseline.title} | scores | sizes)
        record.show({"validation_scores": metadata.table(rows), "most_training_sessions": BASELINE_SESSIONS})
        record.made(staging.manifest, layout.baselines, schema.BASELINE_PREDICTIONS)
        record.artifact(layout.baselines / BASELINE_FITS_FILE)
    return record.result()
