"""The import's files in a raw folder: the session logs by month, the tracks, their groups, and the marker."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pyarrow as pa

from skip_pipeline import schema
from skip_pipeline.raw.output_folder import (
    RawSet,
    append_rows,
    commit,
    csv_stream,
    part_of,
    publication,
    record_part,
)
from skip_pipeline.raw.own_listening import FORMAT, ListedFile, OwnListening, own_listening
from skip_pipeline.settings import (
    NAMES_FILE,
    OWN_LISTENING_MARKER,
    TRACK_FEATURES,
    TRACK_GROUPS_FILE,
    TRAINING_SET,
)
from skip_pipeline.storage import write_table
from skip_pipeline.streaming_history.session_log import by_month

TRACK_FILE: Final = f"{TRACK_FEATURES}/tf_000000000000.csv"


def _listed(raw: Path) -> Mapping[str, ListedFile]:
    marker = own_listening(raw)
    return marker.files if marker else {}


_OWN: Final = RawSet(
    OWN_LISTENING_MARKER, "own listening", "it may be other listening, or synthetic", _listed
)


def log_file(month: str) -> str:
    """Name of the log of a month, ``YYYYMM``, as in the public archive, where it is of a day.

    >>> log_file("202401")
    'training_set/log_0_20240101_000000000000.csv'
    """
    return f"{TRAINING_SET}/log_0_{month}01_000000000000.csv"


def publish_raw(
    raw: Path, log: pa.Table, tracks: pa.Table, groups: pa.Table, names: pa.Table | None, marker: OwnListening
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
        for name, table in tables.items():
            with csv_stream(part_of(raw, name), table.column_names) as stream:
                append_rows(stream, table)
        written = list(tables)
        if names is not None:
            write_table(names, part_of(raw, NAMES_FILE), schema.NAMES, data_source="real")
            written.append(NAMES_FILE)
        records = {name: record_part(raw, name) for name in written}
        marker = dataclasses.replace(marker, files=records)
        commit(_OWN, raw, records, FORMAT.dump_python(marker, mode="json"))
    return marker
