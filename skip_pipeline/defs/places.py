"""Where things are, by the environment: the data directory and the tracking store. Imports no Dagster."""

import os
from pathlib import Path

from skip_pipeline import settings
from skip_pipeline.errors import RefusedError
from skip_pipeline.locations import is_local, location
from skip_pipeline.settings import DataLayout


def data_directory(named: Path | None = None) -> Path:
    """The data directory: as named, else ``SKIP_PIPELINE_DATA_DIR``, else ``data`` where the process runs.

    A file of settings, which no shell reads, may name the home directory as ``~``.
    """
    folder = Path(named or os.environ.get(settings.DATA_DIR_VARIABLE) or settings.DEFAULT_DATA_DIR)
    try:
        return folder.expanduser().resolve()
    except RuntimeError as failure:
        raise RefusedError(
            f"{folder} begins with the home directory of a user, which is not known ({failure}); expected a "
            f"path. Name the whole path with --data-dir or ${settings.DATA_DIR_VARIABLE}"
        ) from failure
    except FileNotFoundError as failure:
        raise RefusedError(
            f"{folder} lies in the folder that this process runs in, which has been removed; expected one "
            "that is there. Change to another folder, or name the whole path with --data-dir"
        ) from failure


def data_layout() -> DataLayout:
    """The data directory of this process.

    If ``SKIP_PIPELINE_STORAGE_URL`` names a path or URL, ``01_raw`` to ``05_bundles`` are there.
    """
    named = os.environ.get(settings.STORAGE_VARIABLE)
    shared = location(named) if named else None
    return DataLayout(data_directory(), shared.resolve() if shared and is_local(shared) else shared)


def tracking_database(layout: DataLayout) -> Path:
    """MLflow's own database in a data directory, used unless ``MLFLOW_TRACKING_URI`` names another store."""
    return layout.mlflow / "mlflow.db"


def has_store(layout: DataLayout) -> bool:
    """Whether there is a store: one that is named, or the own database, which the first run creates."""
    own = tracking_database(layout)
    return tracking_uri(layout) != f"sqlite:///{own}" or own.is_file()


def tracking_uri(layout: DataLayout) -> str:
    """The store that runs and versions are recorded in."""
    return os.environ.get(settings.TRACKING_URI_VARIABLE) or f"sqlite:///{tracking_database(layout)}"
