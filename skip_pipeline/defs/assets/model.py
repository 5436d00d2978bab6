"""The trained network as an asset, with its hyper-parameters as run config."""

import dataclasses
import enum
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from skip_pipeline import schema
from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.code_version import asset_version
from skip_pipeline.defs import describe
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.served_model import log_served_model
from skip_pipeline.defs.tracked_materialization import TrackedMaterialization
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.nightly.reference import write_reference
from skip_pipeline.nightly.window import shards_in_window
from skip_pipeline.serving.model_folder import DESCRIPTION, SERVED_MODEL
from skip_pipeline.serving.pack import pack
from skip_pipeline.settings import (
    CALIBRATION_FILE,
    DEFAULT_PRESET,
    HISTORY_FILE,
    KERAS_MODEL_NAME,
    NETWORK_FILE,
    ONNX_FILE,
    OWNER,
    PRESETS,
    TRAINING_FILE,
    DataSource,
    TrainingSettings,
)
from skip_pipeline.storage import publish, read_manifest, write_json
from skip_pipeline.training.history import EpochReport, history_to_json
from skip_pipeline.training.onnx_model import predict_onnx


class PresetName(enum.Enum):
    """The networks that can be trained; Dagster's launchpad spells a choice by its member's name."""

    fast = "fast"
    published = "published"
    single_input = "single_input"


def _default_of(name: str) -> str:
    return ", ".join(f"{preset}: {getattr(values, name)}" for preset, values in PRESETS.items())


class TrainingConfig(dg.Config):
    """What can be changed in the launchpad; a value left out is the preset's own.

    Bounds are checked by ``training.train``, inside the materialization, so that a refusal is recorded there.
    """

    preset: PresetName = Field(
        default=PresetName(DEFAULT_PRESET), description="Which network to train, and how by default"
    )
    seed: int = Field(default=0, description="Of the initial weights, dropout and shuffling")
    max_epochs: int | None = Field(default=None, description=f"By default {_default_of('max_epochs')}")
    batch_size: int | None = Field(default=None, description=f"By default {_default_of('batch_size')}")
    learning_rate: float | None = Field(
        default=None, description=f"Adam's, at its highest. By default {_default_of('learning_rate')}"
    )
    stopping_patience: int | None = Field(
        default=None,
        description="Epochs without a better validation loss before training stops. "
        f"By default {_default_of('stopping_patience')}",
    )
    dropout: float | None = Field(
        default=None, description="Of every dropout layer; by default the preset's own rates"
    )
    mixed_precision: bool | None = Field(
        default=None,
        description="Layers compute in bfloat16, which some processors do faster; not for the fast network. "
        f"By default {_default_of('mixed_precision')}",
    )
    train_days: int | None = Field(
        default=None,
        description="Learn from the shards of this many newest days of the data alone; by default from all. "
        "Validation, test, the scaler and the baselines stay as they are",
    )

    def settings(self) -> TrainingSettings:
        """The preset with these changes."""
        changes = {name: value for name, value in self.model_dump().items() if value is not None}
        for name in ("preset", "train_days"):
            changes.pop(name, None)
        return dataclasses.replace(PRESETS[self.preset.value], **changes)


@dg.asset(
    group_name="model",
    kinds={"keras", "tensorflow"},
    owners=[OWNER],
    code_version=asset_version("trained_model"),
    deps=["tensor_bundles"],
)
def trained_model(
    context: dg.AssetExecutionContext, config: TrainingConfig, data: DataDirectory, tracker: MlflowTracker
) -> dg.MaterializeResult:
    """The network, trained on the training sessions, stopped and calibrated by the validation sessions.

    Presets: fast (the default, four branches, small), published (four branches, 1,275,954 parameters, as
    published) and single_input (everything in one input). Beside the Keras network lies the same as ONNX, and
    a folder with all that serves it without TensorFlow and a profile of what it was trained on, which is
    registered in MLflow as skip_model.
    """
    layout = data.layout()
    settings = config.settings()
    with tracker.materialization(context) as run:
        before = read_manifest(layout.bundles, made_by="tensor_bundles")
        describe.log_bundles(run, before, layout.bundles, context="training")
        run.params(dataclasses.asdict(settings) | {"train_days": config.train_days})
        bundles = open_bundles(before)
        shards = shards_in_window(layout, config.train_days)
        bundles["train"] = bundles["train"].of_shards(shards)

        # TensorFlow: seconds and 700 MB that only training may cost.
        from skip_pipeline.metrics import calibration as calibrate
        from skip_pipeline.metrics import scores as evaluate
        from skip_pipeline.training import export, train
        from skip_pipeline.training.cluster import check_publishes

        check_publishes()
        for split, bundle in bundles.items():  # before training, so that it is not for nothing
            evaluate.need_both_outcomes(bundle.not_skipped, f"the {split} split")

        def on_epoch(epoch: EpochReport) -> None:
            run.metrics(describe.epoch_metrics(epoch), step=epoch.epoch)

        with publish(
            layout.model, stage="trained_model", data_source=before.data_source, started=run.started
        ) as staging:
            trained = train.train(bundles["train"], bundles["validation"], settings, on_epoch)
            train.save_network(trained.network, staging.path(NETWORK_FILE))
            network = export.to_onnx(trained.network)
            staging.path(ONNX_FILE).write_bytes(network)
            p_validation = predict_onnx(network, bundles["validation"])
            difference = export.check_export(trained.network, p_validation, bundles["validation"])
            calibration = calibrate.fit(bundles["validation"].not_skipped, p_validation)
            write_json(staging.path(CALIBRATION_FILE), calibration.to_json())
            served = staging.path(f"{SERVED_MODEL}/{DESCRIPTION}").parent
            pack(
                served,
                layout,
                network=staging.path(ONNX_FILE),
                calibration=staging.path(CALIBRATION_FILE),
                preset=settings.preset,
            )
            write_reference(served, layout, shards)
            write_json(staging.path(HISTORY_FILE), history_to_json(trained.history, trained.best_epoch))
            write_json(staging.path(TRAINING_FILE), dataclasses.asdict(settings))
            staging.rows = bundles["train"].sessions
            staging.details |= {
                "preset": settings.preset,
                "train_days": config.train_days,
                "shards_of_training": len(bundles["train"].parts),
                "parameters": trained.parameters,
                "best_epoch": trained.best_epoch,
                "bundles": before.fingerprint,
                "seconds_of_training": round(trained.seconds, 3),
                "onnx_difference": difference,
            }
        from skip_pipeline.report import plots

        curves = plots.training_curves(trained.history, trained.best_epoch, before.data_source).png
        describe.log_stage(run, staging.manifest)
        run.metrics({"parameters": trained.parameters, "best_epoch": trained.best_epoch})
        run.artifact(layout.model / HISTORY_FILE)
        run.image(curves, "training_curves")
        _log_network(run, trained.network, settings, before.data_source)
        _log_served_model(run, layout.model / SERVED_MODEL, settings)
    best = trained.history[trained.best_epoch - 1]
    metadata: describe.Metadata = {
        "preset": dg.MetadataValue.text(settings.preset),
        "validation_accuracy": dg.MetadataValue.float(best.validation_accuracy),
        "validation_loss": dg.MetadataValue.float(best.validation_loss),
        "training_curves": describe.picture(curves, "training curves"),
        "best_epoch": dg.MetadataValue.int(trained.best_epoch),
        "epochs": dg.MetadataValue.int(len(trained.history)),
        "parameters": dg.MetadataValue.int(trained.parameters),
        "settings": dg.MetadataValue.json(dataclasses.asdict(settings) | {"train_days": config.train_days}),
        "shards_of_training": dg.MetadataValue.int(len(bundles["train"].parts)),
        **describe.stage(staging.manifest, layout.model),
    }
    return describe.result(tracker, run, metadata)


def _log_network(
    run: TrackedMaterialization, network: Any, settings: TrainingSettings, data_source: DataSource
) -> None:
    """Log the Keras network, for whoever trains it on or looks into it.

    The signature and the pins are given, because MLflow would otherwise start a second TensorFlow to
    find them out.
    """

    def log(mlflow: Any) -> None:
        import numpy as np
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        float32 = np.dtype(np.float32)
        signature = ModelSignature(
            inputs=Schema(
                [TensorSpec(float32, (-1, *shape), name) for name, shape in schema.BRANCH_SHAPES.items()]
            ),
            outputs=Schema([TensorSpec(float32, (-1, 2))]),
        )
        mlflow.keras.log_model(
            network,
            name=KERAS_MODEL_NAME,
            signature=signature,
            pip_requirements=[f"{name}=={version(name)}" for name in ("tensorflow", "keras", "numpy")],
            params={name: str(value) for name, value in dataclasses.asdict(settings).items()},
            tags={describe.DATA_SOURCE: data_source, "preset": settings.preset},
        )

    run.attempt(log)


def _log_served_model(run: TrackedMaterialization, folder: Path, settings: TrainingSettings) -> None:
    """Log and register what serves the network; the registered model is this, not the Keras network."""
    params = {name: str(value) for name, value in dataclasses.asdict(settings).items()}
    run.attempt(lambda mlflow: log_served_model(mlflow, folder, params=params, tags={}))
