"""Every change of a file that a stage makes fails once, in five ways; the next run has to complete.

    python -m benchmarks.torture.writes                    # every change of every stage
    python -m benchmarks.torture.writes --every 20         # each twentieth

Each stage, from session logs to bundles, runs in this process over a few synthetic sessions: as its first
publication, and over an earlier one of other data. After the fault its readers find the old generation
or the new one, every file as in its manifest, and the other stages as they were. The next run has to make
what a run makes that nothing disturbed.
"""

import argparse
import hashlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, get_args

from benchmarks.torture.faulty_disk import FaultyDisk, How, StoppedError
from benchmarks.torture.tally import NEW, OLD, Tally, report
from skip_pipeline.errors import MissingInputError, SkipPipelineError
from skip_pipeline.settings import DataLayout
from skip_pipeline.stages import flow
from skip_pipeline.storage import Manifest, read_manifest
from skip_pipeline.world.synthesize import synthesize

STAGES: Final = {
    "session_logs": "session_log_summaries",
    "track_features": "track_feature_summaries",
    "merged_table": "merged",
    "encoded_table": "encoded",
    "scaled_table": "scaled",
    "tensor_bundles": "bundles",
}
"""Name of each stage's function, and of its folder in the layout."""

DRAWS: Final = 3  # states of the disk that are tried for each end of the power
SESSIONS, TRACKS, DAYS = 12, 20, 3


@dataclass(frozen=True)
class Case:
    """A stage about to run.

    Attributes:
        stage: its name.
        folder: data directory before the run, to be copied.
        before: manifests of all stages there.
        expected: fingerprint after a run that nothing disturbed.
        changes: that such a run makes.
    """

    stage: str
    folder: Path
    before: Mapping[str, Manifest]
    expected: str
    changes: tuple[str, ...]


def run(layout: DataLayout, stage: str) -> None:
    """Make one stage."""
    getattr(flow, stage)(layout)


def copied(source: Path, target: Path) -> DataLayout:
    """A copy of a data directory; files are never changed in place, so links do, but for locks."""
    shutil.copytree(source, target, copy_function=_link, ignore=shutil.ignore_patterns(".lock"))
    return DataLayout(target)


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def manifests(layout: DataLayout, stages: Mapping[str, str] = STAGES) -> dict[str, Manifest]:
    """The newest manifest of each stage that has one; stages are names with their folders in the layout."""
    found = {}
    for stage, at in stages.items():
        with suppress(MissingInputError):
            found[stage] = read_manifest(getattr(layout, at), made_by=stage)
    return found


def cases(folder: Path) -> Iterator[Case]:
    """Every stage as its first publication, and over an earlier one of other data."""
    data = DataLayout(folder / "data")
    raw = data.root / "01_raw"
    synthesize(raw, sessions=SESSIONS * DAYS, tracks=TRACKS, seed=1, days=DAYS)
    newest = max((raw / "training_set").iterdir())
    newest.rename(folder / newest.name)
    for stage in STAGES:
        run(data, stage)
    (folder / newest.name).rename(newest)
    (features,) = (raw / "track_features").glob("*.csv")
    lines = features.read_text().splitlines()
    features.write_text("\n".join([*lines[:-1], lines[-1].replace("0.", "0.1", 1)]) + "\n")
    for stage, at in STAGES.items():
        again = copied(data.root, folder / f"{stage} again").root
        first = copied(data.root, folder / f"{stage} first").root
        shutil.rmtree(getattr(DataLayout(first), at))
        run(data, stage)
        expected = manifests(data)[stage].fingerprint
        for source in (first, again):
            layout = copied(source, folder / "tried")
            disk = FaultyDisk(layout.root)
            with disk.watched():
                run(layout, stage)
            if manifests(layout)[stage].fingerprint != expected:
                raise RuntimeError(f"{stage} differs from run to run; expected equal files")
            shutil.rmtree(layout.root)
            yield Case(stage, source, manifests(DataLayout(source)), expected, tuple(disk.changes))


def try_one(case: Case, disk: FaultyDisk, after: Path) -> tuple[str, float]:
    """Let one change fail; what readers find, or what is not as it has to be, and seconds of the next run.

    Args:
        case: what runs.
        disk: a copy of the case's data directory, with the change that fails.
        after: a folder for what the end of the power leaves.
    """
    faults = []
    try:
        with disk.watched():
            run(DataLayout(disk.root), case.stage)
    except (StoppedError, SkipPipelineError):
        pass
    except Exception as failure:  # the fault that is looked for
        faults.append(f"{failure!r} is no message with a remedy")
    layout = DataLayout(disk.root)
    if disk.how == "end of the power":
        disk.left(after, Random(str(after)))
        layout = DataLayout(after)
    left = manifests(layout)
    faults += torn(left)
    faults += [
        f"{name} has changed"
        for name in case.before
        if name != case.stage and left[name].fingerprint != case.before[name].fingerprint
    ]
    old, found = case.before.get(case.stage), left.get(case.stage)
    outcome = OLD if (found and found.number) == (old and old.number) else NEW
    if outcome == NEW and (found is None or found.fingerprint != case.expected):
        faults.append("neither old nor new")
    began = time.perf_counter()
    try:
        run(layout, case.stage)
    except Exception as failure:  # the fault that is looked for
        faults.append(f"the next run fails: {failure!r}")
    seconds = time.perf_counter() - began
    whole = manifests(layout)
    faults += torn(whole, plain=True)
    if case.stage not in whole or whole[case.stage].fingerprint != case.expected:
        faults.append("the next run makes other files")
    return "; ".join(faults) or outcome, seconds


def torn(found: Mapping[str, Manifest], *, plain: bool = False) -> list[str]:
    """Files, and if ``plain`` plain names, that are not as their manifest has them."""
    return [
        f"{stage} has a torn {file.name}"
        for stage, manifest in found.items()
        for file in manifest.files
        for path in [manifest.path(file.name), *([manifest.folder / file.name] if plain else [])]
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != file.sha256
    ]


def torture(folder: Path, *, every: int = 1, seed: int = 1) -> Iterator[Tally]:
    """Let each change of each stage fail, or one of so many, in every way; a row per stage and way."""
    tallies: dict[tuple[str, str], Tally] = {}
    for case in cases(folder):
        for how in get_args(How):
            fault = f"{how} at the n-th change of {case.stage}, every n"
            power = how == "end of the power"
            tally = tallies.setdefault((case.stage, how), Tally(fault, seed if power else None))
            for number, change in enumerate(case.changes, 1):
                if (how == "cut short" and not change.startswith("write")) or number % every:
                    continue
                for draw in range(DRAWS if power else 1):
                    work = folder / "work"
                    disk = FaultyDisk(copied(case.folder, work / "data").root, number, how)
                    # The name of the folder is the seed of what is left.
                    outcome, seconds = try_one(case, disk, work / f"{seed} {number} {draw}")
                    shutil.rmtree(work)
                    tally.seconds.append(seconds)
                    if outcome in (OLD, NEW):
                        tally.count(outcome)
                    else:
                        first = "first publication" if case.stage not in case.before else "a later one"
                        tally.lost.append(f"{first}, change {number} ({change}), draw {draw}: {outcome}")
        if case.stage in case.before:
            yield from (tallies[case.stage, how] for how in get_args(How))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the rows; the exit status is 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="try one change of so many")
    parser.add_argument("--seed", type=int, default=1, help="of what the end of the power leaves")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        return report(torture(Path(folder), every=given.every, seed=given.seed))


if __name__ == "__main__":
    sys.exit(main())
