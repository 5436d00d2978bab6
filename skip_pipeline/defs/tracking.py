"""MLflow tracking: one parent run per Dagster run, one nested run per materialization.

This module opens, tags and closes runs; ``mlflow_runs`` finds them, and ``record`` logs into them. A tracking
server that is down never costs a result: Dagster's log and metadata name what is missing in MLflow, and what
found no answer is kept and delivered later (``undelivered``). MLflow is imported when the first run opens, so
that neither the UI nor the schedule waits for it.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from filelock import FileLock
from pydantic import Field, PrivateAttr

from skip_pipeline.defs.dead_runs import sign
from skip_pipeline.defs.mlflow_runs import (
    DAGSTER_ASSET,
    DAGSTER_RUN,
    DESCRIPTION,
    close_finished,
    experiment_id,
    find_run,
)
from skip_pipeline.defs.mlflow_store import Guard, answers, mlflow_client, without_credentials
from skip_pipeline.defs.record import Record
from skip_pipeline.defs.registry import Registry
from skip_pipeline.defs.undelivered import Entry, KeptRun, Undelivered, now
from skip_pipeline.nightly.promotion_record import LONGEST_TAG
from skip_pipeline.settings import (
    DEFAULT_MLFLOW_URL,
    DELIVERY_SECONDS,
    EXPERIMENT,
    MLFLOW_URL_VARIABLE,
    TRACKING_URI_VARIABLE,
)

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

    from skip_pipeline.report.html import RunLink


class MlflowTracker(dg.ConfigurableResource):
    """Opens and closes MLflow runs around materializations.

    The parent run is open for as long as the resource is set up: once per process of a run. What a killed
    process left open, ``schedules.close_tracking`` or the next run closes.

    The address of the store is read from ``MLFLOW_TRACKING_URI`` when it is needed. It is no field, because
    Dagster shows and stores fields, and the address may hold a password.
    """

    embedded_uri: str = Field(description="Database of runs unless MLFLOW_TRACKING_URI names another store")
    embedded_artifacts: str = Field(description="Folder of artifacts beside that database")
    dagster_url: str = Field(description="Address of the Dagster UI, for links")

    _parent: "Run | None" = PrivateAttr(default=None)
    _guard: Guard | None = PrivateAttr(default=None)
    _parent_facts: "_Parent | None" = PrivateAttr(default=None)

    @property
    def tracking_uri(self) -> str:
        """The store that runs are recorded in."""
        return os.environ.get(TRACKING_URI_VARIABLE) or self.embedded_uri

    @property
    def is_embedded(self) -> bool:
        """Whether that is the project's own database."""
        return self.tracking_uri == self.embedded_uri

    @property
    def is_server(self) -> bool:
        """Whether that is a running MLflow server."""
        return self.tracking_uri.startswith(("http://", "https://"))

    @property
    def mlflow_url(self) -> str:
        """Address of the MLflow UI, without credentials."""
        named = os.environ.get(MLFLOW_URL_VARIABLE)
        if named:
            return named.rstrip("/")
        return without_credentials(self.tracking_uri).rstrip("/") if self.is_server else DEFAULT_MLFLOW_URL

    @property
    def database(self) -> Path:
        """File of the project's own database."""
        return Path(self.embedded_uri.removeprefix("sqlite:///"))

    @property
    def undelivered(self) -> Undelivered:
        """Runs that the store has not taken yet."""
        return Undelivered(self.database.with_name("undelivered"))

    def run_url(self, dagster_run_id: str) -> str:
        """Address of a Dagster run."""
        return f"{self.dagster_url}/runs/{dagster_run_id}"

    def run_links(self, context: dg.AssetExecutionContext, record: Record) -> "tuple[RunLink, ...]":
        """The Dagster run and, if there is one, the MLflow run, for a page to link to."""
        from skip_pipeline.report.html import RunLink

        dagster = RunLink("Dagster run", context.run.run_id, self.run_url(context.run.run_id))
        return (dagster, RunLink("MLflow run", record.run_id, record.link)) if record.run_id else (dagster,)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Find or open the parent run."""
        if context.run is None or context.instance is None:
            return
        sign(context.instance, context.run.run_id)
        self._open_parent(self._guarding(context.log), context.run, context.instance)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close the parent if no step of the Dagster run is left to do."""
        if self._parent_facts is None or context.run is None or context.instance is None:
            return
        steps = context.instance.get_run_step_stats(context.run.run_id)
        status = {step.step_key: step.status.name for step in steps if step.status}
        ended = {step for step, found in status.items() if found != "IN_PROGRESS"}
        failed = "FAILURE" in status.values()
        if failed or ended.issuperset(context.run.step_keys_to_execute or ()):
            guard, end = self._guarding(context.log), "FAILED" if failed else "FINISHED"
            if self._parent is not None:
                with guard.may_lose("the end of the parent run"):
                    self.client().set_terminated(self._parent.info.run_id, status=end)
            if self._parent is None or guard.suspended:
                parent = self._parent_facts
                self._keep(context.log, parent.kept(None, {}, parent.started, end), [])

    def client(self) -> "MlflowClient":
        """A client of the tracking store, which is created on first use."""
        if self.is_embedded:
            self.database.parent.mkdir(parents=True, exist_ok=True)
        return mlflow_client(self.tracking_uri)

    def experiment(self) -> str:
        """The id of the experiment, which is created on first use."""
        return self._experiment(self.client())

    def registry(self) -> Registry:
        """The registered versions of the model."""
        return Registry(self.tracking_uri)

    @contextmanager
    def materialization(self, context: dg.AssetExecutionContext) -> Iterator[Record]:
        """A nested run named for the asset: FINISHED when the block ends, FAILED when it raises."""
        guard, started = self._guarding(context.log), now()
        run, link = self._open_nested(context, guard), None
        if run is not None:
            link = self._link(run)
        record = Record(run, link, guard)
        status = "FAILED"
        try:
            yield record
            status = "FINISHED"
        except BaseException as failure:
            record.tags({"failure": f"{type(failure).__name__}: {failure}"[:LONGEST_TAG]})
            raise
        finally:
            if run is not None:
                import mlflow

                # Tried even if the store was down, because the run may still be open there.
                with guard.may_lose("the end of the run"):
                    mlflow.end_run(status)
            if self._parent_facts and (record.unsent or run is None or guard.suspended):
                asset, tags = context.asset_key.to_user_string(), self._nested_tags(context)
                kept = self._parent_facts.kept(asset, tags, started, status)
                self._keep(context.log, kept, record.unsent)

    def deliver(self) -> str:
        """Deliver what has been kept, if the store answers; returns what was done, in words."""
        if not self.undelivered.waiting():
            return "nothing waits"
        guard = Guard(answers=lambda: answers(self.client()), patience=DELIVERY_SECONDS)
        delivered = self._deliver(guard)
        lost = f"; {guard.lost[0]}" if guard.lost else ""
        return f"delivered {delivered} runs, {len(self.undelivered.waiting())} wait{lost}"

    def close_finished(self, instance: dg.DagsterInstance) -> str:
        """Close the MLflow runs that ended Dagster runs have left open; returns what was done, in words."""
        guard, closed = Guard(), 0
        with guard.may_lose("the end of runs that a failed Dagster run has left open"):
            client = self.client()
            experiment = client.get_experiment_by_name(EXPERIMENT)
            closed = close_finished(client, experiment.experiment_id, instance) if experiment else 0
        return guard.lost[0] if guard.lost else f"closed {closed} MLflow runs"

    def parent_run(self, dagster_run_id: str) -> tuple[str | None, str]:
        """Id and address of the parent run of a Dagster run; None, and the reason in words, without one."""
        guard, run = Guard(), None
        with guard.may_lose("the address of the run"):
            client = self.client()
            experiment = client.get_experiment_by_name(EXPERIMENT)
            run = find_run(client, experiment.experiment_id, dagster_run_id, None) if experiment else None
        if run is None:
            return None, f"not recorded ({guard.lost[0] if guard.lost else 'MLflow has no such run'})"
        return run.info.run_id, self._link(run)

    def describe_run(self, run_id: str, text: str) -> str:
        """Set the description of a run, which MLflow shows on its page; returns what was done, in words."""
        guard = Guard()
        with guard.may_lose("the description of the run"):
            self.client().set_tag(run_id, DESCRIPTION, text)
        return guard.lost[0] if guard.lost else "written into the MLflow run"

    # --- Opening and closing --------------------------------------------------------------------------

    def _open_parent(self, guard: Guard, run: dg.DagsterRun, instance: dg.DagsterInstance) -> None:
        self._parent_facts = self._parent_facts or self._facts_of(run)
        # One process at a time creates the embedded store, and finds its parent run there.
        lock = FileLock(self.database.with_suffix(".lock")) if self.is_embedded else nullcontext()
        with guard.may_lose("the run and everything below it"), lock:
            client = self._fluent_client()
            experiment = self._experiment(client)
            close_finished(client, experiment, instance)
            self._parent = self._parent_of(client, experiment, self._parent_facts)
        if self._parent is not None:
            self._deliver(guard)

    def _deliver(self, guard: Guard) -> int:
        """Deliver what has been kept until the store fails; returns the number of delivered runs."""
        if not self.undelivered.waiting():
            return 0
        client, experiment = None, ""
        with guard.may_lose("the delivery of kept runs"):
            client = self._fluent_client()
            experiment = self._experiment(client)
        if client is None or not experiment:
            return 0
        return self.undelivered.deliver(client, experiment, guard)

    def _fluent_client(self) -> "MlflowClient":
        """A client, to whose store MLflow's functions of the module then write, too."""
        client = self.client()
        import mlflow  # after the client has set MLflow's variables

        mlflow.set_tracking_uri(self.tracking_uri)
        mlflow.set_registry_uri(self.tracking_uri)
        return client

    def _keep(self, log: Any, run: KeptRun, entries: Sequence[Entry]) -> None:
        try:
            self.undelivered.keep(run, entries)
        except OSError as failure:
            log.warning(
                f"what MLflow has not taken of {run.asset or 'the run'} cannot be kept below "
                f"{self.undelivered.folder} ({failure}), expected a folder with room that can be written; it "
                "is lost. The result is kept"
            )

    def _experiment(self, client: "MlflowClient") -> str:
        # A server decides itself where artifacts are kept.
        artifacts = Path(self.embedded_artifacts).as_uri() if self.is_embedded else None
        return experiment_id(client, artifacts, without_credentials(self.tracking_uri))

    def _facts_of(self, dagster_run: dg.DagsterRun) -> "_Parent":
        # Dagster names the job of assets that a person has selected with leading underscores.
        kind = "Run" if dagster_run.job_name.startswith("__") else "Night"
        url = self.run_url(dagster_run.run_id)
        tags = {
            DAGSTER_RUN: dagster_run.run_id,
            "dagster.run_url": url,
            DESCRIPTION: f"[Dagster run]({url})",  # MLflow shows a tag as text
            "dagster.job_name": dagster_run.job_name,
            "mlflow.source.name": "skip_pipeline.definitions",
            "mlflow.source.type": "JOB",
        }
        return _Parent(f"{kind} {datetime.now(UTC):%Y-%m-%d %H:%M}", tags, now())

    def _parent_of(self, client: "MlflowClient", experiment: str, parent: "_Parent") -> "Run":
        """The parent run of a Dagster run; opened unless an earlier process has opened it."""
        found = find_run(client, experiment, parent.tags[DAGSTER_RUN], None)
        return found or client.create_run(experiment, parent.started, dict(parent.tags), parent.name)

    def _nested_tags(self, context: dg.AssetExecutionContext) -> dict[str, str]:
        return {
            DAGSTER_RUN: context.run.run_id,
            "dagster.run_url": self.run_url(context.run.run_id),
            DAGSTER_ASSET: context.asset_key.to_user_string(),
            "dagster.code_version": str(context.assets_def.code_versions_by_key[context.asset_key]),
        }

    def _link(self, run: "Run") -> str:
        return f"{self.mlflow_url}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"

    def _open_nested(self, context: dg.AssetExecutionContext, guard: Guard) -> "Run | None":
        was_down = guard.suspended
        guard.ask_again()
        if self._parent is None and not guard.suspended:
            self._open_parent(guard, context.run, context.instance)
        elif was_down and not guard.suspended:
            self._deliver(guard)
        if self._parent is None or guard.suspended:
            return None
        import mlflow

        asset, tags = context.asset_key.to_user_string(), self._nested_tags(context)
        with guard.may_lose(f"the run of {asset}"):
            # The fluent API, because the model flavours log into the run that it holds open.
            return mlflow.start_run(
                experiment_id=self._parent.info.experiment_id,
                parent_run_id=self._parent.info.run_id,
                run_name=asset,
                tags=tags,
            )
        return None

    def _guarding(self, log: Any) -> Guard:
        """The guard of this process; a store that did not answer is asked again before the next asset."""
        store = without_credentials(self.tracking_uri)
        self._guard = self._guard or Guard(
            lambda lost: log.warning(
                f"MLflow at {store} has not taken a record ({lost}). The result is kept. What found no "
                f"answer is kept, too, and a later run delivers it. If the store is down, start it, or unset "
                f"{TRACKING_URI_VARIABLE}, before the next run"
            ),
            lambda: answers(self.client()),
        )
        return self._guard


@dataclass(frozen=True)
class _Parent:
    """What the parent run of a Dagster run is made from."""

    name: str
    tags: Mapping[str, str]
    started: int  # in milliseconds

    def kept(self, asset: str | None, tags: Mapping[str, str], started: int, status: str) -> KeptRun:
        """A run below it that ends now, or this one, as it is kept."""
        return KeptRun(self.name, self.tags, self.started, asset, tags, started, now(), status)
