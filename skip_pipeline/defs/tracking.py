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
from pydantic import Field, PrivateAttr

from skip_pipeline.defs.tracked_materialization import TrackedMaterialization, tracking_errors
from skip_pipeline.settings import EXPERIMENT, EXPERIMENT_TAGS, TRACKING_ENVIRONMENT

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
    in-process executor that is exactly the life of the parent run; with several processes the parent is
    closed by the one that sees the last step end, or by ``schedules.close_tracking``.
    """

    tracking_uri: str = Field(description="Where MLflow stores runs: a server's URL or a database URI")
    artifact_root: str | None = Field(
        default=None, description="Where a new experiment keeps artifacts; a server decides for itself"
    )
    mlflow_url: str = Field(description="Address of the MLflow UI, for links")
    dagster_url: str = Field(description="Address of the Dagster UI, for links")

    _parent: "Run | None" = PrivateAttr(default=None)
    _unavailable: str | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Find or open the parent run; a store that cannot be reached is noted and not asked again."""
        if context.run is None or context.instance is None:
            return
        for variable, value in TRACKING_ENVIRONMENT.items():
            os.environ.setdefault(variable, value)
        try:
            client = self.client()
            experiment = self._experiment_id(client)
            close_finished(client, experiment, context.instance)
            self._parent = self._find_parent(client, experiment, context.run.run_id)
            if self._parent is None:
                self._parent = self._open_parent(client, experiment, context.run)
        except tracking_errors() as failure:
            self._note(failure, context.log)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close the parent if no step of the Dagster run is left to do."""
        if self._parent is None or context.run is None or context.instance is None:
            return
        status = _status_of_steps(context.instance, context.run)
        if status is None:
            return
        try:
            self.client().set_terminated(self._parent.info.run_id, status=status)
        except tracking_errors() as failure:
            self._note(failure, context.log)

    def client(self) -> "MlflowClient":
        """A client of the tracking store, which is created on first use."""
        import mlflow

        _prepare_local_store(self.tracking_uri)
        mlflow.set_tracking_uri(self.tracking_uri)
        return mlflow.MlflowClient(tracking_uri=self.tracking_uri)

    @contextmanager
    def materialization(self, context: dg.AssetExecutionContext) -> Iterator[TrackedMaterialization]:
        """A nested run named for the asset: FINISHED when the block ends, FAILED when it raises."""
        run = self._open_nested(context)
        link = self._run_link(run) if run else None
        tracked = TrackedMaterialization(run, link, lambda failure: self._note(failure, context.log))
        try:
            yield tracked
        except BaseException as failure:
            tracked.tags({"failure": f"{type(failure).__name__}: {failure}"[:_LONGEST_TAG]})
            self._close(run, "FAILED", context)
            raise
        self._close(run, "FINISHED", context)

    @property
    def unavailable(self) -> str | None:
        """Why nothing is being recorded, or None when all is well."""
        return self._unavailable

    def run_url(self, dagster_run_id: str) -> str:
        """Address of a Dagster run."""
        return f"{self.dagster_url}/runs/{dagster_run_id}"

    # --- Opening and closing --------------------------------------------------------------------------

    def _experiment_id(self, client: "MlflowClient") -> str:
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        try:
            return str(client.create_experiment(EXPERIMENT, self.artifact_root, tags=EXPERIMENT_TAGS))
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

    def _open_nested(self, context: dg.AssetExecutionContext) -> "Run | None":
        if self._parent is None:
            return None
        import mlflow

        asset = context.asset_key.to_user_string()
        tags = {
            DAGSTER_RUN: context.run.run_id,
            DAGSTER_URL: self.run_url(context.run.run_id),
            DAGSTER_ASSET: asset,
            CODE_VERSION: str(context.assets_def.code_versions_by_key[context.asset_key]),
        }
        try:
            # Resuming by the fluent API is what lets the model flavours log into this very run.
            return mlflow.start_run(
                experiment_id=self._parent.info.experiment_id,
                parent_run_id=self._parent.info.run_id,
                run_name=asset,
                tags=tags,
            )
        except tracking_errors() as failure:
            self._note(failure, context.log)
            return None

    def _close(self, run: "Run | None", status: str, context: dg.AssetExecutionContext) -> None:
        if run is None:
            return
        import mlflow

        try:
            mlflow.end_run(status)
        except tracking_errors() as failure:
            self._note(failure, context.log)

    def _note(self, failure: Exception, log: Any) -> None:
        reason = " ".join(str(failure).split())[:_LONGEST_TAG]
        self._unavailable = f"{self.tracking_uri}: {reason}"
        log.warning(
            f"MLflow at {self.tracking_uri} did not take a record: {reason}. The result is kept; start the "
            "server, or unset MLFLOW_TRACKING_URI, before the next run"
        )

    def _run_link(self, run: "Run") -> str:
        return f"{self.mlflow_url}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"


_LONGEST_TAG = 2_000  # characters: a whole message of ours; MLflow cuts tags at 8,000


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


def _prepare_local_store(tracking_uri: str) -> None:
    """SQLite creates its file but not the folder above it."""
    prefix = "sqlite:///"
    if tracking_uri.startswith(prefix):
        Path(tracking_uri.removeprefix(prefix)).parent.mkdir(parents=True, exist_ok=True)
