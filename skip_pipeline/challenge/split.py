"""Logs of whole sessions as the challenge's test set: prehistory, input and truth."""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.csv as pacsv

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError, RefusedError
from skip_pipeline.raw.folder import shard_name, source_of_files
from skip_pipeline.raw.log_pairs import INPUT, PREHISTORY, TRUTH, cut
from skip_pipeline.raw.own_listening import FORMAT, ListedFile, OwnListening, own_listening
from skip_pipeline.raw.session_log import SessionLogSummary, combine, load_session_log
from skip_pipeline.raw.text_columns import codes_of, dictionary_of
from skip_pipeline.settings import OWN_LISTENING_MARKER, SYNTHETIC_MARKER, TEST_SET, TRUTH_FOLDER, DataSource
from skip_pipeline.stages.encode import split_of
from skip_pipeline.storage import Apply, flush, in_turn, record_file
from skip_pipeline.storage.files import json_text, replacing

_LOG: Final = "log_"
_NOTE: Final = (
    "The files listed here are synthetic: sessions of a synthetic log, cut in half. No figure measured on "
    "them is a measurement of real data."
)


@dataclass(frozen=True)
class SplitSummary:
    """What was written."""

    data_source: DataSource  # of the logs
    files: int  # pairs, each with its truth
    sessions: int
    tracks: int  # of second halves


def split_logs(
    logs: Sequence[Path], out: Path, *, today: dt.date, of: str | None = None, apply: Apply = in_turn
) -> SplitSummary:
    """Write ``out/test_set`` and ``out/truth``, whole or not at all, in the official formats and names.

    ``log_0_20180715.csv`` becomes ``log_prehistory_0_20180715.csv``, ``log_input_0_20180715.csv`` and
    ``log_truth_0_20180715.csv``. Sessions are in order of their ids. Cuts of synthetic logs and of own
    listening are marked as such, too.

    Args:
        logs: at least one; each holds whole sessions.
        out: folder; made if missing, refused unless it is empty.
        today: dates after the day after it are not plausible.
        of: a name of ``schema.SPLITS``, to cut its sessions alone; None for all.
        apply: where logs are worked on.

    Raises:
        MissingInputError: a log is not there.
        BadInputError: a log breaks the contract of session logs, a session lies in two logs, two logs have
            one name, markers of own listening differ, or no session is left.
        BrokenSessionError: a session is not whole.
        RefusedError: ``out`` is not an empty folder, or cannot be written.
    """
    names = [shard_name(path).removeprefix(_LOG) for path in logs]
    for name in names:
        if names.count(name) > 1:
            raise BadInputError(
                f"{names.count(name)} logs are called {_LOG}{name}; expected different names, because the "
                "files of the test set take them. Rename one of the logs"
            )
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        what = "is not empty" if out.is_dir() else "is a file"
        raise RefusedError(f"{out} {what}; expected a new or an empty folder. Choose another, or remove it")
    own = _marker_beside(logs)
    with replacing(out) as part:
        for folder in (TEST_SET, TRUTH_FOLDER):
            (part / folder).mkdir(parents=True)
        unknown = own.unknown if own else ()
        make = partial(_split_log, among=logs, out=part, today=today, of=of, may_be_empty=unknown)
        made = list(apply(make, logs))
        summary = _summary(logs, made, of)
        files = {name: record for log in made for name, record in log.files.items()}
        if summary.data_source == "synthetic":
            listed = {name: asdict(record) for name, record in files.items()}
            _write_marker(part / SYNTHETIC_MARKER, json_text({"note": _NOTE, "files": listed}).encode())
        if own:
            plays = sum(log.plays for log in made)
            own = replace(own, plays=plays, sessions=summary.sessions, files=files)
            _write_marker(part / OWN_LISTENING_MARKER, FORMAT.dump_json(own, indent=1))
    return summary


@dataclass(frozen=True)
class _SplitLog:
    """What was made of one log."""

    path: Path
    found: SessionLogSummary  # in the log
    sessions: int = 0  # that were cut
    plays: int = 0  # of these sessions
    tracks: int = 0  # of their second halves
    files: Mapping[str, ListedFile] = field(default_factory=dict)


def _marker_beside(logs: Sequence[Path]) -> OwnListening | None:
    """The marker of own listening that belongs to the logs; None for other data."""
    first, *others = (own_listening(path.absolute().parent.parent) for path in logs)
    if any(other != first for other in others):
        raise BadInputError(
            f"the logs have different markers {OWN_LISTENING_MARKER}, or only some have one; expected logs "
            "of one import, or none of an import. Cut them one import after the other"
        )
    return first


def _split_log(
    path: Path,
    *,
    among: Sequence[Path],
    out: Path,
    today: dt.date,
    of: str | None,
    may_be_empty: Collection[str],
) -> _SplitLog:
    log, found = load_session_log(path, among=among, today=today, may_be_empty=may_be_empty)
    if of is not None:
        ids = dictionary_of(log[schema.SESSION_ID])
        chosen = split_of(ids.dictionary.to_numpy(zero_copy_only=False)) == schema.SPLITS.index(of)
        log = log.filter(pa.array(chosen[codes_of(ids)]))
    if log.num_rows == 0:
        return _SplitLog(path, found)
    heard, asked, truth = cut(log)
    name = f"{shard_name(path).removeprefix(_LOG)}.csv"
    tables = {
        f"{TEST_SET}/{PREHISTORY}{name}": heard,
        f"{TEST_SET}/{INPUT}{name}": asked,
        f"{TRUTH_FOLDER}/{TRUTH}{name}": truth,
    }
    records = {}
    for file, table in tables.items():
        _write_csv(table, out / file)
        flush(out / file)
        record = record_file(out / file, file)
        records[file] = ListedFile(record.bytes, record.sha256)
    return _SplitLog(path, found, truth.num_rows, log.num_rows, asked.num_rows, records)


def _write_csv(table: pa.Table, path: Path) -> None:
    """Write a table in the published spelling, without quotes; with quotes where a text needs them."""
    plain = table.cast(
        pa.schema(
            field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
            for field in table.schema
        )
    )
    header = (",".join(table.column_names) + "\n").encode()
    for quotes in ("none", "needed"):
        try:
            with path.open("wb") as file:
                file.write(header)
                pacsv.write_csv(plain, file, pacsv.WriteOptions(include_header=False, quoting_style=quotes))
        except pa.ArrowInvalid:  # a text with a comma or a quote
            continue
        return


def _summary(logs: Sequence[Path], made: Sequence[_SplitLog], of: str | None) -> SplitSummary:
    found = combine({log.path: log.found for log in made})
    sessions = sum(log.sessions for log in made)
    if not sessions:
        raise BadInputError(
            f"none of the {found.sessions} sessions of {logs[0]}{' and others' if len(logs) > 1 else ''} is "
            f"in the split {of}; expected at least one. Cut more sessions, or all of them"
        )
    return SplitSummary(
        data_source=source_of_files(logs),
        files=sum(1 for log in made if log.files),
        sessions=sessions,
        tracks=sum(log.tracks for log in made),
    )


def _write_marker(marker: Path, content: bytes) -> None:
    marker.write_bytes(content)
    flush(marker)
