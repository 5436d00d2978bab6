"""The experiment and the runs of a tracking store: found, created and closed."""

from typing import TYPE_CHECKING

import dagster as dg

from skip_pipeline.defs.nights_view import NIGHTS_VIEW
from skip_pipeline.settings import EXPERIMENT, EXPERIMENT_TAGS, TRACKING_URI_VARIABLE

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

    from skip_pipeline.defs.undelivered import KeptRun

# Tags of MLflow's runs.
DAGSTER_RUN = "dagster.run_id"
DAGSTER_ASSET = "dagster.asset_key"
# Tags that MLflow defines.
MLFLOW_PARENT = "mlflow.parentRunId"
DESCRIPTION = "mlflow.note.content"  # in Markdown


def experiment_id(client: "MlflowClient", artifacts: str | None, store: str) -> str:
    """The id of the experiment, which is created on first use.

    Args:
        client: of the tracking store.
        artifacts: where files of a new experiment go; None for the store's own place.
        store: address of the store, without credentials.
    """
    from mlflow.entities import LifecycleStage
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        try:
            return str(client.create_experiment(EXPERIMENT, artifacts, tags=EXPERIMENT_TAGS | NIGHTS_VIEW))
        except MlflowException:
            found = client.get_experiment_by_name(EXPERIMENT)
            if found is None:  # else another process has created it in the meantime
                raise
    if found.lifecycle_stage == LifecycleStage.DELETED:
        raise MlflowException(
            f"the experiment {EXPERIMENT} is deleted, expected an active one; restore it with "
            f"{TRACKING_URI_VARIABLE}={store} "
            f"mlflow experiments restore --experiment-id {found.experiment_id}"
        )
    for tag, value in NIGHTS_VIEW.items():
        if tag not in found.tags:  # an experiment of an earlier version; a person's own view stays
            client.set_experiment_tag(found.experiment_id, tag, value)
    return str(found.experiment_id)


def found_or_created(client: "MlflowClient", experiment: str, run: "KeptRun") -> tuple[str, str]:
    """Ids of a kept run and of its parent in the store; created unless they are there."""
    dagster_run = run.parent_tags[DAGSTER_RUN]
    parent = find_run(client, experiment, dagster_run, None) or client.create_run(
        experiment, run.parent_started, dict(run.parent_tags), run.parent_name
    )
    parent_id = parent.info.run_id
    if run.asset is None:
        return parent_id, parent_id
    nested = find_run(client, experiment, dagster_run, run.asset)
    if nested is None:
        from mlflow.tracking.context.registry import resolve_tags  # those that `mlflow.start_run` adds

        tags = resolve_tags(dict(run.tags) | {MLFLOW_PARENT: parent_id})
        nested = client.create_run(experiment, run.started, tags, run.asset)
    return nested.info.run_id, parent_id


def find_run(client: "MlflowClient", experiment: str, dagster_run: str, asset: str | None) -> "Run | None":
    """The run of an asset of a Dagster run; for None the parent run."""
    of_this = f"tags.`{DAGSTER_RUN}` = '{dagster_run}'"
    found = client.search_runs([experiment], of_this, order_by=["attributes.start_time ASC"])
    return next((run for run in found if run.data.tags.get(DAGSTER_ASSET) == asset), None)


def close_finished(client: "MlflowClient", experiment: str, instance: dg.DagsterInstance) -> int:
    """Close MLflow runs that ended Dagster runs, for example killed ones, have left open; returns how many.

    Runs of a Dagster run that this instance does not know belong to another instance, and stay open.
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
