"""How a value of a column may be written: as text of a CSV, or in another type of a parquet file.

pandas writes whole numbers and flags as ``1962.0`` and ``0.0`` in a column in which another value is missing,
and R writes 100,000 as ``1e+05``. These are the same numbers; ``1962.5`` is refused.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_WHOLE: Final = r"^[ \t]*-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[ \t]*$"
_NUMBER: Final = r"^[ \t]*[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|(?i:inf|infinity|nan))[ \t]*$"
_BOOLEAN: Final = r"^(true|false|True|False|TRUE|FALSE|[01](\.0*)?)$"
_TRUE: Final = r"^([tT]|1)"


def refused_rows(values: pa.ChunkedArray, kind: pa.DataType) -> np.ndarray:
    """Indices of the values that are no value of ``kind``; empty text and null are not among them.

    Args:
        values: text or bytes, numbers, booleans, or a dictionary of these.
    """
    values = _plain(values)
    if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
        try:
            values = values.cast(pa.string())
        except pa.ArrowInvalid:
            return np.flatnonzero([not is_utf8(value) for value in values.to_pylist()])
    if pa.types.is_string(kind):
        return np.empty(0, np.int64)
    if not _is_text(values.type):
        return np.flatnonzero(_is_refused_number(values, kind))
    shape = _WHOLE if pa.types.is_integer(kind) else _BOOLEAN if pa.types.is_boolean(kind) else _NUMBER
    good = pc.match_substring_regex(values, shape)
    if pa.types.is_integer(kind):
        good = pc.and_(good, pc.invert(_is_refused_number(_numbers(values, good), kind)))
    return np.flatnonzero(pc.fill_null(pc.invert(pc.or_(good, pc.equal(values, ""))), False))


def typed(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Values of which ``refused_rows`` has none, as ``kind``; empty text and NaN are null, save in text.

    >>> typed(pa.chunked_array([["1962.0", "1e+05", ""]]), pa.int32()).to_pylist()
    [1962, 100000, None]
    >>> typed(pa.chunked_array([[0.0, float("nan")]]), pa.bool_()).to_pylist()
    [False, None]
    """
    values = _plain(values)
    if pa.types.is_string(kind):
        return values.cast(kind)
    if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
        values = values.cast(pa.string())
    if _is_text(values.type):
        values = pc.if_else(pc.equal(values, ""), pa.scalar(None, values.type), values)
        if pa.types.is_boolean(kind):
            return pc.match_substring_regex(values, _TRUE)
        values = pc.utf8_trim_whitespace(values).cast(pa.float64() if pa.types.is_integer(kind) else kind)
    elif pa.types.is_decimal(values.type):
        values = values.cast(pa.float64())
    if pa.types.is_floating(values.type) and not pa.types.is_floating(kind):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    return values.cast(kind)


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _numbers(text: pa.ChunkedArray, good: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(good, pc.utf8_trim_whitespace(text), "0").cast(pa.float64())


def _is_refused_number(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Whether a number is out of the bounds of a type, or between two of its values; NaN and null are not."""
    if pa.types.is_floating(kind) or pa.types.is_boolean(values.type) or pa.types.is_null(values.type):
        return pc.and_(pc.is_null(values), False)
    number = values.cast(pa.float64(), safe=False)
    if pa.types.is_boolean(kind):
        good = pc.or_(pc.equal(number, 0), pc.equal(number, 1))
    else:
        bounds = np.iinfo(kind.to_pandas_dtype())
        good = pc.and_(pc.greater_equal(number, bounds.min), pc.less_equal(number, bounds.max))
        good = pc.and_(good, pc.equal(pc.floor(number), number))
    return pc.fill_null(pc.and_not(pc.invert(good), pc.is_nan(number)), False)


def is_utf8(value: bytes | None) -> bool:
    """Whether bytes are text; a missing value is."""
    try:
        (value or b"").decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
