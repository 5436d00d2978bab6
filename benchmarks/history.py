"""Seconds of the pages and commands over 200 nights of records, and of the same over two nights.

    python -m benchmarks.history

One night runs on a synthetic data set of the demo's size. The other nights are copies of its records, with
ids and times of their own: Dagster's run and events, MLflow's runs, models, versions and files. A page is
timed in headless Chromium, from its address to a text that comes late. Printed as Markdown; the ports of
``make ui`` have to be free.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final
from urllib.parse import urlsplit

import dagster as dg
import mlflow
from dagster._core.utils import make_new_run_id
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, Metric, Param, Run
from playwright.sync_api import BrowserContext, sync_playwright

from benchmarks import summary
from benchmarks.measure import TEMPORARY
from benchmarks.screens import DAGSTER, MLFLOW, chromium, serving
from skip_pipeline import settings
from skip_pipeline.cli.options import FOUND
from skip_pipeline.cli.run import LIBRARY_LOG, quiet_libraries
from skip_pipeline.definitions import defs, mlflow_tracker, time_zone
from skip_pipeline.defs.launch import prepare_home
from skip_pipeline.defs.mlflow_runs import DAGSTER_RUN, MLFLOW_PARENT
from skip_pipeline.defs.morning import night_of
from skip_pipeline.defs.nights_view import nights_page
from skip_pipeline.defs.schedules import retrain
from skip_pipeline.nightly.morning import morning_message
from skip_pipeline.settings import DataLayout
from skip_pipeline.world.synthesize import synthesize

NIGHTS: Final = 200
FEW: Final = 2
_DAY: Final = 86_400  # seconds
_REPETITIONS: Final = 3
_PATIENCE: Final = 120_000  # milliseconds for a page
_ASSET: Final = f"{DAGSTER}/assets/evaluation_report"

PAGES: Final = {
    "Dagster: lineage": (f"{DAGSTER}/asset-groups", "", "champion_model"),
    "Dagster: runs": (f"{DAGSTER}/runs", "", "Success"),
    "Dagster: an asset": (_ASSET, "", "verdict"),
    "Dagster: plots of its figures": (_ASSET, "Plots", "test_log_loss"),
    "Dagster: its events": (f"{_ASSET}?view=events", "", "verdict"),
    "Dagster: checks of an asset": (f"{DAGSTER}/assets/tensor_bundles?view=checks", "", "Passed"),
    "MLflow: nights": (f"{MLFLOW}{nights_page('1')}", "", "promoted"),
    "MLflow: nights as charts": (f"{MLFLOW}{nights_page('1', charts=True)}", "", "drift_alarms"),
    "MLflow: all runs": (f"{MLFLOW}/#/experiments/1/runs?workflowType=machine_learning", "", "Night"),
    "MLflow: the model": (f"{MLFLOW}/#/models/skip_model?workflowType=machine_learning", "", "champion"),
}
"""By what a person opens: its address, a button to click there, and a text that it shows late."""


@dataclass(frozen=True)
class Night:
    """The records of the night that is copied."""

    instance: dg.DagsterInstance
    client: MlflowClient
    run: dg.DagsterRun
    events: list[dg.EventLogEntry]
    runs: list[Run]  # of MLflow, the parent first
    metrics: dict[str, list[Metric]]  # every value, by MLflow's run

    @classmethod
    def read(cls, instance: dg.DagsterInstance, client: MlflowClient, run_id: str) -> Night:
        """Read the records of a Dagster run."""
        run = instance.get_run_by_id(run_id)
        if run is None:
            raise LookupError(run_id)
        runs = client.search_runs(["1"], f"tags.`{DAGSTER_RUN}` = '{run_id}'")
        runs.sort(key=lambda found: MLFLOW_PARENT in found.data.tags)
        metrics = {
            found.info.run_id: [
                value
                for key in found.data.metrics
                for value in client.get_metric_history(found.info.run_id, key)
            ]
            for found in runs
        }
        return cls(instance, client, run, list(instance.all_logs(run_id)), runs, metrics)

    def copy(self, days: int) -> None:
        """Add the same night so many days earlier."""
        run_id = make_new_run_id()
        self.instance.add_run(
            self.run._replace(run_id=run_id, root_run_id=None, status=dg.DagsterRunStatus.NOT_STARTED)
        )
        for event in self.events:
            moved = event._replace(run_id=run_id, timestamp=event.timestamp - days * _DAY)
            self.instance.handle_new_event(moved)
        ids: dict[str, str] = {self.run.run_id: run_id}
        for run in self.runs:
            self._copy_run(run, ids, days)

    def _copy_run(self, run: Run, ids: dict[str, str], days: int) -> None:
        """Copy a run of MLflow with its models; ``ids`` gets the new id of each."""
        earlier = 1000 * days * _DAY
        tags = {name: ids.get(value, value) for name, value in run.data.tags.items()}
        made = self.client.create_run("1", run.info.start_time - earlier, tags, run.info.run_name)
        new = ids[run.info.run_id] = made.info.run_id
        _link_files(run.info.artifact_uri, made.info.artifact_uri)
        for made_here in run.outputs.model_outputs if run.outputs else ():
            self._copy_model(made_here.model_id, ids)
            self.client.log_outputs(new, [LoggedModelOutput(ids[made_here.model_id], made_here.step)])
        metrics = [
            Metric(each.key, each.value, each.timestamp - earlier, each.step, ids.get(each.model_id or ""))
            for each in self.metrics[run.info.run_id]
        ]
        params = [Param(name, value) for name, value in run.data.params.items()]
        self.client.log_batch(new, metrics, params)
        self.client.log_inputs(new, run.inputs.dataset_inputs if run.inputs else [])
        self.client.set_terminated(new, run.info.status, run.info.end_time - earlier)

    def _copy_model(self, model_id: str, ids: dict[str, str]) -> None:
        """Copy a logged model, and the version that was registered of it, if there is one."""
        model = self.client.get_logged_model(model_id)
        made = self.client.create_logged_model(
            "1", model.name, ids[model.source_run_id or ""], model.tags, model.params, model.model_type
        )
        ids[model_id] = made.model_id
        _link_files(model.artifact_location, made.artifact_location)
        self.client.finalize_logged_model(made.model_id, model.status)
        source = f"models:/{model_id}"
        for version in self.client.search_model_versions(f"name = '{settings.MODEL_NAME}'"):
            if version.source == source:
                self.client.create_model_version(
                    settings.MODEL_NAME,
                    f"models:/{made.model_id}",
                    ids[version.run_id or ""],
                    version.tags,
                    description=version.description,
                )


def _link_files(uri: str, copy: str) -> None:
    """Give a run or model the files of another, as hard links; some have none."""
    source, target = (Path(urlsplit(each).path) for each in (uri, copy))
    if source.is_dir():
        shutil.copytree(source, target, copy_function=os.link, dirs_exist_ok=True)


def first_night(layout: DataLayout) -> str:
    """Deliver a synthetic data set of the demo's size and run a night; Dagster's id of it.

    Raises:
        RuntimeError: the night failed.
    """
    synthesize(
        layout.raw,
        sessions=settings.SYNTHETIC_SESSIONS,
        tracks=settings.SYNTHETIC_TRACKS,
        seed=settings.SYNTHETIC_SEED,
        test_sessions=1000,
    )
    job = defs().resolve_job_def(retrain.name)
    with dg.DagsterInstance.get() as instance, quiet_libraries(layout.dagster / LIBRARY_LOG):
        result = job.execute_in_process(instance=instance, raise_on_error=False)
    if not result.success:
        raise RuntimeError(f"run {result.run_id} failed; see {layout.dagster / LIBRARY_LOG}")
    return result.run_id


def skip_pipeline(*words: str) -> None:
    """Run a command; its status may be that of things overdue.

    Raises:
        RuntimeError: it failed.
    """
    command = [sys.executable, "-c", "from skip_pipeline.cli.main import app; app()", *words]
    ended = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if ended.returncode not in (0, FOUND):
        raise RuntimeError(f"skip-pipeline {' '.join(words)} ended with status {ended.returncode}")


def seconds_of(work: Callable[[], object]) -> float:
    """Median seconds of a piece of work."""
    found = []
    for _ in range(_REPETITIONS):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return median(found)


def measured(layout: DataLayout, run_id: str) -> dict[str, float]:
    """Seconds by what was opened or called; ``run_id`` is that of a night."""
    found = {}
    found["skip-pipeline status"] = seconds_of(lambda: skip_pipeline("status"))
    with dg.DagsterInstance.get() as instance:
        found["the morning message"] = seconds_of(
            lambda: morning_message(
                night_of(instance, run_id, layout, mlflow_tracker(layout), time_zone())[0]
            )
        )
    with sync_playwright() as playwright, serving(layout):
        browser = chromium(playwright)
        for name, page in PAGES.items():
            context = browser.new_context(viewport={"width": 1500, "height": 900})
            found[name] = seconds_of(partial(opened, context, *page))
            context.close()
        browser.close()
    return found


def opened(context: BrowserContext, address: str, button: str, text: str) -> None:
    """Open a page in a new tab until it shows a text."""
    page = context.new_page()
    page.goto(address)
    if button:
        page.get_by_role("button", name=button).click(timeout=_PATIENCE)
    page.get_by_text(text).first.wait_for(timeout=_PATIENCE)
    page.close()


def compare(root: Path, nights: int) -> dict[str, dict[int, float]]:
    """Seconds by what was opened or called, and by the number of nights.

    Raises:
        RuntimeError: the first night failed.
    """
    os.environ[settings.DATA_DIR_VARIABLE] = str(root)
    layout = DataLayout(root)
    prepare_home(layout)
    run_id = first_night(layout)
    tracker = mlflow_tracker(layout)
    mlflow.set_tracking_uri(tracker.tracking_uri)  # where a version looks for its model
    found: dict[str, dict[int, float]] = {}
    with dg.DagsterInstance.get() as instance:
        night = Night.read(instance, tracker.client(), run_id)
        there = 1
        for count in (FEW, nights):
            for number in range(there, count):
                night.copy(nights - number)
            there = count
            for name, seconds in measured(layout, run_id).items():
                found.setdefault(name, {})[count] = seconds
    started = time.perf_counter()
    skip_pipeline("prune", "--keep", str(settings.RUNS_KEPT))
    found[f"skip-pipeline prune --keep {settings.RUNS_KEPT}"] = {nights: time.perf_counter() - started}
    return found


def markdown(found: Mapping[str, Mapping[int, float]]) -> str:
    """A row for each page or command, and a column for each number of nights.

    >>> print(markdown({"a page": {2: 0.51, 200: 0.62}, "prune": {200: 9.0}}))
    | seconds | 2 nights | 200 nights |
    |---|---|---|
    | a page | 0.5 | 0.6 |
    | prune |  | 9.0 |
    """
    counts = sorted({count for of in found.values() for count in of})
    rows = ([name, *(f"{of[n]:.1f}" if n in of else "" for n in counts)] for name, of in found.items())
    return summary.markdown(["seconds", *(f"{count} nights" for count in counts)], rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--nights", type=int, default=NIGHTS)
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="an empty data directory that keeps everything"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix=TEMPORARY) as folder:
        found = compare((options.keep or Path(folder)).resolve(), options.nights)
    print(markdown(found))


if __name__ == "__main__":
    main()
