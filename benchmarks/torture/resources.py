"""A run without space, memory, file handles, or the right to write, or with a clock that jumps.

    python -m benchmarks.torture.resources --times 5

The command ``skip-pipeline run`` makes the first stages over data of which a day is new. Under the fault it
completes, or ends with a message and no traceback; every stage is old and whole or new and whole; the next
run makes what a run makes that nothing disturbed. Full disks and read-only folders are mounts in a
namespace of their own (``unshare`` of util-linux), which needs Linux with user namespaces, and no rights.
"""

import argparse
import datetime as dt
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from benchmarks.torture.tally import REFUSED, Tally, report
from benchmarks.torture.writes import manifests, torn
from skip_pipeline import settings
from skip_pipeline.settings import DataLayout
from skip_pipeline.world.synthesize import synthesize

COMPLETED: Final = "completed"
NOT_TRIED: Final = "not tried, because mounts are refused here"

SELECTED: Final = "session_logs,track_features,merged_table"
SESSIONS, TRACKS, DAYS = 60, 100, 2

_COMMAND: Final = "from skip_pipeline.cli.main import app; app()"
_LOADED: Final = "import mlflow, skip_pipeline.definitions, skip_pipeline.cli.run, resource, os, pathlib; "
_LEAP: Final = "import time, time_machine; time_machine.travel({at}, tick=True).start(); "


@dataclass(frozen=True)
class Fault:
    """What a run lacks.

    Attributes:
        name: of the row.
        before: Python that the process of the run carries out first, by a number drawn from [0, 1).
        mounted: shell commands before the command; ``$0`` is the data directory.
        environment: variables of the run.
        ends: how the run may also end: by a signal. Empty if it may not.
    """

    name: str
    before: Callable[[float], str] = lambda _drawn: ""
    mounted: Callable[[float], str] = lambda _drawn: ""
    environment: tuple[tuple[str, str], ...] = ()
    ends: str = ""


def _handles(drawn: float) -> str:
    limit = f"len(os.listdir('/proc/self/fd')) + {int(20 * drawn)}"
    return f"{_LOADED}n = {limit}; resource.setrlimit(resource.RLIMIT_NOFILE, (n, n)); "


def _memory(drawn: float) -> str:
    used = "int(pathlib.Path('/proc/self/statm').read_text().split()[0]) * 4096"
    limit = f"{used} + {int(100 * drawn)} * 2**20"
    return f"{_LOADED}n = {limit}; resource.setrlimit(resource.RLIMIT_AS, (n, n)); "


def _full(drawn: float) -> str:
    size = f'$(( $(du -s --block-size=1 "$0.real" | cut -f1) + {int(600_000 * drawn)} ))'
    return (
        f'mv "$0" "$0.real" && mkdir "$0" && mount -t tmpfs -o size={size} none "$0" 2>/dev/null || exit 97; '
        'cp -a "$0.real/." "$0/" || exit 97; '
    )


_READ_ONLY: Final = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" || exit 97; '


def _leap(at: dt.datetime) -> Callable[[float], str]:
    """The clock at ten seconds or less before a time, when the run starts."""
    return lambda drawn: _LEAP.format(at=at.timestamp() - 10 * drawn)


_BERLIN: Final = ZoneInfo("Europe/Berlin")
_NIGHT: Final = (("TZ", "Europe/Berlin"), (settings.TIME_ZONE_VARIABLE, "Europe/Berlin"))
FAULTS: Final = (
    Fault("disk full", mounted=_full),
    Fault("data folder read-only", mounted=lambda _drawn: _READ_ONLY),
    Fault("no file handles", before=_handles),
    Fault("out of memory", before=_memory, ends="ended by a signal"),  # libraries in C abort the process
    Fault(
        "clock set back by up to two years",
        before=lambda drawn: _LEAP.format(at=f"time.time() - {int(drawn * 63_072_000)}"),
    ),
    Fault(
        "the hour that is left out", _leap(dt.datetime(2026, 3, 29, 3, tzinfo=_BERLIN)), environment=_NIGHT
    ),
    Fault(
        "the hour that comes twice",
        _leap(dt.datetime(2026, 10, 25, 2, fold=1, tzinfo=_BERLIN)),
        environment=_NIGHT,
    ),
)


def run(root: Path, fault: Fault, drawn: float) -> tuple[int, str]:
    """Run the command over a data directory under a fault: exit status and what it printed."""
    command = [sys.executable, "-c", fault.before(drawn) + _COMMAND, "run", "--select", SELECTED]
    if mounted := fault.mounted(drawn):
        back = '"$@"; status=$?; if [ -d "$0.real" ]; then cp -a "$0" "$0.left"; fi; exit $status'
        command = ["unshare", "-r", "-m", "sh", "-c", mounted + back, str(root), *command]
    environment = os.environ | dict(fault.environment) | {settings.DATA_DIR_VARIABLE: str(root)}
    environment.pop("DAGSTER_HOME", None)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=600)
    if (root.parent / f"{root.name}.left").is_dir():
        shutil.rmtree(root, ignore_errors=True)
        (root.parent / f"{root.name}.left").rename(root)
        shutil.rmtree(root.parent / f"{root.name}.real")
    return done.returncode, done.stdout + done.stderr


def prepared(folder: Path) -> tuple[Path, dict[str, str]]:
    """A data directory with a run over the first day and another day delivered, and what to expect of it."""
    layout = DataLayout(folder / "data")
    raw = layout.root / "01_raw"
    synthesize(raw, sessions=SESSIONS * DAYS, tracks=TRACKS, seed=5, days=DAYS)
    newest = max((raw / "training_set").iterdir())
    newest.rename(folder / newest.name)
    _complete(layout.root)
    (folder / newest.name).rename(newest)
    other = folder / "undisturbed"
    shutil.copytree(layout.root, other)
    _complete(other)
    return layout.root, {name: m.fingerprint for name, m in manifests(DataLayout(other)).items()}


def _complete(root: Path) -> None:
    status, output = run(root, Fault("none"), 0)
    if status:
        raise RuntimeError(output)


def try_one(root: Path, expected: dict[str, str], fault: Fault, drawn: float) -> tuple[str, float]:
    """Run under a fault and again without; the outcome, or what is not as it has to be, and seconds."""
    before = {name: manifest.fingerprint for name, manifest in manifests(DataLayout(root)).items()}
    status, output = run(root, fault, drawn)
    if status == 97:
        return NOT_TRIED, 0.0
    signalled = status < 0 and bool(fault.ends)
    faults = [] if status in (0, 1) or signalled else [f"exit status {status}"]
    if status and not signalled and ("Traceback" in output or "error:" not in output):
        faults.append(
            f"no message: {output.strip().splitlines()[-1] if output.strip() else 'nothing printed'}"
        )
    left = manifests(DataLayout(root))
    faults += torn(left)
    faults += [
        f"{n} is neither old nor new"
        for n, m in left.items()
        if m.fingerprint not in (before[n], expected[n])
    ]
    began = time.perf_counter()
    again, output = run(root, Fault("none"), 0)
    seconds = time.perf_counter() - began
    whole = manifests(DataLayout(root))
    faults += [f"the next run fails: {output[-300:]}"] if again else []
    faults += torn(whole, plain=True)
    faults += [f"{name} differs" for name in expected if whole[name].fingerprint != expected[name]]
    ended = COMPLETED if status == 0 else fault.ends if signalled else REFUSED
    return "; ".join(faults) or ended, seconds


def torture(folder: Path, faults: Sequence[Fault], *, times: int, seed: int) -> Iterator[Tally]:
    """Try each fault so many times."""
    data, expected = prepared(folder)
    for fault in faults:
        tally = Tally(fault.name, seed)
        for number in range(times):
            drawn = random.Random(f"{seed} {fault.name} {number}").random()
            root = folder / "tried"
            shutil.copytree(data, root)
            outcome, seconds = try_one(root, expected, fault, drawn)
            shutil.rmtree(root)
            if outcome in (COMPLETED, REFUSED, NOT_TRIED, fault.ends):
                tally.count(outcome)
                tally.seconds.append(seconds)
            else:
                tally.lost.append(f"number {number}: {outcome}")
        yield tally


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the rows; the exit status is 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    names = [fault.name for fault in FAULTS]
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", nargs="+", default=names, choices=names, metavar="FAULT")
    given = parser.parse_args(arguments)
    chosen = [fault for fault in FAULTS if fault.name in given.faults]
    with tempfile.TemporaryDirectory() as folder:
        return report(torture(Path(folder), chosen, times=given.times, seed=given.seed))


if __name__ == "__main__":
    sys.exit(main())
