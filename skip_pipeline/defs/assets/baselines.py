"""The predictors that a network has to beat, as an asset."""

from dataclasses import asdict

import dagster as dg
import numpy as np
from pydantic import Field

from skip_pipeline import schema
from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.defs import metadata
from skip_pipeline.defs.assets.pipeline_asset import pipeline_asset
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.networks.listening import all_played
from skip_pipeline.nightly.window import shards_in_window
from skip_pipeline.settings import BASELINE_FITS_FILE, BASELINE_SEED, BASELINE_SESSIONS, HANDMADE_FILE
from skip_pipeline.storage import publish


class BaselineConfig(dg.Config):
    """Which sessions the baselines learn from."""

    train_days: int | None = Field(
        default=None,
        description="Learn from the shards of this many newest days of the data only, at least 1, as "
        "trained_model; by default from all",
    )


@pipeline_asset("model", kinds={"sklearn", "parquet"}, deps=["tensor_bundles"])
def baseline_models(
    context: dg.AssetExecutionContext, config: BaselineConfig, data: DataDirectory, tracker: MlflowTracker
) -> dg.MaterializeResult:
    """Predictions of validation, gate and test sessions by four models without a network.

    Majority class, last outcome, logistic regression and gradient-boosted trees on hand-made features, fitted
    to training sessions, for the last track and for every track. Regression and trees are also kept as ONNX,
    so that best_model can choose them. The scores here are of validation sessions; only the report scores
    test sessions.
    """
    layout = data.layout()
    with tracker.materialization(context) as record:
        before = record.read_stage(layout, "bundles", "training")
        window = {"train_days": config.train_days}
        record.params({"seed": BASELINE_SEED, "most_sessions": BASELINE_SESSIONS, **window})
        bundles = open_bundles(before, schema.SPLITS)
        bundles["train"] = bundles["train"].of_shards(shards_in_window(layout, config.train_days))

        # scikit-learn takes a second to import.
        from skip_pipeline.baselines.fit import fit_and_export
        from skip_pipeline.baselines.predictions import write_baselines
        from skip_pipeline.metrics.scores import score

        with publish(
            layout.baselines, stage="baseline_models", data_source=before.data_source, started=record.started
        ) as staging:
            baselines, exported = fit_and_export(bundles, groups=bundles["train"].groups)
            staging.path(HANDMADE_FILE).write_bytes(exported)
            staging.rows = write_baselines(staging.folder, baselines, bundles, data_source=before.data_source)
            staging.details |= {
                "bundles": before.fingerprint,
                **window,
                "training_sessions": {baseline.name: baseline.sessions for baseline in baselines},
            }
        rows = []
        played = all_played(bundles["validation"])
        real = ~np.isnan(played)
        for made in baselines:
            of_validation = score(bundles["validation"].not_skipped, made.p_not_skipped["validation"])
            scores = {f"validation_{k}": v for k, v in asdict(of_validation).items() if k != "sessions"}
            of_tracks = score(played[real], made.p_tracks["validation"][real])
            scores["validation_log_loss_of_every_track"] = of_tracks.log_loss
            measured = scores | {"seconds": made.seconds}
            record.metrics({f"{made.name}_{name}": value for name, value in measured.items()})
            record.show({f"{made.name}_validation_log_loss": scores["validation_log_loss"]})
            sizes = {"training_sessions": made.sessions or 0, "parameters": made.parameters or 0}
            rows.append({"baseline": made.title} | scores | sizes | {"seconds": round(made.seconds, 3)})
        record.show({"validation_scores": metadata.table(rows), "most_training_sessions": BASELINE_SESSIONS})
        record.made(staging.manifest, layout.baselines, schema.BASELINE_PREDICTIONS)
        record.artifact(layout.baselines / BASELINE_FITS_FILE)
    return record.result()
