"""The best of the night as an asset: the network, the regression, the trees, or a stack of them."""

from pathlib import Path
from typing import Any

import dagster as dg

from skip_pipeline.defs import metadata
from skip_pipeline.defs.assets.pipeline_asset import pipeline_asset
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.served_model import describe_version, log_served_model
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.nightly.window import shards_in_window
from skip_pipeline.serving.model_folder import SERVED_MODEL
from skip_pipeline.settings import TRAINING_FILE
from skip_pipeline.storage import publish, read_json, read_manifest, write_json


@pipeline_asset(
    "model", kinds={"onnx", "mlflow"}, deps=["trained_model", "baseline_models", "tensor_bundles"]
)
def best_model(
    context: dg.AssetExecutionContext, data: DataDirectory, tracker: MlflowTracker
) -> dg.MaterializeResult:
    """The challenger of the night: the best of what was trained, chosen on the validation sessions.

    Candidates are the network, the regression, the trees, and a stack of the three with weights that are
    fitted to the validation sessions. The lowest log-loss over every track is chosen, and a simpler candidate
    where the difference is small. The folder has everything that serving needs, without TensorFlow, and a
    profile of the training data; MLflow registers it as skip_model.
    """
    layout = data.layout()
    with tracker.materialization(context) as record:
        before = record.read_stage(layout, "bundles", "evaluation")

        from skip_pipeline.nightly.best import CHOICE_FILE, make_best
        from skip_pipeline.nightly.reference import write_reference

        trained = read_manifest(layout.model, made_by="trained_model")
        with publish(
            layout.best, stage="best_model", data_source=before.data_source, started=record.started
        ) as staging:
            served = staging.folder / SERVED_MODEL
            choice, described = make_best(layout, staging.folder)
            write_reference(served, layout, shards_in_window(layout, trained.details["train_days"]))
            write_json(staging.path(CHOICE_FILE), choice.to_json())
            staging.rows = choice.sessions
            staging.details |= {
                "kind": choice.chosen,
                "preset": described.preset,
                "bundles": before.fingerprint,
                "network": trained.fingerprint,
                "fingerprint": described.fingerprint,
            }
        rows = []
        for each in choice.candidates:
            scores = {"log_loss": each.log_loss, "log_loss_of_last_track": each.log_loss_of_last}
            record.metrics({f"{each.kind}_validation_{name}": value for name, value in scores.items()})
            compared = {"behind": each.behind, "standard_error": each.error}
            rows.append({"candidate": each.kind, "chosen": each.kind == choice.chosen} | scores | compared)
        record.show(
            {"kind": choice.chosen, "why": choice.sentence, "validation_scores": metadata.table(rows)}
        )
        if choice.network_adds:
            record.numbers({"network_adds": choice.network_adds.nats})
        record.made(staging.manifest, layout.best)
        record.artifact(layout.best / CHOICE_FILE)
        settings = read_json(trained.path(TRAINING_FILE)) | {"kind": choice.chosen}
        params = {name: str(value) for name, value in settings.items()}
        record.attempt("the served model", lambda it: _register(it, layout.best / SERVED_MODEL, params))
    return record.result()


def _register(mlflow: Any, folder: Path, params: dict[str, str]) -> None:
    logged = log_served_model(mlflow, folder, params=params, tags={})
    describe_version(mlflow, folder, str(logged.registered_model_version))
