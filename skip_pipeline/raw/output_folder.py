"""Publication of a raw data set that this package writes: marked, complete, never over other data.

The set's marker lists the files of the set with their size and digest. Only files that still agree with it
are replaced or removed.
"""

import gzip
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import pyarrow as pa
from pyarrow import csv

from skip_pipeline.errors import BadInputError, RefusedError
from skip_pipeline.raw.folder import WRITTEN_FOLDERS, csv_files
from skip_pipeline.raw.own_listening import ListedFile
from skip_pipeline.settings import (
    NAMES_FILE,
    ORACLE_FILE,
    OWN_LISTENING_MARKER,
    SYNTHETIC_MARKER,
    TEST_SET,
    TRACK_GROUPS_FILE,
    TRAINING_SET,
)
from skip_pipeline.storage import flush, locked, record_file, write_json

_PART: Final = ".raw-part"
_GZIP_LEVEL: Final = 6  # 9 takes nearly three times as long for 3% fewer bytes
_SYNC_THREADS: Final = 8  # they wait for the disk, which ends several requests at once
_BESIDE: Final = (ORACLE_FILE, TRACK_GROUPS_FILE, NAMES_FILE, SYNTHETIC_MARKER, OWN_LISTENING_MARKER)
"""Files of any set beside the raw folders."""


@dataclass(frozen=True)
class RawSet:
    """A kind of data set; one of a kind replaces only another of its kind."""

    marker: str  # name of its file
    noun: str  # for messages
    doubt: str  # of a file that no marker lists, for messages
    listed: Callable[[Path], Mapping[str, ListedFile] | None]
    """Files by name that the marker in a raw folder lists; raises BadInputError if it is unreadable."""


def part_of(out: Path, name: str) -> Path:
    """Path under which the file ``name`` below ``out`` is written until the set is complete."""
    path = out / name
    return path.with_name(f".{path.name}{_PART}")


@contextmanager
def csv_stream(part: Path, columns: list[str]) -> Iterator[BinaryIO]:
    """Open a CSV (gzipped if named so) for writing, with its header."""
    compressed = part.name.endswith(f".gz{_PART}")
    with part.open("wb") as handle:
        # No name and no time in the header, so equal rows are equal bytes.
        zipped = gzip.GzipFile("", "wb", _GZIP_LEVEL, handle, mtime=0) if compressed else nullcontext(handle)
        with zipped as stream:
            stream.write((",".join(columns) + "\n").encode("ascii"))
            yield cast(BinaryIO, stream)


def append_rows(stream: BinaryIO, table: pa.Table) -> None:
    """Write rows in the published spelling: no quotes, ``true``/``false``, shortest decimals of float32."""
    options = csv.WriteOptions(include_header=False, quoting_style="none", batch_size=16_384)
    csv.write_csv(table, stream, options)


@contextmanager
def publication(kind: RawSet, out: Path, folders: Sequence[str]) -> Iterator[None]:
    """Make and lock ``out`` and its ``folders`` for one set; without ``commit`` the earlier set stays.

    Raises:
        RefusedError: ``out`` or one of its folders is a file or cannot be written, or holds data files that
            do not agree with a marker.
        BusyError: another process is writing a set there.
    """
    _refuse_foreign(kind, out)
    _make_folders(kind, out, folders)
    with locked(out):
        _discard_parts(out)  # of a process that was killed
        try:
            yield
        except OSError as error:
            raise RefusedError(
                f"{error.filename or out} cannot be written ({error.strerror or error}), so there is no new "
                f"set of {kind.noun}; make room or choose another folder, and run again"
            ) from error
        finally:
            _discard_parts(out)


def commit(
    kind: RawSet, out: Path, records: Mapping[str, ListedFile], description: Mapping[str, Any]
) -> list[Path]:
    """Replace the earlier data set by the finished files. The paths returned end with the marker's.

    A file of the earlier set that equals the new one stays as it is. The order is: sync the new files to the
    disk; remove the other files of the earlier set, its logs first; then the new marker, then the new files,
    the logs last. So at any moment
    a log under its final name is complete and marked, a new log has its tracks, and an interrupted set lacks
    files that its marker lists.

    Args:
        out: the raw folder, locked by ``publication``.
        records: the files, by name below ``out``; their parts are written.
        description: other fields of the marker.

    Raises:
        RefusedError: other data files were delivered meanwhile.
    """
    earlier = _refuse_foreign(kind, out)
    present = _present(kind, out)
    same = {name for name in present if earlier[name] == records.get(name)}
    new = sorted(set(records) - same, key=lambda name: (_is_log(name), name))
    with ThreadPoolExecutor(_SYNC_THREADS) as pool:
        list(pool.map(flush, [part_of(out, name) for name in new]))
    for name in sorted(set(present) - same, key=_is_log, reverse=True):
        (out / name).unlink()
    marker = part_of(out, kind.marker)
    files = {name: asdict(record) for name, record in records.items()}
    write_json(marker, {**description, "files": files})
    flush(marker)
    marker.replace(out / kind.marker)
    for name in new:
        part_of(out, name).replace(out / name)
    return [out / name for name in (*records, kind.marker)]


def record_part(out: Path, name: str) -> ListedFile:
    """Size and digest of a written part."""
    record = record_file(part_of(out, name), name)
    return ListedFile(record.bytes, record.sha256)


def _refuse_foreign(kind: RawSet, out: Path) -> Mapping[str, ListedFile]:
    """The files that the marker lists; refuses a folder with any other data file."""
    try:
        listed = kind.listed(out) or {}
    except BadInputError:
        listed = {}  # no file agrees with an unreadable marker
    try:
        foreign = sorted(name for name in _present(kind, out) if not _is(out / name, listed.get(name)))
    except OSError as error:
        raise _no_folder(kind, out, error.strerror or str(error)) from error
    marker = out / kind.marker
    if marker.exists() and not marker.is_file():
        foreign.append(kind.marker)
    if foreign:
        raise RefusedError(
            f"{out} holds {', '.join(foreign[:3])}{' and more' if len(foreign) > 3 else ''}, which no "
            f"readable {kind.marker} lists as it is, so {kind.doubt}; a set of {kind.noun} replaces only "
            "another such set; move the files away or choose another folder"
        )
    return listed


def _make_folders(kind: RawSet, out: Path, names: Sequence[str]) -> None:
    for folder in (out, *(out / name for name in names)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise _no_folder(kind, folder, "it is a file") from error
        except OSError as error:
            raise _no_folder(kind, folder, error.strerror or str(error)) from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise _no_folder(kind, folder, "no permission to write")


def _no_folder(kind: RawSet, folder: Path, reason: str) -> RefusedError:
    return RefusedError(
        f"{folder} cannot hold {kind.noun} ({reason}); expected a writable folder; choose another"
    )


def _discard_parts(out: Path) -> None:
    for folder in (out, *(out / name for name in WRITTEN_FOLDERS)):
        for path in folder.glob(f".*{_PART}"):
            path.unlink()


def _is_log(name: str) -> bool:
    return name.startswith((TRAINING_SET, TEST_SET))


def _present(kind: RawSet, out: Path) -> list[str]:
    """Files of a data set below ``out``, relative to it, without the marker of this kind."""
    beside = [out / name for name in _BESIDE if name != kind.marker]
    named = [path for folder in WRITTEN_FOLDERS for path in csv_files(out / folder)]  # folders, too
    found = [*named, *(path for path in beside if path.exists())]
    return [path.relative_to(out).as_posix() for path in found]


def _is(path: Path, listed: ListedFile | None) -> bool:
    """Whether a path is the listed file; the size is compared first, since it needs no reading."""
    return (
        listed is not None
        and path.is_file()
        and path.stat().st_size == listed.bytes
        and record_file(path, path.name).sha256 == listed.sha256
    )
