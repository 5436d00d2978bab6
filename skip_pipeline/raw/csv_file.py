"""Reading one delivered CSV, plain or gzipped, as a typed table, or refusing it with column and rows.

A file is parsed once, straight to its types. Only a file that fails is read again, as bytes: numbers that are
written otherwise are accepted (``raw.spelling``), and what is wrong is named (``raw.diagnosis``). Rules
between rows and files are in ``raw.session_log``.
"""

import codecs
import csv
import io
import mmap
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from skip_pipeline.errors import BadInputError, MissingInputError
from skip_pipeline.locations import is_local
from skip_pipeline.raw.diagnosis import (
    GZIP_MAGIC,
    ROWS,
    Ranges,
    expected_text,
    header_fault,
    hint,
    is_gzip_name,
    malformed_rows,
    not_well_formed,
    other_format,
    rows_text,
    separator_fault,
    unreadable,
)
from skip_pipeline.raw.spelling import is_utf8, refused_rows, typed
from skip_pipeline.raw.text_columns import dictionary_of, take_rows
from skip_pipeline.raw.unpacking import open_table

# Line breaks and other control characters: in text almost always the rows that an unclosed quote spans.
_CONTROL: Final = r"[\x00-\x1f\x7f]"
_HEADER_BYTES: Final = 1 << 16  # far longer than a published header line


def read_csv(
    path: Path,
    contract: pa.Schema,
    ranges: Ranges,
    *,
    ids: Collection[str] = (),
    may_be_empty: Collection[str] = (),
    ignored: Collection[str] = (),
    remedy: str = ROWS,
) -> pa.Table:
    """Parse a CSV (RFC 4180, UTF-8, header line, gzip if its name ends in ``.gz``) to a contract.

    The file's columns may stand in any order; empty text stays the empty string. Blank lines are no rows, nor
    are lines of nothing but commas at the end, which spreadsheets leave. A dictionary column is one array,
    its values in order of first appearance.

    Args:
        ranges: bounds of integer columns.
        ids: text columns in which an empty value is refused.
        may_be_empty: other columns in which an empty value is read as null; elsewhere it is refused.
        ignored: other columns that the file may have; they are not read.
        remedy: what messages advise about rows with wrong values, ``ROWS`` or ``WHOLE_SESSIONS``.

    Raises:
        MissingInputError: the file is not there.
        BadInputError: a file without rows, damaged gzip, gzip or plain text under the other's name, other
            columns, ragged rows, bytes that are not UTF-8, a value that is missing, not of its column's type
            or outside its range, an empty id, or a line break in text. Names file, column and first rows.
    """
    header = column_names(path)
    if fault := header_fault([name for name in header if name not in ignored], contract.names):
        raise BadInputError(f"{path}: {fault}")
    try:
        table = _parse(path, {f.name: f.type for f in contract})
    except pa.ArrowInvalid as refusal:
        table = _read_again(path, contract, ranges, remedy, header, refusal)
    except OSError as failure:
        raise unreadable(path, failure) from failure
    else:
        _check_negatives(path, table, contract, ranges)
    table = _without_empty_end(table)
    if table.num_rows == 0:
        raise _header_only(path)
    # The parser makes a dictionary per block.
    columns = [dictionary_of(c) if pa.types.is_dictionary(c.type) else c for c in table.columns]
    table = pa.Table.from_arrays(columns, schema=table.schema)
    check_values(path, table, ranges, ids, remedy, may_be_empty)
    return table


def column_names(path: Path) -> list[str]:
    """The names in the header line of a CSV; raises as ``read_csv``."""
    try:
        with open_table(path) as stream:
            start = stream.read(_HEADER_BYTES)
    except FileNotFoundError:
        raise MissingInputError(f"{path} is not there; deliver it again") from None
    except OSError as failure:
        raise unreadable(path, failure) from failure
    if start.startswith(GZIP_MAGIC):
        if is_gzip_name(path):
            raise BadInputError(f"{path} is gzipped twice; expected once. Unpack it once")
        raise BadInputError(
            f"{path} is gzipped; expected plain text under that name. Rename it to {path.name}.gz"
        )
    if wrong := other_format(start):
        raise BadInputError(f"{path} {wrong}")
    lines = start.removeprefix(codecs.BOM_UTF8).lstrip(b"\r\n").splitlines()
    if not lines:
        raise BadInputError(
            f"{path} is empty; expected a header line and rows. Deliver the file again, or remove it"
        )
    try:
        line = lines[0].decode()
        if other := separator_fault(line):
            raise BadInputError(f"{path}: {other}")
        return next(csv.reader([line], strict=True))
    except csv.Error:
        fault = "has a quote that is not closed, or text after a closed one"
        remedy = "expected names of columns in one line. Correct the quotes"
    except UnicodeDecodeError:
        fault, remedy = "is not UTF-8 text", "expected names of columns. Save the file as UTF-8"
    raise BadInputError(f"{path}: the header line {fault}; {remedy}")


def _parse(path: Path, types: dict[str, pa.DataType]) -> pa.Table:
    # Without newlines_in_values a quoted line break at a block's edge would shift columns silently. With it
    # blocks are parsed one after the other, in twice the time, so it is left out where there is no quote.
    quoted = _may_hold_quotes(path)
    with open_table(path) as stream:
        return pacsv.read_csv(
            stream,
            parse_options=pacsv.ParseOptions(newlines_in_values=quoted, quote_char='"' if quoted else False),
            convert_options=pacsv.ConvertOptions(
                column_types=types,
                include_columns=list(types),
                null_values=[""],  # "NA" and the like are wrong values, to be shown, not missing ones
                strings_can_be_null=False,
            ),
        )


def _may_hold_quotes(path: Path) -> bool:
    """Whether a value may be quoted; a zipped or remote file is not read once more for that."""
    if is_gzip_name(path) or not is_local(path):
        return True
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as contents:
        return contents.find(b'"') >= 0


def check_values(
    path: Path,
    table: pa.Table,
    ranges: Ranges,
    ids: Collection[str],
    remedy: str,
    may_be_empty: Collection[str] = (),
) -> None:
    """Refuse a table of a file with a value that is missing, out of range or no text; see ``read_csv``."""
    for field, column in zip(table.schema, table.columns, strict=True):
        if column.null_count and field.name not in may_be_empty:
            rows = np.flatnonzero(column.is_null())
            raise BadInputError(
                f"{path}: column {field.name} has no value in {rows_text(rows)}; every column must be "
                f"filled. Fill in {remedy}"
            )
        if fault := _value_fault(path, field, column, ranges, remedy, is_id=field.name in ids):
            raise BadInputError(f"{path}: column {field.name} {fault}")


def _value_fault(
    path: Path, field: pa.Field, column: pa.ChunkedArray, ranges: Ranges, remedy: str, *, is_id: bool
) -> str | None:
    """What is wrong with a column whose values all parse or are null."""
    known = column.drop_null() if column.null_count else column
    if len(known) == 0:
        return None
    if pa.types.is_floating(field.type):
        wrong = np.flatnonzero(~np.isfinite(known))
        if len(wrong):
            wrong = _rows_of_known(column)[wrong]
            as_written = _parse(path, {field.name: pa.binary()})[field.name]
            wanted = f"a finite {field.type.bit_width}-bit number"
            return f"is not {wanted} in {rows_text(wrong, as_written)}; correct {remedy}"
    elif field.name in ranges:
        low, high = ranges[field.name]
        values = known.to_numpy()
        if values.min() < low or values.max() > high:
            wrong = _rows_of_known(column)[(values < low) | (values > high)]
            wanted = expected_text(field.name, field.type, ranges)
            return f"is not {wanted} in {rows_text(wrong, column)}; correct {remedy}"
    elif pa.types.is_string(_value_type(field.type)):
        return _text_fault(column, remedy, is_id=is_id)
    return None


def _rows_of_known(column: pa.ChunkedArray) -> np.ndarray:
    """Indices of the values that are not null."""
    return np.flatnonzero(column.is_valid())


def _text_fault(column: pa.ChunkedArray, remedy: str, *, is_id: bool) -> str | None:
    # As read from a file, a dictionary has no values but those of its rows.
    values = (
        column.unify_dictionaries().chunk(0).dictionary if pa.types.is_dictionary(column.type) else column
    )
    if not pc.all(pc.ascii_is_printable(values)).as_py():  # ten times as fast as the search for _CONTROL
        text = column.cast(pa.string())
        rows = np.flatnonzero(pc.match_substring_regex(text, _CONTROL))
        if len(rows):
            return (
                f"has a line break or control character in {rows_text(rows, text)}; "
                "expected one line of text. Look for an unclosed quote there"
            )
    if is_id and pc.any(pc.equal(values, "")).as_py():
        rows = np.flatnonzero(pc.equal(column, ""))
        return f"is empty in {rows_text(rows)}; every row needs an id. Fill in {remedy}"
    return None


def _value_type(dtype: pa.DataType) -> pa.DataType:
    return dtype.value_type if pa.types.is_dictionary(dtype) else dtype


def _check_negatives(path: Path, table: pa.Table, contract: pa.Schema, ranges: Ranges) -> None:
    """Refuse hexadecimal numbers that Arrow's parser reads as negative ones: ``0xff`` as -1 of 8 bits."""
    for field in contract:
        if not pa.types.is_integer(field.type) or field.name in ranges:
            continue
        if (pc.min(table[field.name]).as_py() or 0) < 0:
            values = _parse(path, {field.name: pa.binary()})[field.name]
            if len(rows := refused_rows(values, field.type)):
                raise _wrong_values(path, field, ranges, ROWS, values, rows)


def _wrong_values(
    path: Path, field: pa.Field, ranges: Ranges, remedy: str, values: pa.ChunkedArray, rows: np.ndarray
) -> BadInputError:
    kind, first = _value_type(field.type), values[int(rows[0])].as_py()
    fact = (
        f"column {field.name} is not {expected_text(field.name, kind, ranges)} in {rows_text(rows, values)}"
    )
    if is_utf8(first):
        fact += hint(first.decode(), field.name)
    advice = "save the file as UTF-8" if pa.types.is_string(kind) else f"correct {remedy}"
    return BadInputError(f"{path}: {fact}; {advice}")


def _read_again(
    path: Path,
    contract: pa.Schema,
    ranges: Ranges,
    remedy: str,
    header: Sequence[str],
    refusal: pa.ArrowInvalid,
) -> pa.Table:
    """Read a file that the typed parse refuses; raise ``BadInputError`` with the column and rows at fault."""
    if "Empty CSV file" in str(refusal):
        raise _header_only(path) from refusal
    try:
        try:
            raw = _parse(path, {name: pa.binary() for name in contract.names})
        except pa.ArrowInvalid:
            with open_table(path) as stream:  # in Latin-1 any byte is a character
                fault = malformed_rows(io.TextIOWrapper(stream, encoding="latin-1"), header)
            raise (
                BadInputError(f"{path}: {fault}") if fault else not_well_formed(path, refusal)
            ) from refusal
    except OSError as failure:
        raise unreadable(path, failure) from failure
    columns = []
    for field in contract:
        kind, values = _value_type(field.type), raw[field.name]
        rows = refused_rows(values, kind)
        if len(rows):
            raise _wrong_values(path, field, ranges, remedy, values, rows) from refusal
        column = typed(values, kind)
        columns.append(column.dictionary_encode() if pa.types.is_dictionary(field.type) else column)
    return pa.Table.from_arrays(columns, schema=contract)


def _without_empty_end(table: pa.Table) -> pa.Table:
    """A table without the rows at its end in which every value is missing."""
    last = table.slice(table.num_rows - 1).to_pylist() if table.num_rows else []
    if not last or any(value not in (None, "") for value in last[0].values()):
        return table
    filled = np.zeros(table.num_rows, bool)
    for column in table.columns:
        is_text = pa.types.is_string(_value_type(column.type))
        filled |= np.asarray(pc.not_equal(column, "") if is_text else column.is_valid())
    end = int(np.flatnonzero(filled)[-1]) + 1 if filled.any() else 0
    return table if end == table.num_rows else take_rows(table, np.arange(end))


def _header_only(path: Path) -> BadInputError:
    return BadInputError(
        f"{path} has a header but no rows; expected at least one. Deliver the file again, or remove it"
    )
