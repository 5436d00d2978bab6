"""Publication of a synthetic set in its folder: marked as synthetic, complete, never over other data.

The marker ``SYNTHETIC.json`` lists the files of the set with their size and digest. Only files that still
agree with it are replaced or removed.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import pyarrow as pa
from pyarrow import csv

from skip_pipeline.errors import BadInputError, RefusedError
from skip_pipeline.raw.folder import SYNTHETIC_FOLDERS, ListedFile, delivered_csvs, synthetic_files
from skip_pipeline.settings import ORACLE_FILE, SYNTHETIC_MARKER, TEST_SET, TRAINING_SET
from skip_pipeline.storage import flush, locked, record_file, write_json

_PART: Final = ".synthetic-part"
_GZIP_LEVEL: Final = 6  # 9 takes nearly three times as long for 3% fewer bytes


def part_of(out: Path, name: str) -> Path:
    """Path under which the file ``name`` below ``out`` is written until the set is complete."""
    path = out / name
    return path.with_name(f".{path.name}{_PART}")


@contextmanager
def csv_stream(part: Path, columns: list[str]) -> Iterator[BinaryIO]:
    """Open a CSV (gzipped if named so) for writing, with its header; it is synced to the disk when closed."""
    compressed = part.name.endswith(f".gz{_PART}")
    with part.open("wb") as handle:
        # No name and no time in the header, so equal rows are equal bytes.
        zipped = gzip.GzipFile("", "wb", _GZIP_LEVEL, handle, mtime=0) if compressed else nullcontext(handle)
        with zipped as stream:
            stream.write((",".join(columns) + "\n").encode("ascii"))
            yield cast(BinaryIO, stream)
        handle.flush()
        os.fsync(handle.fileno())


def append_rows(stream: BinaryIO, table: pa.Table) -> None:
    """Write rows in the published spelling: no quotes, ``true``/``false``, shortest decimals of float32."""
    options = csv.WriteOptions(include_header=False, quoting_style="none", batch_size=16_384)
    csv.write_csv(table, stream, options)


@contextmanager
def publication(out: Path, folders: Sequence[str]) -> Iterator[None]:
    """Make and lock ``out`` and its ``folders`` for one set; without ``commit`` the earlier set stays.

    Raises:
        RefusedError: ``out`` or one of its folders is a file or cannot be written, or holds data files that
            do not agree with a marker.
        BusyError: another process is writing a set there.
    """
    _refuse_foreign(out)
    _make_folders(out, folders)
    with locked(out):
        _discard_parts(out)  # of a process that was killed
        try:
            yield
        except OSError as error:
            raise RefusedError(
                f"{error.filename or out} cannot be written ({error.strerror or error}), so there is no new "
                "synthetic data set; make room or choose another folder, and run again"
            ) from error
        finally:
            _discard_parts(out)


def commit(out: Path, records: Mapping[str, ListedFile], description: Mapping[str, Any]) -> list[Path]:
    """Replace the earlier data set by the finished files. The paths returned end with the marker's.

    The order is: remove the earlier set, its logs first; then the new marker, then the new files, the logs
    last. So at any moment a log under its final name is complete, has its tracks and is marked, and an
    interrupted set lacks files that its marker lists.

    Args:
        out: the raw folder, locked by ``publication``.
        records: the files, by name below ``out``; their parts are written.
        description: other fields of the marker.

    Raises:
        RefusedError: other data files were delivered meanwhile.
    """
    _refuse_foreign(out)
    for name in sorted(_present(out), key=_is_log, reverse=True):
        (out / name).unlink()
    marker = part_of(out, SYNTHETIC_MARKER)
    files = {name: asdict(record) for name, record in records.items()}
    write_json(marker, {**description, "files": files})
    flush(marker)
    marker.replace(out / SYNTHETIC_MARKER)
    for name in sorted(records, key=_is_log):
        part_of(out, name).replace(out / name)
    return [out / name for name in (*records, SYNTHETIC_MARKER)]


def record_part(out: Path, name: str) -> ListedFile:
    """Size and digest of a written part."""
    record = record_file(part_of(out, name), name)
    return ListedFile(record.bytes, record.sha256)


def _refuse_foreign(out: Path) -> None:
    try:
        listed = synthetic_files(out) or {}
    except BadInputError:
        listed = {}  # no file agrees with an unreadable marker
    try:
        foreign = sorted(name for name in _present(out) if not _is(out / name, listed.get(name)))
    except OSError as error:
        raise _no_folder(out, error.strerror or str(error)) from error
    marker = out / SYNTHETIC_MARKER
    if marker.exists() and not marker.is_file():
        foreign.append(SYNTHETIC_MARKER)
    if foreign:
        raise RefusedError(
            f"{out} holds {', '.join(foreign[:3])}{' and more' if len(foreign) > 3 else ''}, which no "
            f"readable {SYNTHETIC_MARKER} lists as it is, so it may be real data; synthetic data replace "
            "only synthetic data; move the files away or choose another folder"
        )


def _make_folders(out: Path, names: Sequence[str]) -> None:
    for folder in (out, *(out / name for name in names)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise _no_folder(folder, "it is a file") from error
        except OSError as error:
            raise _no_folder(folder, error.strerror or str(error)) from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise _no_folder(folder, "no permission to write")


def _no_folder(folder: Path, reason: str) -> RefusedError:
    return RefusedError(
        f"{folder} cannot hold synthetic data ({reason}); they need a writable folder; choose another"
    )


def _discard_parts(out: Path) -> None:
    for folder in (out, *(out / name for name in SYNTHETIC_FOLDERS)):
        for path in folder.glob(f".*{_PART}"):
            path.unlink()


def _is_log(name: str) -> bool:
    return name.startswith((TRAINING_SET, TEST_SET))


def _present(out: Path) -> list[str]:
    """Files of a data set below ``out``, relative to it: CSVs in the raw folders, and the oracle."""
    oracle = out / ORACLE_FILE
    found = [*delivered_csvs(out, SYNTHETIC_FOLDERS), *([oracle] if oracle.exists() else [])]
    return [path.relative_to(out).as_posix() for path in found]


def _is(path: Path, listed: ListedFile | None) -> bool:
    """Whether a path is the listed file; the size is compared first, since it needs no reading."""
    return (
        listed is not None
        and path.is_file()
        and path.stat().st_size == listed.bytes
        and record_file(path, path.name).sha256 == listed.sha256
    )
