"""One piece of work in a fresh process: its seconds, what it made, and the peak memory of its process tree.

The parent imports no heavy library and holds no data: on Linux a child's ``ru_maxrss`` starts at what its
parent had resident, so a large parent would be counted as its children's memory.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from importlib import metadata
from pathlib import Path
from typing import Any, Final, ParamSpec

import psutil

from benchmarks import memory
from benchmarks.memory import Peak, TreeMemory
from skip_pipeline.errors import SkipPipelineError

ROOT: Final = Path(__file__).resolve().parents[1]
"""Children start here, so that they find the package ``benchmarks``."""

P = ParamSpec("P")

TEMPORARY: Final = "skip_pipeline_bench_"
"""Prefix of temporary folders."""


class ChildFailedError(Exception):
    """A measured process failed; the message has the last lines of its standard error."""


@dataclass(frozen=True)
class Run:
    """One run of one piece of work.

    Attributes:
        seconds: of the work, without imports and the start of interpreters and workers.
        peak_rss_mib: largest resident size, MiB, with pages of mapped files: of the process as the system
            reports it, or of the process tree as sampled (``memory``), whichever is larger.
        rows, sessions: that were worked on.
        table_bytes, bundle_bytes: written to disk.
        peak_anonymous_mib: of the process tree, without pages of files; 0 where the system does not report
            it.
    """

    seconds: float
    peak_rss_mib: float
    rows: int
    sessions: int
    table_bytes: int = 0
    bundle_bytes: int = 0
    peak_anonymous_mib: float = 0.0


def run(target: str, raw: Path, folder: Path | None = None, **options: Any) -> Run:
    """Run one function in a new process and measure it.

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
    """Output of a command, and the sampled peak of its process tree's memory.

    Raises:
        ChildFailedError: its status is not 0.
    """
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True) as child:
            tree = TreeMemory(child.pid)
            printed, _ = child.communicate()
            peak = tree.stop()
        if child.returncode:
            errors.seek(0)
            said = "\n".join(errors.read().splitlines()[-15:])
            raise ChildFailedError(f"{' '.join(command)} ended with status {child.returncode}:\n{said}")
    return printed, peak


def refusing(main: Callable[P, None]) -> Callable[P, int]:
    """A command that returns its exit status: 1, with a line of the reason, if a process or data failed."""

    @wraps(main)
    def command(*arguments: P.args, **options: P.kwargs) -> int:
        try:
            main(*arguments, **options)
        except (ChildFailedError, SkipPipelineError) as failure:
            sys.stderr.write(f"error: {failure}\n")
            return 1
        return 0

    return command


def environment() -> dict[str, Any]:
    """Date, cores, memory, platform and library versions, on which figures depend."""
    libraries = ("numpy", "pandas", "pyarrow", "scikit-learn", "polars", "duckdb", "dask", "tensorflow")
    return {
        "date": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "memory_counted_as": memory.KIND,
        "platform": platform.platform(),
        "versions": {"python": platform.python_version()} | {n: metadata.version(n) for n in libraries},
    }
