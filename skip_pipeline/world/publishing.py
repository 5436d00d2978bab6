"""How a synthetic set reaches its folder: marked as synthetic, whole, and never over data it did not make.

The marker ``SYNTHETIC.json`` lists the files of the set; only those are ever replaced or removed. What the
tables hold is not known here.
"""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, cast

import pyarrow as pa
from pyarrow import csv

from skip_pipeline.errors import BadInputError, RefusedError
from skip_pipeline.raw_folder import csv_files, synthetic_files
from skip_pipeline.settings import ORACLE_FILE, SYNTHETIC_MARKER, TRACK_FEATURES, TRAINING_SET
from skip_pipeline.storage import write_json

_FOLDERS: Final = (TRAINING_SET, TRACK_FEATURES)
_GZIP_LEVEL: Final = 6  # 9 takes nearly three times as long for 3% fewer bytes
_PART: Final = re.compile(r"\..+\.(csv|csv\.gz|parquet|json)\.part$")


def prepare_folders(out: Path) -> None:
    """Create the two raw folders below ``out`` and refuse what must not be written to.

    Raises:
        RefusedError: ``out`` or one of its folders is a file or cannot be written, or they hold files of a
            data set that no marker lists.
    """
    foreign = sorted(set(_present(out)) - _listed(out))
    if foreign:
        raise RefusedError(
            f"{out} holds {', '.join(foreign[:3])}{' and more' if len(foreign) > 3 else ''}, which no "
            f"{SYNTHETIC_MARKER} lists, so it may be real data; synthetic data replace only synthetic data; "
            f"move the files away or choose another folder"
        )
    for folder in (out, *(out / name for name in _FOLDERS)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            writable = os.access(folder, os.W_OK | os.X_OK)
        except OSError as error:
            raise _no_folder(folder, error.strerror or str(error)) from error
        if not writable:
            raise _no_folder(folder, "no permission to write")


def _no_folder(folder: Path, reason: str) -> RefusedError:
    return RefusedError(
        f"{folder} cannot hold synthetic data ({reason}); they need a writable folder; choose another"
    )


def part_of(out: Path, name: str) -> Path:
    """Where the file ``name`` below ``out`` is written before its set is complete."""
    path = out / name
    return path.with_name(f".{path.name}.part")


@contextmanager
def csv_stream(path: Path, columns: list[str], *, compressed: bool) -> Iterator[BinaryIO]:
    """Open a CSV for writing, gzipped or not, with its header written; on the disk when closed."""
    with path.open("wb") as handle:
        # No name and no time in the header, so equal rows are equal bytes.
        zipped = gzip.GzipFile("", "wb", _GZIP_LEVEL, handle, mtime=0) if compressed else nullcontext(handle)
        with zipped as stream:
            stream.write((",".join(columns) + "\n").encode("ascii"))
            yield cast(BinaryIO, stream)
        handle.flush()
        os.fsync(handle.fileno())


def append_rows(stream: BinaryIO, table: pa.Table) -> None:
    """Write as the published files are: nothing quoted, ``true``/``false``, shortest decimals of float32."""
    options = csv.WriteOptions(include_header=False, quoting_style="none", batch_size=16_384)
    csv.write_csv(table, stream, options)


class Publication:
    """A set on its way into ``out``; without ``commit`` the earlier set stays as it was."""

    def __init__(self, out: Path) -> None:
        self._out = out

    def __enter__(self) -> Publication:
        self._discard_parts()  # of a process that was killed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._discard_parts()

    def commit(self, names: list[str], description: Mapping[str, Any]) -> list[Path]:
        """Put the parts of the files ``names`` in the place of the earlier set; return paths, marker last.

        First the earlier set goes, its logs before the rest, then the new marker comes, then the new files,
        the logs last. So at any moment a log under its final name is whole, has its tracks and is marked.
        """
        for name in sorted(_present(self._out), key=_logs_last, reverse=True):
            (self._out / name).unlink()
        marker = part_of(self._out, SYNTHETIC_MARKER)
        write_json(marker, {**description, "files": sorted(names)})
        marker.replace(self._out / SYNTHETIC_MARKER)
        for name in sorted(names, key=_logs_last):
            part_of(self._out, name).replace(self._out / name)
        return [self._out / name for name in (*names, SYNTHETIC_MARKER)]

    def _discard_parts(self) -> None:
        for folder in (self._out, *(self._out / name for name in _FOLDERS)):
            for path in folder.iterdir():
                if _PART.fullmatch(path.name):
                    path.unlink()


def _logs_last(name: str) -> bool:
    return name.startswith(TRAINING_SET)


def _present(out: Path) -> list[str]:
    """Files of a data set below ``out``, relative to it: CSVs in the two raw folders, and the oracle."""
    found = [path for folder in _FOLDERS for path in csv_files(out / folder)]
    found += [path for path in (out / ORACLE_FILE,) if path.exists()]
    return [path.relative_to(out).as_posix() for path in found]


def _listed(out: Path) -> frozenset[str]:
    """Files that the marker claims; none where it is missing or not the JSON this package writes."""
    try:
        return synthetic_files(out) or frozenset()
    except BadInputError:
        return frozenset()
