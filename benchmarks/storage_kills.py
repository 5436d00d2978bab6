"""Runs over an S3 store, killed at random moments, beside a reader that has to find whole generations.

    python -m benchmarks.storage_kills                # 50 kills

The store is moto's server, a real process on 127.0.0.1. Each run makes the stages from session logs to tensor
bundles, without Dagster, every shard anew, as code of a new version would. After each SIGKILL a run of the
same version has to complete with the very files that the first run of all made; it takes over what the killed
one had finished. Meanwhile a thread reads every stage over and over and compares each file with its manifest.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from benchmarks.s3_server import s3_server
from skip_pipeline.locations import file_system, files_below, location
from skip_pipeline.settings import DataLayout
from skip_pipeline.stages import flow
from skip_pipeline.storage import Manifest, Staging, read_manifest
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

URL: Final = "s3://killed/prefix"
SESSIONS, TRACKS, DAYS = 120, 200, 3  # a run takes a second or two
_PAUSE: Final = 0.05  # seconds of the reader between two rounds, so that the server has time for the runs


@dataclass(frozen=True)
class Kill:
    """One killed run, and the run after it.

    Attributes:
        after: seconds from the start of the run to the kill.
        published: stages that the killed run had published.
        seconds: that the next run took.
        taken_over: shards that the next run did not have to make, in stages the killed run had not published.
        faults: what was not as it has to be; none where all is well.
    """

    after: float
    published: int
    seconds: float
    taken_over: int
    faults: tuple[str, ...]


@dataclass
class Reads:
    """What the reader found.

    Attributes:
        whole: generations read, every file as in its manifest.
        outdated: that two publications replaced while they were read, so that files were gone.
        torn: anything else, in words.
    """

    whole: int = 0
    outdated: int = 0
    torn: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Figures:
    """What came of all kills; ``faults`` has those of the kills and of the reader."""

    kills: tuple[Kill, ...]
    seconds_of_a_whole_run: float
    read_whole: int
    outdated_while_read: int
    faults: tuple[str, ...]


def layout() -> DataLayout:
    """The stages in the store; nothing is written to a data directory of this machine."""
    return DataLayout(Path("nowhere"), location(URL))


def run(version: str, pipe: Connection) -> None:
    """Make all stages as code of a version; what a child process does. Sends the shards made by stage."""
    flow.stages_version = lambda: version  # type: ignore[attr-defined]
    pipe.send("begun")
    made = {}
    for name in STAGES:
        outcome = getattr(flow, name)(layout())
        staging: Staging = getattr(outcome, "staging", outcome)
        made[name] = len(staging.made)
    pipe.send(made)


def manifests() -> dict[str, Manifest]:
    """The newest manifest of each stage."""
    return {name: read_manifest(getattr(layout(), at), made_by=name) for name, at in STAGES.items()}


def start(version: str) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    """Start a run; it has begun on return."""
    processes = multiprocessing.get_context("forkserver")
    here, there = processes.Pipe()
    process = processes.Process(target=run, args=(version, there))
    process.start()
    there.close()
    here.recv()
    return process, here


def complete(version: str) -> tuple[float, dict[str, int], list[str]]:
    """Let a run complete: its seconds, shards made by stage, and what went wrong."""
    started = time.perf_counter()
    process, pipe = start(version)
    try:
        made = pipe.recv()
    except EOFError:
        made = {}
    process.join()
    faults = [] if process.exitcode == 0 else [f"the next run ended with {process.exitcode}"]
    return time.perf_counter() - started, made, faults


def kill_one(number: int, after: float, expected: dict[str, str], shards: dict[str, int]) -> Kill:
    """Kill a run, let another complete, and look at what is there.

    Args:
        expected: fingerprint of each stage.
        shards: number of each stage.
    """
    before = {name: manifest.number for name, manifest in manifests().items()}
    process, _ = start(f"version {number}")
    time.sleep(after)
    process.kill()
    process.join()
    published = [name for name, manifest in manifests().items() if manifest.number > before[name]]
    seconds, made, faults = complete(f"version {number}")
    found = {name: manifest.fingerprint for name, manifest in manifests().items()}
    faults += [f"{name} has other files" for name in STAGES if found[name] != expected[name]]
    faults += [f"{key} is left" for at in STAGES.values() for key in leftovers(getattr(layout(), at))]
    taken_over = sum(shards[name] - made.get(name, 0) for name in STAGES if name not in published)
    return Kill(round(after, 3), len(published), round(seconds, 3), taken_over, tuple(faults))


def leftovers(folder: Path) -> list[str]:
    """Whatever a stage holds beside manifests and files: notes of a run cut short, or a lock."""
    return [name for name, _ in files_below(folder) if not name.startswith(("_files/", "_manifests/"))]


def read_on(stop: threading.Event, reads: Reads) -> None:
    """Read every stage again and again."""
    while not stop.wait(_PAUSE):
        read_once(reads)


def read_once(reads: Reads) -> None:
    """Compare every file of every stage with its manifest."""
    for name, at in STAGES.items():
        folder = getattr(layout(), at)
        manifest = read_manifest(folder, made_by=name)
        try:
            wrong = [f.name for f in manifest.files if _digest(manifest, f.name) != f.sha256]
        except FileNotFoundError as gone:
            if read_manifest(folder, made_by=name).number >= manifest.number + 2:
                reads.outdated += 1
                continue
            wrong = [str(gone)]
        if wrong:
            reads.torn.append(f"{name} {manifest.number}: {', '.join(wrong)}")
        else:
            reads.whole += 1


def _digest(manifest: Manifest, name: str) -> str:
    return hashlib.sha256(manifest.path(name).read_bytes()).hexdigest()


def deliver() -> None:
    """Put the raw files of a small synthetic set into the store."""
    place = location(URL)
    file_system(place).mkdir(URL.split("/")[2])
    with tempfile.TemporaryDirectory() as folder:
        synthesize(Path(folder), sessions=SESSIONS, tracks=TRACKS, seed=2, days=DAYS)
        for name, path in files_below(Path(folder)):
            file_system(place).put_file(str(path), f"{URL}/01_raw/{name}")


def measure(kills: int, *, seed: int = 0, tell: Callable[[str], object] = lambda _line: None) -> Figures:
    """Kill that many runs over the store that the environment leads to.

    Args:
        tell: called with a line for each kill.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload([__name__, "s3fs", "upath"])
    deliver()
    complete("first")  # pays for what is slow once
    whole_run, shards, _ = complete("second")
    expected = {name: manifest.fingerprint for name, manifest in manifests().items()}
    reads, stop = Reads(), threading.Event()
    reader = threading.Thread(target=partial(read_on, stop, reads))
    reader.start()
    moments = random.Random(seed)  # noqa: S311  no secret depends on it
    done = []
    try:
        for number in range(kills):
            done.append(kill_one(number, moments.uniform(0, whole_run), expected, shards))
            tell(_line(number, done[-1]))
    finally:
        stop.set()
        reader.join()
    faults = [fault for kill in done for fault in kill.faults] + reads.torn
    return Figures(tuple(done), round(whole_run, 3), reads.whole, reads.outdated, tuple(faults))


def _line(number: int, kill: Kill) -> str:
    figures = f"{number + 1:>4}  {kill.after:>7.2f}  {kill.published:>9}  {kill.taken_over:>10}"
    return f"{figures}  {kill.seconds:>8.2f}  {'; '.join(kill.faults) or 'none'}\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each kill, and what the reader found; 1 if anything was not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here as well")
    given = parser.parse_args(arguments)
    sys.stdout.write("kill  after/s  published  taken over    next/s  faults\n")
    with s3_server() as environment:
        os.environ.update(environment)
        found = measure(given.kills, tell=sys.stdout.write)
    sys.stdout.write(
        f"a whole run takes {found.seconds_of_a_whole_run} s; the reader found {found.read_whole} generations"
        f" whole, and {found.outdated_while_read} that two publications replaced while it read them; "
        f"faults: {'; '.join(found.faults) or 'none'}\n"
    )
    if given.json:
        given.json.write_text(json.dumps(asdict(found), indent=1))
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
