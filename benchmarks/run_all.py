"""Every benchmark, one after the other, into one file: what ``make bench`` runs.

    python -m benchmarks.run_all
    python -m benchmarks.run_all --sessions 100000 --shards 10      # a smaller large set

``benchmarks/results.json`` gets the headline figures of all benchmarks at its top, what they were measured
with, and below ``benchmarks`` everything that each has written.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import measure

RESULTS: Final = Path(__file__).with_name("results.json")


def commands(raw: Path, *, sessions: int, shards: int) -> dict[str, list[str]]:
    """Arguments of each benchmark, by the name that its figures get.

    Args:
        raw: gets a raw data set of the mini set's size.
        sessions, shards: the size of the large set.
    """
    large = ["--sessions", str(sessions), "--shards", str(shards)]
    return {
        "data_path": ["benchmarks.data_path"],
        "data_path_large": ["benchmarks.data_path", *large],
        "synthesis": ["benchmarks.synthesis", *large],
        "difficulty": ["benchmarks.difficulty", str(raw)],
    }


def collect(found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One mapping of all results: their headlines on top, a later one's before an earlier one's."""
    headlines: dict[str, Any] = {}
    for result in found.values():
        headlines |= result.get("headline", {})
    return {**headlines, "environment": measure.environment(), "benchmarks": dict(found)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them all, each printing its own table; the exit status is 1 as soon as one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sessions", type=int, default=1_000_000, help="of the large set")
    parser.add_argument("--shards", type=int, default=100, help="of the large set")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="PATH", help="default: %(default)s")
    options = parser.parse_args(arguments)
    found = {}
    with tempfile.TemporaryDirectory(prefix="skip_pipeline_bench_") as folder:
        raw = Path(folder) / "raw"
        _run([str(Path(sys.executable).with_name("skip-pipeline")), "synthesize", "--out", str(raw)])
        for name, command in commands(raw, sessions=options.sessions, shards=options.shards).items():
            figures = Path(folder) / f"{name}.json"
            print(f"\n== {name}: python -m {' '.join(command)}", flush=True)  # noqa: T201
            if status := _run([sys.executable, "-m", *command, "--json", str(figures)]):
                return status
            found[name] = json.loads(figures.read_text(encoding="utf-8"))
    options.json.write_text(json.dumps(collect(found), indent=1) + "\n", encoding="utf-8")
    print(f"\nAll figures: {options.json}")  # noqa: T201
    return 0


def _run(command: Sequence[str]) -> int:
    return subprocess.run(command, cwd=measure.ROOT, check=False).returncode  # noqa: S603 - our own commands


if __name__ == "__main__":
    sys.exit(main())
