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
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped]

ROOT: Final = Path(__file__).resolve().parents[1]
"""Children start here, so that they find the package ``benchmarks``."""

SAMPLE_SECONDS: Final = 0.02  # between two looks at the process tree; one look costs about 0.2 ms


class ChildFailedError(Exception):
    """A measured process ended with an error; the message holds the last lines that it wrote."""


@dataclass(frozen=True)
class Run:
    """One run of one piece of work.

    Attributes:
        seconds: of the work alone, imports and the start of the interpreter left out.
        peak_rss_mib: largest resident size, MiB: of the process as the system reports it, or of it and all
            its descendants added up, as sampled, whichever is larger. Pages of mapped files count.
        rows, sessions: that were worked on.
        table_bytes, bundle_bytes: left on disk; 0 where nothing is written.
    """

    seconds: float
    peak_rss_mib: float
    rows: int
    sessions: int
    table_bytes: int = 0
    bundle_bytes: int = 0


def run(target: str, raw: Path) -> Run:
    """Do one piece of work in a process of its own, with an empty folder to write to.

    Args:
        target: ``module:function``, see ``benchmarks.one_run``.
        raw: the raw folder to work on.

    Raises:
        ChildFailedError: the work raised an error.
    """
    with tempfile.TemporaryDirectory(prefix="skip_pipeline_bench_") as folder:
        printed, sampled = output([sys.executable, "-m", "benchmarks.one_run", target, str(raw), folder])
    figures = json.loads(printed.splitlines()[-1])
    figures["peak_rss_mib"] = round(max(figures["peak_rss_mib"], sampled / 2**20), 1)
    return Run(**figures)


def output(command: Sequence[str]) -> tuple[str, int]:
    """What a command prints, and the sampled peak of its tree's resident memory in bytes.

    Raises:
        ChildFailedError: its status is not 0.
    """
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True) as child:  # noqa: S603 - our own module
            tree = _TreeMemory(child.pid)
            printed, _ = child.communicate()
            peak = tree.stop()
        if child.returncode:
            errors.seek(0)
            said = "\n".join(errors.read().splitlines()[-15:])
            raise ChildFailedError(f"{' '.join(command)} ended with status {child.returncode}:\n{said}")
    return printed, peak


class _TreeMemory:
    """Watches the resident bytes of a process and all its descendants from a thread."""

    def __init__(self, pid: int) -> None:
        self._pid, self._peak, self._ended = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """The peak, in bytes."""
        self._ended.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            try:
                parent = psutil.Process(self._pid)
                tree = [parent, *parent.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            self._peak = max(self._peak, sum(map(_resident, tree)))


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:  # ended between two looks
        return 0


def environment() -> dict[str, Any]:
    """What figures depend on: date, cores, memory, platform, and the versions that were at work."""
    libraries = ("numpy", "pandas", "pyarrow", "scikit-learn", "polars", "duckdb")
    return {
        "date": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "platform": platform.platform(),
        "versions": {"python": platform.python_version()} | {n: metadata.version(n) for n in libraries},
    }
