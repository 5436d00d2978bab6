"""The import's files in a raw folder: the session logs by month, the tracks, their groups, and the marker."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.raw.folder import ListedFile
from skip_pipeline.raw.output_folder import (
    RawSet,
    append_rows,
    commit,
    csv_stream,
    part_of,
    publication,
    record_part,
)
from skip_pipeline.raw.own_listening import FORMAT, OwnListening, own_listening
from skip_pipeline.settings import (
    NAMES_FILE,
    OWN_LISTENING_MARKER,
    TRACK_FEATURES,
    TRACK_GROUPS_FILE,
    TRAINING_SET,
)
from skip_pipeline.storage import flush, write_table
from skip_pipeline.streaming_history.session_log import by_month

TRACK_FILE: Final = f"{TRACK_FEATURES}/tf_000000000000.csv"


def _listed(raw: Path) -> Mapping[str, ListedFile] | None:
    found = own_listening(raw)
    return found.files if found else None


_OWN: Final = RawSet(
    OWN_LISTENING_MARKER, "own listening", "it may be other listening, or synthetic", _listed
)


_THREADS: Final = 8
"""A thread waits for the disk at the end of each file; eight wait a fifth of the time of one."""


def log_file(month: str) -> str:
    """Name of the log of a month, ``YYYYMM``, as in the public archive, where it is of a day.

    >>> log_file("202401")
    'training_set/log_0_20240101_000000000000.csv'
    """
    return f"{TRAINING_SET}/log_0_{month}01_000000000000.csv"


def publish_raw(
    raw: Path,
    log: pa.Table,
    tracks: pa.Table,
    groups: pa.Table,
    names: pa.Table | None,
    marker: OwnListening,
) -> OwnListening:
    """Write an import as a whole, in place of an earlier one; files with equal bytes stay as they are.

    Args:
        raw: folder of the raw data; made if missing.
        log: of ``schema.SESSION_LOG``, with nulls where a value is not known.
        tracks: of ``schema.TRACK_FEATURES``, likewise.
        groups: of ``schema.TRACK_GROUPS``.
        names: of ``schema.NAMES``; None to write no name.
        marker: without the files.

    Returns:
        The marker as written.

    Raises:
        RefusedError: ``raw`` cannot be written, or it holds files that are not of an earlier import.
        BusyError: another process is writing there.
    """
    tables = {log_file(month): part for month, part in by_month(log)}
    tables |= {TRACK_FILE: tracks, TRACK_GROUPS_FILE: groups}
    with publication(_OWN, raw, [TRAINING_SET, TRACK_FEATURES]):
        with ThreadPoolExecutor(_THREADS) as pool:
            records = dict(pool.map(partial(_write, raw), tables.items()))
        if names is not None:
            part = part_of(raw, NAMES_FILE)
            write_table(names, part, schema.NAMES, data_source="real")
            flush(part)
            records[NAMES_FILE] = record_part(raw, NAMES_FILE)
        marker = dataclasses.replace(marker, files=records)
        commit(_OWN, raw, records, FORMAT.dump_python(marker, mode="json"))
    return marker


def _write(raw: Path, named: tuple[str, pa.Table]) -> tuple[str, ListedFile]:
    name, table = named
    with csv_stream(part_of(raw, name), table.column_names) as stream:
        append_rows(stream, table)
    return name, record_part(raw, name)
