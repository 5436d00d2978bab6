"""The measured process: import a function, time one call, print the result as one line of JSON.

    python -m benchmarks.one_run benchmarks.stages:in_memory RAW_DIR EMPTY_DIR
    python -m benchmarks.one_run benchmarks.stages:persisted RAW_DIR EMPTY_DIR '{"engine": "processes"}'

Imports come before the clock starts, and the result is freed after it stops.
"""

import json
import pkgutil
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Made:
    """Result of a measured function.

    Attributes:
        result: arrays or tables, kept until the clock stops.
        rows, sessions: that were worked on.
        table_bytes, bundle_bytes: written to disk.
        seconds: measured by the function, if it has to prepare something first; None: time the whole call.
    """

    result: Any
    rows: int
    sessions: int
    table_bytes: int = 0
    bundle_bytes: int = 0
    seconds: float | None = None


def main(arguments: Sequence[str]) -> None:
    """Measure ``module:function``, called with a folder to read, an empty one to write to, and options."""
    target, raw, folder, *rest = arguments
    options = json.loads(rest[0]) if rest else {}
    function = pkgutil.resolve_name(target)
    started = time.perf_counter()
    made: Made = function(Path(raw), Path(folder), **options)
    seconds = time.perf_counter() - started
    unit = 2**20 if sys.platform == "darwin" else 2**10  # ru_maxrss is in bytes there, in KiB elsewhere
    figures = {
        "seconds": seconds if made.seconds is None else made.seconds,
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit,
        "rows": made.rows,
        "sessions": made.sessions,
        "table_bytes": made.table_bytes,
        "bundle_bytes": made.bundle_bytes,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1:])
