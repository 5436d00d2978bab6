"""The predictors that a network has to beat, as an asset."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import dagster as dg

from skip_pipeline import schema
from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.code_version import asset_version
from skip_pipeline.defs import describe
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.errors import ContractError
from skip_pipeline.settings import BASELINE_FITS_FILE, BASELINE_SEED, BASELINE_SESSIONS, OWNER, DataLayout
from skip_pipeline.storage import Manifest, publish, read_manifest

if TYPE_CHECKING:
    from skip_pipeline.baselines.predictions import BaselinePredictions
    from skip_pipeline.bundles.gather import Bundle
    from skip_pipeline.metrics.scores import SplitScores


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
    """What four predictors without a network say of validation and test sessions, from one number to trees.

    Majority class, last outcome, logistic regression and gradient-boosted trees on hand-made features, learnt
    from training sessions. Scores here are of validation sessions; the report alone scores test sessions.
    """
    layout = data.layout()
    with tracker.materialization(context) as run:
        before = read_manifest(layout.bundles, made_by="tensor_bundles")
        describe.log_bundles(run, before, layout.bundles, context="training")
        run.params({"seed": BASELINE_SEED, "most_sessions": BASELINE_SESSIONS})
        bundles = open_bundles(before)

        # scikit-learn: a second that only fitting may cost.
        from skip_pipeline.baselines.fit import fit_baselines
        from skip_pipeline.baselines.predictions import write_baselines
        from skip_pipeline.metrics.scores import score

        with publish(
            layout.baselines, stage="baseline_models", data_source=before.data_source, started=run.started
        ) as staging:
            baselines = fit_baselines(bundles)
            staging.rows = write_baselines(staging.folder, baselines, bundles, data_source=before.data_source)
            staging.details |= {
                "bundles": before.fingerprint,
                "training_sessions": {baseline.name: baseline.sessions for baseline in baselines},
            }
        labels = bundles["validation"].not_skipped
        scores = {b.name: score(labels, b.p_not_skipped["validation"]) for b in baselines}
        describe.log_stage(run, staging.manifest, schema.BASELINE_PREDICTIONS)
        for baseline in baselines:
            measured = _scores(scores[baseline.name]) | {"seconds": baseline.seconds}
            run.metrics({f"{baseline.name}_{name}": value for name, value in measured.items()})
        run.artifact(layout.baselines / BASELINE_FITS_FILE)
    rows = [
        dg.TableRecord(
            {
                "baseline": baseline.title,
                **_scores(scores[baseline.name]),
                "training_sessions": baseline.sessions or 0,
                "parameters": baseline.parameters or 0,
                "seconds": round(baseline.seconds, 3),
            }
        )
        for baseline in baselines
    ]
    metadata: describe.Metadata = {
        "validation_scores": dg.MetadataValue.table(rows),
        **{
            f"{name}_validation_log_loss": dg.MetadataValue.float(of_baseline.log_loss)
            for name, of_baseline in scores.items()
        },
        "most_training_sessions": dg.MetadataValue.int(BASELINE_SESSIONS),
        **describe.stage(staging.manifest, layout.baselines, schema.BASELINE_PREDICTIONS),
    }
    return describe.result(tracker, run, metadata)


def _scores(scores: "SplitScores") -> dict[str, float]:
    """Scores by name, each saying that it is of validation sessions."""
    return {f"validation_{name}": value for name, value in asdict(scores).items() if name != "sessions"}


def published_baselines(
    layout: DataLayout, before: Manifest, bundles: "Mapping[str, Bundle]"
) -> "tuple[Manifest, tuple[BaselinePredictions, ...]]":
    """What ``baseline_models`` has published of some bundles, with its manifest.

    Args:
        before: manifest of the bundles.
        bundles: every split.

    Raises:
        MissingInputError: nothing has been published.
        ContractError: it is not readable, or of other bundles.
    """
    from skip_pipeline.baselines.predictions import read_baselines

    made = read_manifest(layout.baselines, made_by="baseline_models")
    if made.details["bundles"] != before.fingerprint:
        raise ContractError(
            f"{layout.baselines} was made from other bundles than those in {layout.bundles}; expected "
            "predictions of the same sessions. Materialize baseline_models again"
        )
    return made, read_baselines(made.path, bundles)
