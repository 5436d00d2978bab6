"""Entry point of Dagster: what ``workspace.yaml`` and ``dg`` load.

Reads the environment (data directory, tracking server, time zone) and hands it to the resources; holds
the policies that concern every asset. The definitions themselves are in ``defs``.
"""

import os
from pathlib import Path

import dagster as dg

from skip_pipeline import settings
from skip_pipeline.defs.assets import ALL_ASSETS
from skip_pipeline.defs.checks import ALL_CHECKS
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.schedules import close_tracking, nightly_retraining, retrain
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.settings import DataLayout


def data_layout() -> DataLayout:
    """The data directory: ``SKIP_PIPELINE_DATA_DIR``, else ``data`` below the working directory."""
    return DataLayout(Path(os.environ.get(settings.DATA_DIR_VARIABLE) or settings.DEFAULT_DATA_DIR).resolve())


def mlflow_tracker(layout: DataLayout) -> MlflowTracker:
    """The server that ``MLFLOW_TRACKING_URI`` names, else SQLite and artifacts below the data directory."""
    server = os.environ.get(settings.TRACKING_URI_VARIABLE)
    return MlflowTracker(
        tracking_uri=server or f"sqlite:///{layout.mlflow / 'mlflow.db'}",
        artifact_root=None if server else (layout.mlflow / "artifacts").as_uri(),
        mlflow_url=_mlflow_url(server),
        dagster_url=os.environ.get(settings.DAGSTER_URL_VARIABLE) or settings.DEFAULT_DAGSTER_URL,
    )


def _mlflow_url(server: str | None) -> str:
    named = os.environ.get(settings.MLFLOW_URL_VARIABLE)
    if named:
        return named.rstrip("/")
    return server.rstrip("/") if server and server.startswith("http") else settings.DEFAULT_MLFLOW_URL


@dg.definitions
def defs() -> dg.Definitions:
    """Assets, checks, job, schedule, sensor and resources of the pipeline."""
    layout = data_layout()
    return dg.Definitions(
        assets=ALL_ASSETS,
        asset_checks=ALL_CHECKS,
        jobs=[retrain],
        schedules=[
            nightly_retraining(os.environ.get(settings.TIME_ZONE_VARIABLE) or settings.DEFAULT_TIME_ZONE)
        ],
        sensors=[close_tracking],
        resources={
            "data": DataDirectory(path=str(layout.root)),
            "tracker": mlflow_tracker(layout),
        },
        # The chain is nearly linear: one process per step would import everything anew eight times.
        executor=dg.in_process_executor,
    )
