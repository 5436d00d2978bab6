"""Two hundred nights of tiny data: memory, open files, disk and seconds of a core must not grow.

    python -m benchmarks.torture.nights                        # every asset, hours
    python -m benchmarks.torture.nights --nights 60 --until tensor_bundles

Each night a day is delivered and the oldest goes, so the data stays as large as it was, and the assets are
materialized through Dagster with their records in MLflow. Then ``skip-pipeline prune`` removes old records.
A night has a process of its own, as Dagster's daemon gives each run one: TensorFlow does not release all
memory of a training.
Growth is measured from the night on which the first records go, to the last night.
"""

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

import psutil

from benchmarks.torture.kills import FOLDERS
from benchmarks.torture.tally import Tally, report
from skip_pipeline import settings
from skip_pipeline.locations import files_below
from skip_pipeline.settings import DataLayout
from skip_pipeline.world.synthesize import synthesize

DAYS: Final = 3  # of data at any time
SESSIONS, TRACKS, TEST_SESSIONS = 60, 100, 20  # sessions a day

LIMITS: Final = {"memory, MB": 1.1, "open files": 1.0, "disk, MB": 1.1, "seconds of a core": 1.5}
"""By what each may be multiplied: allocators and file systems round up, and a core is not always as fast."""


@dataclass(frozen=True)
class Night:
    """What a process and its data directory take after a night."""

    memory: float  # MB, resident
    handles: int
    disk: float  # MB
    seconds: float  # of a core, so that other work on the machine counts little


def nights(root: Path, count: int, assets: Sequence[str], keep: int) -> list[Night]:
    """Run that many nights in a new data directory; one figure for each."""
    layout = DataLayout(root / "data")
    days = deliveries(root / "world", layout, count)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__, "mlflow", "tensorflow", "skip_pipeline.definitions"])
    found = []
    with ProcessPoolExecutor(1, mp_context=processes, max_tasks_per_child=1) as pool:
        for night in range(count):
            for number, path in enumerate(days):
                wanted = night <= number < night + DAYS
                target = layout.raw / "training_set" / path.name
                if wanted and not target.exists():
                    target.write_bytes(path.read_bytes())
                elif not wanted:
                    target.unlink(missing_ok=True)
            found.append(pool.submit(one_night, layout, tuple(assets), keep).result())
            sys.stderr.write(f"night {night + 1}: {found[-1]}\n")
    return found


def one_night(layout: DataLayout, assets: Sequence[str], keep: int) -> Night:
    """Materialize assets in this process, and remove old records.

    Raises:
        RuntimeError: an asset failed.
    """
    from skip_pipeline.cli.run import LIBRARY_LOG, quiet_libraries
    from skip_pipeline.definitions import defs, mlflow_tracker
    from skip_pipeline.defs.launch import materialize, open_instance, prepare_home
    from skip_pipeline.defs.retention import prune

    os.environ.pop("DAGSTER_HOME", None)
    os.environ[settings.DATA_DIR_VARIABLE] = str(layout.root)
    model = {"preset": "fast", "max_epochs": 1, "batch_size": 64}
    config = {"ops": {"trained_model": {"config": model}}} if "trained_model" in assets else {}
    with quiet_libraries(prepare_home(layout) / LIBRARY_LOG):
        outcome = materialize(defs(), assets, config, lambda _event: None)
        if not outcome.success:
            raise RuntimeError("; ".join(outcome.failures))
        prune(open_instance(), mlflow_tracker(layout), keep=keep)
    return measured(layout.root, time.process_time())


def deliveries(world: Path, layout: DataLayout, count: int) -> list[Path]:
    """Session logs of all days; everything else of the world is delivered now."""
    days = count + DAYS - 1
    synthesize(world, sessions=SESSIONS * days, tracks=TRACKS, seed=4, days=days, test_sessions=TEST_SESSIONS)
    logs = sorted((world / "training_set").iterdir())
    (layout.raw / "training_set").mkdir(parents=True)
    for name, path in files_below(world):
        target = layout.root / "01_raw" / name
        if path not in logs:
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
    return logs


def measured(root: Path, seconds: float) -> Night:
    """What this process and a data directory take; hard links count once."""
    process = psutil.Process()
    files = {facts.st_ino: facts.st_size for facts in (p.stat() for p in root.rglob("*") if p.is_file())}
    return Night(process.memory_info().rss / 1e6, process.num_fds(), sum(files.values()) / 1e6, seconds)


def rows(found: Sequence[Night], keep: int) -> list[Tally]:
    """One row for each figure: its median on the first and on the last nights after records begin to go.

    >>> print(rows([Night(100.0, 9, 5.0, 1.0)] * 9, keep=2)[1].row())
    | night after night: open files | 9 | 9 on night 3, 9 on night 9; nights 9 | nothing | at once | 4 |
    """
    steady = found[keep:]
    few = max(1, len(steady) // 5)
    tallies = []
    for i, (name, limit) in enumerate(LIMITS.items()):
        first, last = (
            statistics.median(astuple(night)[i] for night in part) for part in (steady[:few], steady[-few:])
        )
        tally = Tally(f"night after night: {name}", 4)
        words = f"{first:.3g} on night {keep + 1}, {last:.3g} on night {len(found)}"
        if last > limit * first:
            tally.lost.append(f"{words}, more than {limit} times as much")
        else:
            tally.count(f"{words}; nights", len(found))
        tallies.append(tally)
    return tallies


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the rows; the exit status is 1 if anything grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--nights", type=int, default=200)
    parser.add_argument("--keep", type=int, default=20, help="runs that prune keeps")
    parser.add_argument("--until", default="skip_predictions", choices=FOLDERS, metavar="ASSET")
    given = parser.parse_args(arguments)
    assets = list(FOLDERS)[: list(FOLDERS).index(given.until) + 1]
    with tempfile.TemporaryDirectory() as folder:
        return report(rows(nights(Path(folder), given.nights, assets, given.keep), given.keep))


if __name__ == "__main__":
    sys.exit(main())
