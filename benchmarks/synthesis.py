"""Time, rows per second and peak memory of ``skip-pipeline synthesize``, as a user runs it.

    python benchmarks/synthesis.py                      # a million sessions in 100 shards
    python benchmarks/synthesis.py --sessions 10000     # the default world, one file

The command runs in a new process, so the time includes imports; memory is the peak resident size that the
system reports.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from skip_pipeline.settings import SYNTHETIC_TRACKS


def measure(out: Path, *, sessions: int, shards: int | None, tracks: int) -> dict[str, float]:
    """Synthesize into ``out`` once: seconds, rows, rows per second, peak MiB, bytes of the logs."""
    sizes = ["--sessions", str(sessions), "--tracks", str(tracks)]
    sizes += ["--shards", str(shards)] if shards else []
    program = Path(sys.executable).with_name("skip-pipeline")
    command = [str(program), "synthesize", "--out", str(out), *sizes]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    logs = sorted((out / "training_set").iterdir())
    rows = sum(_lines(path) - 1 for path in logs)
    return {
        "sessions": sessions,
        "shards": len(logs),
        "rows": rows,
        "seconds": round(seconds, 2),
        "rows_per_second": round(rows / seconds),
        "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
        "log_mib": round(sum(path.stat().st_size for path in logs) / 2**20),
    }


def _lines(path: Path) -> int:
    with path.open("rb") as handle:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: handle.read(1 << 22), b""))


def main() -> None:
    """Measure and print; with ``--json`` write the figures too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, help="default: one for every 10,000 sessions")
    parser.add_argument("--tracks", type=int, default=SYNTHETIC_TRACKS)
    parser.add_argument("--out", type=Path, help="an empty folder that keeps the set")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here as well")
    options = parser.parse_args()
    shards = options.shards or max(1, options.sessions // 10_000)
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or Path(folder)
        found = measure(out, sessions=options.sessions, shards=shards, tracks=options.tracks)
    for name, value in found.items():
        print(f"{name:16} {value:>14,}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
