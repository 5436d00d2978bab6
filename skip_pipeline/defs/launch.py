"""Materialize assets from the command line: through Dagster, on its configured instance, in this process."""

import logging
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import dagster as dg
from filelock import FileLock
from sqlalchemy.exc import OperationalError

from skip_pipeline import errors
from skip_pipeline.defs.dead_runs import close_dead_runs, signature
from skip_pipeline.errors import DiskError, RefusedError
from skip_pipeline.settings import DAGSTER_HOME_VARIABLE, DATA_DIR_VARIABLE, DataLayout

if TYPE_CHECKING:
    from dagster_shared.error import SerializableErrorInfo

# The first two have a meaning in a database's URL; the last is how Python reads a byte that is not UTF-8.
_UNUSABLE = re.compile(r"[?]|%[0-9A-Fa-f]{2}|[\ud800-\udfff]")

OnEvent = Callable[[dg.DagsterEvent], None]


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    run_id: str  # Dagster's
    success: bool  # every selected asset is materialized and every check has passed
    materialized: tuple[str, ...]  # assets, in order
    failures: tuple[str, ...]  # one message per failed step


def prepare_home(layout: DataLayout) -> Path:
    """Dagster's home: ``DAGSTER_HOME`` if set, else ``dagster`` in the data directory, made on first use.

    Sets ``DAGSTER_HOME`` for this process and its children.
    """
    if _UNUSABLE.search(str(layout.root)):
        raise RefusedError(
            f"{layout.root} has a ? or a % code or a byte that is not UTF-8 in its path, which the URLs of "
            f"the databases below it cannot hold; choose another with --data-dir or ${DATA_DIR_VARIABLE}"
        )
    if named := os.environ.get(DAGSTER_HOME_VARIABLE):
        home = Path(named)
        if not (home.is_absolute() and home.is_dir()):
            raise RefusedError(
                f"${DAGSTER_HOME_VARIABLE} is {named}; expected the absolute path of an existing folder. "
                f"Make it, or unset the variable to use {layout.dagster}"
            )
        return home
    home = layout.dagster
    try:
        home.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=home):  # a folder that is there may be read-only, or its disk full
            pass
    except OSError as failure:
        raise RefusedError(
            f"{layout.root} cannot hold data ({failure.strerror}: {failure.filename}); expected a folder "
            "that can be written. Give this user the right, free some space, or choose another with "
            f"--data-dir or ${DATA_DIR_VARIABLE}"
        ) from failure
    os.environ[DAGSTER_HOME_VARIABLE] = str(home)
    config = home / "dagster.yaml"
    if not config.exists():
        part = home / f".dagster.yaml.{os.getpid()}"  # so that no other process reads half of it
        with as_file(files("skip_pipeline.defs") / "dagster.yaml") as template:
            shutil.copyfile(template, part)
        part.replace(config)
    return home


@contextmanager
def _saying_why_without_records() -> Iterator[None]:
    """Turn an error of the database that holds Dagster's records, in the block, into one with the remedy."""
    try:
        yield
    except OperationalError as failure:  # SQLite says "disk I/O error" where a disk is full
        home = os.environ[DAGSTER_HOME_VARIABLE]
        raise DiskError(
            f"{home} cannot hold Dagster's records of the run ({failure.orig}). What was published is whole. "
            "Free some space, or see that the database of its dagster.yaml answers, and run again"
        ) from failure


@_saying_why_without_records()
def open_instance() -> dg.DagsterInstance:
    """The instance of ``DAGSTER_HOME``; one process at a time opens it, the first creates its databases."""
    with FileLock(Path(os.environ[DAGSTER_HOME_VARIABLE]) / ".opening.lock"):
        return dg.DagsterInstance.get()


def select(definitions: dg.Definitions, text: str | None) -> tuple[str, ...]:
    """Names of the assets that ``text`` selects, in the order of the stages; all assets for None.

    The text holds names separated by commas or spaces, or Dagster's selection syntax, such as
    ``trained_model+`` or ``tag:part=features``.
    """
    graph = definitions.resolve_asset_graph()
    everything = tuple(key.to_user_string() for key in graph.toposorted_asset_keys)
    if text is None:
        return everything
    names = text.replace(",", " ").split()
    are_names = names and all(name.isidentifier() for name in names)
    chosen: set[str] = set()
    reason = "nothing matches"
    try:
        with warnings.catch_warnings():  # Dagster's parser warns of its own use of a beta parameter
            warnings.simplefilter("ignore", dg.BetaWarning)
            wanted = dg.AssetSelection.assets(*names) if are_names else dg.AssetSelection.from_string(text)
        chosen = {key.to_user_string() for key in wanted.resolve(graph)}
    except dg.DagsterError as refusal:
        reason = str(refusal)
    if not chosen:
        raise RefusedError(
            f"--select {text!r} selects no assets ({reason}); name some of {', '.join(everything)}, or use "
            "Dagster's selection syntax, such as 'trained_model+'"
        )
    return tuple(name for name in everything if name in chosen)


@_saying_why_without_records()
def materialize(
    definitions: dg.Definitions, assets: Iterable[str], run_config: Mapping[str, Any], on_event: OnEvent
) -> Outcome:
    """Materialize assets and run their checks; failures are in the outcome and are not raised.

    ``on_event`` is called with every event of Dagster's as it happens.

    Raises:
        DiskError: Dagster's records cannot be written.
    """
    instance = open_instance()
    close_dead_runs(instance)
    watch = dg.LoggerDefinition(lambda _context: _Watch(on_event), description="Shows a run in the terminal")
    watched = dg.Definitions.merge(definitions, dg.Definitions(loggers={"watch": watch}))
    result = watched.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(name) for name in assets],
        run_config={**run_config, "loggers": {"watch": {}}},
        tags=signature(),
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
    steps = []
    for step, error in errors_of.items():
        if error and error.cls_name != "DagsterAssetCheckFailedError":  # the check itself is listed above
            raised = error.cause or error  # Dagster wraps what a step has raised
            message = raised.message.strip().removeprefix(f"{errors.__name__}.{raised.cls_name}: ")
            steps.append(f"{step}: {message}")
    runs = [event.job_failure_data.error for event in result.all_events if event.is_run_failure]
    return checks + steps or [_innermost(error).message.strip() for error in runs if error]


def _innermost(error: "SerializableErrorInfo") -> "SerializableErrorInfo":
    return _innermost(error.cause) if error.cause else error


def check_facts(evaluation: dg.AssetCheckEvaluation) -> str:
    """Name and facts of a failed check, in words; its description, if it has one, says all facts."""
    facts = ", ".join(f"{name}: {value.value}" for name, value in evaluation.metadata.items())
    return f"check {evaluation.check_name} failed ({evaluation.description or facts})"


class _Watch(logging.Logger):
    """Passes Dagster's events on and prints nothing."""

    def __init__(self, on_event: OnEvent) -> None:
        super().__init__("skip_pipeline.watch", logging.DEBUG)
        self._on_event = on_event

    def handle(self, record: logging.LogRecord) -> None:
        event = getattr(record, "dagster_meta", {}).get("dagster_event")
        if event is not None:
            self._on_event(event)
