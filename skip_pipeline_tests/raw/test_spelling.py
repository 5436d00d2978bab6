"""Whole numbers and flags as pandas, R and spreadsheets write them."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skip_pipeline.raw.spelling import refused_rows, typed

NAN = float("nan")


def column(*values, kind=None):
    return pa.chunked_array([pa.array(values, kind)])


READ = [
    (
        column(b"1962.0", b"-3.", b" 7 ", b"1e+05", b"2.5e1", b""),
        pa.int32(),
        [1962, -3, 7, 100_000, 25, None],
    ),
    (column("0x1", " 0X7f ", "1.0"), pa.int8(), [1, 127, 1]),
    (column("0.0", "1.0", "1", "TRUE", "false", ""), pa.bool_(), [False, True, True, True, False, None]),
    (column("1.5", "-2", "nan"), pa.float32(), [1.5, -2.0, NAN]),
    (column("", "NA"), pa.string(), ["", "NA"]),
    (column(1962.0, NAN, None), pa.int16(), [1962, None, None]),
    (column(0.0, 1.0, NAN), pa.bool_(), [False, True, None]),
    (column(0, 1, 1), pa.bool_(), [False, True, True]),
    (column(True, False, None), pa.int8(), [1, 0, None]),
    (column(Decimal("12.00")), pa.int8(), [12]),
    (column(7, kind=pa.uint64()), pa.int8(), [7]),
    (column(None, kind=pa.null()), pa.int8(), [None]),
    (column("a", "b", kind=pa.large_string()), pa.string(), ["a", "b"]),
    (column("7", "1.0", kind=pa.string_view()), pa.int8(), [7, 1]),
    (column(b"ab", kind=pa.binary(2)), pa.string(), ["ab"]),
    (column(*np.array([0, 1, NAN], np.float16), kind=pa.float16()), pa.bool_(), [False, True, None]),
    (column(dt.date(2018, 7, 15)), pa.string(), ["2018-07-15"]),
    (pa.chunked_array([pa.array([3.0, 4.0, 3.0]).dictionary_encode()]), pa.int8(), [3, 4, 3]),
]


@pytest.mark.parametrize(("values", "kind", "expected"), READ)
def test_a_whole_number_is_one_however_it_is_written(values, kind, expected):
    assert refused_rows(values, kind).tolist() == []
    read = typed(values, kind)
    assert read.type == kind
    assert repr(read.to_pylist()) == repr(expected)


REFUSED = [
    (column(b"1962.0", b"1962.5", b"1e-1", b"x", b"NA", b"300.0"), pa.int8(), [0, 1, 2, 3, 4, 5]),
    (column("0.5", "2.0", "1.01", "yes"), pa.bool_(), [0, 1, 2, 3]),
    (column("0xff", "-0x1", "0x", "0x1ffffffff", "1"), pa.int8(), [0, 1, 2, 3]),
    (column("", "1,5", "1 2"), pa.float32(), [1, 2]),
    (column(1.0, 11.5, 128.0, float("inf"), NAN), pa.int8(), [1, 2, 3]),
    (column(0.5, 2.0, 1.0), pa.bool_(), [0, 1]),
    (column(7, 1), pa.bool_(), [0]),
    (column(2**40), pa.int32(), [0]),
    (column(Decimal("1.50")), pa.int8(), [0]),
    (column(b"\xed\xa0\x80", b"ok", None), pa.string(), [0]),
    (column(b"1", b"\xff"), pa.int8(), [1]),
    (column(None, [1]), pa.int8(), [1]),
    (column({"a": "x"}), pa.string(), [0]),
    (column(None, dt.date(2018, 7, 15)), pa.float32(), [1]),
    (column(dt.timedelta(1)), pa.bool_(), [0]),
    (column(dt.timedelta(1)), pa.string(), [0]),
    (column(None, True), pa.float32(), [1]),
]


@pytest.mark.parametrize(("values", "kind", "rows"), REFUSED)
def test_what_is_no_value_of_the_type_is_refused(values, kind, rows):
    assert refused_rows(values, kind).tolist() == rows


@pytest.mark.parametrize("kind", [pa.int8(), pa.int32(), pa.float32(), pa.bool_()])
@given(text=st.text("0123456789+-.eExinfatrusNA \t_é", max_size=8))
@settings(deadline=None, derandomize=True)
def test_what_the_parser_of_csv_reads_is_read_to_the_same_value(kind, text):
    options = pacsv.ConvertOptions(column_types={"a": kind}, null_values=[""])
    try:
        content = pa.py_buffer(f"a,b\n{text},1\n".encode())
        parsed = pacsv.read_csv(pa.BufferReader(content), convert_options=options)["a"]
    except pa.ArrowInvalid:
        parsed = None
    values = column(text)
    refused = len(refused_rows(values, kind)) > 0
    if parsed is not None:
        assert not refused
        assert repr(typed(values, kind).to_pylist()) == repr(parsed.to_pylist())
    elif not refused:
        (number,) = typed(values, kind).to_pylist()
        assert float(text) == number
