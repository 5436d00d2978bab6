"""Reading one delivered CSV, plain or gzipped, into a typed table, or saying exactly what is wrong with it.

The fast path is one typed parse. Only when that fails is the file read again, as bytes or line by line,
to find the column and the rows to name (``raw_csv_diagnosis``). What values mean across rows and files is
the business of ``stages.ingest``.
"""

from __future__ import annotations

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
    Remedy,
    expected_text,
    header_fault,
    is_gzip_name,
    malformed_rows,
    parser_says,
    refused_rows,
    rows_text,
    unreadable,
)

# A text value with a line break or another control character: almost always an unclosed quote that has
# swallowed the rows after it.
_CONTROL: Final = r"[\x00-\x1f\x7f]"
_SPACE: Final = 0x20  # the first byte above the control characters
_DELETE: Final = 0x7F  # the one among the others

_HEADER_BYTES: Final = 1 << 16  # far longer than any header line of ours, and read in one go


def read_csv(
    path: Path, contract: pa.Schema, ranges: Ranges, *, ids: Collection[str] = (), remedy: Remedy = ROWS
) -> pa.Table:
    """Parse a CSV (RFC 4180, UTF-8, header line, gzip if the name ends in ``.gz``) to a contract.

    Columns may stand in any order in the file; the table has the contract's names, order and dtypes,
    without nulls. Empty text stays the empty string. A column that the contract has as a dictionary of
    strings comes as one array whose values stand in order of first appearance, wherever blocks ended.

    Args:
        path: the file.
        contract: names and dtypes.
        ranges: bounds of integer columns.
        ids: text columns in which an empty value is refused.
        remedy: what messages advise about rows with wrong values.

    Raises:
        MissingInputError: the file is not there.
        BadInputError: empty or header-only file, truncated or corrupt gzip, gzip or plain text under the
            other's name, columns missing, extra or twice, ragged rows, bytes that are not UTF-8, a value
            that is missing, not of its column's type or outside its range, an empty id, or a line break
            inside a text value. Names file, column and first rows.
    """
    header = _header(path)
    if fault := header_fault(header, contract.names):
        raise BadInputError(f"{path}: {fault}")
    try:
        table = _parse(path, {f.name: f.type for f in contract})
    except pa.ArrowInvalid as refusal:
        raise _diagnose(path, contract, ranges, remedy, header, refusal) from refusal
    except OSError as failure:
        raise unreadable(path, failure) from failure
    if table.num_rows == 0:
        raise _header_only(path)
    table = _with_whole_dictionaries(table)
    _check_values(path, table, ranges, remedy)
    for name in ids:
        _check_id(path, table[name], name, remedy)
    return table


def _with_whole_dictionaries(table: pa.Table) -> pa.Table:
    """Each dictionary column as one array: the parser makes a dictionary per block."""
    columns = (
        column.combine_chunks() if pa.types.is_dictionary(column.type) else column
        for column in table.unify_dictionaries().columns
    )
    return pa.Table.from_arrays(list(columns), schema=table.schema)


def _open(path: Path) -> pa.NativeFile:
    source = path if is_local(path) else path.open("rb")
    return pa.input_stream(source, compression="gzip" if is_gzip_name(path) else None)


def _parse(path: Path, types: dict[str, pa.DataType]) -> pa.Table:
    # Files are not trusted to be free of quoted line breaks: without this option a break at a block's
    # edge would shift columns silently. With it blocks are parsed one after the other, in twice the time.
    # Without any quote the parser need not look for them either.
    quoted = _may_hold_quotes(path)
    with _open(path) as stream:
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
    """Whether a value may be quoted; to know, a file would have to be unzipped or downloaded once more."""
    if is_gzip_name(path) or not is_local(path):
        return True
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as contents:
        return contents.find(b'"') >= 0


def _header(path: Path) -> list[str]:
    try:
        with _open(path) as stream:
            start = stream.read(_HEADER_BYTES)
    except FileNotFoundError:
        raise MissingInputError(f"{path} is not there; deliver it again") from None
    except OSError as failure:
        raise unreadable(path, failure) from failure
    if start.startswith(GZIP_MAGIC) and not is_gzip_name(path):
        raise BadInputError(
            f"{path} is gzipped; expected plain text under that name. Rename it to {path.name}.gz"
        )
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


def _check_values(path: Path, table: pa.Table, ranges: Ranges, remedy: Remedy) -> None:
    """No nulls, no control characters in text, no NaN or infinity, nothing outside its range."""
    for field, column in zip(table.schema, table.columns, strict=True):
        name = field.name
        if column.null_count:
            rows = np.flatnonzero(column.is_null().to_numpy())
            raise BadInputError(
                f"{path}: column {name} has no value in {rows_text(rows)}; every column must be filled. "
                f"{remedy.fill}"
            )
        if pa.types.is_string(_value_type(field.type)):
            if _has_control_byte(column):
                text = column.cast(pa.string())
                rows = np.flatnonzero(pc.match_substring_regex(text, _CONTROL).to_numpy())
                raise BadInputError(
                    f"{path}: column {name} has a line break or control character in "
                    f"{rows_text(rows, text)}; expected one line of text. "
                    "Look for an unclosed quote there"
                )
        elif pa.types.is_floating(column.type):
            finite = np.isfinite(column.to_numpy())
            if not finite.all():
                as_written = _parse(path, {name: pa.binary()})[name]
                wanted = f"a finite {column.type.bit_width}-bit number"
                where = rows_text(np.flatnonzero(~finite), as_written)
                raise _wrong_values(path, name, wanted, where, remedy.correct)
        elif name in ranges:
            low, high = ranges[name]
            found = pc.min_max(column).as_py()
            if found["min"] < low or found["max"] > high:
                values = column.to_numpy()
                rows = np.flatnonzero((values < low) | (values > high))
                wanted = expected_text(field, ranges)
                raise _wrong_values(path, name, wanted, rows_text(rows, column), remedy.correct)


def _value_type(dtype: pa.DataType) -> pa.DataType:
    return dtype.value_type if pa.types.is_dictionary(dtype) else dtype


def _has_control_byte(text: pa.ChunkedArray) -> bool:
    """Whether any value has a byte of ``_CONTROL``; no other character has such bytes in UTF-8."""
    for values in _parsed_values(text):
        _, ends, contents = values.buffers()
        if contents is not None:  # none where all values are empty
            span = np.frombuffer(ends, np.int32)[[values.offset, values.offset + len(values)]]
            found = np.frombuffer(contents, np.uint8)[slice(*span)]
            if len(found) and (found.min() < _SPACE or np.any(found == _DELETE)):
                return True
    return False


def _check_id(path: Path, ids: pa.ChunkedArray, name: str, remedy: Remedy) -> None:
    if any(pc.any(pc.equal(values, "")).as_py() for values in _parsed_values(ids)):
        empty = np.flatnonzero(pc.equal(ids, "").to_numpy())
        raise BadInputError(
            f"{path}: column {name} is empty in {rows_text(empty)}; every row needs an id. {remedy.fill}"
        )


def _parsed_values(text: pa.ChunkedArray) -> list[pa.StringArray]:
    """Arrays that hold every value of a column; fresh from the parser, a dictionary has no others."""
    return [chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk for chunk in text.chunks]


def _wrong_values(path: Path, column: str, expected: str, where: str, remedy: str) -> BadInputError:
    return BadInputError(f"{path}: column {column} is not {expected} in {where}; {remedy}")


def _diagnose(
    path: Path,
    contract: pa.Schema,
    ranges: Ranges,
    remedy: Remedy,
    header: Sequence[str],
    refusal: pa.ArrowInvalid,
) -> BadInputError:
    """Find the column and rows behind a refused parse, reading every value as bytes."""
    if "Empty CSV file" in str(refusal):
        return _header_only(path)
    try:
        raw = _parse(path, {name: pa.binary() for name in contract.names})
    except pa.ArrowInvalid:
        return _malformed(path, header, refusal)
    except OSError as failure:
        return unreadable(path, failure)
    for column in contract:
        field = column.with_type(_value_type(column.type))
        rows = refused_rows(raw[field.name], field.type)
        if len(rows):
            where = rows_text(rows, raw[field.name])
            advice = "save the file as UTF-8" if pa.types.is_string(field.type) else remedy.correct
            return _wrong_values(path, field.name, expected_text(field, ranges), where, advice)
    return parser_says(path, refusal)


def _malformed(path: Path, header: Sequence[str], refusal: pa.ArrowInvalid) -> BadInputError:
    try:
        with _open(path) as stream:
            fault = malformed_rows(io.BufferedReader(stream), header)
    except OSError as failure:
        return unreadable(path, failure)
    return BadInputError(f"{path}: {fault}") if fault else parser_says(path, refusal)


def _header_only(path: Path) -> BadInputError:
    return BadInputError(
        f"{path} has a header but no rows; expected at least one. Deliver the file again, or remove it"
    )
