"""How a value of a column may be written: as text of a CSV, or in another type of a parquet file.

pandas writes whole numbers and flags as ``1962.0`` and ``0.0`` in a column in which another value is missing,
and R writes 100,000 as ``1e+05``. These are the same numbers; ``1962.5`` is refused.
"""

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_WHOLE: Final = r"^[ \t]*(-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|0[xX][0-9a-fA-F]{1,8})[ \t]*$"
_HEXADECIMAL: Final = r"^0[xX]"  # Arrow's parser of whole numbers takes it
_NUMBER: Final = r"^[ \t]*[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|(?i:inf|infinity|nan))[ \t]*$"
_BOOLEAN: Final = r"^(true|false|True|False|TRUE|FALSE|[01](\.0*)?)$"
_TRUE: Final = r"^([tT]|1)"
_USUAL: Final = {
    pa.types.is_string_view: pa.large_string(),
    pa.types.is_fixed_size_binary: pa.binary(),
    pa.types.is_float16: pa.float32(),
}
"""Types that few functions of Arrow take, and those that hold the same values."""


def refused_rows(values: pa.ChunkedArray, kind: pa.DataType) -> np.ndarray:
    """Indices of the values that are no value of ``kind``; empty text and null are not among them.

    Args:
        values: text or bytes, numbers, booleans, or a dictionary of these; all values of a type that is no
            other way to write ``kind``, such as a list, are refused.
    """
    values = plain(values)
    if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
        try:
            values = values.cast(pa.string())
        except pa.ArrowInvalid:
            return np.flatnonzero([not is_utf8(value) for value in values.to_pylist()])
    if not _may_hold(values.type, kind):
        return np.flatnonzero(values.is_valid())
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
    values = plain(values)
    if pa.types.is_string(kind):
        return values.cast(kind)
    if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
        values = values.cast(pa.string())
    if _is_text(values.type):
        values = pc.if_else(pc.equal(values, ""), pa.scalar(None, values.type), values)
        if pa.types.is_boolean(kind):
            return pc.match_substring_regex(values, _TRUE)
        if pa.types.is_integer(kind):
            values = pc.if_else(values.is_valid(), _numbers(values, values.is_valid()), None)
        else:
            values = pc.utf8_trim_whitespace(values).cast(kind)
    elif pa.types.is_decimal(values.type):
        values = values.cast(pa.float64())
    if pa.types.is_floating(values.type) and not pa.types.is_floating(kind):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    return values.cast(kind)


def plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values without a dictionary, and of a type that Arrow's functions take."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    for is_rare, usual in _USUAL.items():
        if is_rare(values.type):
            return values.cast(usual)
    return values


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _may_hold(found: pa.DataType, kind: pa.DataType) -> bool:
    """Whether a column of a type may hold values of ``kind``."""
    if pa.types.is_string(kind):
        return not (pa.types.is_nested(found) or pa.types.is_duration(found))
    if pa.types.is_boolean(found):
        return not pa.types.is_floating(kind)
    numbers = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    return _is_text(found) or any(is_of(found) for is_of in numbers)


def _numbers(text: pa.ChunkedArray, good: pa.ChunkedArray) -> pa.ChunkedArray:
    text = pc.if_else(good, pc.utf8_trim_whitespace(text), "0")
    of_hex = pc.match_substring_regex(text, _HEXADECIMAL)
    whole = pc.if_else(of_hex, text, "0").cast(pa.int64()).cast(pa.float64())
    return pc.if_else(of_hex, whole, pc.if_else(of_hex, "0", text).cast(pa.float64()))


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
