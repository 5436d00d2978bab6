"""Peak memory of a process and all its descendants, sampled from outside.

On Linux the sum of PSS (proportional set size) is taken: a page that n processes share counts 1/n in each.
Other systems report RSS only, so that shared pages (libraries, mapped files) count once for each process.
"""

import contextlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

SAMPLE_SECONDS: Final = 0.05
"""Shortest time between two samples; a shorter peak may be missed."""

SAMPLING_SHARE: Final = 0.02
"""Largest share of time spent on sampling. A sample takes about 1 ms per 100 MB and stops the sampled
process, so it would change the measured seconds. Time spent waiting for a core does not count."""

HAS_PSS: Final = Path("/proc/self/smaps_rollup").is_file()
KIND: Final = "PSS" if HAS_PSS else "RSS"


@dataclass(frozen=True)
class Peak:
    """Largest sums over a process tree, in bytes.

    Attributes:
        total: resident pages, including those of mapped files.
        anonymous: pages that belong to no file, which the system cannot drop; 0 where only RSS is known.
    """

    total: int = 0
    anonymous: int = 0


class TreeMemory:
    """Samples a process tree in a thread."""

    def __init__(self, pid: int) -> None:
        self._pid, self._peak, self._ended = pid, Peak(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> Peak:
        """Stop sampling, and give the peak."""
        self._ended.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        pause = SAMPLE_SECONDS
        while not self._ended.wait(pause):
            began = time.thread_time()
            try:
                parent = psutil.Process(self._pid)
                tree = [parent, *parent.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            samples = [_sample(process) for process in tree]
            self._peak = Peak(
                max(self._peak.total, sum(sample.total for sample in samples)),
                max(self._peak.anonymous, sum(sample.anonymous for sample in samples)),
            )
            pause = max(SAMPLE_SECONDS, (time.thread_time() - began) / SAMPLING_SHARE)


def _sample(process: psutil.Process) -> Peak:
    """Memory of one process now; 0 if it has ended."""
    # If the process ends meanwhile, its file is missing, cannot be read, or has lines without values.
    with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        if not HAS_PSS:
            return Peak(int(process.memory_info().rss))
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
        kib = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
        return Peak(kib.get("Pss", 0) << 10, kib.get("Pss_Anon", 0) << 10)
    return Peak()
