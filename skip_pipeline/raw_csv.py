"""Reading one delivered CSV, plain or gzipped, into a typed table, or saying exactly what is wrong with it.

The fast path is one typed parse. Only when that fails is the file read again, as bytes or line by line,
to find the column and the rows to name. What values mean across rows and files is the business of
``flow.ingest``.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from skip_pipeline.errors import BadInputError, MissingInputError
from skip_pipeline.settings import EXAMPLES_SHOWN

# What the typed parse accepts, for finding the values that it refused.
_INTEGER: Final = r"^[ \t]*-?\d+[ \t]*$"
_NUMBER: Final = r"^[ \t]*[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|(?i:inf|infinity|nan))[ \t]*$"
_BOOLEAN: Final = r"^(true|false|True|False|TRUE|FALSE|0|1)$"
# A text value with a line break or another control character: almost always an unclosed quote that has
# swallowed the rows after it.
_CONTROL: Final = r"[\x00-\x1f\x7f]"

_EXPECTED: Final = {"bool": "true or false", "float": "a number", "string": "UTF-8 text"}

_LONGEST_SHOWN: Final = 60  # characters of one offending value in a message: a line, not a page
_LONGEST_REFUSAL: Final = 300  # of the parser's own words, which quote the whole row
_HEADER_BYTES: Final = 1 << 16  # far longer than any header line of ours, and read in one go


Ranges = Mapping[str, tuple[int, int]]
"""Inclusive bounds of integer columns."""


def read_csv(path: Path, contract: pa.Schema, ranges: Ranges) -> pa.Table:
    """Parse a CSV (RFC 4180, UTF-8, header line, gzip if the name ends in ``.gz``) to a contract.

    Columns may stand in any order in the file; the table has the contract's names, order and dtypes,
    without nulls. Empty text stays the empty string.

    Raises:
        MissingInputError: the file is not there.
        BadInputError: empty or header-only file, truncated or corrupt gzip, columns missing, extra or
            twice, ragged rows, bytes that are not UTF-8, a value that is missing, not of its column's type
            or outside its range, or a line break inside a text value. Names file, column and first rows.
    """
    found = _header(path)
    _check_header(path, found, contract)
    try:
        table = _parse(path, contract.names, {f.name: f.type for f in contract})
    except pa.ArrowInvalid as refusal:
        raise _diagnose(path, contract, ranges, refusal) from refusal
    except OSError as failure:
        raise _unreadable(path, failure) from failure
    if table.num_rows == 0:
        raise _header_only(path)
    _check_values(path, table, ranges)
    return table


def rows_text(indices: np.ndarray, values: pa.Array | pa.ChunkedArray | None = None) -> str:
    """Words for the first offending rows, ``rows 3 ('x'), 9 ('y') and 12 more``; row 1 follows the header."""
    shown = [int(i) for i in indices[:EXAMPLES_SHOWN]]
    examples = None if values is None else [values[i].as_py() for i in shown]
    return _rows_text(shown, examples, total=len(indices))


def _rows_text(shown: Sequence[int], examples: Sequence[object] | None, *, total: int) -> str:
    parts = [str(i + 1) for i in shown]
    if examples is not None:
        parts = [f"{part} ({_shown(example)})" for part, example in zip(parts, examples, strict=True)]
    more = total - len(shown)
    label = "row" if total == 1 else "rows"
    return f"{label} {', '.join(parts)}" + (f" and {more} more" if more else "")


def _shown(value: object) -> str:
    # Bytes show up only in files that are being refused; those that are not UTF-8 stay spelt as bytes.
    text = repr(value.decode() if isinstance(value, bytes) and _is_utf8(value) else value)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def _parse(path: Path, columns: list[str], types: dict[str, pa.DataType]) -> pa.Table:
    # Files are not trusted to be free of quoted line breaks: without this option a break at a block's
    # edge would shift columns silently.
    return pacsv.read_csv(
        path,
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types=types,
            include_columns=columns,
            null_values=[""],  # "NA" and the like are wrong values, to be shown, not missing ones
            strings_can_be_null=False,
        ),
    )


def _header(path: Path) -> list[str]:
    try:
        with pa.input_stream(path) as stream:  # unzips where the name ends in .gz
            start = stream.read(_HEADER_BYTES)
    except FileNotFoundError:
        raise MissingInputError(f"{path} is not there; deliver it again") from None
    except OSError as failure:
        raise _unreadable(path, failure) from failure
    lines = start.removeprefix(codecs.BOM_UTF8).lstrip(b"\r\n").splitlines()
    if not lines:
        raise BadInputError(
            f"{path} is empty; expected a header line and rows. Deliver the file again, or remove it"
        )
    try:
        return next(csv.reader([lines[0].decode()]))
    except UnicodeDecodeError as refusal:
        raise BadInputError(
            f"{path}: the header line is not UTF-8 text; expected the published column names. "
            "Save the file as UTF-8"
        ) from refusal


def _check_header(path: Path, found: list[str], contract: pa.Schema) -> None:
    missing = [name for name in contract.names if name not in found]
    extra = [name for name in found if name not in contract.names]
    twice = sorted({name for name in found if found.count(name) > 1 and name in contract.names})
    if not (missing or extra or twice):
        return
    parts = []
    if missing:
        parts.append(f"missing {', '.join(missing)}")
    if extra:
        parts.append(f"unexpected {', '.join(_shown(name) for name in extra)}")
    if twice:
        parts.append(f"more than once: {', '.join(twice)}")
    raise BadInputError(
        f"{path}: columns {'; '.join(parts)}. Expected the {len(contract)} published columns, in any order; "
        "rename or remove the others"
    )


def _check_values(path: Path, table: pa.Table, ranges: Ranges) -> None:
    """No nulls, no control characters in text, no NaN or infinity, nothing outside its range."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count:
            rows = np.flatnonzero(column.is_null().to_numpy())
            raise BadInputError(
                f"{path}: column {name} has no value in {rows_text(rows)}; "
                "every column must be filled. Fill in or remove those rows"
            )
        if pa.types.is_string(column.type):
            if pc.any(pc.match_substring_regex(pc.unique(column), _CONTROL)).as_py():
                rows = np.flatnonzero(pc.match_substring_regex(column, _CONTROL).to_numpy())
                raise BadInputError(
                    f"{path}: column {name} has a line break or control character in "
                    f"{rows_text(rows, column)}; expected one line of text. "
                    "Look for an unclosed quote there"
                )
        elif pa.types.is_floating(column.type):
            rows = np.flatnonzero(~np.isfinite(column.to_numpy()))
            if len(rows):
                raise BadInputError(
                    f"{path}: column {name} is not a finite number in {rows_text(rows, column)}; "
                    "correct or remove those rows"
                )
        elif name in ranges:
            low, high = ranges[name]
            values = column.to_numpy()
            rows = np.flatnonzero((values < low) | (values > high))
            if len(rows):
                raise _out_of_type(path, table.schema.field(name), ranges, rows, column)


def _out_of_type(
    path: Path, field: pa.Field, ranges: Ranges, rows: np.ndarray, values: pa.ChunkedArray
) -> BadInputError:
    return BadInputError(
        f"{path}: column {field.name} is not {_expected(field, ranges)} in {rows_text(rows, values)}; "
        "correct or remove those rows"
    )


def _diagnose(path: Path, contract: pa.Schema, ranges: Ranges, refusal: pa.ArrowInvalid) -> BadInputError:
    """Find the column and rows behind a refused parse, reading every value as bytes."""
    if "Empty CSV file" in str(refusal):
        return _header_only(path)
    try:
        raw = _parse(path, contract.names, {n: pa.binary() for n in contract.names})
    except pa.ArrowInvalid:
        return _malformed(path, len(contract), refusal)
    except OSError as failure:
        return _unreadable(path, failure)
    for field in contract:
        rows = _refused_rows(raw[field.name], field.type)
        if len(rows):
            return _out_of_type(path, field, ranges, rows, raw[field.name])
    return _parser_says(path, refusal)


def _refused_rows(values: pa.ChunkedArray, kind: pa.DataType) -> np.ndarray:
    """Indices of the values (bytes) that do not parse as ``kind``; empty ones are not among them."""
    text, broken = _decode(values)
    if len(broken) or pa.types.is_string(kind):
        return broken
    if pa.types.is_boolean(kind):
        good = pc.match_substring_regex(text, _BOOLEAN)
    elif pa.types.is_integer(kind):
        good = _fits(text, kind)
    else:
        good = pc.match_substring_regex(text, _NUMBER)
    empty = pc.equal(text, "")
    return np.flatnonzero(~pc.or_(good, empty).to_numpy(zero_copy_only=False))


def _decode(values: pa.ChunkedArray) -> tuple[pa.Array, np.ndarray]:
    """UTF-8 text of byte values, and the indices of those that are not UTF-8 (then no text)."""
    array = values.combine_chunks()
    try:
        return array.cast(pa.string()), np.empty(0, np.int64)
    except pa.ArrowInvalid:
        # Only a file that is being refused gets here, and it stops at the first broken values.
        broken = [i for i, value in enumerate(array.to_pylist()) if not _is_utf8(value)]
        return pa.array([], pa.string()), np.array(broken, np.int64)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _fits(text: pa.Array, kind: pa.DataType) -> pa.Array:
    """Whether each text is an integer within the range of ``kind``."""
    shaped = pc.match_substring_regex(text, _INTEGER)
    bounds = np.iinfo(kind.to_pandas_dtype())
    number = pc.cast(pc.if_else(shaped, pc.utf8_trim_whitespace(text), "0"), pa.float64())
    within = pc.and_(pc.greater_equal(number, int(bounds.min)), pc.less_equal(number, int(bounds.max)))
    return pc.and_(shaped, within)


def _expected(field: pa.Field, ranges: Ranges) -> str:
    if pa.types.is_integer(field.type):
        bounds = np.iinfo(field.type.to_pandas_dtype())
        low, high = ranges.get(field.name, (bounds.min, bounds.max))
        return f"a whole number from {low} to {high}"
    return _EXPECTED[str(field.type)]


def _malformed(path: Path, columns: int, refusal: pa.ArrowInvalid) -> BadInputError:
    """Name the lines that do not hold one value per column, or leave a quote open.

    No value may hold a line break, so a line is a row, and the row in which a quote stays open is named,
    not the many rows after it that the quote swallows.
    """
    try:
        with pa.input_stream(path) as stream:
            lines = (line.rstrip(b"\r\n") for line in io.BufferedReader(stream))
            rows = islice(filter(None, lines), 1, None)  # below the header; the parser skips blank lines
            broken = {row: line for row, line in enumerate(rows) if not _splits_into(columns, line)}
    except OSError as failure:
        return _unreadable(path, failure)
    if not broken:
        return _parser_says(path, refusal)
    shown = list(broken)[:EXAMPLES_SHOWN]
    where = _rows_text(shown, [broken[row] for row in shown], total=len(broken))
    return BadInputError(
        f"{path}: not {columns} comma-separated values in {where}; expected one for every column, and "
        "every quote closed. Look for a missing or stray comma or quote there"
    )


def _splits_into(columns: int, line: bytes) -> bool:
    try:
        return len(next(csv.reader([line.decode("latin-1")], strict=True))) == columns
    except csv.Error:
        return False


def _parser_says(path: Path, refusal: pa.ArrowInvalid) -> BadInputError:
    fact = str(refusal)
    if len(fact) > _LONGEST_REFUSAL:
        fact = fact[:_LONGEST_REFUSAL] + "…"
    return BadInputError(f"{path} is not a well-formed CSV: {fact}. Deliver the file again")


def _header_only(path: Path) -> BadInputError:
    return BadInputError(
        f"{path} has a header but no rows; expected at least one. Deliver the file again, or remove it"
    )


def _unreadable(path: Path, failure: OSError) -> BadInputError:
    if path.suffix == ".gz":
        return BadInputError(
            f"{path} is not a complete gzip file ({failure}); expected one that `gzip -t` accepts. "
            "Copy or download it again"
        )
    return BadInputError(f"{path} cannot be read ({failure}); check the disk and the file's permissions")
