"""What decides a night's result, as digests cheap to take, and whether it has anything to do."""

import functools
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import dagster as dg
from dagster import DagsterRunStatus

from skip_pipeline.code_version import ASSETS, asset_version
from skip_pipeline.raw.folder import delivered_csvs
from skip_pipeline.settings import SYNTHETIC_MARKER, TRAINING_SET, DataLayout
from skip_pipeline.storage import digest_of, mark

STATE: Final = "skip_pipeline/state"
"""Tag of a night's run for all that decides its result; the next three are its parts."""

PARTS: Final[Mapping[str, str]] = {
    "raw input": "skip_pipeline/raw",
    "code": "skip_pipeline/code",
    "configuration": "skip_pipeline/config",
}

DATA_DATE: Final = "skip_pipeline/data_date"
COMMIT: Final = "skip_pipeline/git_commit"
SHARDS: Final = "skip_pipeline/shards"

_PACKAGE: Final = Path(__file__).parents[1]
_UNDER_WAY: Final = (
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
)


@dataclass(frozen=True)
class State:
    """What decides a night's result, and what a person calls it.

    Attributes:
        parts: digest by name of ``PARTS``.
        shards: session logs delivered.
        data_date: newest date in their names, as the public archive names them; empty if none has one.
        commit: of the code's repository; empty where it is not in one.
    """

    parts: Mapping[str, str]
    shards: int
    data_date: str
    commit: str

    @property
    def digest(self) -> str:
        """Of all parts."""
        return digest_of(*(self.parts[name] for name in PARTS))

    @property
    def tags(self) -> dict[str, str]:
        """Of a run, and of what MLflow shows beside it."""
        known = {DATA_DATE: self.data_date, COMMIT: self.commit, SHARDS: str(self.shards), STATE: self.digest}
        return {PARTS[name]: digest for name, digest in self.parts.items()} | {
            tag: value for tag, value in known.items() if value
        }


def state_of(layout: DataLayout, run_config: Mapping[str, Any]) -> State:
    """The state now. Raw files are not read: a file counts as changed once its size, inode or times differ.

    Raises:
        MissingInputError: a file went while it was looked at.
    """
    files = delivered_csvs(layout.raw)
    marker = layout.raw / SYNTHETIC_MARKER
    looked_at = [*files, marker] if marker.exists() else files
    raw = digest_of(*(f"{path.parent.name}/{path.name} {mark(path)}" for path in looked_at))
    logs = [path.name for path in files if path.parent.name == TRAINING_SET]
    return State(
        parts={
            "raw input": raw,
            "code": _code_version(),
            "configuration": digest_of(json.dumps(dict(run_config), sort_keys=True)),
        },
        shards=len(logs),
        data_date=max((_date_in(name) for name in logs), default=""),
        commit=_commit(),
    )


def plan_night(
    instance: dg.DagsterInstance, state: State, *, job: str, run_config: Mapping[str, Any]
) -> dg.RunRequest | dg.SkipReason:
    """Whether the night has anything to do.

    One run catches up with whatever has come since the last night that succeeded, however many nights the
    daemon was down. A night that failed is tried again.

    Args:
        job: that the night runs.
        run_config: of that job.
    """
    if not state.shards:
        return dg.SkipReason("no session log has been delivered; put some into the raw folder")
    under_way = instance.get_runs(dg.RunsFilter(job_name=job, statuses=list(_UNDER_WAY)), limit=1)
    if under_way:
        return dg.SkipReason(f"run {under_way[0].run_id} of {job} is still under way")
    succeeded = instance.get_runs(dg.RunsFilter(job_name=job, statuses=[DagsterRunStatus.SUCCESS]), limit=100)
    last = next((run for run in succeeded if STATE in run.tags), None)
    if last is not None and last.tags[STATE] == state.digest:
        return dg.SkipReason(
            f"raw input, code and configuration are those of run {last.run_id}, the last night that succeeded"
        )
    # The number of earlier attempts, so that a failed state is tried again and a tick never starts two.
    attempts = len(instance.get_runs(dg.RunsFilter(job_name=job, tags={STATE: state.digest})))
    return dg.RunRequest(
        run_key=f"{state.digest} {attempts}",
        run_config=dict(run_config),
        tags=state.tags | {"skip_pipeline/because": _changes(state, last)},
    )


def _changes(state: State, last: dg.DagsterRun | None) -> str:
    if last is None:
        return "no night has succeeded yet"
    changed = [name for name, tag in PARTS.items() if last.tags.get(tag) != state.parts[name]]
    return f"changed since run {last.run_id}: {', '.join(changed)}"


def _date_in(name: str) -> str:
    """The date in a shard's name such as log_0_20180715_000000000000.csv, as YYYY-MM-DD; else empty."""
    found = re.search(r"_(\d{8})_", name)
    if found is None:
        return ""
    try:
        day: date = datetime.strptime(found[1], "%Y%m%d").date()
    except ValueError:
        return ""
    return day.isoformat()


def _code_version() -> str:
    """Versions of all assets together, as one digest."""
    return digest_of(*map(asset_version, ASSETS))


@functools.cache
def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    found = subprocess.run(  # noqa: S603 - our own words, no shell
        [git, "-C", str(_PACKAGE), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() if found.returncode == 0 else ""
