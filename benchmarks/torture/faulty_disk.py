"""A disk that fails at its n-th change: an error, a write cut short, the end of the process, or of the power.

The changes of files below one folder are seen where Python hands them to the system (``os`` and ``open``), as
in the virtual file system of SQLite's tests (https://www.sqlite.org/testing.html, section 3). Arrow writes
tables in C++; inside ``FaultyDisk.watched`` it writes them through a file of Python.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final, Literal
from unittest.mock import patch

import pyarrow.parquet as pq

How = Literal["no space", "input/output error", "cut short", "end of the process", "end of the power"]

_ERRORS: Final[dict[str, int]] = {
    "no space": errno.ENOSPC,
    "input/output error": errno.EIO,
    "cut short": errno.ENOSPC,
}
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class StoppedError(BaseException):
    """The process has ended; no ``except Exception`` catches it, and what it changes later has no effect."""


@dataclass
class _Change:
    """A change of the names below the folder, which holds once one of its folders is synced."""

    kind: Literal["name", "remove", "rename", "folder", "remove folder"]
    path: str
    other: str = ""  # source of a renaming
    file: int = 0  # number of the file that gets the name
    synced: bool = False

    def apply(self, names: dict[str, int], folders: set[str]) -> None:
        """Make the change, as far as earlier ones that have not happened allow."""
        match self.kind:
            case "name" | "rename":
                names.pop(self.other, None)
                names[self.path] = self.file
            case "remove":
                names.pop(self.path, None)
            case "folder":
                folders.add(self.path)
            case "remove folder":
                folders.discard(self.path)

    def within(self, folder: str) -> bool:
        return folder in {os.path.dirname(path) for path in (self.path, self.other) if path}  # noqa: PTH120


@dataclass
class FaultyDisk:
    """Files below a folder of which the change of one number fails.

    Attributes:
        root: the folder.
        fatal: number of the change that fails, from 1; 0 for none.
        how: what happens then.
        changes: what was done so far, by kind and path.
    """

    root: Path
    fatal: int = 0
    how: How = "input/output error"
    changes: list[str] = field(default_factory=list)
    stopped: bool = False

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._names: dict[str, int] = {}
        self._contents: dict[int, bytearray] = {}
        self._synced: dict[int, bytes] = {}
        self._journal: list[_Change] = []
        self._folders = {str(self.root)}
        numbers: dict[tuple[int, int], int] = {}
        for path in self.root.rglob("*"):
            if path.is_dir():
                self._folders.add(str(path))
                continue
            facts = path.stat()
            number = numbers.setdefault((facts.st_dev, facts.st_ino), len(numbers) + 1)
            self._names[str(path)] = number
            if number not in self._synced:
                self._synced[number] = path.read_bytes()
        self._before = dict(self._names), set(self._folders)

    # --- Changes ----------------------------------------------------------------------------------------

    def _within(self, path: Any, folder: int | None = None) -> str | None:
        """Absolute path of the root or a place below it; None for any other place."""
        if isinstance(path, int):
            return None
        name = os.fspath(path)
        text = name.decode() if isinstance(name, bytes) else name
        if folder is not None:
            text = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), text)  # noqa: PTH115, PTH118
        text = os.path.abspath(text)  # noqa: PTH100 - resolves no links
        return text if f"{text}{os.sep}".startswith(f"{self.root}{os.sep}") else None

    def _is_due(self, kind: str, path: str) -> bool:
        """Count a change; True if the process ends with it, and so for every later one."""
        if self.stopped:
            return True
        self.changes.append(f"{kind} {path[len(str(self.root)) + 1 :]}")
        if len(self.changes) != self.fatal:
            return False
        if self.how in _ERRORS:
            if not (self.how == "cut short" and kind == "write"):
                raise OSError(_ERRORS[self.how], os.strerror(_ERRORS[self.how]), path)
            return False
        self.stopped = True
        return True

    def _note(self, change: _Change) -> None:
        self._journal.append(change)
        change.apply(self._names, self._folders)

    def changing(
        self, kind: str, place: str, note: Callable[[], _Change | None], real: Callable[[], Any]
    ) -> Any:
        """Make a change of names, unless it is the one that fails."""
        with self._lock:
            ended = self.stopped
            if self._is_due(kind, place):
                if ended:
                    return None
                raise StoppedError
            change = note()
            done = real()
            if change:
                self._note(change)
            return done

    def opened(self, place: str, mode: str) -> _Raw:
        """A file for writing."""
        with self._lock:
            ended = self.stopped
            if self._is_due("open", place):
                if ended:
                    return _Raw(self, 0, os.devnull, "w")
                raise StoppedError
            new = place not in self._names
            raw = _Raw(self, 0, place, mode)
            if new:
                self._note(_Change("name", place, file=self._new()))
            raw.number = self._names[place]
            if "w" in mode:
                self._contents[raw.number] = bytearray()
            return raw

    def _new(self) -> int:
        number = max([0, *self._synced, *self._contents]) + 1
        self._contents[number] = bytearray()
        return number

    def write(self, raw: _Raw, data: bytes, real: Callable[[bytes], int]) -> int:
        """Write to a file, unless this is the change that fails; half of the data gets through then."""
        with self._lock:
            ended, cut = self.stopped, self.how == "cut short"
            due = self._is_due("write", str(raw.name))
            if ended:
                return len(data)
            if cut and len(self.changes) == self.fatal + 1:  # the rest of what was cut short
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(raw.name))
            short = due or (cut and len(self.changes) == self.fatal)
            part = data[: len(data) // 2] if short else data
            content, at = self._contents[raw.number], raw.tell()
            content[at : at + len(part)] = part
            done = real(part)
            if due:
                raise StoppedError
            return done

    def sync(self, place: str) -> None:
        """Note that the disk holds the contents of a file, or the names in a folder."""
        if place in self._names:
            number = self._names[place]
            if number in self._contents:
                self._synced[number] = bytes(self._contents[number])
        for change in self._journal:
            change.synced |= change.within(place)

    # --- After the end of the power ---------------------------------------------------------------------

    def left(self, target: Path, random: Random) -> None:
        """Write to a new folder what a disk may hold when the power has ended.

        Of the changes of names that were not synced some have happened, and of the contents of files that
        were not synced nothing, a part, zeros, or all.
        """
        names, folders = dict(self._before[0]), set(self._before[1])
        for change in self._journal:
            if not change.synced and random.random() < 0.5:
                continue
            change.apply(names, folders)
        made: dict[int, Path] = {}
        target.mkdir()
        for name, number in sorted(names.items()):
            relative = Path(name).relative_to(self.root)
            if not folders.issuperset(str(self.root / parent) for parent in relative.parents):
                continue
            path = target / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            if number in made:
                path.hardlink_to(made[number])
            else:
                path.write_bytes(self._content(number, random))
                made[number] = path

    def _content(self, number: int, random: Random) -> bytes:
        written = bytes(self._contents[number]) if number in self._contents else self._synced[number]
        if self._synced.get(number) == written:
            return written
        return random.choice([b"", bytes(len(written)), written[: len(written) // 2], written])

    # --- Where Python hands changes to the system -------------------------------------------------------

    @contextmanager
    def watched(self) -> Iterator[None]:
        """See every change below the folder, by any thread of this process."""
        one_place = {"mkdir": "folder", "rmdir": "remove folder", "unlink": "remove", "remove": "remove"}
        two_places = {"rename": "rename", "replace": "rename", "link": "name"}
        functions: dict[str, Any] = {name: self._of_one_place(name, kind) for name, kind in one_place.items()}
        functions |= {name: self._of_two_places(name, kind) for name, kind in two_places.items()}
        functions |= {"open": self._opening_low(os.open), "fsync": self._syncing(os.fsync)}
        opening = self._opening(io.open)

        class Writer(pq.ParquetWriter):  # type: ignore[misc]
            """Arrow's writer of tables, through a file of Python."""

            def __init__(self, where: Any, *args: Any, **options: Any) -> None:
                self._handle = opening(where, "wb")
                super().__init__(self._handle, *args, **options)

            def close(self) -> None:
                super().close()
                self._handle.close()

        with (
            patch.multiple(os, **functions),
            patch.object(io, "open", opening),
            patch.object(builtins, "open", opening),
            patch.object(pq, "ParquetWriter", Writer),
        ):
            yield

    def _of_one_place(self, name: str, kind: Any) -> Callable[..., Any]:
        real = getattr(os, name)

        def change(path: Any, *args: Any, dir_fd: int | None = None, **options: Any) -> Any:
            place = self._within(path, dir_fd)
            if dir_fd is not None:
                options["dir_fd"] = dir_fd
            if place is None:
                return real(path, *args, **options)
            return self.changing(
                name, place, lambda: _Change(kind, place), lambda: real(path, *args, **options)
            )

        return change

    def _of_two_places(self, name: str, kind: Any) -> Callable[..., Any]:
        real = getattr(os, name)

        def change(source: Any, target: Any, **options: Any) -> Any:
            here, there = self._within(source), self._within(target)
            if here is None or there is None:
                return real(source, target, **options)
            other = here if kind == "rename" else ""

            def note() -> _Change | None:  # None where the system itself refuses
                return _Change(kind, there, other, self._names[here]) if here in self._names else None

            return self.changing(name, there, note, lambda: real(source, target, **options))

        return change

    def _opening(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def change(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
            place = self._within(file)
            if place is None or not set(mode) & set("wax+"):
                return real(file, mode, *args, **options)
            buffered = io.BufferedWriter(self.opened(place, mode.replace("b", "").replace("t", "")))
            return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding=options.get("encoding"))

        return change

    def _opening_low(self, real: Callable[..., int]) -> Callable[..., int]:
        def change(path: Any, flags: int, *args: Any, **options: Any) -> int:
            place = self._within(path, options.get("dir_fd"))
            if place is None or not flags & _WRITING:
                return real(path, flags, *args, **options)

            def note() -> _Change | None:
                return None if place in self._names else _Change("name", place, file=self._new())

            handle = self.changing("open", place, note, lambda: real(path, flags, *args, **options))
            return real(os.devnull, flags) if handle is None else int(handle)

        return change

    def _syncing(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def change(handle: int) -> None:
            place = self._within(os.readlink(f"/proc/self/fd/{handle}"))  # noqa: PTH115
            if place is None:
                real(handle)
            else:
                self.changing("fsync", place, lambda: None, lambda: self.sync(place))

        return change


class _Raw(io.FileIO):
    """A file whose writes are seen; it hides its number, so that nobody writes past it."""

    def __init__(self, disk: FaultyDisk, number: int, name: str, mode: str) -> None:
        super().__init__(name, mode)
        self.disk, self.number = disk, number

    def write(self, data: Any) -> int:
        return self.disk.write(self, bytes(data), super().write)

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")
