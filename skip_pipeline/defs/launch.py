"""Materialize assets from the command line: through Dagster, on its configured instance, in this process."""

import logging
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from skip_pipeline import errors
from skip_pipeline.defs.dead_runs import close_dead_runs
from skip_pipeline.errors import RefusedError
from skip_pipeline.settings import DATA_DIR_VARIABLE, DataLayout

if TYPE_CHECKING:
    from dagster_shared.error import SerializableErrorInfo

HOME_VARIABLE = "DAGSTER_HOME"  # Dagster's own name

_UNUSABLE = re.compile(r"[?]|%[0-9A-Fa-f]{2}")  # both have a meaning in a database's URL

OnEvent = Callable[[dg.DagsterEvent], None]


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        run_id: Dagster's.
        success: every selected asset is materialized and every check has passed.
        materialized: names of the materialized assets, in order.
        failures: one message per failed step.
    """

    run_id: str
    success: bool
    materialized: tuple[str, ...]
    failures: tuple[str, ...]


def prepare_home(layout: DataLayout) -> Path:
    """Dagster's home: ``DAGSTER_HOME`` if set, else ``dagster`` in the data directory, made on first use.

    Sets ``DAGSTER_HOME`` for this process and its children.

    Raises:
        RefusedError: the data directory is not a folder, cannot be written, or has a name that cannot be
            part of a database's URL; or ``DAGSTER_HOME`` is not a folder.
    """
    if _UNUSABLE.search(str(layout.root)):
        raise RefusedError(
            f"{layout.root} has a ? or a % code in its path, which the URLs of the databases below it cannot "
            f"hold; choose another with --data-dir or ${DATA_DIR_VARIABLE}"
        )
    named = os.environ.get(HOME_VARIABLE)
    if named:
        home = Path(named)
        if not (home.is_absolute() and home.is_dir()):
            raise RefusedError(
                f"${HOME_VARIABLE} is {named}; expected the absolute path of an existing folder. Make it, or "
                f"unset the variable to use {layout.dagster}"
            )
        return home
    home = layout.dagster
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise RefusedError(
            f"{layout.root} cannot hold data ({failure.strerror}: {failure.filename}); expected a folder "
            f"that can be written. Choose another with --data-dir or ${DATA_DIR_VARIABLE}"
        ) from failure
    os.environ[HOME_VARIABLE] = str(home)
    config = home / "dagster.yaml"
    if not config.exists():
        with as_file(files("skip_pipeline.defs") / "dagster.yaml") as template:
            shutil.copyfile(template, config)
    return home


def select(definitions: dg.Definitions, text: str | None) -> tuple[str, ...]:
    """Names of the assets that ``text`` selects, in the order of the stages; all assets for None.

    Args:
        definitions: hold the assets.
        text: names separated by commas or spaces, or Dagster's selection syntax, such as
            ``trained_model+`` or ``group:"features"``.

    Raises:
        RefusedError: the text selects nothing, or is not understood.
    """
    graph = definitions.resolve_asset_graph()
    everything = tuple(key.to_user_string() for key in graph.toposorted_asset_keys)
    if text is None:
        return everything
    names = text.replace(",", " ").split()
    if names and all(name.isidentifier() for name in names):
        unknown = [name for name in names if name not in everything]
        chosen, reason = set(names), f"there is no {', '.join(unknown)}" if unknown else ""
    else:
        try:
            with warnings.catch_warnings():  # Dagster's parser warns of its own use of a beta parameter
                warnings.simplefilter("ignore", dg.BetaWarning)
                keys = dg.AssetSelection.from_string(text).resolve(graph)
            chosen, reason = {key.to_user_string() for key in keys}, "" if keys else "nothing matches"
        except dg.DagsterError as refusal:
            chosen, reason = set(), str(refusal)
    if reason:
        raise RefusedError(
            f"--select {text!r} selects no assets ({reason}); name some of {', '.join(everything)}, or use "
            "Dagster's selection syntax, such as 'trained_model+'"
        )
    return tuple(name for name in everything if name in chosen)


def materialize(
    definitions: dg.Definitions, assets: Iterable[str], run_config: Mapping[str, Any], on_event: OnEvent
) -> Outcome:
    """Materialize assets and run their checks; failures are in the outcome and are not raised.

    Args:
        definitions: hold the assets.
        assets: names.
        run_config: of Dagster's run.
        on_event: called with every event of Dagster's as it happens.
    """
    instance = dg.DagsterInstance.get()
    close_dead_runs(instance)
    watched = dg.Definitions.merge(definitions, dg.Definitions(loggers={"watch": _watching(on_event)}))
    result = watched.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(name) for name in assets],
        run_config={**run_config, "loggers": {"watch": {}}},
        raise_on_error=False,
    )
    made = [event.asset_key for event in result.get_asset_materialization_events()]
    return Outcome(
        run_id=result.run_id,
        success=result.success,
        materialized=tuple(key.to_user_string() for key in made if key),
        failures=tuple(_failures(result)),
    )


def _failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """One message per failed check or step; the run's own message if it failed outside any step."""
    checks = [
        f"{check.asset_key.to_user_string()}: {check_facts(check)}"
        for check in result.get_asset_check_evaluations()
        if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR
    ]
    errors_of = {e.step_key: e.step_failure_data.error for e in result.all_events if e.is_step_failure}
    steps = [
        f"{step}: {_message(error)}"
        for step, error in errors_of.items()
        if error and error.cls_name != "DagsterAssetCheckFailedError"  # the check itself is listed above
    ]
    runs = [event.job_failure_data.error for event in result.all_events if event.is_run_failure]
    return checks + steps or [_innermost(error).message.strip() for error in runs if error]


def _message(error: "SerializableErrorInfo") -> str:
    """Message of the exception that a step raised, which Dagster wraps; its causes are for the log."""
    raised = error.cause or error
    return raised.message.strip().removeprefix(f"{errors.__name__}.{raised.cls_name}: ")


def _innermost(error: "SerializableErrorInfo") -> "SerializableErrorInfo":
    return _innermost(error.cause) if error.cause else error


def check_facts(evaluation: dg.AssetCheckEvaluation) -> str:
    """Name and facts of a failed check, in words."""
    facts = ", ".join(f"{name}: {value.value}" for name, value in evaluation.metadata.items())
    return f"check {evaluation.check_name} failed ({facts})"


def _watching(on_event: OnEvent) -> dg.LoggerDefinition:
    """A Dagster logger that passes events on and prints nothing."""

    def pass_on(record: logging.LogRecord) -> bool:
        event = getattr(record, "dagster_meta", {}).get("dagster_event")
        if event is not None:
            on_event(event)
        return False

    def watch(_context: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("skip_pipeline.watch", logging.DEBUG)
        logger.addFilter(pass_on)
        return logger

    return dg.LoggerDefinition(watch, description="Shows a run in the terminal")
