"""What is wrong with a delivered CSV that could not be read, and the words of the message."""

import codecs
import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from skip_pipeline.errors import BadInputError
from skip_pipeline.raw.spelling import is_utf8
from skip_pipeline.settings import EXAMPLES_SHOWN

GZIP_MAGIC: Final = b"\x1f\x8b"

Ranges = Mapping[str, tuple[int, int]]
"""Inclusive bounds of integer columns."""

_VALUE: Final = re.compile(r'"(?:[^"]|"")*"(?=,|$)|(?!")[^,]*')  # one value of a line, up to its comma

_EXPECTED: Final = {"bool": "true or false", "float": "a number", "string": "UTF-8 text"}
_PACKED: Final = "Unpack it, or compress it with gzip"
_FORMATS: Final = {  # magic numbers, and how text begins that is no table
    b"PK\x03\x04": "is a zip archive, as .xlsx files are. Unpack it, or save the sheet as CSV in UTF-8",
    b"\xd0\xcf\x11\xe0": "is an old Excel file. Save the sheet as CSV in UTF-8",
    b"PAR1": "is a parquet file. Write the table as CSV",
    GZIP_MAGIC: "is gzipped. Unpack it",
    b"\x28\xb5\x2f\xfd": f"is compressed by zstd. {_PACKED}",
    b"BZh": f"is compressed by bzip2. {_PACKED}",
    b"\xfd7zXZ\0": f"is compressed by xz. {_PACKED}",
    b"\x04\x22\x4d\x18": f"is compressed by lz4. {_PACKED}",
    b"\x1f\x9d": f"is compressed by compress. {_PACKED}",
    b"7z\xbc\xaf\x27\x1c": "is a 7z archive. Unpack it",
    b"Rar!": "is a rar archive. Unpack it",
    b"<?xml": "is an XML document, as failed downloads are. Download it again",
    b"<table": "is a table in HTML, as some .xls files are. Save the sheet as CSV in UTF-8",
    b"<": "is a page in place of the file. Download it again, logged in where that is needed",
    b"{": "is JSON. Write the table as CSV",
    b"[": "is JSON. Write the table as CSV",
    b"version https://git-lfs": "is a pointer of Git LFS. Get the file itself with `git lfs pull`",
}
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)  # UTF-32-LE begins as UTF-16
_BINARY: Final = re.compile(rb"[\0-\x08\x0e-\x1f]")
_SEPARATORS: Final = {";": "';'", "\t": "tabs", "|": "'|'"}

_SEPARATED_NUMBER: Final = re.compile(
    r"^\s*-?\d[\d.' \u00a0\u202f]*,[\d.,]+\s*$|^-?\d{1,3}([' \u00a0\u202f]\d{3})+$"
)
_MISSING: Final = ("na", "nan", "n/a", "#n/a", "<na>", "null", r"\n", "none", "-", "?")
_FORMULA_ERROR: Final = re.compile(r"^#[A-Z0-9/]+[!?]$")  # of spreadsheets, such as #DIV/0!

_LONGEST_ROW: Final = 1 << 20  # bytes: the blocks that the parser reads, each of whole rows
_LONGEST_SHOWN: Final = 60  # characters of one offending value in a message: a line, not a page
_LONGEST_REFUSAL: Final = 300  # of the parser's own words, which quote the whole row

# What can be done about rows with wrong or missing values, after "correct" or "Fill in".
ROWS: Final = "or remove those rows"
WHOLE_SESSIONS: Final = "those values, or remove the whole sessions"  # a row less would leave a gap


def rows_text(indices: np.ndarray, values: Any = None, *, show: Callable[[Any], str] | None = None) -> str:
    """Name the first offending rows, with their values; data row 1 follows the header.

    >>> rows_text(np.array([2, 8]))
    'data rows 3, 9'
    >>> rows_text(np.array([1]), pa.array(["x", "y"]))
    "data row 2 ('y')"
    """
    shown = [int(i) for i in indices[:EXAMPLES_SHOWN]]
    show = show or shown_value
    parts = [str(i + 1) if values is None else f"{i + 1} ({show(values[i])})" for i in shown]
    more = f" and {len(indices) - len(shown)} more" if len(indices) > len(shown) else ""
    return f"data row{'' if len(indices) == 1 else 's'} {', '.join(parts)}{more}"


def shown_value(value: object) -> str:
    r"""A value as a message shows it, cut where it is long; bytes as text if they are UTF-8.

    >>> shown_value(b"caf\xc3\xa9"), shown_value(b"\xe9"), shown_value(dt.date(2018, 7, 15))
    ("'café'", "b'\\xe9'", "'2018-07-15'")
    """
    if isinstance(value, pa.Scalar):
        value = value.as_py()
    if isinstance(value, dt.date | dt.timedelta):
        value = str(value)
    text = repr(value.decode() if isinstance(value, bytes) and is_utf8(value) else value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def listed(things: Iterable[Any]) -> str:
    """The first things, and how many more there are.

    >>> listed(range(1, 8))
    '1, 2, 3, 4, 5 and 2 more'
    """
    texts = [str(thing) for thing in things]
    more = len(texts) - EXAMPLES_SHOWN
    return ", ".join(texts[:EXAMPLES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def expected_text(name: str, kind: pa.DataType, ranges: Ranges) -> str:
    """What a column's values must be.

    >>> expected_text("hour_of_day", pa.int8(), {"hour_of_day": (0, 23)})
    'a whole number from 0 to 23'
    """
    if pa.types.is_integer(kind):
        bounds = np.iinfo(kind.to_pandas_dtype())
        low, high = ranges.get(name, (bounds.min, bounds.max))
        return f"a whole number from {low} to {high}"
    return _EXPECTED[str(kind)]


def is_gzip_name(path: Path) -> bool:
    """Whether the file's name is that of a gzipped one."""
    return path.suffix.lower() == ".gz"


def unreadable(path: Path, failure: OSError) -> BadInputError:
    """Why a file could not be read: a failure of the system has a number, one of gzip has none."""
    if failure.errno is not None or not is_gzip_name(path) or not path.is_file():
        return BadInputError(f"{path} cannot be read ({failure}); check the disk and the file's permissions")
    with path.open("rb") as file:
        start = file.read(len(GZIP_MAGIC))
    if not GZIP_MAGIC.startswith(start):
        return BadInputError(
            f"{path} does not start as gzip, as its name says; expected a gzip file. "
            f"Rename it to {path.stem}, or compress it"
        )
    return BadInputError(
        f"{path} is not a complete gzip file, or has other bytes after its end ({failure}); expected one "
        "that `gzip -t` accepts without a word. Copy or download it again"
    )


def not_well_formed(path: Path, refusal: pa.ArrowInvalid) -> BadInputError:
    """Refuse a file in the parser's own words, where nothing better is known."""
    words = str(refusal)
    fact = words if len(words) <= _LONGEST_REFUSAL else words[:_LONGEST_REFUSAL] + "…"
    return BadInputError(f"{path} is not a well-formed CSV: {fact}. Deliver the file again")


def header_fault(found: Sequence[str], published: Sequence[str]) -> str | None:
    """How the names found differ from the published ones, and what to do; None if they agree.

    >>> header_fault(["id", "n", "m"], ["id", "n"])
    "columns unexpected 'm'. Expected the 2 published columns, in any order; remove the other"
    """
    missing = [name for name in published if name not in found]
    extra = [name for name in found if name not in published]
    twice = sorted({name for name in found if found.count(name) > 1 and name in published})
    facts = {"missing ": missing, "unexpected ": list(map(shown_value, extra)), "more than once: ": twice}
    if not any(facts.values()):
        return None
    return (
        f"columns {'; '.join(fact + listed(names) for fact, names in facts.items() if names)}. "
        f"Expected the {len(published)} published columns, in any order; "
        f"{_header_remedy(found, len(published), missing, extra)}"
    )


def separator_fault(line: str) -> str | None:
    """What separates the values of a header line, with the remedy, where that is no comma.

    >>> separator_fault('"id";"n"')
    "the values seem to be separated by ';'. Separate the values by commas, and write a decimal point"
    """
    for mark, text in _SEPARATORS.items():
        if mark in line and "," not in line:
            return (
                f"the values seem to be separated by {text}. Separate the values by commas, and write a "
                "decimal point"
            )
    return None


def other_format(start: bytes) -> str | None:
    """Of which format a file is by its first bytes, where that is no text in UTF-8; with the remedy.

    >>> other_format(b"PAR1")
    'is a parquet file. Write the table as CSV'
    """
    text = start.removeprefix(codecs.BOM_UTF8).lstrip(b" \t\r\n")
    for magic, words in _FORMATS.items():
        if text[: len(magic)].lower() == magic.lower():
            return words
    if start[257:262] == b"ustar":
        return "is a tar archive. Unpack it with `tar -xf`, and deliver the CSVs in it"
    line = text.splitlines()[0] if text else b""
    if start.startswith(_UTF_16) or (line.strip(b"\0") and len(line) <= 2 * line.count(0) + 1):
        return "is text in UTF-16 or UTF-32, as spreadsheets save Unicode text. Save the file as CSV in UTF-8"
    if _BINARY.search(line):
        return (
            "is damaged, or no text: the first line holds control characters. Copy the file again, or save "
            "it as CSV in UTF-8"
        )
    return None


def _header_remedy(found: Sequence[str], published: int, missing: list[str], extra: list[str]) -> str:
    if extra and not any(extra) and not missing:
        return (
            "a column without a name holds row numbers, or nothing. Write the file without it (pandas: "
            "index=False, R: row.names = FALSE)"
        )
    if found and found[0].startswith("sep="):
        return "the first line is for spreadsheets alone. Remove it"
    if missing and {*map(letters, missing)} <= {*map(letters, extra)}:
        return "the missing names are there, spelled differently. Rename them"
    if len(missing) == published:
        fact = "no published name is among them, so the first line is no header"
        return f"{fact}, or the file belongs in the other folder. Add the header line, or move the file"
    if missing:
        columns = "that column" if len(missing) == 1 else "those columns"
        return "rename or remove the others" if extra else f"deliver the file with {columns}"
    others = "the other" if len(extra) == 1 else "the others"
    return f"remove {others if extra else 'the repetition'}"


def letters(name: str) -> str:
    """A name without capitals and without what tools put between its words.

    >>> letters("Training-Set")
    'trainingset'
    """
    return "".join(c for c in name.lower() if c.isalnum())


def hint(value: str, column: str = "") -> str:
    """What a wrong number or flag of a column is most likely meant as; empty if nothing is known.

    >>> hint("1.234,5")
    ' (numbers have a decimal point and no other separator)'
    """
    if _SEPARATED_NUMBER.match(value):
        return " (numbers have a decimal point and no other separator)"
    if value.strip().lower() in _MISSING:
        return " (a value that is not known is an empty cell, where a column may have one)"
    if _FORMULA_ERROR.match(value):
        return " (an error of a spreadsheet's formula)"
    if value == column:
        return " (the header line again, as where files were joined)"
    return ""


def malformed_rows(lines: Iterable[str], header: Sequence[str]) -> str | None:
    """Name the lines that do not hold one value per column, or leave a quote open; None if there are none.

    No value may hold a line break, so a line is a row: of a quote that stays open its own row is named.

    Args:
        lines: of the file, bytes decoded as Latin-1.
    """
    rows = islice(filter(None, (line.rstrip("\n") for line in lines)), 1, None)  # blank lines are no rows
    faults, count = {}, 0
    for count, line in enumerate(rows, 1):
        if fault := _row_fault(line, header):
            faults[count - 1] = fault
    if not faults:
        return None
    remedy = "Look for a missing or stray comma or quote, or a line break, there"
    if [*faults] == [count - 1]:
        remedy += ". If the file ends there in mid row, copy or download it again"
    if len(faults) > 1 and {*faults.values()} == {f"{len(header) + 1} values"} and len(faults) == count:
        remedy = (
            "If the first value of each row is its number, write them without (R: row.names = FALSE). If "
            "each row ends with a comma, remove that"
        )
    return (
        f"not one value per column in {rows_text(np.array(list(faults)), faults, show=str)}; "
        f"expected {len(header)} separated by commas, and every quote closed. {remedy}"
    )


def _row_fault(line: str, header: Sequence[str]) -> str | None:
    if len(line) >= _LONGEST_ROW:
        return f"{len(line):,} characters, too long to parse"
    if "\0" in line:
        return "zero bytes, as a copy that was broken off leaves"
    values = start = 0
    while start <= len(line) and '"' in line:
        value = _VALUE.match(line, start)
        if value is None:
            name = f" in column {header[values]}" if values < len(header) else ""
            text = line[start:].encode("latin-1").decode(errors="replace")
            return f"stray quote{name}: {shown_value(text)}"
        values += 1
        start = value.end() + 1
    values = values or line.count(",") + 1
    return None if values == len(header) else f"{values} value{'' if values == 1 else 's'}"
