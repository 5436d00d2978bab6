import gzip

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skip_pipeline.errors import BadInputError, MissingInputError
from skip_pipeline.raw.csv_file import read_csv
from skip_pipeline.raw.diagnosis import WHOLE_SESSIONS, rows_text, unreadable
from skip_pipeline_tests.builders import assert_says, refusal

CONTRACT = pa.schema([("id", pa.string()), ("n", pa.int8()), ("b", pa.bool_()), ("f", pa.float32())])
RANGES = {"n": (1, 20)}
HEADER = "id,n,b,f\n"
ROW = "x,1,true,0.5\n"
ONE_ROW = [{"id": "x", "n": 1, "b": True, "f": 0.5}]


@pytest.fixture
def read(tmp_path):
    """Read text or bytes as a delivered file."""

    def read(content, name="log.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_csv(path, CONTRACT, RANGES)

    return read


@pytest.fixture
def refused(read, tmp_path):
    """What such a file is refused with; every message must name the file."""

    def refused(content, name="log.csv"):
        message = refusal(BadInputError, lambda: read(content, name))
        assert str(tmp_path / name) in message
        return message

    return refused


# --- Accepted -------------------------------------------------------------------------------------------


def test_columns_get_the_dtypes_of_the_contract(read):
    table = read(HEADER + ROW)
    assert table.schema == CONTRACT
    assert table.to_pylist() == ONE_ROW


def test_columns_in_another_order_give_an_equal_table(read):
    assert read("f,b,id,n\n0.5,true,x,1\n").equals(read(HEADER + ROW))


def test_gzip_gives_an_equal_table(read):
    assert read(gzip.compress((HEADER + ROW).encode()), "log.csv.gz").equals(read(HEADER + ROW))


def test_a_name_in_upper_case_is_gzip_too(read):
    assert read(gzip.compress((HEADER + ROW).encode()), "LOG.CSV.GZ").to_pylist() == ONE_ROW


def test_gzip_files_joined_end_to_end_are_read_to_the_end(read):
    joined = gzip.compress((HEADER + ROW).encode()) + gzip.compress(ROW.encode())
    assert read(joined, "log.csv.gz").to_pylist() == ONE_ROW * 2


def test_a_byte_order_mark_and_carriage_returns_are_no_part_of_the_values(read):
    windows = b"\xef\xbb\xbf" + (HEADER + ROW).replace("\n", "\r\n").encode()
    assert read(windows).equals(read(HEADER + ROW))


def test_blank_lines_are_skipped(read):
    assert read(f"\n{HEADER}\n{ROW}\n\n").to_pylist() == ONE_ROW


def test_a_last_line_without_a_line_feed_is_read(read):
    assert read((HEADER + ROW).rstrip("\n")).to_pylist() == ONE_ROW


@pytest.mark.parametrize("text", ["a,b", 'say "x"', "ünïcode 音楽", "", "NA", "null", " padded "])
def test_text_is_kept_as_it_is(read, text):
    quoted = text.replace('"', '""')
    assert read(f'{HEADER}"{quoted}",1,true,0.5\n')["id"].to_pylist() == [text]


def test_a_decimal_becomes_the_nearest_float32(read):
    assert read(f"{HEADER}x,1,true,0.8764553070068359\n")["f"][0].as_py() == np.float32(0.8764553070068359)


DICTIONARIES = pa.schema(
    [pa.field(f.name, pa.dictionary(pa.int32(), pa.string())) if f.name == "id" else f for f in CONTRACT]
)


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz"])
def test_text_comes_as_one_dictionary_if_the_contract_says_so(tmp_path, name):
    rows = "".join(f"x{i % 3 + i // 60_000},1,true,0.5\n" for i in range(90_000))  # several of Arrow's blocks
    content = (HEADER + rows).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    table = read_csv(tmp_path / name, DICTIONARIES, RANGES)
    assert table.schema == DICTIONARIES
    [ids] = table["id"].chunks
    assert ids.dictionary.to_pylist() == ["x0", "x1", "x2", "x3"]
    assert table.cast(CONTRACT).equals(read_csv(tmp_path / name, CONTRACT, RANGES))


@pytest.mark.parametrize("contract", [CONTRACT, DICTIONARIES], ids=["strings", "dictionaries"])
@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (b"a\tb,1,true,0.5", r"column id has a line break or control character in data row 2 ('a\tb')"),
        (b"caf\xe9,1,true,0.5", r"column id is not UTF-8 text in data row 2 (b'caf\xe9')"),
        (b",1,true,0.5", "column id is empty in data row 2; every row needs an id. Fill in or remove"),
    ],
    ids=["control", "UTF-8", "empty"],
)
def test_bad_text_is_named_with_its_row_however_it_is_held(tmp_path, contract, cells, message):
    path = tmp_path / "log.csv"
    path.write_bytes((HEADER + ROW).encode() + cells + b"\n" + ROW.encode())
    assert_says(refusal(BadInputError, lambda: read_csv(path, contract, RANGES, ids=["id"])), message)


def test_an_empty_value_is_refused_in_an_id_alone(read):
    assert read(f"{HEADER},1,true,0.5\n")["id"].to_pylist() == [""]


# --- No file, no rows, no gzip --------------------------------------------------------------------------


def test_a_missing_file_is_missing_input(tmp_path):
    message = refusal(MissingInputError, lambda: read_csv(tmp_path / "log.csv", CONTRACT, RANGES))
    assert_says(message, str(tmp_path / "log.csv"), "not there", "deliver it again")


@pytest.mark.parametrize("content", [b"", b"\n\r\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(refused, content):
    assert_says(refused(content), "is empty", "expected a header line and rows", "Deliver the file again")


def test_an_empty_gzip_file_is_refused(refused):
    assert_says(refused(gzip.compress(b""), "log.csv.gz"), "is empty", "expected a header line and rows")


@pytest.mark.parametrize("content", [HEADER, HEADER.rstrip("\n"), HEADER + "\n\n"])
def test_a_header_without_rows_is_refused(refused, content):
    assert_says(refused(content), "no rows", "expected at least one", "Deliver the file again")


@pytest.fixture(scope="module")
def zipped():
    rows = "".join(f"x{i},1,true,0.{i * 7919 % 10007}\n" for i in range(40_000))  # several of Arrow's blocks
    return gzip.compress((HEADER + rows).encode())


@pytest.mark.parametrize("kept", [1, 10, 0.3, 0.9, -9, -8, -1])
def test_a_truncated_gzip_is_refused_wherever_it_ends(refused, zipped, kept):
    end = int(kept * len(zipped)) if isinstance(kept, float) else kept
    message = refused(zipped[:end], "log.csv.gz")
    assert_says(message, "not a complete gzip file", "expected one that `gzip -t` accepts", "again")


def test_a_gzip_with_a_wrong_checksum_is_refused(refused, zipped):
    damaged = zipped[:-6] + bytes([zipped[-6] ^ 1]) + zipped[-5:]
    assert_says(refused(damaged, "log.csv.gz"), "not a complete gzip file")


@pytest.mark.parametrize("name", ["log.csv.gz", "LOG.CSV.GZ"])
def test_plain_text_in_a_file_called_gz_is_to_be_renamed(refused, name):
    message = refused(HEADER + ROW, name)
    assert_says(message, "does not start as gzip", "expected a gzip file", f"Rename it to {name[:-3]}, or")


def test_gzip_in_a_file_called_csv_is_to_be_renamed(refused, zipped):
    assert_says(refused(zipped), "is gzipped", "expected plain text", "Rename it to log.csv.gz")


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
        ("id,n,b", "columns missing f.", "deliver the file with that column"),
        ("id,n", "columns missing b, f.", "deliver the file with those columns"),
        ("id,n,b,f,g", "columns unexpected 'g'.", "remove the other"),
        ("id,n,b,f,g,h", "columns unexpected 'g', 'h'.", "remove the others"),
        ("id,n,b,g", "columns missing f; unexpected 'g'.", "rename or remove the others"),
        ("id,n,b,f,n", "columns more than once: n.", "remove the repetition"),
        ("id, n,B,f", "columns missing n, b; unexpected ' n', 'B'.", "spelled differently. Rename them"),
        ("id;n;b;f", "columns missing id, n, b, f; unexpected 'id;n;b;f'.", "separated by ';'"),
        ("id\tn\tb\tf", "columns missing id, n, b, f; unexpected 'id\\tn", "separated by tabs"),
        ("x,1,true,0.5", "columns missing id, n, b, f; unexpected 'x'", "the first line is no header, or"),
    ],
    ids=["missing", "two missing", "extra", "two extra", "renamed", "twice", "spelling", ";", "tab", "none"],
)
def test_a_header_with_other_columns_is_refused(refused, header, fact, remedy):
    message = refused(f"{header}\n{ROW}")
    assert_says(message, fact, "Expected the 4 published columns, in any order", remedy)


def test_only_the_first_columns_are_listed_and_the_others_counted(refused):
    message = refused(f"id,n,b,f,{','.join('uvwxyz')}\n{ROW}")
    assert "columns unexpected 'u', 'v', 'w', 'x', 'y' and 1 more. " in message


@pytest.mark.parametrize("header", ['"id,n,b,f', 'id,"n"x,b,f', 'id,n,"b\n",f'])
def test_a_header_with_an_open_quote_is_refused(refused, header):
    assert_says(
        refused(f"{header}\n{ROW}"), "header line has a quote that is not closed", "Correct the quotes"
    )


@pytest.mark.parametrize(
    "header", [b"id,n,b,f\xe9", "id,n,b,f".encode("utf-16"), "id,n,b,f".encode("utf-16-le"), b"PK\x03\0"]
)
def test_a_header_that_is_not_utf_8_is_refused(refused, header):
    assert_says(
        refused(header + b"\n" + ROW.encode()), "header line is not UTF-8 text", "Save the file as UTF-8"
    )


# --- Values ---------------------------------------------------------------------------------------------

WRONG_VALUES = [
    ("n", "abc", "a whole number from 1 to 20"),
    ("n", "1.0", "a whole number from 1 to 20"),
    ("n", "+1", "a whole number from 1 to 20"),
    ("n", "NA", "a whole number from 1 to 20"),
    ("n", "128", "a whole number from 1 to 20"),
    ("n", "9" * 50, "a whole number from 1 to 20"),
    ("b", "maybe", "true or false"),
    ("b", "2", "true or false"),
    ("b", " true", "true or false"),
    ("f", "fast", "a number"),
    ("f", "1.2.3", "a number"),
    ("f", "-", "a number"),
]


@pytest.mark.parametrize(("column", "value", "expected"), WRONG_VALUES)
def test_a_value_of_another_type_is_named_with_its_row(refused, column, value, expected):
    cells = {"id": "x", "n": "1", "b": "true", "f": "0.5"} | {column: value}
    message = refused(HEADER + ROW * 2 + ",".join(cells.values()) + "\n" + ROW)
    assert_says(
        message,
        f"column {column} is not {expected} in data row 3 ('{value}')",
        "correct or remove those rows",
    )


@pytest.mark.parametrize("cells", ["q,true,0.5", "99,true,0.5", "1,true,inf", ",true,0.5"])
def test_where_a_row_less_would_be_a_gap_no_row_is_to_be_removed(tmp_path, cells):
    path = tmp_path / "log.csv"
    path.write_text(f"{HEADER}x,{cells}\n")
    message = refusal(BadInputError, lambda: read_csv(path, CONTRACT, RANGES, remedy=WHOLE_SESSIONS))
    assert_says(message, "in data row 1", "those values, or remove the whole sessions")
    assert "those rows" not in message


def test_without_a_range_the_dtype_says_what_fits(tmp_path):
    (tmp_path / "log.csv").write_text(f"{HEADER}x,128,true,0.5\n")
    message = refusal(BadInputError, lambda: read_csv(tmp_path / "log.csv", CONTRACT, {}))
    assert_says(message, "column n is not a whole number from -128 to 127 in data row 1 ('128')")


@pytest.mark.parametrize("value", ["0", "21"])
def test_a_number_outside_its_range_is_named_with_its_row(refused, value):
    message = refused(f"{HEADER}{ROW}x,{value},true,0.5\n")
    assert_says(
        message, f"column n is not a whole number from 1 to 20 in data row 2 ({value})", "correct or remove"
    )


@pytest.mark.parametrize("value", ["NaN", "nan", "inf", "-inf", "1e39", "1e50"])
def test_a_float_that_is_not_finite_is_named_with_its_row(refused, value):
    message = refused(f"{HEADER}{ROW}x,1,true,{value}\n")
    assert_says(
        message,
        f"column f is not a finite 32-bit number in data row 2 ('{value}');",
        "correct or remove those rows",
    )


@pytest.mark.parametrize("column", ["n", "b", "f"])
def test_an_empty_cell_is_named_with_its_row(refused, column):
    cells = {"id": "x", "n": "1", "b": "true", "f": "0.5"} | {column: ""}
    message = refused(f"{HEADER}{ROW}{','.join(cells.values())}\n")
    assert_says(message, f"column {column} has no value in data row 2", "must be filled", "Fill in or remove")


def test_bytes_that_are_not_utf_8_are_shown(refused):
    message = refused(f"{HEADER}{ROW}".encode() + b"caf\xe9,1,true,0.5\n")
    assert_says(message, r"column id is not UTF-8 text in data row 2 (b'caf\xe9')", "save the file as UTF-8")


def test_bytes_that_are_not_utf_8_in_a_column_of_numbers_are_shown(refused):
    message = refused(f"{HEADER}{ROW}".encode() + b"x,\xe9,true,0.5\n")
    assert_says(message, r"column n is not a whole number from 1 to 20 in data row 2 (b'\xe9')")


def test_only_the_first_rows_are_listed_and_the_others_counted(refused):
    message = refused(HEADER + ROW + "x,q,true,0.5\n" * 7)
    assert "data rows 2 ('q'), 3 ('q'), 4 ('q'), 5 ('q'), 6 ('q') and 2 more;" in message


def test_a_long_value_is_cut(refused):
    message = refused(f"{HEADER}x,{'q' * 5000},true,0.5\n")
    assert "qqq…" in message
    assert len(message) < 400


def test_rows_are_counted_from_one_below_the_header():
    assert rows_text(np.array([0])) == "data row 1"
    assert rows_text(np.array([0, 4])) == "data rows 1, 5"
    assert rows_text(np.array([1]), pa.array(["x", "y"])) == "data row 2 ('y')"


@given(column=st.sampled_from(["n", "b", "f"]), value=st.text("0123456789+-.eExinfatrusNA \t_é"))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_a_cell_is_read_or_named_with_column_and_row(read, column, value):
    cells = {"id": "x", "n": "1", "b": "true", "f": "0.5"} | {column: value}
    content = f"{HEADER}{ROW}{','.join(cells.values())}\n"
    try:
        outcome = read(content).num_rows
    except BadInputError as refused:
        outcome = str(refused)
    assert outcome == 2 or (f"column {column} " in outcome and "row 2" in outcome)


# --- Rows that do not split into columns ----------------------------------------------------------------

BLOCK = 90_000  # rows: more than one of the blocks that Arrow reads at a time


@pytest.mark.parametrize("before", [0, BLOCK])
@pytest.mark.parametrize(
    ("row", "found"),
    [("x,1,true", "3 values"), ('"x,y",1,true,0.5,', "5 values"), ("  ", "1 value")],
    ids=["short", "long", "spaces"],
)
def test_a_row_with_more_or_fewer_values_than_columns_is_named(refused, row, found, before):
    message = refused(HEADER + ROW * before + row + "\n" + ROW)
    assert_says(
        message,
        f"not one value per column in data row {before + 1} ({found})",
        "expected 4 separated by commas",
        "stray comma or quote",
    )


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz"])
def test_a_lone_carriage_return_is_a_line_break(read, refused, name):
    def file(text):
        content = text.encode()
        return gzip.compress(content) if name.endswith(".gz") else content

    assert read(file((HEADER + ROW * 2).replace("\n", "\r")), name).to_pylist() == ONE_ROW * 2
    assert "in data row 2 (2 values)" in refused(file(f"{HEADER}{ROW}x,1\n".replace("\n", "\r")), name)
    broken = refused(file(f"{HEADER}x,1\rtrue,0.5\n{ROW}"), name)
    assert "in data rows 1 (2 values), 2 (2 values)" in broken


def test_blank_lines_are_not_counted_as_rows(refused):
    assert "in data row 2 (2 values)" in refused(f"{HEADER}\n{ROW}\n\nx,1\n")
    assert "in data row 2 ('q')" in refused(f"{HEADER}\n{ROW}\n\nx,q,true,0.5\n")


@pytest.mark.parametrize("before", [0, BLOCK])
@pytest.mark.parametrize("after", [3, 3 * BLOCK])
def test_a_quote_that_stays_open_is_found_in_its_own_row(refused, before, after):
    message = refused(
        HEADER.replace("n,b", "b,n") + "x,true,1,0.5\n" * before + 'x,"true,1,0.5\n' + ROW * after
    )
    assert_says(
        message, f"data row {before + 1} (stray quote in column b: '\"true,1,0.5')", "every quote closed"
    )


def test_text_after_a_closed_quote_is_shown_from_the_quote_on(refused):
    message = refused(f'{HEADER}{ROW}x,1,"true"s,0.5,9\n')
    assert_says(message, "data row 2 (stray quote in column b: '\"true\"s,0.5,9')", "every quote closed")


def test_a_quote_that_stays_open_in_the_last_column_is_named(refused):
    message = refused('n,b,f,id\n1,true,0.5,x\n1,true,0.5,"y\n1,true,0.5,z\n')
    assert_says(
        message, "column id", "line break", "data row 2", "expected one line of text", "unclosed quote"
    )


def test_a_quote_in_the_last_column_that_swallows_more_than_a_block_is_named(refused):
    message = refused('n,b,f,id\n1,true,0.5,"y\n' + "1,true,0.5,z\n" * 3 * BLOCK)
    assert_says(message, "in data row 1 (stray quote in column id: '\"y')", "every quote closed")


@pytest.mark.parametrize("inside", ["\n", "\r\n", "\t", "\x00", "\x7f"])
def test_a_line_break_or_control_character_in_text_is_refused(refused, inside):
    message = refused(f'{HEADER}{ROW}"x{inside}y",1,true,0.5\n')
    assert_says(
        message, "column id has a line break or control character in data row 2", "expected one line of text"
    )
