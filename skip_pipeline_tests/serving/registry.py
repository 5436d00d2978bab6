"""An MLflow store of the tests' own, with served models registered in it."""

from __future__ import annotations

import os
from pathlib import Path

import mlflow

from skip_pipeline.defs.served_model import log_served_model
from skip_pipeline.settings import MODEL_NAME, TRACKING_URI_VARIABLE


def track_to(uri: str) -> None:
    """Set MLflow's tracking URI in this process, and not in its environment, where MLflow puts it as well."""
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)  # a run in this process has set its own
    os.environ.pop(TRACKING_URI_VARIABLE, None)


class Registry:
    """A store in SQLite below a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.client = mlflow.MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        self._experiment = self.client.create_experiment("serving", (folder / "artifacts").as_uri())

    def register(self, model: Path) -> str:
        """Log and register a served model; gives its version."""
        track_to(self.uri)
        with mlflow.start_run(experiment_id=self._experiment):
            logged = log_served_model(mlflow, model, params={}, tags={})
        return str(logged.registered_model_version)

    def promote(self, version: str) -> None:
        self.client.set_registered_model_alias(MODEL_NAME, "champion", version)
