"""A process that dies at its n-th change of a file, simulated: from then on every change raises ``Killed``.

So clean-up code changes nothing either, as after a SIGKILL; the system's own lock alone is let go.
"""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

CHANGES = (
    *((Path, name) for name in ("replace", "unlink", "rmdir", "mkdir", "write_text", "write_bytes")),
    (os, "link"),
    (os, "fsync"),
    (shutil, "rmtree"),
    *((MemoryFileSystem, name) for name in ("pipe_file", "put_file", "rm")),
)


class Killed(BaseException):
    """What no ``except Exception`` catches."""


@contextmanager
def at_each_change(call: Callable[[], None]) -> Iterator[None]:
    """Call a function, whose own changes do not count, before every change of a file."""
    calling, one_thread = False, threading.RLock()

    def observed(change: Callable[..., Any]) -> Callable[..., Any]:
        def changing(*args: Any, **options: Any) -> Any:
            nonlocal calling
            with one_thread:
                if not calling:
                    calling = True
                    try:
                        call()
                    finally:
                        calling = False
            return change(*args, **options)

        return changing

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in CHANGES:
            patch.setattr(owner, name, observed(getattr(owner, name)))
        yield


@contextmanager
def killed_at(fatal: int) -> Iterator[list[int]]:
    """Die at the change of this number, from 1; yields the numbers of the changes that were tried."""
    changes: list[int] = []

    def count() -> None:
        changes.append(len(changes) + 1)
        if len(changes) >= fatal:
            raise Killed

    with at_each_change(count):
        try:
            yield changes
        except Killed:
            assert len(changes) >= fatal
