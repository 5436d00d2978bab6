"""The retraining job, its nightly schedule, and the sensors that clean up after a crash."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import dagster as dg
from dagster import DagsterRunStatus as Status

from skip_pipeline.defs.dead_runs import close_dead_runs
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.nightly.plan import (
    NIGHT_JOB,
    NIGHT_SCHEDULE,
    STATE,
    PastNight,
    Run,
    Skip,
    State,
    plan_night,
    state_of,
)
from skip_pipeline.settings import NIGHTLY_CRON

_UNDER_WAY = [Status.QUEUED, Status.NOT_STARTED, Status.STARTING, Status.STARTED, Status.CANCELING]
_LOOK_BACK = 100  # successful runs among which the last night is searched; runs by hand may lie between

retrain = dg.define_asset_job(
    name=NIGHT_JOB,
    selection=dg.AssetSelection.all(),
    description="From raw files to champion and predictions: every asset and every check.",
)


def nightly_retraining(
    time_zone: str, run_config: Mapping[str, Any] = MappingProxyType({}), *, cron: str = NIGHTLY_CRON
) -> dg.ScheduleDefinition:
    """The schedule of ``retrain``, which checks at the times of ``cron`` whether there is anything to do."""

    @dg.schedule(
        name=NIGHT_SCHEDULE,
        job=retrain,
        cron_schedule=cron,
        execution_timezone=time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Retrain on all deliveries so far, promote or refuse the model, and score the test set. "
        "A night is skipped if raw input, code and configuration are those of the last night that succeeded.",
    )
    def nightly(context: dg.ScheduleEvaluationContext, data: DataDirectory) -> dg.RunRequest | dg.SkipReason:
        plan = _plan(context.instance, state_of(data.layout(), run_config))
        if isinstance(plan, Skip):
            return dg.SkipReason(plan.reason)
        return dg.RunRequest(run_key=plan.key, run_config=dict(run_config), tags=plan.tags)

    return nightly


def _plan(instance: dg.DagsterInstance, state: State) -> Run | Skip:
    """Plan a night with the instance's records of past runs."""

    def runs(limit: int | None = None, **wanted: Any) -> Sequence[dg.DagsterRun]:
        return instance.get_runs(dg.RunsFilter(job_name=retrain.name, **wanted), limit=limit)

    succeeded = runs(_LOOK_BACK, statuses=[Status.SUCCESS])
    return plan_night(
        state,
        under_way=next((run.run_id for run in runs(1, statuses=_UNDER_WAY)), None),
        last=next((PastNight(run.run_id, run.tags) for run in succeeded if STATE in run.tags), None),
        attempts=len(runs(tags={STATE: state.digest})),
    )


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Marks runs as failed whose process has ended, so that they do not hold up the night.",
)
def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Close the runs of this machine whose process has ended."""
    return dg.SkipReason(f"closed {close_dead_runs(context.instance)} dead runs")


@dg.run_status_sensor(
    run_status=Status.FAILURE,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Closes the MLflow runs that a failed Dagster run has left open.",
)
def close_tracking(context: dg.RunStatusSensorContext, tracker: MlflowTracker) -> dg.SkipReason:
    """Close the MLflow runs that a failed Dagster run has left open."""
    return dg.SkipReason(tracker.close_finished(context.instance))


@dg.sensor(
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Delivers the records that MLflow did not take, as soon as it answers.",
)
def deliver_records(_context: dg.SensorEvaluationContext, tracker: MlflowTracker) -> dg.SkipReason:
    """Deliver the records that MLflow did not take, if it answers now."""
    return dg.SkipReason(tracker.deliver())
