"""The nightly schedule and the sensors, evaluated as the daemon evaluates them."""

from datetime import UTC, datetime

import dagster as dg
import pytest

from skip_pipeline.definitions import defs, mlflow_tracker
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.schedules import (
    close_tracking,
    dead_runs,
    deliver_records,
    nightly_retraining,
    retrain,
)
from skip_pipeline.nightly.plan import STATE

TWO_OCLOCK = datetime(2018, 7, 16, 2, tzinfo=UTC)


def skip_message(result: object) -> str | None:
    assert isinstance(result, dg.SkipReason)
    return result.skip_message


@pytest.fixture
def tick(project):
    """Evaluates the schedule at two o'clock: a request for a run, or the reason for none."""

    def evaluate(config=None):
        # Dagster keeps the instance as that of the process until the context is left.
        with dg.build_schedule_context(
            instance=project.instance(),
            scheduled_execution_time=TWO_OCLOCK,
            resources={"data": DataDirectory(path=str(project.layout.root))},
        ) as context:
            found = nightly_retraining("UTC", config or {}).evaluate_tick(context)
        return found.run_requests[0] if found.run_requests else found.skip_message

    return evaluate


@pytest.fixture
def night(project):
    """Records a run of the night as Dagster does, in a given status."""
    job = defs().resolve_job_def("retrain")

    def run(request, status):
        return project.instance().create_run_for_job(job, tags=dict(request.tags), status=status).run_id

    return run


def test_a_night_starts_skips_waits_and_is_tried_again(tick, night):
    window = {"config": {"train_days": 7}}
    config = {"ops": {"trained_model": window, "baseline_models": window}}
    first = tick(config)
    assert first.run_config == config
    assert first.tags["skip_pipeline/because"] == "no night has succeeded yet"

    running = night(first, dg.DagsterRunStatus.STARTED)
    assert tick(config) == f"run {running} is still under way"


def test_a_failed_night_is_tried_again_and_a_night_that_succeeded_is_not(tick, night):
    first = tick()
    night(first, dg.DagsterRunStatus.FAILURE)
    second = tick()
    assert second.tags[STATE] == first.tags[STATE]
    assert second.run_key != first.run_key

    succeeded = night(second, dg.DagsterRunStatus.SUCCESS)
    assert f"those of run {succeeded}, the last night that succeeded" in tick()
    assert tick({"ops": {}}).tags["skip_pipeline/because"] == f"changed since run {succeeded}: configuration"


def test_the_schedule_runs_the_retraining_of_every_asset_at_two(monkeypatch):
    monkeypatch.setenv("SKIP_PIPELINE_TIMEZONE", "Europe/Stockholm")
    definitions = defs()
    schedule = definitions.resolve_schedule_def("nightly_retraining")
    everything = definitions.resolve_asset_graph().materializable_asset_keys

    assert (schedule.job_name, schedule.cron_schedule) == (retrain.name, "0 2 * * *")
    assert schedule.execution_timezone == "Europe/Stockholm"
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    assert definitions.resolve_job_def("retrain").asset_layer.executable_asset_keys == everything


def test_the_sensors_are_switched_on_and_report_what_they_closed(project):
    instance = project.instance()
    run = instance.create_run_for_job(defs().resolve_job_def("retrain"))
    sensors = (dead_runs, close_tracking, deliver_records)
    assert {s.default_status for s in sensors} == {dg.DefaultSensorStatus.RUNNING}
    with dg.build_sensor_context(instance=instance) as context:
        assert skip_message(dead_runs(context)) == "closed 0 dead runs"

    failed = dg.DagsterEvent(dg.DagsterEventType.RUN_FAILURE.value, job_name="retrain")
    resources = {"tracker": mlflow_tracker(project.layout)}
    with dg.build_run_status_sensor_context(
        "close_tracking", failed, instance, run, resources=resources
    ) as context:
        assert skip_message(close_tracking(context)) == "closed 0 MLflow runs"
    with dg.build_sensor_context(instance=instance, resources=resources) as context:
        assert skip_message(deliver_records(context)) == "nothing waits"
