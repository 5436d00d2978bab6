"""One writer at a time for a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from skip_pipeline.errors import BusyError
from skip_pipeline.locations import is_local
from skip_pipeline.storage import object_lock

_LOCK: Final = ".lock"
_LOCK_SECONDS: Final = (
    10.0  # the lock is held while a stage is made, so waiting longer would only hide the other run
)


@contextmanager
def locked(folder: Path) -> Iterator[Callable[[], None]]:
    """Hold a folder against every other process that publishes into it.

    Yields:
        A function that raises ``BusyError`` if the lock has been taken away meanwhile, to be called before
        what cannot be undone. No one can take a lock of this machine's system away.

    Raises:
        BusyError: another process holds it.
    """
    lock = folder / _LOCK
    if is_local(folder):
        with _file_lock(folder, lock):
            yield lambda: None
    else:
        with object_lock.held(folder, lock, patience=_LOCK_SECONDS) as still_held:
            yield still_held


@contextmanager
def _file_lock(folder: Path, lock: Path) -> Iterator[None]:
    try:
        with FileLock(lock, timeout=_LOCK_SECONDS):
            yield
    except Timeout:
        raise BusyError(
            f"another process is writing {folder}; let it finish or stop it, then run again"
        ) from None
