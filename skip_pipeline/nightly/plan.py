"""Whether a night has anything to do: everything that decides its result, compared with past nights."""

from __future__ import annotations

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
from skip_pipeline.settings import SYNTHETIC_MARKER, TRAINING_SET, DataLayout
from skip_pipeline.storage import digest_of, mark

STATE: Final = "skip_pipeline/state"
"""Tag of a night's run: the digest of everything that decides its result."""

PARTS: Final[Mapping[str, str]] = {
    "raw input": "skip_pipeline/raw",
    "code": "skip_pipeline/code",
    "configuration": "skip_pipeline/config",
}
"""Tag of each part of that state, by the part's name."""

DATA_DATE: Final = "skip_pipeline/data_date"
COMMIT: Final = "skip_pipeline/git_commit"
SHARDS: Final = "skip_pipeline/shards"
BECAUSE: Final = "skip_pipeline/because"

_PACKAGE: Final = Path(__file__).parents[1]


@dataclass(frozen=True)
class State:
    """Everything that decides a night's result, as digests, with figures for people.

    Attributes:
        parts: digest by name of ``PARTS``.
        shards: number of delivered session logs.
        data_date: newest date in the names of the session logs, YYYY-MM-DD; empty if no name has one.
        commit: git commit of the code; empty if the code is in no repository.
    """

    parts: Mapping[str, str]
    shards: int
    data_date: str
    commit: str

    @property
    def digest(self) -> str:
        """Digest of all parts."""
        return digest_of(*(self.parts[name] for name in PARTS))

    @property
    def tags(self) -> dict[str, str]:
        """Tags of a run on this state; an empty value gets no tag."""
        figures = {
            DATA_DATE: self.data_date, COMMIT: self.commit, SHARDS: str(self.shards), STATE: self.digest
        }  # fmt: skip
        return {PARTS[name]: digest for name, digest in self.parts.items()} | {
            tag: value for tag, value in figures.items() if value
        }


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
    """The state now. No raw file is read: a changed size, inode or time counts as a changed file.

    Raises:
        MissingInputError: a raw file was removed during the call.
    """
    files = delivered_csvs(layout.raw)
    marker = layout.raw / SYNTHETIC_MARKER
    considered = [*files, marker] if marker.exists() else files
    logs = [path.name for path in files if path.parent.name == TRAINING_SET]
    return State(
        parts={
            "raw input": digest_of(*(f"{path.parent.name}/{path.name} {mark(path)}" for path in considered)),
            "code": _code_version(),
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
        under_way: id of a night's run that has not ended; None if there is none.
        last: the last night that succeeded; None if none has.
        attempts: number of earlier runs on this very state.

    Returns:
        A ``Run`` whose key is the same for two calls with the same arguments, so that a tick which is
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


def _code_version() -> str:
    """Versions of all assets together, as one digest."""
    return digest_of(*map(asset_version, ASSETS))


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
