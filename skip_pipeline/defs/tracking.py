"""MLflow tracking: one parent run per Dagster run, one nested run per materialization.

Belongs here: opening, tagging and closing runs. What is logged into them is the assets' affair, through
``TrackedMaterialization``. A tracking server that is down costs the record, never the result: it is
reported in Dagster's log and metadata, and the materialization goes on. MLflow is imported when the
first run opens, so neither the UI nor the schedule pays for it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from filelock import FileLock
from pydantic import Field, PrivateAttr

from skip_pipeline.defs.dead_runs import sign
from skip_pipeline.defs.tracked_materialization import TrackedMaterialization
from skip_pipeline.defs.tracking_guard import LONGEST_REASON, Guard, without_credentials
from skip_pipeline.settings import (
    DEFAULT_MLFLOW_URL,
    EXPERIMENT,
    EXPERIMENT_TAGS,
    MLFLOW_URL_VARIABLE,
    TRACKING_ENVIRONMENT,
    TRACKING_URI_VARIABLE,
)

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

DAGSTER_RUN = "dagster.run_id"
DAGSTER_ASSET = "dagster.asset_key"
DAGSTER_URL = "dagster.run_url"
DAGSTER_JOB = "dagster.job_name"
CODE_VERSION = "dagster.code_version"

_STEP_ENDINGS = {
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_SKIPPED,
}


class MlflowTracker(dg.ConfigurableResource):
    """Opens and closes MLflow runs around materializations.

    Dagster sets a resource up once per process of a run and tears it down at its end. With the
    in-process executor that is exactly the life of the parent run; what a killed process leaves open is
    closed by ``schedules.close_tracking`` or by the next run.

    Where runs are recorded is read from ``MLFLOW_TRACKING_URI`` when it is needed and is no field, because
    Dagster shows and stores fields, and the URI may hold a password.
    """

    embedded_uri: str = Field(description="Database of runs unless MLFLOW_TRACKING_URI names another store")
    embedded_artifacts: str = Field(description="Where artifacts go beside that database")
    dagster_url: str = Field(description="Address of the Dagster UI, for links")

    _parent: "Run | None" = PrivateAttr(default=None)
    _guard: Guard | None = PrivateAttr(default=None)

    @property
    def tracking_uri(self) -> str:
        """The store that runs are recorded in."""
        return os.environ.get(TRACKING_URI_VARIABLE) or self.embedded_uri

    @property
    def is_embedded(self) -> bool:
        """Whether that is the project's own database."""
        return self.tracking_uri == self.embedded_uri

    @property
    def mlflow_url(self) -> str:
        """Address of the MLflow UI, without credentials."""
        named = os.environ.get(MLFLOW_URL_VARIABLE)
        if named:
            return named.rstrip("/")
        is_server = self.tracking_uri.startswith(("http://", "https://"))
        return without_credentials(self.tracking_uri).rstrip("/") if is_server else DEFAULT_MLFLOW_URL

    @property
    def unavailable(self) -> str | None:
        """Why something is not being recorded, or None when all is well."""
        return self._guard.reason if self._guard else None

    def run_url(self, dagster_run_id: str) -> str:
        """Address of a Dagster run."""
        return f"{self.dagster_url}/runs/{dagster_run_id}"

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Find or open the parent run."""
        if context.run is None or context.instance is None:
            return
        sign(context.instance, context.run.run_id)
        with self._guarding(context.log), self._alone():
            client = self.client()
            import mlflow  # after the client has set MLflow's variables

            mlflow.set_tracking_uri(self.tracking_uri)
            experiment = self._experiment_id(client)
            close_finished(client, experiment, context.instance)
            self._parent = self._find_parent(client, experiment, context.run.run_id) or self._open_parent(
                client, experiment, context.run
            )

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close the parent if no step of the Dagster run is left to do."""
        if self._parent is None or context.run is None or context.instance is None:
            return
        status = _status_of_steps(context.instance, context.run)
        if status is not None:
            with self._guarding(context.log):
                self.client().set_terminated(self._parent.info.run_id, status=status)

    def client(self) -> "MlflowClient":
        """A client of the tracking store, which is created on first use."""
        for variable, value in TRACKING_ENVIRONMENT.items():
            os.environ.setdefault(variable, value)  # MLflow reads some of them while it is imported
        import mlflow

        if self.is_embedded:
            _database(self.embedded_uri).parent.mkdir(parents=True, exist_ok=True)
        return mlflow.MlflowClient(tracking_uri=self.tracking_uri)

    @contextmanager
    def materialization(self, context: dg.AssetExecutionContext) -> Iterator[TrackedMaterialization]:
        """A nested run named for the asset: FINISHED when the block ends, FAILED when it raises."""
        guard = self._guarding(context.log)
        run = self._open_nested(context, guard)
        tracked = TrackedMaterialization(run, self._run_link(run) if run else None, guard)
        try:
            yield tracked
        except BaseException as failure:
            tracked.tags({"failure": f"{type(failure).__name__}: {failure}"[:LONGEST_REASON]})
            _close(run, "FAILED", guard)
            raise
        _close(run, "FINISHED", guard)

    def close_finished(self, instance: dg.DagsterInstance) -> str:
        """Close what ended Dagster runs have left open; says in words what was done."""
        reasons: list[str] = []
        with Guard(reasons.append):
            client = self.client()
            experiment = client.get_experiment_by_name(EXPERIMENT)
            closed = close_finished(client, experiment.experiment_id, instance) if experiment else 0
            return f"closed {closed} MLflow runs"
        return f"MLflow could not be reached: {reasons[0]}"

    # --- Opening and closing --------------------------------------------------------------------------

    def _experiment_id(self, client: "MlflowClient") -> str:
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        artifacts = self.embedded_artifacts if self.is_embedded else None  # a server decides for itself
        try:
            return str(client.create_experiment(EXPERIMENT, artifacts, tags=EXPERIMENT_TAGS))
        except MlflowException:
            # Another process was first.
            found = client.get_experiment_by_name(EXPERIMENT)
            if found is None:
                raise
            return str(found.experiment_id)

    def _find_parent(self, client: "MlflowClient", experiment: str, dagster_run_id: str) -> "Run | None":
        found = client.search_runs(
            [experiment], f"tags.`{DAGSTER_RUN}` = '{dagster_run_id}'", order_by=["attributes.start_time ASC"]
        )
        parents = [run for run in found if DAGSTER_ASSET not in run.data.tags]
        return parents[0] if parents else None

    def _open_parent(self, client: "MlflowClient", experiment: str, dagster_run: dg.DagsterRun) -> "Run":
        job = "materialize" if dagster_run.job_name.startswith("__") else dagster_run.job_name
        name = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {job}"
        tags = {
            DAGSTER_RUN: dagster_run.run_id,
            DAGSTER_URL: self.run_url(dagster_run.run_id),
            DAGSTER_JOB: dagster_run.job_name,
            "mlflow.source.name": "skip_pipeline.definitions",
            "mlflow.source.type": "JOB",
        }
        return client.create_run(experiment, run_name=name, tags=tags)

    def _open_nested(self, context: dg.AssetExecutionContext, guard: Guard) -> "Run | None":
        if self._parent is None or guard.suspended:
            return None
        import mlflow

        asset = context.asset_key.to_user_string()
        tags = {
            DAGSTER_RUN: context.run.run_id,
            DAGSTER_URL: self.run_url(context.run.run_id),
            DAGSTER_ASSET: asset,
            CODE_VERSION: str(context.assets_def.code_versions_by_key[context.asset_key]),
        }
        with guard:
            # The fluent API, because the model flavours log into the run that it holds open.
            return mlflow.start_run(
                experiment_id=self._parent.info.experiment_id,
                parent_run_id=self._parent.info.run_id,
                run_name=asset,
                tags=tags,
            )
        return None

    def _guarding(self, log: Any) -> Guard:
        """The guard of this process, which remembers a store that did not answer."""
        if self._guard is None:
            store = without_credentials(self.tracking_uri)
            self._guard = Guard(
                lambda reason: log.warning(
                    f"MLflow at {store} did not take a record: {reason}. The result is kept; mend the store, "
                    f"or unset {TRACKING_URI_VARIABLE}, before the next run"
                )
            )
        return self._guard

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time create the embedded store and find its parent run there."""
        if not self.is_embedded:
            yield
            return
        database = _database(self.embedded_uri)
        database.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(database.with_suffix(".lock")):
            yield

    def _run_link(self, run: "Run") -> str:
        return f"{self.mlflow_url}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"


def _close(run: "Run | None", status: str, guard: Guard) -> None:
    """End the open run; tried even where the store has not answered, because it is the last chance."""
    if run is not None:
        import mlflow

        with guard:
            mlflow.end_run(status)


def close_finished(client: "MlflowClient", experiment: str, instance: dg.DagsterInstance) -> int:
    """Close MLflow runs left open by Dagster runs that have ended, say by a kill; returns how many.

    Runs of a Dagster run that this instance does not know belong to somebody else, and stay open.
    """
    closed = 0
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
        dagster_run = instance.get_run_by_id(run.data.tags.get(DAGSTER_RUN, ""))
        if dagster_run is None or not dagster_run.is_finished:
            continue
        succeeded = dagster_run.status == dg.DagsterRunStatus.SUCCESS
        client.set_terminated(run.info.run_id, status="FINISHED" if succeeded else "KILLED")
        closed += 1
    return closed


def _status_of_steps(instance: dg.DagsterInstance, dagster_run: dg.DagsterRun) -> str | None:
    """``FAILED`` once a step has failed, ``FINISHED`` once all have ended, None while some are left."""
    planned = set(dagster_run.step_keys_to_execute or ())
    ended: set[str] = set()
    for entry in instance.all_logs(dagster_run.run_id, of_type=_STEP_ENDINGS):
        event = entry.get_dagster_event()
        if event.event_type == dg.DagsterEventType.STEP_FAILURE:
            return "FAILED"
        if event.step_key:
            ended.add(event.step_key)
    return "FINISHED" if planned <= ended else None


def _database(sqlite_uri: str) -> Path:
    return Path(sqlite_uri.removeprefix("sqlite:///"))
