"""Reading one delivered CSV: what is accepted, and what is refused with which facts."""

import gzip
from unittest.mock import Mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skip_pipeline.errors import BadInputError, MissingInputError
from skip_pipeline.raw import csv_file
from skip_pipeline.raw.csv_file import read_csv
from skip_pipeline.raw.diagnosis import WHOLE_SESSIONS, not_well_formed, unreadable
from skip_pipeline_tests.builders import assert_says, refusal

DICTIONARY = pa.dictionary(pa.int32(), pa.string())
CONTRACT = pa.schema([("id", pa.string()), ("n", pa.int8()), ("b", pa.bool_()), ("f", pa.float32())])
DICTIONARIES = pa.schema([pa.field("id", DICTIONARY), *list(CONTRACT)[1:]])
RANGES = {"n": (1, 20)}
HEADER = "id,n,b,f\n"
ROW = "x,1,true,0.5\n"
ONE_ROW = [{"id": "x", "n": 1, "b": True, "f": 0.5}]
CELLS = {"id": "x", "n": "1", "b": "true", "f": "0.5"}
BLOCK = 90_000  # rows: more than one of the blocks that Arrow reads at a time


def zipped(content):
    return gzip.compress(content.encode())


def line(**cells):
    return ",".join((CELLS | cells).values()) + "\n"


@pytest.fixture
def read(tmp_path):
    """Read text or bytes as a delivered file."""

    def read(content, name="log.csv", contract=CONTRACT, ranges=RANGES, **options):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_csv(path, contract, ranges, **options)

    return read


@pytest.fixture
def refused(read, tmp_path):
    """What such a file is refused with; every message must name the file."""

    def refused(content, name="log.csv", **options):
        message = refusal(BadInputError, lambda: read(content, name, **options))
        assert str(tmp_path / name) in message
        return message

    return refused


# --- Accepted -------------------------------------------------------------------------------------------

READABLE = {
    "columns in another order": ("f,b,id,n\n0.5,true,x,1\n", "log.csv"),
    "gzip": (zipped(HEADER + ROW), "log.csv.gz"),
    "gzip in upper case": (zipped(HEADER + ROW), "LOG.CSV.GZ"),
    "gzip files end to end": (zipped(HEADER) + zipped(ROW), "log.csv.gz"),
    "a byte order mark and CRLF": (
        b"\xef\xbb\xbf" + (HEADER + ROW).replace("\n", "\r\n").encode(),
        "log.csv",
    ),
    "CR": ((HEADER + ROW).replace("\n", "\r"), "log.csv"),
    "blank lines": (f"\n{HEADER}\n{ROW}\n\n", "log.csv"),
    "no last line feed": ((HEADER + ROW).rstrip("\n"), "log.csv"),
    "a whole number and a flag as pandas writes them beside missing ones": (
        HEADER + "x,1.0,1.0,0.5\n",
        "log.csv",
    ),
    "a whole number as R writes large ones": (HEADER + "x,1e+00,TRUE,5e-01\n", "log.csv"),
    "rows of commas at the end, as spreadsheets leave them": (HEADER + ROW + ",,,\n" * 3, "log.csv"),
    "both": (HEADER + "x,1.0,true,0.5\n,,,\n", "log.csv"),
    "quotes": ('"id","n",b,f\n"x","1",true,0.5\n', "log.csv"),
}


@pytest.mark.parametrize("contract", [CONTRACT, DICTIONARIES], ids=["strings", "dictionaries"])
@pytest.mark.parametrize(("content", "name"), READABLE.values(), ids=READABLE)
def test_a_file_is_read_to_the_dtypes_of_the_contract(read, content, name, contract):
    table = read(content, name, contract, ids=["id"])
    assert table.schema == contract
    assert table.to_pylist() == ONE_ROW


@pytest.mark.parametrize("text", ["a,b", 'say "x"', "ünïcode 音楽", "", "NA", "null", " padded "])
def test_text_is_kept_as_it_is(read, text):
    quoted = text.replace('"', '""')
    assert read(f'{HEADER}"{quoted}",1,true,0.5\n')["id"].to_pylist() == [text]


def test_a_decimal_becomes_the_nearest_float32(read):
    assert read(HEADER + line(f="0.8764553070068359"))["f"][0].as_py() == np.float32(0.8764553070068359)


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz"])
def test_text_comes_as_one_dictionary_if_the_contract_says_so(read, name):
    rows = "".join(f"x{i % 3 + i // 60_000},1,true,0.5\n" for i in range(BLOCK))
    content = zipped(HEADER + rows) if name.endswith(".gz") else HEADER + rows
    table = read(content, name, DICTIONARIES)
    assert table.schema == DICTIONARIES
    [ids] = table["id"].chunks
    assert ids.dictionary.to_pylist() == ["x0", "x1", "x2", "x3"]
    assert table.cast(CONTRACT).equals(read(content, name))


def test_a_well_formed_file_is_parsed_once(read, monkeypatch):
    parse = Mock(wraps=csv_file._parse)
    monkeypatch.setattr(csv_file, "_parse", parse)
    read(HEADER + ROW)
    parse.assert_called_once()


def test_a_row_of_commas_before_other_rows_is_no_end(refused):
    message = refused(HEADER + ",,,\n" + ROW, ids=["id"])
    assert "in data row 1" in message


def test_rows_of_commas_alone_are_no_rows(refused):
    assert "no rows" in refused(HEADER + ",,,\n")


# --- No file, no rows, no gzip --------------------------------------------------------------------------


def test_a_missing_file_is_missing_input(tmp_path):
    message = refusal(MissingInputError, lambda: read_csv(tmp_path / "log.csv", CONTRACT, RANGES))
    assert_says(message, str(tmp_path / "log.csv"), "not there", "deliver it again")


@pytest.mark.parametrize(
    "content",
    [b"", b"\n\r\n", b"\xef\xbb\xbf", zipped("")],
    ids=["nothing", "line ends", "a BOM", "gzip of nothing"],
)
def test_an_empty_file_is_refused(refused, content):
    name = "log.csv.gz" if content.startswith(b"\x1f") else "log.csv"
    assert_says(refused(content, name), "is empty", "header line and rows", "Deliver the file again")


@pytest.mark.parametrize("content", [HEADER, HEADER.rstrip("\n"), HEADER + "\n\n"])
def test_a_header_without_rows_is_refused(refused, content):
    assert_says(refused(content), "no rows", "expected at least one", "Deliver the file again")


@pytest.fixture(scope="module")
def long_gzip():
    """A gzip file of several of Arrow's blocks."""
    return zipped(HEADER + "".join(f"x{i},1,true,0.{i * 7919 % 10007}\n" for i in range(40_000)))


@pytest.mark.parametrize("kept", [1, 10, 0.3, 0.9, -9, -8, -1])
def test_a_truncated_gzip_is_refused_wherever_it_ends(refused, long_gzip, kept):
    end = int(kept * len(long_gzip)) if isinstance(kept, float) else kept
    message = refused(long_gzip[:end], "log.csv.gz")
    assert_says(message, "not a complete gzip file", "expected one that `gzip -t` accepts", "again")


def test_a_truncated_gzip_is_refused_even_where_a_row_before_is_malformed(refused, long_gzip):
    broken = zipped(HEADER + "x,1\n") + long_gzip[:-9]
    assert_says(refused(broken, "log.csv.gz"), "not a complete gzip file")


def test_a_gzip_with_a_wrong_checksum_is_refused(refused, long_gzip):
    damaged = long_gzip[:-6] + bytes([long_gzip[-6] ^ 1]) + long_gzip[-5:]
    assert_says(refused(damaged, "log.csv.gz"), "not a complete gzip file")


@pytest.mark.parametrize("name", ["log.csv.gz", "LOG.CSV.GZ"])
def test_plain_text_in_a_file_called_gz_is_to_be_renamed(refused, name):
    message = refused(HEADER + ROW, name)
    assert_says(message, "does not start as gzip", "expected a gzip file", f"Rename it to {name[:-3]}, or")


def test_gzip_in_a_file_called_csv_is_to_be_renamed(refused):
    message = refused(zipped(HEADER + ROW))
    assert_says(message, "is gzipped", "expected plain text", "Rename it to log.csv.gz")


def test_a_gzip_file_that_the_system_does_not_open_is_not_called_incomplete(tmp_path):
    # Permissions do not bind the superuser, so the answer of the system is made up.
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(b"any"))
    message = str(unreadable(tmp_path / "log.csv.gz", PermissionError(13, "Permission denied")))
    assert_says(message, str(tmp_path / "log.csv.gz"), "cannot be read", "Permission denied", "permissions")
    assert "complete gzip" not in message


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz"])
def test_a_folder_in_place_of_a_file_is_refused(tmp_path, name):
    (tmp_path / name).mkdir()
    message = refusal(BadInputError, lambda: read_csv(tmp_path / name, CONTRACT, RANGES))
    assert_says(message, str(tmp_path / name), "cannot be read", "is a directory")


# --- Columns --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "fact", "remedy"),
    [
        ("id,n,b", "missing f.", "deliver the file with that column"),
        ("id,n", "missing b, f.", "deliver the file with those columns"),
        ("id,n,b,f,g", "unexpected 'g'.", "remove the other"),
        ("id,n,b,f,g,h", "unexpected 'g', 'h'.", "remove the others"),
        ("id,n,b,f,u,v,w,x,y,z", "unexpected 'u', 'v', 'w', 'x', 'y' and 1 more.", "remove the others"),
        ("id,n,b,g", "missing f; unexpected 'g'.", "rename or remove the others"),
        ("id,n,b,f,n", "more than once: n.", "remove the repetition"),
        ("id, n,B,f", "missing n, b; unexpected ' n', 'B'.", "spelled differently. Rename them"),
        ("i.d,n,b,f", "missing id; unexpected 'i.d'.", "spelled differently. Rename them"),
        ("\ufeff\ufeffid,n,b,f", r"missing id; unexpected '\ufeffid'.", "spelled differently. Rename them"),
        (",id,n,b,f", "unexpected ''.", "pandas: index=False, R: row.names = FALSE"),
        ("id,n,b,f,,", "unexpected '', ''.", "a column without a name holds row numbers, or nothing"),
        ("sep=,", "unexpected 'sep='", "the first line is for spreadsheets alone. Remove it"),
        ("sep=,\nid,n,b,f", "unexpected 'sep='", "the first line is for spreadsheets alone. Remove it"),
        ("x,1,true,0.5", "missing id, n, b, f; unexpected 'x'", "the first line is no header, or"),
        ("data", "missing id, n, b, f; unexpected 'data'.", "or the file belongs in the other folder"),
    ],
)
def test_a_header_with_other_columns_is_refused(refused, header, fact, remedy):
    message = refused(f"{header}\n{ROW}")
    assert_says(message, "columns ", fact, "Expected the 4 published columns, in any order", remedy)


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize(("mark", "named"), [(";", "';'"), ("\t", "tabs"), ("|", "'|'")])
def test_a_header_with_another_separator_is_refused(refused, mark, named, quote):
    message = refused(mark.join(f"{quote}{name}{quote}" for name in CELLS) + "\n")
    assert_says(message, f"separated by {named}. Separate the values by commas, and write a decimal point")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"PK\x03\x04\x14\0\x06\0",
            "is a zip archive, as .xlsx files are. Unpack it, or save the sheet as CSV",
        ),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is an old Excel file. Save the sheet as CSV in UTF-8"),
        (b"PAR1\x15\x04", "is a parquet file. Write the table as CSV"),
        (b"\x28\xb5\x2f\xfd\x24", "is compressed by zstd. Unpack it, or compress it with gzip"),
        (b"BZh91AY&SY", "is compressed by bzip2"),
        (b"\xfd7zXZ\0\0", "is compressed by xz"),
        (b"\x04\x22\x4d\x18d", "is compressed by lz4"),
        (b"\x1f\x9d\x90", "is compressed by compress"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "is a 7z archive. Unpack it"),
        (b"Rar!\x1a\7\1\0", "is a rar archive. Unpack it"),
        (b"\n <!DOCTYPE html>\n<html>", "is a page in place of the file. Download it again"),
        (b"\xef\xbb\xbf<!-- saved from url --><head>", "is a page in place of the file. Download it again"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied', "is an XML document, as failed downloads are"),
        (b'{"id":"x","n":1}\n', "is JSON. Write the table as CSV"),
        (b'[{"id": "x", "n": 1}]', "is JSON. Write the table as CSV"),
        (
            b'<table border="1" class="dataframe">',
            "is a table in HTML, as some .xls files are. Save the sheet",
        ),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS. Get the file itself"),
        (
            gzip.compress(b"log.csv" + bytes(250) + b"ustar\x0000"),
            "is a tar archive. Unpack it with `tar -xf`",
        ),
        (gzip.compress(gzip.compress(HEADER.encode())), "is gzipped twice; expected once. Unpack it once"),
        *(
            (HEADER.encode(codec), "is text in UTF-16 or UTF-32, as spreadsheets save Unicode text. Save")
            for codec in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be")
        ),
        *(
            (start, "is damaged, or no text: the first line holds control characters. Copy the file again")
            for start in (bytes(5000), b"\x7fELF\0\0", b"id,n,b\0,f\n", b"SQLite format 3\0")
        ),
    ],
)
def test_a_file_of_another_format_is_named_as_such(refused, content, said):
    assert said in refused(content, "log.csv.gz" if content.startswith(b"\x1f\x8b") else "log.csv")


@pytest.mark.parametrize("header", ['"id,n,b,f', 'id,"n"x,b,f', 'id,n,"b\n",f'])
def test_a_header_with_an_open_quote_is_refused(refused, header):
    assert_says(
        refused(f"{header}\n{ROW}"), "header line has a quote that is not closed", "Correct the quotes"
    )


def test_a_header_that_is_not_utf_8_is_refused(refused):
    message = refused(b"id,n,b,f\xe9\n" + ROW.encode())
    assert_says(message, "header line is not UTF-8 text", "Save the file as UTF-8")


# --- Values ---------------------------------------------------------------------------------------------

WHOLE, FINITE = "is not a whole number from 1 to 20", "is not a finite 32-bit number"
WRONG_VALUES = [
    *(("n", text, WHOLE, f"'{text}'") for text in ("abc", "1.5", "+1", "NA", "128", "9" * 50, "1\0")),
    *(("n", text, WHOLE, text) for text in ("0", "21", "-1")),
    *(("b", text, "is not true or false", f"'{text}'") for text in ("maybe", "2", " true", "T")),
    *(("f", text, "is not a number", f"'{text}'") for text in ("fast", "1.2.3", "-", "0x1p3")),
    *(("f", text, FINITE, f"'{text}'") for text in ("NaN", "nan", "inf", "-inf", "1e39", "1e400")),
    ("id", b"caf\xe9", "is not UTF-8 text", r"b'caf\xe9'"),
    ("id", b"\xed\xa0\x80", "is not UTF-8 text", r"b'\xed\xa0\x80'"),
    ("n", b"\xe9", WHOLE, r"b'\xe9'"),
    *(("id", f'"x{c}y"', "has a line break or control character", repr(f"x{c}y")) for c in "\n\t\0\x7f"),
]


@pytest.mark.parametrize("contract", [CONTRACT, DICTIONARIES], ids=["strings", "dictionaries"])
@pytest.mark.parametrize(("column", "cell", "fault", "shown"), WRONG_VALUES)
def test_a_wrong_value_is_named_with_column_and_row(refused, column, cell, fault, shown, contract):
    if shown.startswith("'") and "\0" in cell:
        shown = repr(cell.strip('"'))
    row = b",".join(
        cell if isinstance(cell, bytes) else cell.encode() for cell in (CELLS | {column: cell}).values()
    )
    message = refused((HEADER + ROW * 2).encode() + row + b"\n" + ROW.encode(), contract=contract)
    remedies = {
        "is not UTF-8 text": "save the file as UTF-8",
        "has a line break or control character": "Look for an unclosed quote",
    }
    assert_says(message, f"column {column} {fault} in data row 3 ({shown})")
    assert_says(message, remedies.get(fault, "correct or remove those rows"))


@pytest.mark.parametrize("column", ["n", "b", "f"])
def test_an_empty_cell_is_named_with_its_row(refused, column):
    message = refused(HEADER + ROW + line(**{column: ""}))
    assert_says(message, f"column {column} has no value in data row 2", "must be filled", "Fill in or remove")


@pytest.mark.parametrize("contract", [CONTRACT, DICTIONARIES], ids=["strings", "dictionaries"])
def test_an_empty_id_is_named_with_its_row(read, refused, contract):
    assert read(HEADER + line(id=""), contract=contract)["id"].to_pylist() == [""]
    content = HEADER + ROW + line(id="")
    message = refused(content, contract=contract, ids=["id"])
    assert_says(message, "column id is empty in data row 2", "every row needs an id", "Fill in or remove")


@pytest.mark.parametrize("cells", [{"n": "q"}, {"n": "99"}, {"f": "inf"}, {"n": ""}])
def test_where_a_row_less_would_be_a_gap_no_row_is_to_be_removed(refused, cells):
    message = refused(HEADER + line(**cells), remedy=WHOLE_SESSIONS)
    assert_says(message, "in data row 1", "those values, or remove the whole sessions")
    assert "those rows" not in message


def test_a_hexadecimal_number_is_not_read_as_a_negative_one(read, refused):
    assert read(HEADER + line(n="0x7f") + line(n="-1"), ranges={})["n"].to_pylist() == [127, -1]
    assert "column n is not a whole number from -128 to 127 in data row 1 ('0xff')" in refused(
        HEADER + line(n="0xff"), ranges={}
    )


def test_without_a_range_the_dtype_bounds_a_number(refused):
    message = refused(HEADER + line(n="128"), ranges={})
    assert_says(message, "column n is not a whole number from -128 to 127 in data row 1 ('128')")


@pytest.mark.parametrize(
    ("cells", "meant"),
    [
        ({"f": '"0,5"'}, "numbers have a decimal point and no other separator"),
        ({"n": '"1,234"'}, "no other separator"),
        ({"f": '"1.234,5"'}, "no other separator"),
        ({"f": "1 234"}, "no other separator"),
        ({"f": "1\u00a0234"}, "no other separator"),
        ({"n": "NA"}, "a value that is not known is an empty cell, where a column may have one"),
        ({"b": "#N/A"}, "an empty cell"),
        ({"n": "\\N"}, "an empty cell"),
        ({"n": "<NA>"}, "an empty cell"),
        ({"f": "#DIV/0!"}, "an error of a spreadsheet's formula"),
        ({"n": "#VALUE!"}, "an error of a spreadsheet's formula"),
        ({"n": "n"}, "the header line again, as where files were joined"),
    ],
)
def test_what_a_spreadsheet_most_likely_meant_is_said(refused, cells, meant):
    assert meant in refused(HEADER + line(**cells))


def test_only_the_first_rows_are_listed_and_the_others_counted(refused):
    message = refused(HEADER + ROW + line(n="q") * 7)
    assert "data rows 2 ('q'), 3 ('q'), 4 ('q'), 5 ('q'), 6 ('q') and 2 more;" in message


def test_a_long_value_is_cut(refused):
    message = refused(HEADER + line(n="q" * 5000))
    assert "qqq…" in message
    assert len(message) < 400


@given(column=st.sampled_from(["n", "b", "f"]), value=st.text("0123456789+-.eExinfatrusNA \t_é"))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_cell_is_read_or_named_with_column_and_row(read, column, value):
    try:
        outcome = read(HEADER + line(n="1.0") + line(**{column: value})).num_rows
    except BadInputError as refused:
        outcome = str(refused)
    assert outcome == 2 or (f"column {column} " in outcome and "row 2" in outcome)


# --- Rows that do not split into columns ----------------------------------------------------------------


@pytest.mark.parametrize("before", [0, BLOCK])
@pytest.mark.parametrize(
    ("row", "found"),
    [("x,1,true", "3 values"), ('"x,y",1,true,0.5,', "5 values"), ("  ", "1 value")],
    ids=["short", "long", "spaces"],
)
def test_a_row_with_more_or_fewer_values_than_columns_is_named(refused, row, found, before):
    message = refused(HEADER + ROW * before + row + "\n" + ROW)
    assert_says(message, f"not one value per column in data row {before + 1} ({found})", "expected 4 ")
    assert_says(message, "stray comma or quote")


def test_rows_that_begin_with_their_number_are_those_of_r(refused):
    message = refused(HEADER + f"1,{ROW}2,{ROW}")
    assert_says(
        message, "data rows 1 (5 values), 2 (5 values)", "If the first value of each row is its number"
    )
    assert "write them without (R: row.names = FALSE)" in message
    assert "If each row ends with a comma, remove that" in message
    assert "R:" not in refused(HEADER + f"1,{ROW}{ROW}")


def test_a_file_that_ends_in_mid_row_is_to_be_copied_again(refused):
    assert "in mid row, copy or download it again" in refused(HEADER + ROW * 2 + ROW[:5])
    assert "mid row" not in refused(HEADER + "x,1\n" + ROW)


def test_zero_bytes_are_said(refused):
    assert "in data row 2 (zero bytes, as a copy that was broken off leaves)" in refused(
        HEADER + ROW + ROW[:5] + "\0" * 9
    )


def test_a_row_longer_than_a_block_is_named(refused):
    message = refused(HEADER + line(id="x" * 200_000) + line(id="x" * 2_000_000) + ROW)
    assert "in data row 2 (2,000,011 characters, too long to parse)" in message


@pytest.mark.parametrize("ends", [("\n", "\r\n"), ("\n\n", "\n"), ("\r", "\r"), ("\r", "\n")])
def test_rows_are_counted_without_blank_lines_and_whatever_ends_them(refused, ends):
    def content(row):
        return HEADER.strip() + ends[0] + ROW.strip() + ends[1] + row + ends[0]

    assert "in data row 2 (2 values)" in refused(content("x,1"))
    assert "in data row 2 ('q')" in refused(content("x,q,true,0.5"))
    assert "in data rows 2 (2 values), 3 (2 values)" in refused(content("x,1\rtrue,0.5"))
    assert "in data row 2 (2 values)" in refused(zipped(content("x,1")), "log.csv.gz")


@pytest.mark.parametrize("before", [0, BLOCK])
@pytest.mark.parametrize("after", [3, 3 * BLOCK])
def test_a_quote_that_stays_open_is_found_in_its_own_row(refused, before, after):
    header = HEADER.replace("n,b", "b,n")
    message = refused(header + "x,true,1,0.5\n" * before + 'x,"true,1,0.5\n' + ROW * after)
    assert_says(message, f"data row {before + 1} (stray quote in column b: '\"true,1,0.5')", "closed")


QUOTES = {
    "text after a closed quote": (
        f'{HEADER}{ROW}x,1,"true"s,0.5,9\n',
        "data row 2 (stray quote in column b: '\"true\"s,0.5,9')",
    ),
    "a quote beyond the last column": (f'{HEADER}{ROW}x,1,true,0.5,"a"b\n', "data row 2 (stray quote: '"),
    "an open quote in the last column": (
        'n,b,f,id\n1,true,0.5,x\n1,true,0.5,"y\n1,true,0.5,z\n',
        "column id has a line break or control character in data row 2",
    ),
    "one that spans more than a block": (
        'n,b,f,id\n1,true,0.5,"y\n' + "1,true,0.5,z\n" * 3 * BLOCK,
        "in data row 1 (stray quote in column id: '\"y')",
    ),
}


@pytest.mark.parametrize(("content", "fault"), QUOTES.values(), ids=QUOTES)
def test_a_stray_quote_is_named_with_column_and_row(refused, content, fault):
    assert_says(refused(content), fault, "quote")


def test_what_only_the_parser_knows_is_said_in_its_words(tmp_path):
    message = str(not_well_formed(tmp_path / "log.csv", pa.ArrowInvalid("straddling " * 100)))
    assert_says(message, str(tmp_path / "log.csv"), "straddling", "…", "Deliver the file again")
    assert len(message) < 500 + len(str(tmp_path))


# --- Cells that may be empty --------------------------------------------------------------------------


def test_empty_cells_are_null_where_they_may_be_and_refused_elsewhere(read):
    content = HEADER + line(n="", b="", f="") + line()
    table = read(content, ranges=RANGES, may_be_empty=("n", "b", "f"))
    assert table.to_pylist() == [{"id": "x", "n": None, "b": None, "f": None}, ONE_ROW[0]]
    message = refusal(BadInputError, lambda: read(content, may_be_empty=("n", "f")))
    assert_says(message, "column b has no value in data row 1; every column must be filled")


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"n": "21"}, "column n is not a whole number from 1 to 20 in data row 3 (21)"),
        ({"f": "nan"}, "column f is not a finite 32-bit number in data row 3 ('nan')"),
    ],
)
def test_known_values_beside_empty_cells_are_judged(read, cells, said):
    content = HEADER + line(n="", f="") + line() + line(**cells)
    assert_says(refusal(BadInputError, lambda: read(content, may_be_empty=("n", "f"))), said)


def test_a_column_may_be_empty_in_every_row(read):
    table = read(HEADER + line(n="", f="") * 3, may_be_empty=("n", "f"))
    assert table["n"].to_pylist() == table["f"].to_pylist() == [None] * 3
