"""A lock in an object store: an object that only one process can create, and that says who did.

S3 and GCS create an object only if there is none of its name (conditional writes: ``If-None-Match: *`` and
``ifGenerationMatch=0``), which fsspec calls the mode ``create``. A file system without that checks first
and writes then, so two processes that begin within the same moment may both get the lock there.

Unlike a lock of a machine's own system it stays when its process is killed: no other machine can know whether
a silent process is dead. So whoever finds it is told whose it is, and what to delete.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from skip_pipeline.errors import BusyError, RefusedError
from skip_pipeline.locations import file_system, key_of

_POLL_SECONDS: Final = 0.5  # between two looks at a lock that is held; each look is one request


@dataclass(frozen=True)
class Holder:
    """Who holds a lock: machine, process, since when (ISO 8601, UTC), and a token no other has."""

    host: str
    pid: int
    since: str
    token: str


@contextmanager
def held(folder: Path, lock: Path, *, patience: float) -> Iterator[Callable[[], None]]:
    """Hold a lock object while the block lasts.

    Args:
        folder: what is locked, for messages.
        lock: the object.
        patience: seconds to wait for another's.

    Yields:
        A function that raises BusyError if the lock is no longer this one's.

    Raises:
        BusyError: another process holds it.
        RefusedError: nothing can be written there.
    """
    since = datetime.now(UTC).isoformat(timespec="seconds")
    mine = Holder(socket.gethostname(), os.getpid(), since, secrets.token_hex(8))
    deadline = time.monotonic() + patience
    while not _create(lock, mine):
        if time.monotonic() >= deadline:
            raise _busy(folder, lock)
        time.sleep(min(_POLL_SECONDS, patience))

    def still_held() -> None:
        if _read(lock) != mine:
            raise BusyError(
                f"the lock {lock} of this run (process {mine.pid} on {mine.host}, since {mine.since}) was "
                f"deleted while it was at work, so nothing of it was published to {folder}. Run again"
            )

    try:
        yield still_held
    finally:
        if _read(lock) == mine:
            file_system(lock).rm_file(key_of(lock))


def _create(lock: Path, holder: Holder) -> bool:
    """Create the lock object; False if there is one already."""
    content = json.dumps(asdict(holder)).encode()
    try:
        file_system(lock).pipe_file(key_of(lock), content, mode="create")
    except FileExistsError:
        return False
    except (FileNotFoundError, PermissionError) as failure:
        raise RefusedError(
            f"{lock} cannot be written ({failure}); expected a bucket that exists, and credentials that may "
            "write there. Make the bucket, or correct the credentials in the environment"
        ) from failure
    except OSError:
        # Stores that work like S3 do not all say which condition it was that failed.
        if _read(lock) is None:
            raise
        return False
    return _read(lock) == holder  # another's, where the file system has only checked before it wrote


def _read(lock: Path) -> Holder | None:
    """Who holds the lock; None if nobody does, and a holder without a name if the object says nothing."""
    try:
        return Holder(**json.loads(lock.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return Holder("an unknown machine", 0, "an unknown time", "")


def _busy(folder: Path, lock: Path) -> BusyError:
    holder = _read(lock)
    who = f"process {holder.pid} on {holder.host}, since {holder.since}" if holder else "a process just ended"
    return BusyError(
        f"another process is writing {folder} ({who}); let it finish or stop it, then run again. If that run "
        f"is dead, delete the object {lock} first; what it had made is kept"
    )
