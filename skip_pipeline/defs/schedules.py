"""The retraining job, the night it runs, and the sensor that closes what a crash left open in MLflow."""

import dagster as dg

from skip_pipeline.defs.tracked_materialization import tracking_errors
from skip_pipeline.defs.tracking import MlflowTracker, close_finished
from skip_pipeline.settings import EXPERIMENT, NIGHTLY_CRON

retrain = dg.define_asset_job(
    name="retrain",
    selection=dg.AssetSelection.all(),
    description="Raw files to evaluation report: every asset and every check.",
)


def nightly_retraining(time_zone: str) -> dg.ScheduleDefinition:
    """The schedule of ``retrain``, switched on as soon as the daemon runs."""
    return dg.ScheduleDefinition(
        name="nightly_retraining",
        job=retrain,
        cron_schedule=NIGHTLY_CRON,
        execution_timezone=time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Every night: retrain on all sessions delivered so far.",
    )


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.FAILURE,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Closes the MLflow runs of a Dagster run whose process has died.",
)
def close_tracking(
    context: dg.RunStatusSensorContext, tracker: dg.ResourceParam[MlflowTracker]
) -> dg.SkipReason:
    """Close MLflow runs that a failed Dagster run could not close itself."""
    client = tracker.client()
    try:
        experiment = client.get_experiment_by_name(EXPERIMENT)
        closed = close_finished(client, experiment.experiment_id, context.instance) if experiment else 0
    except tracking_errors() as failure:
        return dg.SkipReason(f"MLflow could not be reached: {failure}")
    return dg.SkipReason(f"closed {closed} MLflow runs")
