"""Entry point of Dagster: resources, schedule and executor, with the settings that the environment has."""

import os
from typing import Any

import dagster as dg

from skip_pipeline import settings
from skip_pipeline.defs.assets import ALL_ASSETS
from skip_pipeline.defs.checks import ALL_CHECKS
from skip_pipeline.defs.morning import morning_sensors
from skip_pipeline.defs.places import data_layout as data_layout  # part of this module's interface
from skip_pipeline.defs.places import tracking_database
from skip_pipeline.defs.resources import DataDirectory, ShardEngine
from skip_pipeline.defs.schedules import (
    close_tracking,
    dead_runs,
    deliver_records,
    nightly_retraining,
    retrain,
)
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.nightly.variables import window_config, zone_named
from skip_pipeline.settings import DataLayout


def mlflow_tracker(layout: DataLayout) -> MlflowTracker:
    """Records to the server that ``MLFLOW_TRACKING_URI`` names, else to SQLite below the data directory."""
    return MlflowTracker(
        embedded_uri=f"sqlite:///{tracking_database(layout)}",
        embedded_artifacts=str(layout.mlflow / "artifacts"),
        dagster_url=os.environ.get(settings.DAGSTER_URL_VARIABLE) or settings.DEFAULT_DAGSTER_URL,
    )


def time_zone() -> str:
    """``SKIP_PIPELINE_TIMEZONE``, else UTC."""
    return zone_named(os.environ.get(settings.TIME_ZONE_VARIABLE, ""))


def nightly_config() -> dict[str, Any]:
    """Run config of the night: the window of ``SKIP_PIPELINE_TRAIN_DAYS``, if it is set."""
    return window_config(os.environ.get(settings.TRAIN_DAYS_VARIABLE, ""))


@dg.definitions
def defs() -> dg.Definitions:
    """Assets, checks, job, schedule, sensors and resources of the pipeline."""
    layout = data_layout()
    tracker, zone = mlflow_tracker(layout), time_zone()
    return dg.Definitions(
        assets=ALL_ASSETS,
        asset_checks=ALL_CHECKS,
        jobs=[retrain],
        schedules=[nightly_retraining(zone, nightly_config())],
        sensors=[dead_runs, close_tracking, deliver_records, *morning_sensors(zone, tracker.dagster_url)],
        resources={
            "data": DataDirectory(path=str(layout.root), shared=str(layout.shared or "")),
            "tracker": tracker,
            "engine": ShardEngine(),
        },
        # Few steps could run side by side, and one process per step would import every library anew.
        executor=dg.in_process_executor,
    )
