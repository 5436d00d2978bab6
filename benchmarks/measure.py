"""One piece of work in a fresh process: its seconds, what it made, and the peak memory of its process tree.

The parent imports no heavy library and holds no data: on Linux a child's ``ru_maxrss`` starts at what its
parent had resident, so a large parent would be counted as its children's memory.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped]

from benchmarks import memory
from benchmarks.memory import Peak, TreeMemory

ROOT: Final = Path(__file__).resolve().parents[1]
"""Children start here, so that they find the package ``benchmarks``."""

TEMPORARY: Final = "skip_pipeline_bench_"
"""What the names of temporary folders begin with."""


class ChildFailedError(Exception):
    """A measured process ended with an error; the message holds the last lines that it wrote."""


@dataclass(frozen=True)
class Run:
    """One run of one piece of work.

    Attributes:
        seconds: of the work alone; imports and the starts of interpreters and workers left out.
        peak_rss_mib: largest resident size, MiB: of the process as the system reports it, or of it and all
            its descendants together as sampled (``memory``), whichever is larger. Pages of mapped files
            count.
        rows, sessions: that were worked on.
        table_bytes, bundle_bytes: left on disk; 0 where nothing is written.
        peak_anonymous_mib: of the tree as sampled, without pages of files; 0 where the system does not tell.
    """

    seconds: float
    peak_rss_mib: float
    rows: int
    sessions: int
    table_bytes: int = 0
    bundle_bytes: int = 0
    peak_anonymous_mib: float = 0.0


def run(target: str, raw: Path, folder: Path | None = None, **options: Any) -> Run:
    """Do one piece of work in a process of its own.

    Args:
        target: ``module:function``, see ``benchmarks.one_run``.
        raw: the folder to work on.
        folder: an empty one to write to; else a temporary one.
        options: for the function, values that JSON knows.

    Raises:
        ChildFailedError: the work raised an error.
    """
    with ExitStack() as stack:
        out = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=TEMPORARY)))
        command = [sys.executable, "-m", "benchmarks.one_run", target, str(raw), str(out)]
        printed, peak = output([*command, json.dumps(options)])
    figures = json.loads(printed.splitlines()[-1])
    figures["peak_rss_mib"] = round(max(figures["peak_rss_mib"], peak.total / 2**20), 1)
    return Run(**figures, peak_anonymous_mib=round(peak.anonymous / 2**20, 1))


def output(command: Sequence[str]) -> tuple[str, Peak]:
    """What a command prints, and the sampled peak of its tree's memory.

    Raises:
        ChildFailedError: its status is not 0.
    """
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True) as child:  # noqa: S603 - our own module
            tree = TreeMemory(child.pid)
            printed, _ = child.communicate()
            peak = tree.stop()
        if child.returncode:
            errors.seek(0)
            said = "\n".join(errors.read().splitlines()[-15:])
            raise ChildFailedError(f"{' '.join(command)} ended with status {child.returncode}:\n{said}")
    return printed, peak


def environment() -> dict[str, Any]:
    """What figures depend on: date, cores, memory, platform, and the versions that were at work."""
    libraries = ("numpy", "pandas", "pyarrow", "scikit-learn", "polars", "duckdb", "dask", "tensorflow")
    return {
        "date": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "memory_counted_as": memory.KIND,
        "platform": platform.platform(),
        "versions": {"python": platform.python_version()} | {n: metadata.version(n) for n in libraries},
    }
