"""The trained network as an asset, with its hyper-parameters as run config."""

import dataclasses
import enum
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import dagster as dg
from pydantic import Field

from skip_pipeline import schema
from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.code_version import asset_version
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.served_model import log_served_model
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.nightly.reference import write_reference
from skip_pipeline.nightly.window import shards_in_window
from skip_pipeline.serving.model_folder import SERVED_MODEL, pack
from skip_pipeline.settings import (
    CALIBRATION_FILE,
    DEFAULT_PRESET,
    HISTORY_FILE,
    KERAS_MODEL_NAME,
    ONNX_FILE,
    OWNER,
    PRESETS,
    TrainingSettings,
)
from skip_pipeline.storage import publish
from skip_pipeline.training.history import EpochReport

_OF_EPOCH = ("loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate")


class PresetName(enum.Enum):
    """The networks that can be trained; Dagster's launchpad shows a choice by its member's name."""

    fast = "fast"
    published = "published"
    single_input = "single_input"


def _default_of(name: str) -> str:
    return ", ".join(f"{preset}: {getattr(values, name)}" for preset, values in PRESETS.items())


class TrainingConfig(dg.Config):
    """Hyper-parameters; a value left out is the preset's own.

    ``training.train`` checks the bounds during the materialization, so that MLflow records a refusal.
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
        description="Train on the shards of this many newest days of the data only; by default on all. "
        "Validation, test, scaler and baselines use all days in any case",
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
    published) and single_input (everything in one input). The network is kept as Keras and as ONNX. A
    folder beside it has everything that serving needs, without TensorFlow, and a profile of the training
    data; MLflow registers that folder as skip_model.
    """
    layout, settings = data.layout(), config.settings()
    with tracker.materialization(context) as record:
        before = record.read_bundles(layout, "training")
        record.params(dataclasses.asdict(settings) | {"train_days": config.train_days})
        bundles = open_bundles(before)
        shards = shards_in_window(layout, config.train_days)
        bundles["train"] = bundles["train"].of_shards(shards)
        shards_of_training = len(bundles["train"].parts)

        # TensorFlow and matplotlib: seconds and 700 MB that only training needs.
        from skip_pipeline.report import plots
        from skip_pipeline.training.trained_files import train_and_export

        def on_epoch(epoch: EpochReport) -> None:
            measured = {name: getattr(epoch, name) for name in _OF_EPOCH} | {"epoch_seconds": epoch.seconds}
            record.metrics(measured, step=epoch.epoch)

        with publish(
            layout.model, stage="trained_model", data_source=before.data_source, started=record.started
        ) as staging:
            trained, difference = train_and_export(bundles, settings, on_epoch, staging.folder)
            served = staging.folder / SERVED_MODEL
            pack(
                served,
                layout,
                network=staging.folder / ONNX_FILE,
                calibration=staging.folder / CALIBRATION_FILE,
                preset=settings.preset,
            )
            write_reference(served, layout, shards)
            staging.rows = bundles["train"].sessions
            staging.details |= {
                "preset": settings.preset,
                "train_days": config.train_days,
                "shards_of_training": shards_of_training,
                "parameters": trained.parameters,
                "best_epoch": trained.best_epoch,
                "bundles": before.fingerprint,
                "seconds_of_training": round(trained.seconds, 3),
                "onnx_difference": difference,
            }
        best = trained.history[trained.best_epoch - 1]
        record.show(
            {
                "preset": settings.preset,
                "validation_accuracy": best.validation_accuracy,
                "validation_loss": best.validation_loss,
                "epochs": len(trained.history),
                "settings": dataclasses.asdict(settings) | {"train_days": config.train_days},
                "shards_of_training": shards_of_training,
            }
        )
        record.numbers({"parameters": trained.parameters, "best_epoch": trained.best_epoch})
        curves = plots.training_curves(trained.history, trained.best_epoch, before.data_source)
        record.picture("training_curves", curves.png)
        record.made(staging.manifest, layout.model)
        record.artifact(layout.model / HISTORY_FILE)
        params = {name: str(value) for name, value in dataclasses.asdict(settings).items()}
        tags = {"data_source": before.data_source, "preset": settings.preset}
        record.attempt(
            "the Keras network", lambda mlflow: _log_network(mlflow, trained.network, params, tags)
        )
        served = layout.model / SERVED_MODEL
        record.attempt(
            "the served model", lambda mlflow: log_served_model(mlflow, served, params=params, tags={})
        )
    return record.result()


def _log_network(mlflow: Any, network: Any, params: dict[str, str], tags: Mapping[str, str]) -> None:
    """Log the Keras network, for further training or inspection; it is not the registered model.

    Signature and pins are given, because MLflow would otherwise start a second TensorFlow to infer them.
    """
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    float32 = np.dtype(np.float32)
    inputs = Schema([TensorSpec(float32, (-1, *shape), name) for name, shape in schema.BRANCH_SHAPES.items()])
    mlflow.keras.log_model(
        network,
        name=KERAS_MODEL_NAME,
        signature=ModelSignature(inputs, Schema([TensorSpec(float32, (-1, 2))])),
        pip_requirements=[f"{name}=={version(name)}" for name in ("tensorflow", "keras", "numpy")],
        params=params,
        tags=dict(tags),
    )
