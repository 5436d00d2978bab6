"""Delivered files mutated at random: each is read right, or refused with a message that names it.

"Right" is what a slow, obvious reader finds in the same bytes. A file that was only written otherwise has to
be read as the file that it was. This module has the CSVs; ``parquet_logs``, ``exports`` and ``submissions``
have the files with other readers.
"""

import csv
import datetime as dt
import gzip
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import pyarrow as pa

from benchmarks.torture.plain_log import Row, ordered_log, read_rows, second_halves
from benchmarks.torture.tally import READ, REFUSED, Tally
from skip_pipeline import schema
from skip_pipeline.challenge.half_sessions import read_half_sessions
from skip_pipeline.errors import SkipPipelineError
from skip_pipeline.raw.log_pairs import LOG_INPUT, LogPair
from skip_pipeline.raw.session_log import load_session_log
from skip_pipeline.raw.track_features import read_track_features

TODAY: Final = dt.date(2026, 3, 1)

VALUES: Final = (
    *("", " ", "0", "1", "-1", "1.0", "0.0", "1962.5", "20", "21", "1e0", "1E+01", "2e-1", "+1", "01", "1_0"),
    *("0x1", "0xff", "128", "-128", "2147483647", "2147483648.0", "1e400", "9" * 40, "-0.0", ".5", "5."),
    *("1,234", "0,5", "1 2", "true", "TRUE", "T", "yes", "WAHR", "NA", "NaN", "nan", "inf", "-Infinity"),
    *("NULL", "None", "#N/A", "-", "?", "2018-07-15", "15/07/2018", "43296", "t_01", "音楽", "\u00a01"),
    *("\ufeff", '"', '""', "a\nb", "a\0b", "x" * 2_000),
)  # fmt: skip
"""Cells as spreadsheets, R, pandas and accidents leave them."""


@dataclass(frozen=True)
class Subject:
    """One right file of a kind, how it is mutated, and its two readers."""

    kind: str
    mutations: Mapping[str, Callable[[Random], tuple[str, bytes]]]
    """By name: of a random generator, the name and bytes of a mutated file. The first writes it otherwise."""
    load: Callable[[Path], Any]
    plain: Callable[[Path], Any]
    """The obvious reader; raises one of ``NOT_RIGHT`` where the pipeline may refuse the file."""
    right: Any  # what both find in the right file
    strict: bool = True  # whether what the obvious reader finds must not be refused


NOT_RIGHT: Final = (
    *(ValueError, LookupError, TypeError, AttributeError, OverflowError, EOFError, OSError, RecursionError),
    *(zlib.error, csv.Error, zipfile.BadZipFile, NotImplementedError, MemoryError, pa.ArrowException),
)


@dataclass(frozen=True)
class Table:
    """A delivered table: its contract, and the names and cells of its file."""

    contract: pa.Schema
    names: list[str]
    cells: list[list[str]]


def session_log(content: bytes) -> Subject:
    """A session log, by the bytes of its CSV."""

    def load(path: Path) -> list[Row]:
        return list(load_session_log(path, among=[path], today=TODAY)[0].to_pylist())

    def plain(path: Path) -> list[Row]:
        return ordered_log(read_rows(unpacked(path), schema.SESSION_LOG))

    return _subject("delivered CSV", schema.SESSION_LOG, content, load, plain)


def track_features(content: bytes) -> Subject:
    """Track features, by the bytes of their CSV."""

    def load(path: Path) -> list[Row]:
        return list(read_track_features([path]).to_pylist())

    def plain(path: Path) -> list[Row]:
        rows = read_rows(unpacked(path), schema.TRACK_FEATURES)
        if len({row[schema.TRACK_ID] for row in rows}) < len(rows):
            raise ValueError("a track twice")
        return sorted(rows, key=lambda row: str(row[schema.TRACK_ID]).encode())

    return _subject("delivered CSV", schema.TRACK_FEATURES, content, load, plain)


def log_input(prehistory: Path, content: bytes) -> Subject:
    """The second file of a pair of the test set, by its bytes; the first stays as it is."""
    heard = Counter(row[schema.SESSION_ID] for row in read_rows(prehistory.read_bytes(), schema.SESSION_LOG))

    def load(path: Path) -> list[Row]:
        return list(read_half_sessions(LogPair(prehistory, path)).asked.to_pylist())

    def plain(path: Path) -> list[Row]:
        return second_halves(read_rows(unpacked(path), LOG_INPUT), heard)

    return _subject("input of a pair", LOG_INPUT, content, load, plain)


def _subject(
    kind: str,
    contract: pa.Schema,
    content: bytes,
    load: Callable[[Path], list[Row]],
    plain: Callable[[Path], list[Row]],
) -> Subject:
    names, *cells = [line.split(",") for line in content.decode().splitlines()]
    table = Table(contract, names, cells)
    mutations = {name: partial(mutation, table=table) for name, mutation in MUTATIONS.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_bytes(content)
        return Subject(kind, mutations, load, plain, plain(path))


def unpacked(path: Path) -> bytes:
    """The bytes of a file, unpacked if its name is that of a gzipped one."""
    content = path.read_bytes()
    if path.suffix != ".gz":
        return content
    # Arrow takes zlib's other format as well.
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else zlib.decompress(content)


# --- Mutations: the name of a file, and its bytes -----------------------------------------------------------


def _csv(
    names: Sequence[str],
    cells: Sequence[Sequence[str]],
    *,
    mark: str = ",",
    end: str = "\n",
    always: bool = False,
) -> bytes:
    def quoted(cell: str) -> str:
        needs = always or any(c in cell for c in f'{mark}"\r\n')
        return '"' + cell.replace('"', '""') + '"' if needs else cell

    return "".join(mark.join(map(quoted, line)) + end for line in [names, *cells]).encode()


def rewritten(random: Random, table: Table) -> tuple[str, bytes]:
    """The same table as a spreadsheet, R, pandas or another unpacker writes it."""
    order = random.sample(range(len(table.names)), len(table.names))
    flags = random.choice(
        [("true", "false"), ("TRUE", "FALSE"), ("True", "False"), ("1", "0"), ("1.0", "0.0")]
    )
    chosen = {name for name in table.names if random.random() < 0.3}

    def spelled(name: str, cell: str) -> str:
        kind = table.contract.field(name).type
        if name == schema.DATE and name in chosen:
            return f"{cell} 00:00:00"
        if pa.types.is_boolean(kind):
            return flags[0] if cell == "true" else flags[1]
        if pa.types.is_integer(kind) and name in chosen:
            return random.choice([f"{cell}.0", f"{cell}.", f" {cell}", f"{int(cell):.6e}", f"{cell}.000"])
        return cell

    names = [table.names[i] for i in order]
    cells = [[spelled(table.names[i], line[i]) for i in order] for line in table.cells]
    if random.random() < 0.5:
        cells += [[""] * len(names)] * random.randrange(4)
    end = random.choice(["\n", "\r\n", "\r", "\n\n"])
    content = _csv(names, cells, end=end, always=random.random() < 0.3)
    content = random.choice([b"", b"\xef\xbb\xbf", b"\n"]) + content
    if random.random() < 0.3:
        content = content.rstrip(b"\r\n")
    if random.random() < 0.3:
        return "table.csv.gz", gzip.compress(content)
    return "table.csv", content


def with_another_value(random: Random, table: Table) -> tuple[str, bytes]:
    """One to three cells replaced."""
    cells = [list(line) for line in table.cells]
    for _ in range(random.randint(1, 3)):
        random.choice(cells)[random.randrange(len(table.names))] = random.choice(VALUES)
    return "table.csv", _csv(table.names, cells)


def with_other_rows(random: Random, table: Table) -> tuple[str, bytes]:
    """A row lost, repeated, moved, empty, or with a value more or less."""
    cells = [list(line) for line in table.cells]
    row, column = random.randrange(len(cells)), random.randrange(len(table.names))
    match random.randrange(6):
        case 0:
            del cells[row]
        case 1:
            cells.insert(random.randrange(len(cells)), list(cells[row]))
        case 2:
            random.shuffle(cells)
        case 3:
            cells.insert(row, [""] * len(table.names))
        case 4:
            del cells[row][column]
        case _:
            cells[row].insert(column, "1")
    return "table.csv", _csv(table.names, cells)


def with_other_columns(random: Random, table: Table) -> tuple[str, bytes]:
    """A column lost, added or renamed."""
    names, cells = list(table.names), [list(line) for line in table.cells]
    column = random.randrange(len(names))
    match random.randrange(3):
        case 0:
            for line in [names, *cells]:
                del line[column]
        case 1:
            for line in [names, *cells]:
                line.insert(column, random.choice(["", "x", names[0]]))
        case _:
            names[column] = random.choice(["", names[0], names[column].upper(), f" {names[column]}", "ä"])
    return "table.csv", _csv(names, cells)


def with_other_separators(random: Random, table: Table) -> tuple[str, bytes]:
    """Other separators, another encoding, or decimal commas."""
    mark = random.choice([",", ";", "\t", "|"])
    cells = (
        [[cell.replace(".", ",") for cell in line] for line in table.cells] if mark != "," else table.cells
    )
    text = _csv(table.names, cells, mark=mark, always=random.random() < 0.3).decode()
    codec = random.choice(["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7", "cp037"])
    return "table.csv", text.encode(codec)


def with_other_bytes(random: Random, table: Table) -> tuple[str, bytes]:
    """Bytes changed, lost, repeated or inserted anywhere."""
    return "table.csv", with_changed_bytes(random, _csv(table.names, table.cells))


def with_changed_bytes(random: Random, content: bytes) -> bytes:
    """Bytes of which a few are changed, lost, repeated or inserted."""
    made = bytearray(content)
    for _ in range(random.choice([1, 1, 2, 5, 50])):
        at = random.randrange(len(made))
        match random.randrange(5):
            case 0:
                made[at] ^= 1 << random.randrange(8)
            case 1:
                made[at] = random.choice(b'",\n\r\0 0.-e\xff')
            case 2:
                del made[at : at + random.choice([1, 2, 100])]
            case 3:
                made[at:at] = made[at : at + random.choice([1, 20, 300])]
            case _:
                made[at:at] = random.choice([b'"', b"\n", b",", b"\r", random.randbytes(8)])
        made = made or bytearray(b"\n")
    return bytes(made)


def cut_short(random: Random, table: Table) -> tuple[str, bytes]:
    """A file that ends early, plain or gzipped."""
    content = _csv(table.names, table.cells)
    if random.random() < 0.5:
        packed = gzip.compress(content)
        return "table.csv.gz", packed[: random.randrange(len(packed))]
    return "table.csv", content[: random.randrange(len(content))]


def packed_wrongly(random: Random, table: Table) -> tuple[str, bytes]:
    """Damaged gzip, plain text called gzip, and the reverse."""
    content = _csv(table.names, table.cells)
    packed = bytearray(gzip.compress(content, random.choice([1, 9])))
    match random.randrange(4):
        case 0:
            return "table.csv.gz", content
        case 1:
            return "table.csv", bytes(packed)
        case 2:
            return "table.csv.gz", zlib.compress(content)
        case _:
            packed[random.randrange(len(packed))] ^= 1 << random.randrange(8)
            return "table.csv.gz", bytes(packed)


MUTATIONS: Final = {
    "written otherwise, as spreadsheets, R and pandas do": rewritten,
    "values replaced": with_another_value,
    "rows lost, repeated, moved or ragged": with_other_rows,
    "columns lost, added or renamed": with_other_columns,
    "other separators, encodings, decimal commas": with_other_separators,
    "bytes changed, lost or inserted": with_other_bytes,
    "cut short": cut_short,
    "packed wrongly": packed_wrongly,
}


# --- Trying them --------------------------------------------------------------------------------------------


def torture(subjects: Sequence[Subject], folder: Path, *, times: int, seed: int) -> list[Tally]:
    """Mutate files of one kind so many times in all, each kind of mutation in turn."""
    tallies = {name: Tally(f"{subjects[0].kind}: {name}", seed) for name in subjects[0].mutations}
    for number in range(times):
        name = list(tallies)[number % len(tallies)]
        subject = subjects[number // len(tallies) % len(subjects)]
        file, content = subject.mutations[name](Random(f"{seed} {number}"))
        try_one(tallies[name], subject, folder / file, content, f"seed {seed}, number {number}")
    return list(tallies.values())


def try_one(tally: Tally, subject: Subject, path: Path, content: bytes, title: str) -> None:
    """Load one file, and compare what is loaded with the reference."""
    path.write_bytes(content)
    otherwise = tally.fault.endswith(next(iter(subject.mutations)))
    expected = subject.right if otherwise else _plain(subject, path)
    try:
        found = subject.load(path)
    except SkipPipelineError as refusal:
        if path.name not in str(refusal):
            tally.lost.append(f"{title}: the refusal does not name the file")
        elif expected is not None and (otherwise or subject.strict):
            tally.lost.append(f"{title}: refused though right ({refusal})")
        else:
            tally.count(REFUSED)
        return
    except Exception as failure:  # the fault that is looked for
        tally.lost.append(f"{title}: {failure!r}")
        return
    finally:
        path.unlink()
    if found == expected:
        tally.count(READ)
    else:
        tally.lost.append(f"{title}: read wrongly")


def _plain(subject: Subject, path: Path) -> Any:
    """What the reference reads; None if it refuses the file."""
    try:
        return subject.plain(path)
    except NOT_RIGHT:
        return None
