"""A session log read the obvious way, value by value: slow, and the reference for mutated files."""

import codecs
import csv
import io
import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from skip_pipeline import schema

Row = dict[str, Any]

_WHOLE: Final = re.compile(r"[ \t]*-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[ \t]*")
_HEXADECIMAL: Final = re.compile(r"[ \t]*0[xX][0-9a-fA-F]{1,8}[ \t]*")  # Arrow's parser takes it
_NUMBER: Final = re.compile(r"[ \t]*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[ \t]*")
_LARGEST: Final = float(np.finfo(np.float32).max)
_FLAGS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_IDS: Final = (schema.SESSION_ID, schema.LOG_TRACK_ID, schema.TRACK_ID)


def read_rows(content: bytes, contract: pa.Schema) -> list[Row]:
    """Rows of a CSV in the order of the file.

    Raises:
        ValueError: anything is not as ``raw.csv_file.read_csv`` expects.
    """
    text = content.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    if not lines:
        raise ValueError("no header")
    header, rows = lines[0], lines[1:]
    while rows and len(rows[-1]) == len(header) and not any(rows[-1]):
        rows.pop()
    if sorted(header) != sorted(contract.names) or not rows or any(len(row) != len(header) for row in rows):
        raise ValueError("other columns, no rows or ragged ones")
    return [
        {name: value(contract.field(name), cell) for name, cell in zip(header, row, strict=True)}
        for row in rows
    ]


def value(field: pa.Field, cell: str) -> Any:
    """The value of a cell; raises ValueError where it is none of its column."""
    if pa.types.is_string(field.type) or pa.types.is_dictionary(field.type):
        if field.name == schema.DATE:
            cell = re.sub(r"[ T]00:00(:00(\.0+)?)?$", "", cell)
        if any(ord(c) < 32 or ord(c) == 127 for c in cell) or (not cell and field.name in _IDS):
            raise ValueError("no text, or no id")
        return cell
    if pa.types.is_boolean(field.type):
        if cell in _FLAGS:
            return _FLAGS[cell]
        if not re.fullmatch(r"[01](\.0*)?", cell):
            raise ValueError("no flag")
        return cell[0] == "1"
    if pa.types.is_floating(field.type):
        if not _NUMBER.fullmatch(cell) or abs(float(cell)) > _LARGEST:
            raise ValueError("no finite number")
        return float(np.float32(cell))
    return _whole(field, cell)


def _whole(field: pa.Field, cell: str) -> int:
    if _HEXADECIMAL.fullmatch(cell):
        cell = str(int(cell, 16))
    if not _WHOLE.fullmatch(cell):
        raise ValueError("no number")
    bounds = np.iinfo(field.type.to_pandas_dtype())
    low, high = schema.RAW_RANGES.get(field.name, (bounds.min, bounds.max))
    if not low <= float(cell) <= high or float(cell) != int(float(cell)):
        raise ValueError("out of range, or a fraction")
    return int(float(cell))


def ordered_log(rows: list[Row]) -> list[Row]:
    """Rows of a session log by session and position.

    Raises:
        ValueError: the positions of a session are not 1 to its length, each once.
    """
    sessions: dict[str, list[Row]] = {}
    for row in rows:
        sessions.setdefault(row[schema.SESSION_ID], []).append(row)
    ordered = []
    for name in sorted(sessions, key=str.encode):
        own = sorted(sessions[name], key=lambda row: int(row[schema.POSITION]))
        wanted = [(i + 1, len(own)) for i in range(len(own))]
        if [(row[schema.POSITION], row[schema.LENGTH]) for row in own] != wanted:
            raise ValueError("a broken session")
        ordered += own
    return ordered


def second_halves(rows: list[Row], heard: Mapping[str, int]) -> list[Row]:
    """Rows of an input file by session, in order of first appearance, and position.

    Args:
        rows: in the order of the file.
        heard: tracks of each session in the prehistory, which is half of it, rounded down.

    Raises:
        ValueError: the sessions are others, or a position is missing or there twice.
    """
    sessions: dict[str, list[Row]] = {}
    for row in rows:
        sessions.setdefault(row[schema.SESSION_ID], []).append(row)
    if sessions.keys() != heard.keys():
        raise ValueError("other sessions")
    ordered = []
    for name, of in sessions.items():
        own = sorted(of, key=lambda row: int(row[schema.POSITION]))
        length = heard[name] + len(own)
        wanted = [(i, length) for i in range(heard[name] + 1, length + 1)]
        if [(row[schema.POSITION], row[schema.LENGTH]) for row in own] != wanted:
            raise ValueError("a broken session")
        ordered += own
    return ordered
