"""A client of MLflow, with the project's settings for MLflow in place before MLflow is imported."""

import os
from typing import TYPE_CHECKING

from skip_pipeline.settings import TRACKING_ENVIRONMENT

if TYPE_CHECKING:
    from mlflow import MlflowClient


def mlflow_client(uri: str) -> "MlflowClient":
    """A client of the tracking store and model registry at an address."""
    for variable, value in TRACKING_ENVIRONMENT.items():
        os.environ.setdefault(variable, value)  # MLflow reads some of them while it is imported
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)
