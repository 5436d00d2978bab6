"""The command ``run``: materialize assets, show progress, and print the result."""

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import dagster as dg
import typer
from rich.console import Console

from skip_pipeline.cli.options import ERR, FAILED, OUT, show_json
from skip_pipeline.cli.progress import RunProgress
from skip_pipeline.definitions import defs
from skip_pipeline.defs.history import step_seconds
from skip_pipeline.defs.launch import Outcome, check_facts, materialize, open_instance, prepare_home, select
from skip_pipeline.nightly.promotion_record import PROMOTION_FILE
from skip_pipeline.settings import DEFAULT_DATA_DIR, METRICS_FILE, OWN_LISTENING_PAGE, REPORT_FILE, DataLayout
from skip_pipeline.storage import read_json

LIBRARY_LOG: Final = "libraries.log"
_STDERR: Final = 2  # the file descriptor, because native code does not write through sys.stderr


def run(
    layout: DataLayout,
    selection: str | None,
    training: Mapping[str, Any],
    engine: Mapping[str, Any],
    *,
    as_json: bool = False,
) -> None:
    """Materialize assets; print a line for each finished asset, and the headline or the failures.

    Args:
        layout: of the data directory.
        selection: see ``launch.select``; None for all assets.
        training: config of trained_model, of which baseline_models gets the window; ignored unless these
            assets are selected; a value of None is left out.
        engine: settings of ``ShardEngine`` that differ from its defaults.
        as_json: whether to print one JSON object in place of all that.
    """
    home = prepare_home(layout)
    definitions = defs()
    assets = select(definitions, selection)
    config: dict[str, Any] = {"resources": {"engine": {"config": dict(engine)}}} if engine else {}
    given = {name: value for name, value in training.items() if value is not None}
    window = {name: value for name, value in given.items() if name == "train_days"}
    of_asset = {"trained_model": given, "baseline_models": window}
    if ops := {name: {"config": of} for name, of in of_asset.items() if name in assets}:
        config["ops"] = ops
    console = Console(quiet=True) if as_json else OUT
    expected = step_seconds(open_instance())
    with quiet_libraries(home / LIBRARY_LOG), RunProgress(console, assets, expected) as progress:
        outcome = materialize(definitions, assets, config, lambda event: _show(event, progress))
    if as_json:
        show_json(_facts(layout, outcome))
        if not outcome.success:
            raise typer.Exit(FAILED)
        return
    if not outcome.success:
        for failure in outcome.failures:
            ERR.print(f"error: {failure}", style="red")
        ERR.print(f"Run {outcome.run_id} failed; its steps are shown by: {ui_command(layout)}")
        raise typer.Exit(FAILED)
    if "evaluation_report" in assets:
        shown = {"promotion": "champion_model", "about_oneself": "own_listening_report"}
        parts = {part: asset in outcome.materialized for part, asset in shown.items()}
        OUT.print(headline(layout, **parts))


def _facts(layout: DataLayout, outcome: Outcome) -> dict[str, Any]:
    """How a run ended, and the files in which its figures are, as JSON values."""
    files = {
        "evaluation_report": {"metrics": layout.report / METRICS_FILE, "report": layout.report / REPORT_FILE},
        "champion_model": {"promotion": layout.promotion / PROMOTION_FILE},
        "own_listening_report": {"own_listening": layout.own_listening / OWN_LISTENING_PAGE},
    }
    made = [file for asset in files if asset in outcome.materialized for file in files[asset].items()]
    return asdict(outcome) | {"files": {name: str(path) for name, path in made}}


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


def _show(event: dg.DagsterEvent, progress: RunProgress) -> None:
    step = event.step_key or ""
    if event.event_type == dg.DagsterEventType.STEP_START:
        progress.started(step)
    elif event.event_type == dg.DagsterEventType.STEP_SUCCESS:
        progress.ended(step)
    elif event.event_type == dg.DagsterEventType.STEP_FAILURE:
        progress.failed(step)
    elif event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
        metadata = event.step_materialization_data.materialization.metadata
        seconds, rows = metadata["seconds"].value, metadata["dagster/row_count"].value
        progress.finished(step, f"{seconds:>6.1f} s  {rows:>9,} rows")
        for name in ("mlflow_run", "mlflow_run_incomplete", "mlflow_later"):
            if name in metadata and not isinstance(metadata[name], dg.UrlMetadataValue):
                progress.warned(f"{name}: {metadata[name].value}")
    elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
        evaluation = event.asset_check_evaluation_data
        fails_the_run = evaluation.blocking and evaluation.severity == dg.AssetCheckSeverity.ERROR
        if not evaluation.passed and not fails_the_run:
            progress.warned(f"{evaluation.asset_key.to_user_string()}, {check_facts(evaluation)}")


def ui_command(layout: DataLayout) -> str:
    """The command that shows this data directory's runs."""
    if layout.root == DEFAULT_DATA_DIR.resolve():
        return "make ui"
    return f"skip-pipeline ui --data-dir {shlex.quote(str(layout.root))}"


def headline(layout: DataLayout, *, promotion: bool = False, about_oneself: bool = False) -> str:
    """The result in a few lines.

    Args:
        layout: of the data directory.
        promotion: whether to say which version serves, and why.
        about_oneself: whether to name the page of own listening.
    """
    metrics = read_json(layout.report / METRICS_FILE)
    test, baselines = metrics["test"], metrics["baselines"]
    source, data = metrics["data_source"], metrics.get("data", {})
    mark = data.get("mark", f"{source} data")
    # Of synthetic data the mark says enough.
    note = [f"  {data['note']}"] if data and source == "real" else []
    return "\n".join(
        [
            f"{metrics['served']}, {test['sessions']:,} test sessions, {mark}:",
            *note,
            f"  accuracy {test['accuracy']:.3f}   always the commoner answer "
            f"{baselines['majority']['accuracy']:.3f}   last outcome again "
            f"{baselines['repeat_last_outcome']['accuracy']:.3f}",
            f"  log-loss {test['log_loss']:.3f}   ROC AUC {test['roc_auc']:.3f}   Brier {test['brier']:.3f}",
            *(["", *_champion(layout)] if promotion else []),
            "",
            f"Report: {layout.report / REPORT_FILE}",
            *([f"You:    {layout.own_listening / OWN_LISTENING_PAGE}"] if about_oneself else []),
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
