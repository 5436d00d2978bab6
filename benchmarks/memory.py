"""Peak memory of a process and all its descendants, watched from outside.

On Linux a process counts with its PSS, the proportional set size: a page that n processes share counts 1/n in
each, so that the sum over a tree counts it once. Where the system does not tell, RSS is added up, and shared
pages (libraries, mapped files) count once for every process that has them.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]

SAMPLE_SECONDS: Final = 0.05
"""At least, between two looks at the tree; a peak shorter than this may be missed."""

LOOKING: Final = 0.02
"""Share of the time that looking may work: a look costs about 1 ms for 100 MB, holds up the process that is
looked at, and is measured along with it. Its wait for a busy core does neither, and does not count."""

HAS_PSS: Final = Path("/proc/self/smaps_rollup").is_file()
KIND: Final = "PSS" if HAS_PSS else "RSS"


@dataclass(frozen=True)
class Peak:
    """Largest sums over a process tree, in bytes.

    Attributes:
        total: everything resident, pages of mapped files among it.
        anonymous: what is no page of a file, so that the system cannot drop it when memory is short; 0 where
            only RSS is known.
    """

    total: int = 0
    anonymous: int = 0


class TreeMemory:
    """Watches a process tree from a thread."""

    def __init__(self, pid: int) -> None:
        self._pid, self._peak, self._ended = pid, Peak(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> Peak:
        """End watching."""
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
            looks = [_look(process) for process in tree]
            self._peak = Peak(
                max(self._peak.total, sum(look.total for look in looks)),
                max(self._peak.anonymous, sum(look.anonymous for look in looks)),
            )
            pause = max(SAMPLE_SECONDS, (time.thread_time() - began) / LOOKING)


def _look(process: psutil.Process) -> Peak:
    """One process at this moment; nothing of one that has ended between two looks."""
    # A process that ends while its file is read gives no such file, no such process, or lines without values.
    with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        if not HAS_PSS:
            return Peak(int(process.memory_info().rss))
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
        kib = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines)}
        return Peak(kib.get("Pss", 0) << 10, kib.get("Pss_Anon", 0) << 10)
    return Peak()
