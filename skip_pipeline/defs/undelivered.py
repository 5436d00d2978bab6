"""Runs that MLflow's store has not taken, kept as files until a later run or the daemon delivers them.

An entry is one thing that a run logs. It is sent by the same call at once and later, and sending it twice
changes nothing: MLflow keeps one of two equal parameters, metrics, tags, inputs and files. Each kept run is a
folder that appears whole, and is deleted when the store has taken or refused each of its entries. This module
imports MLflow only when a function needs it.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock, Timeout

from skip_pipeline.defs.mlflow_runs import found_or_created
from skip_pipeline.defs.mlflow_store import Guard
from skip_pipeline.storage import read_json

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_RUN: Final = "run.json"
_FILES: Final = "files"
_PART: Final = "."  # start of the name of a folder that is not whole yet


def now() -> int:
    """The time in milliseconds, as MLflow counts it."""
    return int(time.time() * 1000)


@dataclass(frozen=True)
class Entry:
    """One thing that a run logs.

    Attributes:
        what: in words.
        kind: a key of the calls that send it.
        content: what JSON can hold.
        file: the file that it uploads, or its bytes; the content has its ``name`` among the artifacts.
    """

    what: str
    kind: str
    content: Mapping[str, Any]
    file: Path | bytes | None = None

    def send(self, mlflow: Any, parent: str | None) -> None:
        """Log it into the open run of the module ``mlflow``, or into its parent run."""
        _CALLS[self.kind](mlflow, parent, self)


@dataclass(frozen=True)
class KeptRun:
    """A run of MLflow as its folder holds it.

    Attributes:
        parent_name: name of its parent, which stands for the Dagster run.
        parent_tags: tags of that parent.
        parent_started: in milliseconds.
        asset: what was materialized; None for the parent itself.
        tags: of the run.
        started: in milliseconds.
        ended: in milliseconds.
        status: with which it ended, as MLflow calls it.
    """

    parent_name: str
    parent_tags: Mapping[str, str]
    parent_started: int
    asset: str | None
    tags: Mapping[str, str]
    started: int
    ended: int
    status: str


class Undelivered:
    """The folder of kept runs."""

    def __init__(self, folder: Path) -> None:
        """Keep the path; nothing is created before something is kept."""
        self.folder = folder

    def keep(self, run: KeptRun, entries: Sequence[Entry]) -> None:
        """Keep a run with the entries that it has not logged yet.

        Raises:
            OSError: the files cannot be written.
        """
        name = f"{time.time_ns()}-{run.asset or 'parent'}"
        part = self.folder / f"{_PART}{name}"
        (part / _FILES).mkdir(parents=True)
        for number, entry in enumerate(entries):
            if entry.file is not None:
                inside = part / _FILES / str(number)
                inside.mkdir()
                _put(entry, inside)
        sent = [{"what": e.what, "kind": e.kind, "content": dict(e.content)} for e in entries]
        # Numbers may be NumPy's, and NaN, which Python's JSON reads again.
        text = json.dumps({"run": asdict(run), "entries": sent}, default=float)
        (part / _RUN).write_text(text, encoding="utf-8")
        part.rename(self.folder / name)

    def waiting(self) -> list[Path]:
        """Folders of the kept runs, the oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if path.is_dir() and path.name[0] != _PART)

    def deliver(self, client: "MlflowClient", experiment: str, guard: Guard) -> int:
        """Deliver what waits until the store fails; returns the number of delivered runs.

        One process delivers at a time; while another does, nothing is done.
        """
        if not self.waiting():
            return 0
        delivered = 0
        try:
            with FileLock(self.folder / ".delivering.lock", timeout=0):
                for folder in self.waiting():
                    if guard.suspended or guard.late:
                        break
                    delivered += _deliver(folder, client, experiment, guard)
        except Timeout:
            pass
        return delivered


def _deliver(folder: Path, client: "MlflowClient", experiment: str, guard: Guard) -> bool:
    """Deliver one kept run, and delete its folder; False if the store has failed, and it stays."""
    import mlflow

    kept = read_json(folder / _RUN)
    run, done = KeptRun(**kept["run"]), False
    name = run.asset or run.parent_name
    with guard.may_lose(f"the delivery of {name}"):
        run_id, parent = found_or_created(client, experiment, run)
        mlflow.start_run(run_id=run_id)
        done = True
    if not done:
        return False
    try:
        for number, sent in enumerate(kept["entries"]):
            file = next((folder / _FILES / str(number)).glob("*"), None)
            entry = Entry(**sent, file=file)
            if not (guard.suspended or guard.late):
                with guard.may_lose(f"{entry.what} of {name}"):
                    entry.send(mlflow, parent)
    finally:
        with guard.may_lose(f"the end of {name}"):
            mlflow.end_run(run.status)
            client.set_terminated(run_id, run.status, run.ended)
    if guard.suspended or guard.late:
        return False
    shutil.rmtree(folder)
    return True


def _put(entry: Entry, folder: Path) -> Path:
    """Put the file of an entry into a folder, under the name that it is to have among the artifacts.

    A published file is never changed, so a link keeps its content; another file system needs a copy.
    """
    target = folder / Path(entry.content["name"]).name
    if isinstance(entry.file, bytes):
        target.write_bytes(entry.file)
    elif entry.file is not None:
        try:
            os.link(entry.file.resolve(), target)
        except OSError:
            shutil.copyfile(entry.file, target)
    return target


# --- How each kind is sent ----------------------------------------------------------------------------


def _metrics(mlflow: Any, _parent: str | None, entry: Entry) -> None:
    content = entry.content
    mlflow.log_metrics(dict(content["values"]), step=content["step"], timestamp=content["time"])


def _parent_metrics(mlflow: Any, parent: str | None, entry: Entry) -> None:
    mlflow.log_metrics(dict(entry.content["values"]), run_id=parent, timestamp=entry.content["time"])


def _parent_tags(mlflow: Any, parent: str | None, entry: Entry) -> None:
    for name, value in entry.content.items():
        mlflow.MlflowClient().set_tag(parent, name, value)


def _input(mlflow: Any, _parent: str | None, entry: Entry) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(**entry.content["dataset"])
    of_what = [InputTag("mlflow.data.context", entry.content["context"])]
    run_id = mlflow.active_run().info.run_id
    mlflow.MlflowClient().log_inputs(run_id, [DatasetInput(dataset, of_what)])


def _file(mlflow: Any, _parent: str | None, entry: Entry) -> None:
    inside = Path(entry.content["name"]).parent.as_posix()
    with TemporaryDirectory() as temporary:
        file = entry.file if isinstance(entry.file, Path) else _put(entry, Path(temporary))
        mlflow.log_artifact(str(file), *([inside] if inside != "." else []))


_CALLS: Final[Mapping[str, Callable[[Any, str | None, Entry], None]]] = {
    "params": lambda mlflow, _parent, entry: mlflow.log_params(dict(entry.content)),
    "tags": lambda mlflow, _parent, entry: mlflow.set_tags(dict(entry.content)),
    "metrics": _metrics,
    "parent_metrics": _parent_metrics,
    "parent_tags": _parent_tags,
    "input": _input,
    "file": _file,
}
