"""One writer at a time for a folder of this machine, by the system's lock, which ends with its process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from skip_pipeline.errors import BusyError

_LOCK: Final = ".lock"
_LOCK_SECONDS: Final = 10.0
"""The lock is held while a stage is made; waiting longer would only hide the other run."""


@contextmanager
def locked(folder: Path, *, patience: float | None = None) -> Iterator[None]:
    """Hold a folder against every other process that publishes into it.

    Args:
        patience: seconds to wait for another process; None for ``_LOCK_SECONDS``.

    Raises:
        BusyError: another process holds it.
    """
    lock = FileLock(folder / _LOCK, timeout=_LOCK_SECONDS if patience is None else patience)
    try:
        lock.acquire()
    except Timeout:
        raise BusyError(
            f"another process is writing {folder}; let it finish or stop it, then run again"
        ) from None
    try:
        yield
    finally:
        lock.release()
