"""The trained network as an asset, with its hyper-parameters as run config."""

import dataclasses
import enum
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import dagster as dg
from pydantic import Field

from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.defs.assets.pipeline_asset import pipeline_asset
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.nightly.window import shards_in_window
from skip_pipeline.settings import DEFAULT_PRESET, HISTORY_FILE, KERAS_MODEL_NAME, PRESETS, TrainingSettings
from skip_pipeline.storage import publish
from skip_pipeline.training.history import EpochReport

_OF_EPOCH = ("loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate")


class PresetName(enum.Enum):
    """The networks that can be trained; Dagster's launchpad shows a choice by its member's name."""

    fast = "fast"
    published = "published"
    single_input = "single_input"


def _by_preset(name: str, text: str) -> Any:
    """A field whose default is the preset's value; the text says what it is, and its bounds."""
    values = ", ".join(f"{preset}: {getattr(settings, name)}" for preset, settings in PRESETS.items())
    return Field(default=None, description=f"{text} By default {values}")


class TrainingConfig(dg.Config):
    """Hyper-parameters; a value left out is the preset's own.

    ``training.train`` checks the bounds during the materialization, so that MLflow records a refusal.
    """

    preset: PresetName = Field(
        default=PresetName(DEFAULT_PRESET), description="Which network to train, and how by default"
    )
    seed: int = Field(
        default=0, description="Of the initial weights, dropout and shuffling; from 0 to 2**32 - 1"
    )
    max_epochs: int | None = _by_preset("max_epochs", "Passes through the training sessions; at least 1.")
    batch_size: int | None = _by_preset(
        "batch_size", "Sessions per step; at least 1, and no more than there are training sessions."
    )
    learning_rate: float | None = _by_preset("learning_rate", "Adam's, at its highest; above 0.")
    stopping_patience: int | None = _by_preset(
        "stopping_patience", "Epochs without a better validation loss before training stops; at least 0."
    )
    dropout: float | None = Field(
        default=None,
        description="Of every dropout layer; none, or from 0 to below 1. By default the preset's own rates",
    )
    mixed_precision: bool | None = _by_preset(
        "mixed_precision",
        "Layers compute in bfloat16, which some processors do faster; not for the fast network.",
    )
    train_days: int | None = Field(
        default=None,
        description="Train on the shards of this many newest days of the data only, at least 1; by "
        "default on all. Give baseline_models the same. Validation, gate, test and scaler use all days "
        "in any case",
    )

    def settings(self) -> TrainingSettings:
        """The preset with these changes."""
        changes = self.model_dump(exclude={"preset", "train_days"}, exclude_none=True)
        if "max_epochs" in changes:
            changes["least_steps"] = 0  # whoever sets the epochs gets as many
        return dataclasses.replace(PRESETS[self.preset.value], **changes)


@pipeline_asset("model", kinds={"keras", "tensorflow"}, deps=["tensor_bundles"])
def trained_model(
    context: dg.AssetExecutionContext, config: TrainingConfig, data: DataDirectory, tracker: MlflowTracker
) -> dg.MaterializeResult:
    """The network, trained on the training sessions, stopped and calibrated by the validation sessions.

    Presets: fast (the default, four branches, small), published (four branches, 1,275,954 parameters, as
    published) and single_input (everything in one input). The network is kept as Keras and as ONNX. Whether
    it is served, alone or with other models, is decided by best_model.
    """
    layout, settings = data.layout(), config.settings()
    with tracker.materialization(context) as record:
        before = record.read_stage(layout, "bundles", "training")
        chosen = dataclasses.asdict(settings)
        window = {"train_days": config.train_days}
        record.params(chosen | window)
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
            staging.rows = bundles["train"].sessions
            numbers = {"parameters": trained.parameters, "best_epoch": trained.best_epoch}
            staging.details |= {
                "preset": settings.preset,
                **window,
                "shards_of_training": shards_of_training,
                **numbers,
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
                "settings": chosen | window,
                "shards_of_training": shards_of_training,
            }
        )
        record.numbers(numbers)
        curves = plots.training_curves(trained.history, trained.best_epoch, record.description.mark)
        record.picture("training_curves", curves.png)
        record.made(staging.manifest, layout.model)
        record.artifact(layout.model / HISTORY_FILE)
        params = {name: str(value) for name, value in chosen.items()}
        tags = {"data_source": before.data_source, "preset": settings.preset}
        record.attempt("the Keras network", lambda it: _log_network(it, trained.network, params, tags))
    return record.result()


def _log_network(mlflow: Any, network: Any, params: dict[str, str], tags: Mapping[str, str]) -> None:
    """Log the Keras network, for further training or inspection; it is not the registered model.

    Signature and pins are given, because MLflow would otherwise start a second TensorFlow to infer them.
    """
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    float32, tensors = np.dtype(np.float32), {tensor.name: tensor.shape for tensor in network.inputs}
    inputs = Schema([TensorSpec(float32, (-1, *shape[1:]), name) for name, shape in tensors.items()])
    output = Schema([TensorSpec(float32, (-1, *(size or -1 for size in network.output.shape[1:])))])
    mlflow.keras.log_model(
        network,
        name=KERAS_MODEL_NAME,
        signature=ModelSignature(inputs, output),
        pip_requirements=[f"{name}=={version(name)}" for name in ("tensorflow", "keras", "numpy")],
        params=params,
        tags=dict(tags),
    )
