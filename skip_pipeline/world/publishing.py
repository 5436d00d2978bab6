"""How a synthetic set reaches its folder: marked as synthetic, whole, and never over data it did not make.

The marker ``SYNTHETIC.json`` lists the CSVs of the set; only those are ever replaced or removed. What the
tables hold is not known here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv

from skip_pipeline.errors import BadInputError, RefusedError
from skip_pipeline.raw_folder import csv_files, synthetic_files
from skip_pipeline.settings import SYNTHETIC_MARKER, TRACK_FEATURES, TRAINING_SET
from skip_pipeline.storage import write_json

LOG_FILE = f"{TRAINING_SET}/log_mini.csv"
TRACK_FILE = f"{TRACK_FEATURES}/tf_mini.csv"


def prepare_folders(out: Path) -> None:
    """Create the two raw folders below ``out`` and refuse what must not be written to.

    Raises:
        RefusedError: ``out`` or one of its folders is a file or cannot be written, or they hold CSVs that no
            marker lists.
    """
    foreign = sorted(set(_csv_names(out)) - _listed(out))
    if foreign:
        raise RefusedError(
            f"{out} holds {', '.join(foreign[:3])}{' and more' if len(foreign) > 3 else ''}, which no "
            f"{SYNTHETIC_MARKER} lists, so it may be real data; synthetic data replace only synthetic data; "
            f"move the files away or choose another folder"
        )
    for folder in (out, out / TRAINING_SET, out / TRACK_FEATURES):
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


def publish_set(out: Path, *, log: pa.Table, tracks: pa.Table, description: Mapping[str, Any]) -> list[Path]:
    """Replace the synthetic set below ``out``; return the paths of log, track features and marker.

    Both CSVs are written beside their places first. Then the earlier set goes, its log before its tracks, the
    new marker comes, and the new files are renamed, the log last. So at any moment a log under its final name
    is whole, has its tracks and is marked.
    """
    parts: dict[str, Path] = {}
    try:
        for name, table in ((TRACK_FILE, tracks), (LOG_FILE, log)):
            path = out / name
            parts[name] = path.with_name(f".{path.name}.part")
            _write_csv(table, parts[name])
        for name in sorted(_csv_names(out), key=lambda name: not name.startswith(TRAINING_SET)):
            (out / name).unlink()
        _write_marker(out, {**description, "files": sorted(parts)})
        for name, part in parts.items():
            part.replace(out / name)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    return [out / LOG_FILE, out / TRACK_FILE, out / SYNTHETIC_MARKER]


def _write_csv(table: pa.Table, path: Path) -> None:
    """Write as the published files are: nothing quoted, ``true``/``false``, shortest decimals of float32."""
    options = csv.WriteOptions(include_header=False, quoting_style="none", batch_size=16_384)
    with path.open("wb") as handle:
        handle.write((",".join(table.column_names) + "\n").encode("ascii"))
        csv.write_csv(table, handle, options)
        handle.flush()
        os.fsync(handle.fileno())


def _write_marker(out: Path, content: Mapping[str, Any]) -> None:
    part = out / f".{SYNTHETIC_MARKER}.part"
    write_json(part, content)
    part.replace(out / SYNTHETIC_MARKER)


def _csv_names(out: Path) -> list[str]:
    """CSVs in the two raw folders, relative to ``out``."""
    return [
        path.relative_to(out).as_posix()
        for folder in (TRAINING_SET, TRACK_FEATURES)
        for path in csv_files(out / folder)
    ]


def _listed(out: Path) -> frozenset[str]:
    """CSVs that the marker claims; none where it is missing or not the JSON this package writes."""
    try:
        return synthetic_files(out) or frozenset()
    except BadInputError:
        return frozenset()
