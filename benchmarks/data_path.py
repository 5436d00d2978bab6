"""From raw CSVs to bundles: seconds and memory of the pipeline beside the limit and beside its peers.

    python -m benchmarks.data_path                                     # the mini set's size, every contender
    python -m benchmarks.data_path --sessions 1000000 --shards 100     # persisted only, and memory's growth

The data is synthesized into a temporary folder. Every run is a process of its own; the contenders take turns,
so that a busy moment of the machine falls on all of them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import measure
from benchmarks.measure import ChildFailedError, Run

CONTENDERS: Final[Mapping[str, str]] = {
    "parse only (pyarrow)": "benchmarks.stages:parse",
    "ours, in memory": "benchmarks.stages:in_memory",
    "ours, all inputs gathered": "benchmarks.stages:gathered",
    "ours, persisted": "benchmarks.stages:persisted",
    "pandas notebook": "benchmarks.peers.pandas_notebook:notebook",
    "ours, merge + encode": "benchmarks.stages:merge_and_encode",
    "polars, merge + encode": "benchmarks.peers.polars_merge:merge_and_encode",
    "duckdb, merge + encode": "benchmarks.peers.duckdb_merge:merge_and_encode",
}
PARSE, IN_MEMORY, GATHERED, PERSISTED, NOTEBOOK, OURS_ENCODED, POLARS, DUCKDB = CONTENDERS

MINI_SESSIONS: Final = 10_000
MINI_TRACKS: Final = 50_704  # of the public mini set
REPETITIONS: Final = 5
GROWTH_FACTOR: Final = 10  # memory is compared with that of a set this many times smaller, in shards as large
WORLD_SEED: Final = 0


@dataclass(frozen=True)
class Summary:
    """All runs of one contender: median, fastest and slowest seconds, the largest peak of memory, sizes."""

    seconds: float
    fastest: float
    slowest: float
    runs: int
    rows_per_second: int
    peak_rss_mib: float
    rows: int
    table_bytes: int
    bundle_bytes: int

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Summary:
        """Summarize at least one run of the same work."""
        seconds = [run.seconds for run in runs]
        return cls(
            seconds=round(median(seconds), 4),
            fastest=round(min(seconds), 4),
            slowest=round(max(seconds), 4),
            runs=len(runs),
            rows_per_second=round(runs[0].rows / median(seconds)),
            peak_rss_mib=max(run.peak_rss_mib for run in runs),
            rows=runs[0].rows,
            table_bytes=runs[0].table_bytes,
            bundle_bytes=runs[0].bundle_bytes,
        )


def compare(*, sessions: int, tracks: int, repetitions: int) -> dict[str, Any]:
    """Every contender, in turns, on one set in one file; first that the peers make what the pipeline makes.

    Returns:
        ``headline`` (ratios of medians), ``contenders`` (a ``Summary`` each) and ``data``.

    Raises:
        ChildFailedError: a contender failed, or a peer made other values.
    """
    with tempfile.TemporaryDirectory(prefix="skip_pipeline_bench_") as folder:
        raw = Path(folder)
        data = _synthesize(raw, sessions=sessions, tracks=tracks, shards=None)
        measure.run("benchmarks.agreement:check", raw)
        runs: dict[str, list[Run]] = {name: [] for name in CONTENDERS}
        for _ in range(repetitions):
            for name, target in CONTENDERS.items():
                runs[name].append(measure.run(target, raw))
    found = {name: Summary.of(of_contender) for name, of_contender in runs.items()}
    return {
        "headline": {
            "in_memory_over_parse": _ratio(found, IN_MEMORY, PARSE),
            "persisted_over_parse": _ratio(found, PERSISTED, PARSE),
            "peer_over_ours": _ratio(found, NOTEBOOK, IN_MEMORY),
            "peer_over_ours_gathered": _ratio(found, NOTEBOOK, GATHERED),
            "polars_over_ours": _ratio(found, POLARS, OURS_ENCODED),
            "duckdb_over_ours": _ratio(found, DUCKDB, OURS_ENCODED),
            "bundle_bytes_per_session": round(found[PERSISTED].bundle_bytes / sessions, 1),
        },
        "contenders": {name: asdict(summary) for name, summary in found.items()},
        "data": data,
    }


def _ratio(found: Mapping[str, Summary], above: str, below: str) -> float:
    return round(found[above].seconds / found[below].seconds, 2)


def grow(*, sessions: int, shards: int, tracks: int, repetitions: int) -> dict[str, Any]:
    """The persisted path on a set of many shards, and on one ``GROWTH_FACTOR`` times smaller.

    Returns:
        As ``compare``; ``peak_rss_growth`` is the peak of memory over that of the smaller set.

    Raises:
        ChildFailedError: a run failed.
    """
    small = (max(1, sessions // GROWTH_FACTOR), max(1, shards // GROWTH_FACTOR))
    found, data = {}, {}
    for some_sessions, some_shards in (small, (sessions, shards)):
        name = f"{PERSISTED}, {some_sessions:,} sessions in {some_shards}"
        with tempfile.TemporaryDirectory(prefix="skip_pipeline_bench_") as folder:
            raw = Path(folder)
            data[name] = _synthesize(raw, sessions=some_sessions, tracks=tracks, shards=some_shards)
            runs = [measure.run(CONTENDERS[PERSISTED], raw) for _ in range(repetitions)]
        found[name] = Summary.of(runs)
    before, last = found.values()
    return {
        "headline": {
            "rows_per_second": last.rows_per_second,
            "peak_rss_mib": last.peak_rss_mib,
            "peak_rss_growth": round(last.peak_rss_mib / before.peak_rss_mib, 3),
            "bundle_bytes_per_session": round(last.bundle_bytes / sessions, 1),
        },
        "contenders": {name: asdict(summary) for name, summary in found.items()},
        "data": data,
    }


def _synthesize(raw: Path, *, sessions: int, tracks: int, shards: int | None) -> dict[str, Any]:
    """Make the data in a child, for this process must stay small; and say how large it is."""
    sizes = [str(sessions), str(tracks), str(shards or 0), str(WORLD_SEED)]
    code = (
        "import sys; from pathlib import Path; from skip_pipeline.world.synthesize import synthesize; "
        "n, tracks, shards, seed = map(int, sys.argv[2:]); "
        "synthesize(Path(sys.argv[1]), sessions=n, tracks=tracks, seed=seed, shards=shards or None)"
    )
    measure.output([sys.executable, "-c", code, str(raw), *sizes])
    logs = list((raw / "training_set").iterdir())
    features = list((raw / "track_features").iterdir())
    return {
        "data_source": "synthetic",
        "sessions": sessions,
        "tracks": tracks,
        "shards": len(logs),
        "log_bytes": sum(path.stat().st_size for path in logs),
        "track_bytes": sum(path.stat().st_size for path in features),
    }


def table(result: Mapping[str, Any]) -> str:
    """The contenders as text, a line each, and the headline below."""
    contenders = {name: Summary(**figures) for name, figures in result["contenders"].items()}
    width = max(len(name) for name in contenders) + 2
    lines = [f"{'':{width}}{'seconds':>9}{'fastest':>9}{'slowest':>9}{'rows/s':>12}{'peak MiB':>10}"]
    lines += [
        f"{name:{width}}{c.seconds:9.3f}{c.fastest:9.3f}{c.slowest:9.3f}{c.rows_per_second:12,}"
        f"{c.peak_rss_mib:10,.0f}"
        for name, c in contenders.items()
    ]
    return "\n".join([*lines, "", *(f"{name:26}{value:>14,}" for name, value in result["headline"].items())])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 1 if a contender failed or made other values."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sessions", type=int, default=MINI_SESSIONS)
    parser.add_argument("--shards", type=int, help="measure ours persisted only, on this many log files")
    parser.add_argument("--tracks", type=int, default=MINI_TRACKS)
    parser.add_argument("--repetitions", type=int, help=f"default: {REPETITIONS}, and 1 with --shards")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here as well")
    options = parser.parse_args(arguments)
    sizes = {"sessions": options.sessions, "tracks": options.tracks}
    try:
        if options.shards:
            result = grow(**sizes, shards=options.shards, repetitions=options.repetitions or 1)
        else:
            result = compare(**sizes, repetitions=options.repetitions or REPETITIONS)
    except ChildFailedError as failure:
        sys.stderr.write(f"error: {failure}\n")
        return 1
    result["environment"] = measure.environment()
    print(f"{options.sessions:,} sessions, synthetic data, {result['environment']['cores']} cores:")  # noqa: T201
    print(table(result))  # noqa: T201 - the output of this command
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
