"""The retraining job, the night it runs, and the sensors that clear up after a crash."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import dagster as dg

from skip_pipeline.defs.dead_runs import close_dead_runs
from skip_pipeline.defs.nights import plan_night, state_of
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.settings import NIGHTLY_CRON

retrain = dg.define_asset_job(
    name="retrain",
    selection=dg.AssetSelection.all(),
    description="Raw files to champion and predictions: every asset and every check.",
)


def nightly_retraining(
    time_zone: str, run_config: Mapping[str, Any] = MappingProxyType({}), *, cron: str = NIGHTLY_CRON
) -> dg.ScheduleDefinition:
    """The schedule of ``retrain``, switched on as soon as the daemon runs.

    Args:
        time_zone: of its hour.
        run_config: of ``retrain``.
        cron: when to look whether there is anything to do.
    """

    @dg.schedule(
        name="nightly_retraining",
        job=retrain,
        cron_schedule=cron,
        execution_timezone=time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Every night on which raw input, code or configuration has changed since the last that "
        "succeeded: retrain on what has been delivered so far, promote or refuse, and score the test set.",
    )
    def nightly(context: dg.ScheduleEvaluationContext, data: DataDirectory) -> dg.RunRequest | dg.SkipReason:
        state = state_of(data.layout(), run_config)
        return plan_night(context.instance, state, job=retrain.name, run_config=run_config)

    return nightly


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Marks runs as failed whose process has died, so that they do not hold up the night.",
)
def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Look for runs of this host that nobody carries out any more."""
    return dg.SkipReason(f"closed {close_dead_runs(context.instance)} dead runs")


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.FAILURE,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Closes the MLflow runs of a Dagster run that could not do so itself.",
)
def close_tracking(context: dg.RunStatusSensorContext, tracker: MlflowTracker) -> dg.SkipReason:
    """Close MLflow runs that a failed Dagster run has left open."""
    return dg.SkipReason(tracker.close_finished(context.instance))
