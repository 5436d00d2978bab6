"""How long the records of runs are kept: the newest runs of Dagster, with their runs and versions in MLflow.

Files of stages are not concerned: ``storage.publication`` keeps two generations of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import dagster as dg
from dagster import DagsterRunStatus as Status
from sqlalchemy import text

from skip_pipeline.defs.mlflow_runs import DAGSTER_RUN
from skip_pipeline.defs.tracking import MlflowTracker
from skip_pipeline.nightly.plan import STATE
from skip_pipeline.settings import EXPERIMENT, MODEL_NAME

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.store.entities import PagedList

Found = TypeVar("Found")

_ENDED: Final = [Status.SUCCESS, Status.FAILURE, Status.CANCELED]
_PAGE: Final = 1_000  # runs of MLflow in one request


@dataclass(frozen=True)
class Pruned:
    """How many records were removed."""

    dagster_runs: int
    mlflow_runs: int
    versions: int
    collected: bool  # whether MLflow has removed the files of the deleted runs, too


def prune(instance: dg.DagsterInstance, tracker: MlflowTracker, *, keep: int) -> Pruned:
    """Remove the records of all but the newest ``keep`` ended runs of Dagster.

    Kept besides are the runs that made what every asset holds now, the last night that succeeded, and what
    belongs to a version of the model with an alias. Files of deleted MLflow runs are removed by MLflow's own
    ``gc`` where the store is the project's own; on a server, ``mlflow gc`` has to be run there.
    """
    ended = instance.get_runs(dg.RunsFilter(statuses=_ENDED))
    needed = _needed(instance, ended)
    old = [run.run_id for run in ended[keep:] if run.run_id not in needed]
    client = tracker.client()
    runs, models, versions = _prune_mlflow(client, set(old))
    if tracker.is_embedded:
        _collect(tracker.tracking_uri)
        _remove_empty(Path(tracker.embedded_artifacts), (*runs, *(f"models/{model}" for model in models)))
    for run_id in old:
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        instance.delete_run(run_id)
        _remove_rest(instance, run_id)
    return Pruned(len(old), len(runs), versions, tracker.is_embedded)


def _needed(instance: dg.DagsterInstance, ended: Sequence[dg.DagsterRun]) -> set[str]:
    """Runs that made what assets hold now, and the night that the next one is compared with."""
    records = instance.get_asset_records()
    made = {record.asset_entry.last_run_id for record in records if record.asset_entry.last_run_id}
    events = (record.asset_entry.last_materialization for record in records)
    made |= {event.run_id for event in events if event}
    nights = (run.run_id for run in ended if run.status == Status.SUCCESS and STATE in run.tags)
    return made | {night for night in [next(nights, None)] if night}


def _remove_rest(instance: dg.DagsterInstance, run_id: str) -> None:
    """Remove what Dagster leaves of a deleted run: results of checks, and on SQLite an emptied database."""
    storage: Any = instance.event_log_storage
    with storage.index_connection() as connection:
        connection.execute(text("DELETE FROM asset_check_executions WHERE run_id = :run"), {"run": run_id})
    if hasattr(storage, "path_for_shard"):
        for path in Path(storage.path_for_shard(run_id)).parent.glob(f"{run_id}.db*"):
            path.unlink()


def _remove_empty(artifacts: Path, names: Iterable[str]) -> None:
    """Remove the folders that MLflow's ``gc`` leaves of deleted runs and models."""
    for folder in (artifacts / name for name in names):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _prune_mlflow(client: MlflowClient, old: set[str]) -> tuple[list[str], list[str], int]:
    """Delete the MLflow runs of some Dagster runs, with their models and versions.

    Returns ids of the runs, ids of the models, and the number of versions.
    """
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None or not old:
        return [], [], 0
    every_run = _all(client.search_runs, experiment.experiment_id)
    runs = [run for run in every_run if run.data.tags.get(DAGSTER_RUN) in old]
    own = {run.info.run_id for run in runs}
    (model,) = client.search_registered_models(f"name = '{MODEL_NAME}'") or (None,)
    named = {str(version) for version in model.aliases.values()} if model else set()
    found = client.search_model_versions(f"name = '{MODEL_NAME}'", max_results=_PAGE) if model else []
    of_old = [version for version in found if version.run_id in own]
    serving = {version.run_id for version in of_old if str(version.version) in named}
    spared = {run.data.tags[DAGSTER_RUN] for run in runs if run.info.run_id in serving}
    dropped = [version for version in of_old if version.run_id not in serving]
    for version in dropped:
        client.delete_model_version(MODEL_NAME, version.version)
    deleted = [run.info.run_id for run in runs if run.data.tags[DAGSTER_RUN] not in spared]
    logged = _all(client.search_logged_models, experiment.experiment_id)
    kept = {run.info.run_id for run in every_run} - set(deleted)
    models = [model.model_id for model in logged if (run := model.source_run_id) and run not in kept]
    for model_id in models:
        client.delete_logged_model(model_id)
    for run_id in deleted:
        client.delete_run(run_id)
    return deleted, models, len(dropped)


def _all(search: Callable[..., PagedList[Found]], experiment: str) -> list[Found]:
    """What a search of runs or models finds on all pages."""
    found: list[Found] = []
    token = None
    while True:
        page = search([experiment], max_results=_PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _collect(uri: str) -> None:
    """Let MLflow remove what is deleted in a database, and its files."""
    from mlflow.cli import gc

    with redirect_stdout(StringIO()):  # a line for each run
        gc.main(["--backend-store-uri", uri, "--tracking-uri", uri], standalone_mode=False)
