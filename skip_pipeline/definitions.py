"""Entry point of Dagster: resources, schedule and executor, with the settings that the environment has."""

import os
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import dagster as dg

from skip_pipeline import settings
from skip_pipeline.defs.assets import ALL_ASSETS
from skip_pipeline.defs.checks import ALL_CHECKS
from skip_pipeline.defs.morning import morning_sensors
from skip_pipeline.defs.resources import DataDirectory, ShardEngine
from skip_pipeline.defs.schedules import (
    close_tracking,
    dead_runs,
    deliver_records,
    nightly_retraining,
    retrain,
)
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.errors import RefusedError
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


def mlflow_tracker(layout: DataLayout) -> MlflowTracker:
    """Records to the server that ``MLFLOW_TRACKING_URI`` names, else to SQLite below the data directory."""
    return MlflowTracker(
        embedded_uri=f"sqlite:///{layout.mlflow / 'mlflow.db'}",
        embedded_artifacts=(layout.mlflow / "artifacts").as_uri(),
        dagster_url=os.environ.get(settings.DAGSTER_URL_VARIABLE) or settings.DEFAULT_DAGSTER_URL,
    )


def time_zone() -> str:
    """``SKIP_PIPELINE_TIMEZONE``, else UTC."""
    name = os.environ.get(settings.TIME_ZONE_VARIABLE) or settings.DEFAULT_TIME_ZONE
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError):
        raise RefusedError(
            f"${settings.TIME_ZONE_VARIABLE} is {name!r}, which is not a time zone; expected a name like "
            "Europe/Stockholm. Correct or unset it"
        ) from None


def nightly_config() -> dict[str, Any]:
    """Run config of the night: the window of ``SKIP_PIPELINE_TRAIN_DAYS``, if it is set."""
    days = os.environ.get(settings.TRAIN_DAYS_VARIABLE)
    if not days:
        return {}
    if not (days.isascii() and days.isdigit() and int(days) > 0):
        raise RefusedError(
            f"${settings.TRAIN_DAYS_VARIABLE} is {days!r}, expected a whole number of days, at least 1; "
            "correct it, or unset it to train on all days"
        )
    window = {"config": {"train_days": int(days)}}
    return {"ops": {"trained_model": window, "baseline_models": window}}


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
