"""Run every benchmark and write one file of results: ``make bench``.

    python -m benchmarks.run_all
    python -m benchmarks.run_all --sessions 100000 --shards 10      # a smaller large set

The large set is made once for all benchmarks. ``benchmarks/results.json`` gets the headline figures of all,
the environment, and under ``benchmarks`` the complete results of each.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import measure
from benchmarks.summary import headline_table

RESULTS: Final = Path(__file__).with_name("results.json")


HEADLINE: Final = (
    "in_memory_over_parse",
    "persisted_over_parse",
    "peer_over_ours",
    "tuned_peer_over_ours",
    "rows_per_second",
    "peak_rss_mib",
    "peak_rss_growth",
    "dask_speedup",
    "processes_speedup",
    "bundle_bytes_per_session",
    "loader_over_network",
    "train_rss_growth",
)
"""What stands first, in this order; other headline figures follow."""

SPEEDUP_SHARDS: Final = 40  # of the large set, for speed-up: 400,000 sessions of a million


def commands(folder: Path, *, sessions: int, shards: int) -> dict[str, list[str]]:
    """Arguments of each benchmark, by the name that its figures get, in the order to run them.

    Args:
        folder: holds a raw set of the mini set's size as ``mini``; gets the large one as ``large``, and its
            bundles and those of a tenth of it in ``bundles``.
        sessions, shards: the size of the large set.
    """
    large = ["--sessions", str(sessions), "--shards", str(shards)]
    made = ["--raw", str(folder / "large")]
    return {
        "synthesis": ["benchmarks.synthesis", *large, "--out", str(folder / "large")],
        "data_path": ["benchmarks.data_path", "--raw", str(folder / "mini")],
        "data_path_large": [
            "benchmarks.data_path",
            *("--shards", str(shards), *made, "--keep", str(folder / "bundles")),
        ],
        "speedup": ["benchmarks.speedup", "--shards", str(min(shards, SPEEDUP_SHARDS)), *made],
        "loader": ["benchmarks.loader", str(folder / "bundles")],
        "difficulty": ["benchmarks.difficulty", str(folder / "mini")],
        "serving": ["benchmarks.serving"],
        "demo": ["benchmarks.demo"],
    }


def collect(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One mapping of all results: their headlines on top, a later one's before an earlier one's."""
    headlines: dict[str, Any] = {}
    for result in found.values():
        headlines |= result.get("headline", {})
    first: dict[str, Any] = {name: headlines.pop(name) for name in HEADLINE if name in headlines}
    return {**first, **headlines, "environment": measure.environment(), "benchmarks": dict(found)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them all, each printing its own table; the exit status is 1 as soon as one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sessions", type=int, default=1_000_000, help="of the large set")
    parser.add_argument("--shards", type=int, default=100, help="of the large set")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="PATH", help="default: %(default)s")
    options = parser.parse_args(arguments)
    found = {}
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix=measure.TEMPORARY) as name_of_folder:
        folder = Path(name_of_folder)
        program = str(Path(sys.executable).with_name("skip-pipeline"))
        if status := _run([program, "synthesize", "--out", str(folder / "mini")]):
            return status
        for name, command in commands(folder, sessions=options.sessions, shards=options.shards).items():
            figures = folder / f"{name}.json"
            print(f"\n== {name}: python -m {' '.join(command)}", flush=True)
            if status := _run([sys.executable, "-m", *command, "--json", str(figures)]):
                return status
            found[name] = json.loads(figures.read_text(encoding="utf-8"))
    result = collect(found)
    options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    figures_on_top = {name: value for name, value in result.items() if not isinstance(value, dict)}
    print(f"\n== All together, in {time.perf_counter() - started:.0f} s\n{headline_table(figures_on_top)}")
    print(f"\nAll figures: {options.json}")
    return 0


def _run(command: Sequence[str]) -> int:
    return subprocess.run(command, cwd=measure.ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
