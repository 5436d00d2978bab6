"""Where things are, by the environment: the data directory and the tracking store. Imports no Dagster."""

import os
from pathlib import Path

from skip_pipeline import settings
from skip_pipeline.locations import is_local, location
from skip_pipeline.settings import DataLayout


def data_layout() -> DataLayout:
    """The data directory: ``SKIP_PIPELINE_DATA_DIR``, else ``data`` below the working directory.

    If ``SKIP_PIPELINE_STORAGE_URL`` names a path or URL, ``01_raw`` to ``05_bundles`` are there.
    """
    root = Path(os.environ.get(settings.DATA_DIR_VARIABLE) or settings.DEFAULT_DATA_DIR).resolve()
    named = os.environ.get(settings.STORAGE_VARIABLE)
    shared = location(named) if named else None
    return DataLayout(root, shared.resolve() if shared and is_local(shared) else shared)


def tracking_database(layout: DataLayout) -> Path:
    """MLflow's own database in a data directory, used unless ``MLFLOW_TRACKING_URI`` names another store."""
    return layout.mlflow / "mlflow.db"


def tracking_uri(layout: DataLayout) -> str:
    """The store that runs and versions are recorded in."""
    return os.environ.get(settings.TRACKING_URI_VARIABLE) or f"sqlite:///{tracking_database(layout)}"
