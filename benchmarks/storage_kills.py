"""Runs over an S3 store, killed at random moments, beside a reader that has to find whole generations.

    python -m benchmarks.storage_kills                # 50 kills

The store is moto's server, a real process on 127.0.0.1. Each run makes the stages from session logs to tensor
bundles, without Dagster, every shard anew, as code of a new version would. After each SIGKILL a run of the
same version has to complete with the very files that the first run of all made; it takes over what the killed
one had finished. Kills are spread over the stages, each at a random moment of its stage. Meanwhile a thread
reads every stage over and over and compares each file with its manifest.
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
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
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
    """One killed run, and the run after it."""

    after: float  # seconds from the start of the run to the kill
    published: int  # stages that the killed run had published
    seconds: float  # that the next run took
    taken_over: int  # shards that the next run need not make, in stages that the killed run had not published
    faults: tuple[str, ...]  # what was not as it has to be


@dataclass
class Reads:
    """What the reader found."""

    whole: int = 0  # generations read, every file as in its manifest
    outdated: int = 0  # replaced by two publications while they were read, so that files were gone
    torn: list[str] = field(default_factory=list)  # anything else, in words


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


def run(version: str, environment: Mapping[str, str], pipe: Connection) -> None:
    """Make all stages as code of a version, in a child process; send the shards made after each stage."""
    os.environ.update(environment)  # that of the fork server may be another one
    vars(flow)["code_version"] = lambda _stage: version
    pipe.send(0)
    for name in STAGES:
        outcome = getattr(flow, name)(layout())
        staging: Staging = getattr(outcome, "staging", outcome)
        pipe.send(len(staging.made))


def manifests() -> dict[str, Manifest]:
    """The newest manifest of each stage."""
    return {name: read_manifest(getattr(layout(), at), made_by=name) for name, at in STAGES.items()}


def start(version: str) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    """Start a run; it has begun on return."""
    processes = multiprocessing.get_context("forkserver")
    here, there = processes.Pipe()
    process = processes.Process(target=run, args=(version, dict(os.environ), there))
    process.start()
    there.close()
    here.recv()
    return process, here


def complete(version: str) -> tuple[dict[str, float], dict[str, int], list[str]]:
    """Let a run complete: seconds and shards made by stage, and what went wrong."""
    process, pipe = start(version)
    seconds, made, began = {}, {}, time.perf_counter()
    with suppress(EOFError):  # the process has died
        for name in STAGES:
            made[name] = pipe.recv()
            seconds[name] = time.perf_counter() - began
            began += seconds[name]
    process.join()
    return seconds, made, [] if process.exitcode == 0 else [f"the next run ended with {process.exitcode}"]


def kill_one(
    number: int, stages: int, after: float, expected: dict[str, str], shards: dict[str, int]
) -> Kill:
    """Kill a run, let another complete, and compare what is there with what has to be.

    Args:
        stages: that the run completes first.
        after: seconds that it has for the next stage.
        expected: fingerprint of each stage.
        shards: number of each stage.
    """
    before = {name: manifest.number for name, manifest in manifests().items()}
    process, pipe = start(f"version {number}")
    began = time.perf_counter()
    for _ in range(stages):
        pipe.recv()
    time.sleep(after)
    process.kill()
    lasted = time.perf_counter() - began
    process.join()
    published = [name for name, manifest in manifests().items() if manifest.number > before[name]]
    seconds, made, faults = complete(f"version {number}")
    found = {name: manifest.fingerprint for name, manifest in manifests().items()}
    faults += [f"{name} has other files" for name in STAGES if found[name] != expected[name]]
    faults += [f"{key} is left" for at in STAGES.values() for key in leftovers(getattr(layout(), at))]
    taken_over = sum(shards[name] - made.get(name, 0) for name in STAGES if name not in published)
    return Kill(round(lasted, 3), len(published), round(sum(seconds.values()), 3), taken_over, tuple(faults))


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
    """Kill that many runs over the store that the environment leads to; ``tell`` is called for each kill."""
    multiprocessing.get_context("forkserver").set_forkserver_preload([__name__, "s3fs", "upath"])
    deliver()
    complete("first")  # pays for what is slow once
    reads, stop = Reads(), threading.Event()
    reader = threading.Thread(target=partial(read_on, stop, reads))
    reader.start()
    moments = random.Random(seed)  # noqa: S311  no secret depends on it
    done = []
    try:
        seconds, shards, _ = complete("second")
        expected = {name: manifest.fingerprint for name, manifest in manifests().items()}
        for number in range(kills):
            stages = number * len(STAGES) // kills
            after = moments.uniform(0, list(seconds.values())[stages])
            done.append(kill_one(number, stages, after, expected, shards))
            faults = "; ".join(done[-1].faults) or "no fault"
            tell(f"kill {number + 1} after {done[-1].after:.2f} s: {faults}\n")
    finally:
        stop.set()
        reader.join()
    faults_found = [fault for kill in done for fault in kill.faults] + reads.torn
    whole_run = round(sum(seconds.values()), 3)
    return Figures(tuple(done), whole_run, reads.whole, reads.outdated, tuple(faults_found))


def table(kills: Sequence[Kill]) -> str:
    """The kills by the number of stages published before, as Markdown."""
    lines = [
        "| stages published before the kill | kills | seconds to the kill | shards taken over | faults |",
        "|---|---|---|---|---|",
    ]
    for published in sorted({kill.published for kill in kills}):
        group = [kill for kill in kills if kill.published == published]
        first, last = min(kill.after for kill in group), max(kill.after for kill in group)
        taken_over, faults = sum(kill.taken_over for kill in group), sum(len(kill.faults) for kill in group)
        lines.append(f"| {published} | {len(group)} | {first:.2f} to {last:.2f} | {taken_over} | {faults} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table of the kills, and what the reader found; 1 if anything was not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here as well")
    given = parser.parse_args(arguments)
    with s3_server() as environment:
        os.environ.update(environment)
        found = measure(given.kills, tell=sys.stderr.write)
    sys.stdout.write(
        f"{table(found.kills)}a whole run takes {found.seconds_of_a_whole_run} s; the reader found "
        f"{found.read_whole} generations whole, and {found.outdated_while_read} replaced twice while "
        f"it read them; faults: {'; '.join(found.faults) or 'none'}\n"
    )
    if given.json:
        given.json.write_text(json.dumps(asdict(found), indent=1))
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
