"""Whether a night has anything to do: everything that decides its result, compared with past nights."""

import functools
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from skip_pipeline.code_version import ASSETS, asset_version
from skip_pipeline.raw.folder import delivered_csvs
from skip_pipeline.settings import OWN_LISTENING_MARKER, SYNTHETIC_MARKER, TRAINING_SET, DataLayout
from skip_pipeline.storage import digest_of, mark

# Tags of a night's run. Dagster shows no tag that begins with `.dagster/`: digests are no use to people.
STATE: Final = ".dagster/skip_pipeline_state"  # the digest of everything that decides its result
PARTS: Final[Mapping[str, str]] = {  # of that state, by the part's name
    "raw input": ".dagster/skip_pipeline_raw",
    "code": ".dagster/skip_pipeline_code",
    "configuration": ".dagster/skip_pipeline_config",
}
BECAUSE: Final = "skip_pipeline/because"

# Names in Dagster: the job of a night, and the schedule that starts it.
NIGHT_JOB: Final = "retrain"
NIGHT_SCHEDULE: Final = "nightly_retraining"

_PACKAGE: Final = Path(__file__).parents[1]


@dataclass(frozen=True)
class State:
    """Everything that decides a night's result, as digests, with figures for people."""

    parts: Mapping[str, str]  # digest by name of ``PARTS``
    shards: int  # delivered session logs
    data_date: str  # newest date in their names, YYYY-MM-DD; empty if no name has one
    commit: str  # git commit of the code; empty if the code is in no repository

    @property
    def digest(self) -> str:
        """Digest of all parts."""
        return digest_of(*(self.parts[name] for name in PARTS))

    @property
    def tags(self) -> dict[str, str]:
        """Tags of a run on this state; an empty value gets no tag."""
        shown = {"data_date": self.data_date, "git_commit": self.commit, "shards": str(self.shards)}
        figures = {f"skip_pipeline/{name}": value for name, value in shown.items() if value}
        parts = {PARTS[name]: digest for name, digest in self.parts.items()}
        return parts | figures | {STATE: self.digest}


@dataclass(frozen=True)
class PastNight:
    """A night that has succeeded: the id and the tags of its run."""

    run_id: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Run:
    """The night has something to do: key and tags of the run to start."""

    key: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Skip:
    """The night has nothing to do, for this reason."""

    reason: str


def state_of(layout: DataLayout, run_config: Mapping[str, Any]) -> State:
    """The state now. No raw file is read: a changed size, inode or time counts as a changed file."""
    files = delivered_csvs(layout.raw)
    markers = (layout.raw / name for name in (SYNTHETIC_MARKER, OWN_LISTENING_MARKER))
    considered = [*files, *(marker for marker in markers if marker.exists())]
    logs = [path.name for path in files if path.parent.name == TRAINING_SET]
    return State(
        parts={
            "raw input": digest_of(*(f"{path.parent.name}/{path.name} {mark(path)}" for path in considered)),
            "code": digest_of(*map(asset_version, ASSETS)),
            "configuration": digest_of(json.dumps(dict(run_config), sort_keys=True)),
        },
        shards=len(logs),
        data_date=max((date_in(name) for name in logs), default=""),
        commit=_commit(),
    )


def plan_night(state: State, *, under_way: str | None, last: PastNight | None, attempts: int) -> Run | Skip:
    """Decide whether to start a run.

    One run covers every delivery since the last night that succeeded, however many nights were missed. A
    night that failed is tried again.

    Args:
        state: the state now.
        under_way: id of a night's run that has not ended.
        last: the last night that succeeded.
        attempts: number of earlier runs on this very state; part of the run's key, so that a tick which is
            evaluated twice starts one run.
    """
    if not state.shards:
        return Skip("no session log has been delivered; put some into the raw folder")
    if under_way is not None:
        return Skip(f"run {under_way} is still under way")
    if last is None:
        because = "no night has succeeded yet"
    elif last.tags.get(STATE) == state.digest:
        return Skip(
            f"raw input, code and configuration are those of run {last.run_id}, the last night that succeeded"
        )
    else:
        changed = [name for name, tag in PARTS.items() if last.tags.get(tag) != state.parts[name]]
        because = f"changed since run {last.run_id}: {', '.join(changed)}"
    return Run(f"{state.digest} {attempts}", state.tags | {BECAUSE: because})


def date_in(name: str) -> str:
    """The date in the name of a session log, as YYYY-MM-DD; empty if there is none.

    >>> date_in("log_0_20180715_000000000000.csv"), date_in("log_mini.csv"), date_in("log_0_20181399_0.csv")
    ('2018-07-15', '', '')
    """
    found = re.search(r"_(\d{8})_", name)
    try:
        return datetime.strptime(found[1], "%Y%m%d").date().isoformat() if found else ""
    except ValueError:
        return ""


@functools.cache
def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    found = subprocess.run(  # noqa: S603 - a fixed command, no shell
        [git, "-C", str(_PACKAGE), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() if found.returncode == 0 else ""
