"""One measurement: what a child says, the memory of its tree, and a line of several runs."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import measure
from benchmarks.measure import ChildFailedError, Run
from benchmarks.memory import HAS_PSS
from benchmarks.summary import Summary

pytestmark = pytest.mark.slow


def test_a_child_is_measured(raw: Path) -> None:
    run = measure.run("benchmarks.stages:parse", raw)

    assert run.rows > 1000
    assert run.seconds > 0
    assert run.peak_rss_mib > 50  # pyarrow alone is more than that


def test_a_failing_child_says_why(tmp_path: Path) -> None:
    with pytest.raises(ChildFailedError, match="track_features does not exist"):
        measure.run("benchmarks.stages:in_memory", tmp_path)


def test_the_memory_of_a_childs_own_children_counts() -> None:
    code = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', "
        "'import time; held = bytearray(200 << 20); time.sleep(1)'], check=True); print('done')"
    )
    printed, peak = measure.output([sys.executable, "-c", code])

    assert printed == "done\n"
    assert peak.total > 200 << 20
    assert peak.anonymous > 200 << 20 or not HAS_PSS


@pytest.mark.skipif(not HAS_PSS, reason="the system does not tell what processes share")
def test_what_processes_share_counts_once() -> None:
    code = (
        "import os, time; held = bytearray(b'1') * (200 << 20); child = os.fork(); time.sleep(1); "
        "os.waitpid(child, 0) if child else os._exit(0)"
    )
    _, peak = measure.output([sys.executable, "-c", code])

    assert 200 << 20 < peak.total < 300 << 20


def test_an_anonymous_peak_leaves_mapped_files_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(100 << 20))
    code = (
        "import mmap, sys, time; handle = open(sys.argv[1], 'rb'); "
        "mapped = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ); "
        "sum(mapped[::4096]); time.sleep(1)"
    )
    _, peak = measure.output([sys.executable, "-c", code, str(tmp_path / "file")])

    assert peak.total > 100 << 20
    assert peak.anonymous < 50 << 20


def test_a_summary_is_of_all_runs() -> None:
    run = Run(seconds=2.0, peak_rss_mib=100.0, rows=1000, sessions=60, bundle_bytes=7)
    summary = Summary.of([run, replace(run, seconds=4.0, peak_rss_mib=90.0), replace(run, seconds=9)])

    assert (summary.seconds, summary.fastest, summary.slowest, summary.runs) == (4.0, 2.0, 9.0, 3)
    assert (summary.rows_per_second, summary.peak_rss_mib, summary.bundle_bytes) == (250, 100.0, 7)
