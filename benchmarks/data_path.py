"""From raw CSVs to bundles: seconds and memory of the pipeline, of mere parsing and of its peers.

    python -m benchmarks.data_path                                     # the mini set's size, every contender
    python -m benchmarks.data_path --sessions 1000000 --shards 100     # persisted only, and memory's growth

Data is synthesized in a temporary folder unless ``--raw`` names a set. Each run is a new process. The
contenders take turns, so that other load on the machine affects all of them.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args

from benchmarks import measure, raw_sets, summary
from benchmarks.measure import TEMPORARY, Run
from benchmarks.raw_sets import MINI_SESSIONS, MINI_TRACKS, absolute
from benchmarks.summary import Summary, ratio
from skip_pipeline.settings import DataLayout, EngineKind

CONTENDERS: Final[Mapping[str, str]] = {
    "parse only (pyarrow)": "benchmarks.stages:parse",
    "ours, in memory": "benchmarks.stages:in_memory",
    "ours, all inputs gathered": "benchmarks.stages:gathered",
    "ours, persisted": "benchmarks.stages:persisted",
    "pandas notebook": "benchmarks.peers.pandas_notebook:notebook",
    "pandas notebook, tuned": "benchmarks.peers.pandas_notebook:tuned",
    "ours, merge + encode": "benchmarks.stages:merge_and_encode",
    "polars, merge + encode": "benchmarks.peers.polars_merge:merge_and_encode",
    "duckdb, merge + encode": "benchmarks.peers.duckdb_merge:merge_and_encode",
}
PARSE, IN_MEMORY, GATHERED, PERSISTED, NOTEBOOK, TUNED, OURS_ENCODED, POLARS, DUCKDB = CONTENDERS

REPETITIONS: Final = 5
GROWTH_FACTOR: Final = 10  # memory is compared with that of a set with this many times fewer shards


def compare(raw: Path, *, repetitions: int) -> dict[str, Any]:
    """Check that the peers agree with the pipeline, then measure every contender in turns on one set.

    Returns:
        See ``summary.result``; the headline has ratios of medians.

    Raises:
        ChildFailedError: a contender failed, or a peer's values differ.
    """
    measure.run("benchmarks.agreement:check", raw)
    runs: dict[str, list[Run]] = {name: [] for name in CONTENDERS}
    for _ in range(repetitions):
        for name, target in CONTENDERS.items():
            runs[name].append(measure.run(target, raw))
    found = {name: Summary.of(of_contender) for name, of_contender in runs.items()}
    headline = {
        "in_memory_over_parse": ratio(found, IN_MEMORY, PARSE),
        "persisted_over_parse": ratio(found, PERSISTED, PARSE),
        "peer_over_ours": ratio(found, NOTEBOOK, IN_MEMORY),
        "peer_over_ours_gathered": ratio(found, NOTEBOOK, GATHERED),
        "tuned_peer_over_ours": ratio(found, TUNED, IN_MEMORY),
        "polars_over_ours": ratio(found, POLARS, OURS_ENCODED),
        "duckdb_over_ours": ratio(found, DUCKDB, OURS_ENCODED),
        "bundle_bytes_per_session": _bytes_per_session(found[PERSISTED]),
    }
    return summary.result(headline, found, {"raw": raw_sets.sizes(raw)})


def _bytes_per_session(persisted: Summary) -> float:
    return round(persisted.bundle_bytes / persisted.sessions, 1)


def grow(
    raw: Path, *, engine: EngineKind, workers: int | None, repetitions: int, keep: Path | None = None
) -> dict[str, Any]:
    """The persisted path on a set of many shards, and on the first tenth of these shards.

    Args:
        keep: gets the folders ``small`` and ``large``, data directories with their bundles and no tables.

    Returns:
        See ``summary.result``; ``peak_rss_growth`` is the peak of memory over that of the smaller set.

    Raises:
        ChildFailedError: a run failed.
    """
    data = {}
    runs: dict[str, list[Run]] = {"small": [], "large": []}
    with tempfile.TemporaryDirectory(prefix=TEMPORARY) as folder:
        tenth = max(1, raw_sets.sizes(raw)["shards"] // GROWTH_FACTOR)
        small = raw_sets.first_shards(raw, tenth, Path(folder) / "raw")
        for name, of_size in (("small", small), ("large", raw)):
            data[name] = raw_sets.sizes(of_size)
            for _ in range(repetitions):
                out = (keep or Path(folder)) / name
                shutil.rmtree(out, ignore_errors=True)
                out.mkdir(parents=True)
                options = {"engine": engine, "workers": workers}
                runs[name].append(measure.run(CONTENDERS[PERSISTED], of_size, out, **options))
                layout = DataLayout(out)
                for tables in (layout.merged, layout.encoded, layout.scaled):
                    shutil.rmtree(tables)
    before, last = (Summary.of(of_size) for of_size in runs.values())
    found = {
        f"{PERSISTED}, {engine}, {of.sessions:,} sessions in {data[name]['shards']}": of
        for name, of in (("small", before), ("large", last))
    }
    headline = {
        "rows_per_second": last.rows_per_second,
        "peak_rss_mib": last.peak_rss_mib,
        "peak_rss_growth": round(last.peak_rss_mib / before.peak_rss_mib, 3),
        "bundle_bytes_per_session": _bytes_per_session(last),
    }
    return summary.result(headline, found, data)


@measure.refusing
def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; the exit status is 1 if a contender failed or its values differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sessions", type=int, default=MINI_SESSIONS)
    parser.add_argument("--shards", type=int, help="measure ours persisted only, on this many log files")
    parser.add_argument("--tracks", type=int, default=MINI_TRACKS)
    parser.add_argument("--raw", type=absolute, help="a synthetic set that is there, in place of these sizes")
    parser.add_argument("--repetitions", type=int, help=f"default: {REPETITIONS}, and 1 with --shards")
    parser.add_argument("--engine", choices=get_args(EngineKind), default="processes", help="with --shards")
    parser.add_argument("--workers", type=int, help="with --shards; default: one per core")
    parser.add_argument("--keep", type=absolute, help="with --shards: an empty folder that gets the bundles")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here as well")
    options = parser.parse_args(arguments)
    sizes = {"sessions": options.sessions, "tracks": options.tracks, "shards": options.shards}
    with tempfile.TemporaryDirectory(prefix=TEMPORARY) as folder:
        raw = options.raw or raw_sets.synthesize(Path(folder), **sizes)
        if options.shards:
            result = grow(
                raw,
                engine=options.engine,
                workers=options.workers,
                repetitions=options.repetitions or 1,
                keep=options.keep,
            )
        else:
            result = compare(raw, repetitions=options.repetitions or REPETITIONS)
    sessions = max(contender["sessions"] for contender in result["contenders"].values())
    summary.finish(result, f"{sessions:,} sessions", options.json)


if __name__ == "__main__":
    sys.exit(main())
