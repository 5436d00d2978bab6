"""The sensors that send the morning message of each night, and mails of failed nights."""

import html
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import dagster as dg
from dagster import DagsterEventType as Event
from dagster import DagsterRunStatus as Status

from skip_pipeline.defs.mlflow_store import without_credentials
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.schedules import retrain
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.defs.webhook import WebhookError, post
from skip_pipeline.errors import RefusedError, SkipPipelineError
from skip_pipeline.nightly.monitoring import DRIFT_FILE
from skip_pipeline.nightly.morning import FailedStep, Link, Night, morning_message, plain
from skip_pipeline.nightly.promotion_record import PROMOTION_FILE, PROMOTION_PAGE
from skip_pipeline.raw.description import mark_of
from skip_pipeline.settings import (
    MAIL_FROM_VARIABLE,
    MAIL_PASSWORD_VARIABLE,
    MAIL_TO_VARIABLE,
    METRICS_FILE,
    REPORT_FILE,
    SMTP_HOST_VARIABLE,
    WEBHOOK_VARIABLE,
    DataLayout,
)
from skip_pipeline.storage import read_json, read_manifest

# By the field of ``Night``: the asset that makes the file, its folder (a field of the layout), and its name.
_FILES: Final = {
    "promotion": ("champion_model", "promotion", PROMOTION_FILE),
    "metrics": ("evaluation_report", "report", METRICS_FILE),
    "drift": ("data_drift", "monitoring", DRIFT_FILE),
}
# A page for people: label, the asset that makes it, folder and name.
_PAGES: Final = (
    ("Promotion page", "champion_model", "promotion", PROMOTION_PAGE),
    ("Report", "evaluation_report", "report", REPORT_FILE),
)


def morning_sensors(time_zone: str, dagster_url: str) -> list[dg.SensorDefinition]:
    """A sensor for nights that succeeded, one for nights that failed, and Dagster's mails if configured."""

    def sensor(status: Status) -> dg.SensorDefinition:
        @dg.run_status_sensor(
            run_status=status,
            name=f"morning_message_of_{status.value.lower()}",
            monitored_jobs=[retrain],
            default_status=dg.DefaultSensorStatus.RUNNING,
            description="Writes the morning message of a night to the log of its run and to its MLflow run, "
            f"and posts it to the webhook ${WEBHOOK_VARIABLE}, if it is set.",
        )
        def morning(
            context: dg.RunStatusSensorContext, data: DataDirectory, tracker: MlflowTracker
        ) -> dg.SkipReason:
            return dg.SkipReason(_send(context, data.layout(), tracker, time_zone))

        return morning

    return [sensor(Status.SUCCESS), sensor(Status.FAILURE), *_failure_mails(dagster_url)]


def night_of(
    instance: dg.DagsterInstance, run_id: str, layout: DataLayout, tracker: MlflowTracker, time_zone: str
) -> tuple[Night, str | None]:
    """What is known of the night of a run that has ended, and the id of its MLflow run, if there is one."""
    record = instance.get_run_record_by_id(run_id)
    if record is None:
        raise RefusedError(f"run {run_id} is not in this Dagster instance; expected a run that has ended")
    events = instance.get_records_for_run(run_id, of_type=Event.ASSET_MATERIALIZATION).records
    made = {
        event.asset_materialization.asset_key.to_user_string(): event.asset_materialization.metadata
        for event in events
        if event.asset_materialization
    }
    files: dict[str, Any] = {}
    replaced = []
    for field, (asset, folder, name) in _FILES.items():
        if asset in made:
            manifest = read_manifest(getattr(layout, folder), made_by=asset)
            if manifest.fingerprint == made[asset]["sha256"].value:
                files[field] = read_json(manifest.path(name))
            else:
                replaced.append(name)
    ended = record.end_time or record.update_timestamp.timestamp()
    started = record.start_time or record.create_timestamp.timestamp()
    mlflow_run, mlflow_link = tracker.parent_run(run_id)
    night = Night(
        started=datetime.fromtimestamp(started, UTC).astimezone(ZoneInfo(time_zone)),
        seconds=ended - started,
        succeeded=record.dagster_run.status == Status.SUCCESS,
        data=mark_of(layout.raw),
        replaced=tuple(replaced),
        failed=tuple(_failed_steps(instance, run_id)),
        links=(
            Link("Dagster run", tracker.run_url(run_id)),
            Link("MLflow run", mlflow_link),
            *(
                Link(label, _page(made[asset], getattr(layout, folder) / name))
                for label, asset, folder, name in _PAGES
                if asset in made
            ),
        ),
        **files,
    )
    return night, mlflow_run


def _send(
    context: dg.RunStatusSensorContext, layout: DataLayout, tracker: MlflowTracker, time_zone: str
) -> str:
    """Write the message to the logs and MLflow, post it, and say what was done."""
    run = context.dagster_run
    night, mlflow_run = night_of(context.instance, run.run_id, layout, tracker, time_zone)
    text = morning_message(night)
    context.log.info(text)
    context.instance.report_engine_event(text, run)
    done = ["written into the log of the run"]
    if mlflow_run is not None:
        note = html.escape(text, quote=False).replace("\n", "  \n")  # Markdown's line break; it takes HTML
        done.append(tracker.describe_run(mlflow_run, note))
    if url := os.environ.get(WEBHOOK_VARIABLE):
        try:
            done.append(f"posted to {post(url, text)}")
        except WebhookError as failure:
            done.append(str(failure))
            context.log.warning(str(failure))
            context.instance.report_engine_event(f"Morning message not posted: {failure}", run)
    return f"Morning message of run {run.run_id}: {'; '.join(done)}"


def _failed_steps(instance: dg.DagsterInstance, run_id: str) -> Iterator[FailedStep]:
    """Every step that failed, with its own error; or why the run failed outside its steps."""
    failures = instance.get_records_for_run(run_id, of_type=Event.STEP_FAILURE).records
    for failure in failures:
        event = failure.event_log_entry.get_dagster_event()
        error = event.step_failure_data.error
        own = (error.cause or error) if error else None  # Dagster wraps the error of an asset
        said = own.message if own else str(event.message)
        said = said.removeprefix(f"{SkipPipelineError.__module__}.")
        yield FailedStep(event.step_key or "", without_credentials(said))
    if not failures:
        for failure in instance.get_records_for_run(run_id, of_type=Event.RUN_FAILURE).records:
            said = failure.event_log_entry.get_dagster_event().message or "Dagster gives no reason"
            yield FailedStep("", without_credentials(said))


def _page(metadata: Mapping[str, Any], path: Path) -> str:
    """Where a page can be read: among the artifacts of its MLflow run, else its path."""
    run = metadata["mlflow_run"]
    if isinstance(run, dg.UrlMetadataValue) and "mlflow_run_incomplete" not in metadata:
        return f"{run.url}/artifacts/{path.name}"
    return str(path)


# --- Mail -----------------------------------------------------------------------------------------------


def _failure_mails(dagster_url: str) -> list[dg.SensorDefinition]:
    """Dagster's own sensor for mails of failed nights, if it is configured; Dagster has none for others."""
    to = os.environ.get(MAIL_TO_VARIABLE)
    if not to:
        return []
    needed = (MAIL_FROM_VARIABLE, MAIL_PASSWORD_VARIABLE, SMTP_HOST_VARIABLE)
    if missing := [name for name in needed if not os.environ.get(name)]:
        raise RefusedError(
            f"${MAIL_TO_VARIABLE} is set and {' and '.join(f'${name}' for name in missing)} not; expected "
            "all of them. Set them, or unset it to send no mail"
        )
    sender, password, host = (os.environ[name] for name in needed)
    return [
        dg.make_email_on_run_failure_sensor(
            email_from=sender,
            email_password=password,
            email_to=[address.strip() for address in to.split(",")],
            email_body_fn=_mail,
            email_subject_fn=lambda _context: "skip_pipeline: the night has failed",
            smtp_host=host,
            webserver_base_url=dagster_url,
            name="mail_of_failed_night",
            monitored_jobs=[retrain],
            default_status=dg.DefaultSensorStatus.RUNNING,
        )
    ]


def _mail(context: dg.RunFailureSensorContext) -> str:
    """The steps that failed, as HTML in ASCII, because Dagster sends no other text."""
    failed = _failed_steps(context.instance, context.dagster_run.run_id)
    lines = [f"{step.step or 'The run'} failed: {plain(step.error)}" for step in failed]
    body = "<br>".join(html.escape(line) for line in lines)
    return body.encode("ascii", "xmlcharrefreplace").decode("ascii")
