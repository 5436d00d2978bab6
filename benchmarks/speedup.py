"""Speed-up of the persisted path by a second worker, with local processes and on a Dask cluster.

    python -m benchmarks.speedup                        # 400,000 sessions in 40 shards

A worker has one thread. The workers have started and imported their libraries before the clock starts. Runs
with one and with two workers take turns, so that other load on the machine affects both.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import measure, raw_sets, summary
from benchmarks.measure import TEMPORARY, Run
from benchmarks.raw_sets import MINI_TRACKS, absolute
from benchmarks.summary import Summary, ratio
from skip_pipeline.settings import EngineKind

ENGINES: Final[tuple[EngineKind, ...]] = ("dask", "processes")
WORKERS: Final = (1, 2)
REPETITIONS: Final = 3


def compare(raw: Path, *, repetitions: int) -> dict[str, Any]:
    """Measure every engine with one worker and with two, in turns.

    Returns:
        See ``summary.result``; the headline has, for each engine, median seconds of one worker over two's.

    Raises:
        ChildFailedError: a run failed.
    """
    runs: dict[tuple[EngineKind, int], list[Run]] = {(e, n): [] for e in ENGINES for n in WORKERS}
    for _ in range(repetitions):
        for (engine, workers), of in runs.items():
            of.append(measure.run("benchmarks.stages:persisted", raw, engine=engine, workers=workers))
    found = {_name(engine, workers): Summary.of(of) for (engine, workers), of in runs.items()}
    few, many = WORKERS
    headline = {f"{e}_speedup": ratio(found, _name(e, few), _name(e, many)) for e in ENGINES}
    return summary.result(headline, found, {"raw": raw_sets.sizes(raw)})


def _name(engine: EngineKind, workers: int) -> str:
    return f"{engine}, {workers} worker{'s' if workers > 1 else ''}"


@measure.refusing
def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; the exit status is 1 if a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sessions", type=int, default=200_000)
    parser.add_argument("--shards", type=int, default=40)
    parser.add_argument("--tracks", type=int, default=MINI_TRACKS)
    parser.add_argument("--raw", type=absolute, help="a synthetic set whose first shards to take")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here as well")
    options = parser.parse_args(arguments)
    sizes = {"sessions": options.sessions, "tracks": options.tracks, "shards": options.shards}
    with tempfile.TemporaryDirectory(prefix=TEMPORARY) as folder:
        raw = (
            raw_sets.first_shards(options.raw, options.shards, Path(folder) / "raw")
            if options.raw
            else raw_sets.synthesize(Path(folder), **sizes)
        )
        result = compare(raw, repetitions=options.repetitions)
    sessions = max(contender["sessions"] for contender in result["contenders"].values())
    summary.finish(result, f"{sessions:,} sessions in {result['data']['raw']['shards']} shards", options.json)


if __name__ == "__main__":
    sys.exit(main())
