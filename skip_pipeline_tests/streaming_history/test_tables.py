import datetime as dt
import gzip
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skip_pipeline.errors import BadInputError
from skip_pipeline.streaming_history.export_json import read_records
from skip_pipeline.streaming_history.plays import RECORDS
from skip_pipeline.streaming_history.tables import read_table
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.streaming_history.exports_for_tests import (
    audiobook,
    content,
    local,
    play,
    podcast,
    track_id,
    uri,
)

WHEN = "2023-03-01T18:05:59Z"
END = 1_677_693_959_000


def frame(**columns: object) -> pd.DataFrame:
    """Three plays; a keyword sets a column, by one value or three."""
    plain = {
        "ts": "2023-03-01 18:05:59",
        "ms_played": [5, 6, 7],
        "spotify_track_uri": [track_id(1), track_id(2), track_id(3)],
        "reason_start": "trackdone",
        "reason_end": "fwdbtn",
        "shuffle": [True, False, True],
    }
    return pd.DataFrame(plain | columns)


@pytest.fixture(params=["csv", "csv.gz", "parquet"])
def save(request, tmp_path):
    def saved(table: pd.DataFrame):
        path = tmp_path / f"history.{request.param}"
        if request.param == "parquet":
            table.to_parquet(path)
        else:
            table.to_csv(path, index=False)
        return path

    return saved


def column(path, name: str) -> list[object]:
    values: list[object] = read_table(path)[name].to_pylist()
    return values


def refused(path) -> str:
    return refusal(BadInputError, lambda: read_table(path))


def csv(tmp_path, text: str | bytes):
    path = tmp_path / "history.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_table_of_all_fields_is_the_export(save):
    records = [play(WHEN, 8), local(WHEN), podcast(WHEN), audiobook(WHEN), play(WHEN, 9, shuffle=True)]
    table = read_table(save(pd.DataFrame(records)))
    assert table == read_records("endsong_0.json", content(records))
    assert table.schema == RECORDS


def test_bare_ids_and_short_names(save):
    table = frame(track_name='A, "B"\nC', artist_name="D", album_name=None).rename(
        columns={"spotify_track_uri": "track_id"}
    )
    assert read_table(save(table)).slice(0, 1).to_pylist() == [
        {
            "end": END,
            "heard": 5,
            "kind": 0,
            "item": track_id(1),
            "track_name": 'A, "B"\nC',
            "artist": "D",
            "album": None,
            "reason_start": "trackdone",
            "reason_end": "fwdbtn",
            "shuffle": True,
        }
    ]


def test_columns_of_names_may_be_missing(save):
    assert column(save(frame()), "track_name") == [None] * 3


def test_nulls_are_kept(save):
    path = save(frame(ts=[WHEN, None, WHEN], ms_played=[5.0, None, 0.0], reason_end=[None, "a", "b"]))
    assert column(path, "end") == [END, None, END]
    assert column(path, "heard") == [5, None, 0]
    assert column(path, "reason_end") == [None, "a", "b"]


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (["true", "false", "true"], [True, False, True]),
        (["True", "False", None], [True, False, None]),
        (["TRUE", "FALSE", "TRUE"], [True, False, True]),
        ([1.0, 0.0, None], [True, False, None]),
        ([1, 0, 1], [True, False, True]),
        ([1.0, None, 1.0], [True, False, True]),
        (["True", None, None], [True, False, False]),
    ],
)
def test_booleans(save, values, read):
    assert column(save(frame(shuffle=values)), "shuffle") == read


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("2023-03-01T18:05:59Z", 59),
        ("2023-03-01 18:05:59+00:00", 59),
        ("2023-03-01 19:05:59+01:00", 59),
        ("2023-03-01 18:05:59", 59),
        ("2023-03-01T18:05:59.250", 59.25),
        ("2023-03-01 18:05", 0),
    ],
)
def test_times(save, text, second):
    assert column(save(frame(ts=text)), "end") == [round(END + (second - 59) * 1000)] * 3


@pytest.mark.parametrize(
    "texts",
    [
        ["3/1/2023 18:05", "12/31/2022 9:00", None],
        ["3/1/23 18:05", "12/31/22 9:00", None],
        ["1/3/2023 18:05", "31/12/2022 9:00", None],
        ["01.03.2023 18:05", "31.12.2022 09:00", None],
        ["01.03.2023, 18:05:00", "31.12.2022, 09:00:00", None],
    ],
)
def test_times_of_spreadsheets(save, texts):
    ends = [datetime(2023, 3, 1, 18, 5, tzinfo=UTC), datetime(2022, 12, 31, 9, tzinfo=UTC)]
    assert column(save(frame(ts=texts)), "end") == [*(int(end.timestamp() * 1000) for end in ends), None]


def test_times_of_a_spreadsheet_with_the_day_first_whatever_the_days(save):
    assert column(save(frame(ts="01.03.2023 18:05")), "end") == [END - 59_000] * 3


@pytest.mark.parametrize(
    "kind",
    [pa.timestamp("ns"), pa.timestamp("s"), pa.timestamp("us", "UTC"), pa.timestamp("ms", "Asia/Tokyo")],
)
def test_times_of_parquet(tmp_path, kind):
    table = pa.Table.from_pandas(frame())
    ends = pa.array([END, None, END]).cast(pa.timestamp("ms")).cast(kind)
    path = tmp_path / "history.parquet"
    pq.write_table(table.set_column(0, "ts", ends), path)
    assert column(path, "end") == [END, None, END]


def test_text_of_parquet_in_other_types(tmp_path):
    table = pa.Table.from_pandas(frame())
    coded = table["reason_end"].combine_chunks().cast(pa.string()).dictionary_encode()
    large = table["spotify_track_uri"].cast(pa.large_string())
    path = tmp_path / "history.parquet"
    pq.write_table(table.set_column(4, "reason_end", coded).set_column(2, "spotify_track_uri", large), path)
    assert column(path, "reason_end") == ["fwdbtn"] * 3
    assert column(path, "item") == [track_id(1), track_id(2), track_id(3)]


@pytest.mark.parametrize(
    ("columns", "facts"),
    [
        ({"ts": [WHEN, "3:soon", WHEN]}, ["column ts", "data row 2 ('3:soon')", "2023-01-31 18:05:59"]),
        ({"ts": [WHEN, "2023-03-01 18:05:59", WHEN]}, ["data row 2", "all in one form"]),
        ({"ts": "2023-03-01"}, ["column ts", "data rows 1 ('2023-03-01'), 2", "time of day"]),
        ({"ts": "3/1/2023 18:05"}, ["column ts", "cannot be told apart", "2023-01-31 18:05"]),
        (
            {"ts": ["3/31/2023 18:05", "31/3/2023 18:05", None]},
            ["column ts", "data row 1 ('3/31/2023 18:05')"],
        ),
        ({"ts": "2/30/2023 18:05"}, ["column ts", "data rows 1"]),
        ({"ts": 1_677_693_959}, ["column ts", "data rows 1"]),
        ({"ms_played": [5, -6, 7]}, ["column ms_played", "data row 2", "whole milliseconds"]),
        ({"ms_played": [5, 6.5, 7]}, ["column ms_played", "data row 2"]),
        ({"ms_played": ["5", "6 s", "7"]}, ["column ms_played", "data row 2 ('6 s')"]),
        ({"ms_played": [5, 2**31, 7]}, ["column ms_played", "data row 2"]),
        ({"shuffle": ["true", "maybe", None]}, ["column shuffle", "data row 2 ('maybe')", "true, false"]),
        ({"spotify_track_uri": [uri(1), "1", None]}, ["spotify_track_uri", "data row 2 ('1')"]),
        ({"reason_end": ["a", "b;c", None]}, ["reason_end", "data row 2 ('b;c')"]),
    ],
)
def test_a_wrong_value_is_refused_by_row_and_column(save, columns, facts):
    path = save(frame(**columns))
    assert_says(refused(path), str(path), *facts, "expected", "remove those rows")


@pytest.mark.parametrize("name", list(frame()))
def test_a_missing_column_is_named(save, name):
    path = save(frame().drop(columns=name))
    assert_says(
        refused(path), str(path), f"misses {name} among its columns", "expected", "Rename or add columns"
    )


def test_a_column_twice_is_refused(tmp_path):
    assert_says(
        refused(csv(tmp_path, "ts,ts,ms_played,track_id,reason_start,reason_end,shuffle\n")), "more than once"
    )


HEADER = "ts,ms_played,track_id,reason_start,reason_end,shuffle,ip_addr\n"


def test_a_ragged_row_is_refused_without_its_values(tmp_path):
    message = refused(csv(tmp_path, HEADER + "2023-03-01 18:05:59,5,,a,b,true,198.51.100.7,more\n"))
    assert_says(message, "history.csv", "line 2 has 8 values, not 7", "expected CSV")
    assert "198.51" not in message


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("", ["is empty", "expected a header line"]),
        (HEADER.replace(",", ";"), ["separated by ';'", "Separate the values by commas"]),
        (HEADER.encode("utf-16"), ["is text in UTF-16", "Save the file as CSV in UTF-8"]),
        (b"PK\3\4", ["is a zip archive, as .xlsx files are"]),
        (HEADER.encode() + b"2023-03-01 18:05:59,5,\xff,a,b,true,\n", ["UTF8", "expected CSV"]),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, text, facts):
    assert_says(refused(csv(tmp_path, text)), "history.csv", *facts)


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    path = tmp_path / "history.parquet"
    path.write_bytes(b"PAR1")
    assert_says(refused(path), "history.parquet is a damaged parquet file", "expected", "copy the file again")


@pytest.mark.parametrize(
    ("name", "values", "facts"),
    [
        ("ts", [["x"]] * 3, "column ts is wrong in data rows 1 (['x']), 2 (['x']), 3 (['x']); expected text"),
        ("ms_played", [dt.date(2023, 3, 1)] * 3, "column ms_played is wrong in data rows 1"),
        ("reason_end", [{"a": 1}, None, None], "column reason_end is wrong in data row 1 ({'a': 1})"),
        ("reason_end", [b"\xed\xa0\x80", b"", b""], "column reason_end is wrong in data row 1 (b'\\xed"),
    ],
)
def test_a_type_of_parquet_that_holds_no_such_values_is_refused(tmp_path, name, values, facts):
    path = tmp_path / "history.parquet"
    table = pa.Table.from_pandas(frame())
    pq.write_table(table.set_column(table.column_names.index(name), name, pa.array(values)), path)
    assert_says(refused(path), facts, "Correct or remove")


def test_text_of_parquet_that_is_no_utf_8_is_refused_by_row(tmp_path):
    path = tmp_path / "history.parquet"
    frame(reason_end=["fwdbtn", "fwd___", "fwdbtn"]).to_parquet(path, compression=None)
    path.write_bytes(path.read_bytes().replace(b"fwd___", b"fwd\xed\xa0\x80"))
    assert_says(refused(path), "column reason_end is wrong in data row 2 (b'fwd\\xed\\xa0\\x80')")


def test_a_gzip_file_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / "history.csv.gz"
    path.write_bytes(gzip.compress(HEADER.encode() * 999)[:40])
    assert_says(refused(path), "history.csv.gz", "gzip", "expected")


def test_a_byte_order_mark_is_read_over(tmp_path):
    row = b"2023-03-01 18:05:59,5,,a,b,true,\n"
    assert column(csv(tmp_path, b"\xef\xbb\xbf" + HEADER.encode() + row), "heard") == [5]


def test_plain_text_under_the_name_of_a_gzip_file_is_refused(tmp_path):
    path = tmp_path / "history.csv.gz"
    path.write_text(HEADER)
    assert_says(refused(path), "history.csv.gz", "does not start as gzip", "Rename")


def test_a_table_without_rows_is_read(tmp_path):
    assert read_table(csv(tmp_path, HEADER)).num_rows == 0
