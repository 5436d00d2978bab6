"""The command ``run``: materialize assets, show progress, and print the result."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import dagster as dg
from rich.console import Console

from skip_pipeline.cli.progress import RunProgress
from skip_pipeline.definitions import defs
from skip_pipeline.defs.launch import Outcome, check_facts, materialize, prepare_home, select
from skip_pipeline.nightly.promotion_record import PROMOTION_FILE
from skip_pipeline.settings import DEFAULT_DATA_DIR, METRICS_FILE, REPORT_FILE, DataLayout
from skip_pipeline.storage import read_json

LIBRARY_LOG: Final = "libraries.log"
_STDERR: Final = 2  # the file descriptor, because native code does not write through sys.stderr


def run(
    layout: DataLayout,
    training: Mapping[str, Any],
    selection: str | None,
    console: Console,
    engine: Mapping[str, Any] | None = None,
) -> Outcome:
    """Materialize the selected assets; print a line for each finished asset and the headline at the end.

    Args:
        layout: of the data directory.
        training: run config of trained_model (``training_config``); ignored unless that asset is selected.
        selection: see ``launch.select``; None for all assets.
        console: to print to.
        engine: settings of ``ShardEngine`` that differ from its defaults.

    Raises:
        RefusedError: the selection selects nothing.
    """
    home = prepare_home(layout)
    definitions = defs()
    assets = select(definitions, selection)
    config = dict(training) if "trained_model" in assets else {}
    if engine:
        config["resources"] = {"engine": {"config": dict(engine)}}
    with quiet_libraries(home / LIBRARY_LOG), RunProgress(console, assets) as progress:
        outcome = materialize(definitions, assets, config, lambda event: _show(event, progress))
    if outcome.success and "evaluation_report" in assets:
        console.print(headline(layout, promotion="champion_model" in assets), markup=False)
    return outcome


@contextmanager
def quiet_libraries(log: Path) -> Iterator[None]:
    """Redirect standard error, also of native code, to a file while the block runs.

    TensorFlow's C++ code prints lines that look like errors at every start, before it reads any setting that
    could silence them. Errors of the run itself are printed after the run.
    """
    sys.stderr.flush()
    kept = os.dup(_STDERR)
    with log.open("ab") as sink:
        os.dup2(sink.fileno(), _STDERR)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, _STDERR)
        os.close(kept)


def training_config(preset: str, seed: int, **more: int | None) -> dict[str, Any]:
    """Run config of trained_model; a value of None is left out."""
    given = {name: value for name, value in more.items() if value is not None}
    return {"ops": {"trained_model": {"config": {"preset": preset, "seed": seed, **given}}}}


def _show(event: dg.DagsterEvent, progress: RunProgress) -> None:
    step = event.step_key or ""
    if event.event_type == dg.DagsterEventType.STEP_START:
        progress.started(step)
    elif event.event_type == dg.DagsterEventType.STEP_FAILURE:
        progress.failed(step)
    elif event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
        metadata = event.step_materialization_data.materialization.metadata
        progress.finished(step, _facts(metadata))
        for name in ("mlflow_run", "mlflow_run_incomplete"):
            if name in metadata and not isinstance(metadata[name], dg.UrlMetadataValue):
                progress.warned(f"{name}: {metadata[name].value}")
    elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        evaluation = event.asset_check_evaluation_data
        if not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.WARN:
            progress.warned(f"{evaluation.asset_key.to_user_string()}, {check_facts(evaluation)}")


def _facts(metadata: Mapping[str, dg.MetadataValue]) -> str:
    rows = metadata["dagster/row_count"].value
    seconds = metadata["seconds"].value
    return f"{seconds:>6.1f} s  {rows:>9,} rows"


def ui_command(layout: DataLayout) -> str:
    """The command that shows this data directory's runs."""
    default = DEFAULT_DATA_DIR.resolve()
    return (
        "make ui"
        if layout.root == default
        else f"skip-pipeline ui --data-dir {shlex.quote(str(layout.root))}"
    )


def headline(layout: DataLayout, *, promotion: bool = False) -> str:
    """The result in a few lines, and where the report is.

    Args:
        layout: of the data directory.
        promotion: whether to add which version serves from now on, and why.
    """
    metrics = read_json(layout.report / METRICS_FILE)
    test, baselines, source = metrics["test"], metrics["baselines"], metrics["data_source"]
    return "\n".join(
        [
            f"{metrics['preset']} network, {test['sessions']:,} test sessions, {source} data:",
            f"  accuracy {test['accuracy']:.3f}   always the commoner answer "
            f"{baselines['majority']['accuracy']:.3f}   last outcome again "
            f"{baselines['repeat_last_outcome']['accuracy']:.3f}",
            f"  log-loss {test['log_loss']:.3f}   ROC AUC {test['roc_auc']:.3f}   Brier {test['brier']:.3f}",
            *(["", *_champion(layout)] if promotion else []),
            "",
            f"Report: {layout.report / REPORT_FILE}",
            f"Next:   {ui_command(layout)}  (Dagster and MLflow on this machine)",
        ]
    )


def _champion(layout: DataLayout) -> list[str]:
    """Which version serves, and a line for each rule of the decision."""
    decision = read_json(layout.promotion / PROMOTION_FILE)
    word = "promoted" if decision["promoted"] else "refused"
    serving = f"version {decision['champion']} serves" if decision["champion"] else "no version serves"
    return [
        f"Version {decision['challenger']} is {word}; {serving}:",
        *(f"  {'✓' if reason['passed'] else '✗'} {reason['facts']}" for reason in decision["reasons"]),
    ]
