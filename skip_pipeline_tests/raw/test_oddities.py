import pyarrow as pa
import pytest

from skip_pipeline.raw.oddities import is_junk_date, unknown_levels
from skip_pipeline.raw.session_log import read_session_log
from skip_pipeline.raw.text_columns import value_counts
from skip_pipeline_tests.builders import PUBLISHED_ROWS, session


def test_unknown_levels_are_counted_by_column_and_level(load):
    starts = ["popup", "popup", "uriopen", *["trackdone"] * 6, ""]
    _, summary = load(session(hist_user_behavior_reason_start=starts, context_type="Radio"))
    assert summary.unknown_levels == {
        "context_type": {"Radio": 10},
        "hist_user_behavior_reason_start": {"": 1, "popup": 2, "uriopen": 1},
    }


@pytest.mark.parametrize(
    "date",
    [
        "1969-12-31",
        "2032-01-01",
        "soon",
        "",
        "2018-02-30",
        "15.07.2018",
        "20180715",
        "2008-10-06",
        "2026-03-03",
    ],
)
def test_a_junk_date_is_counted(load, date):
    _, summary = load(session(date=["2018-07-15"] * 8 + [date] * 2))
    assert summary.junk_dates == {date: 2}


@pytest.mark.parametrize(
    "written",
    ["2018-07-15 00:00:00", "2018-07-15T00:00:00", "2018-07-15 00:00", "2018-07-15 00:00:00.000000"],
)
def test_a_date_with_the_time_of_midnight_is_the_date(load, written):
    log, summary = load(session(date=["2018-07-15"] * 4 + [written] * 4 + ["2018-07-15 12:00:00"] * 2))
    assert summary.dates == {"2018-07-15": 8}
    assert summary.junk_dates == {"2018-07-15 12:00:00": 2}
    assert log["date"].to_pylist()[3:5] == ["2018-07-15"] * 2


@pytest.mark.parametrize("date", ["2008-10-07", "2018-07-15", "2026-03-01", "2026-03-02"])
def test_a_plausible_date_is_not_counted(load, date):
    _, summary = load(session(date=date))
    assert summary.junk_dates == {}


def test_published_rows_know_no_unknown_level_and_no_junk_date(today):
    log = read_session_log(PUBLISHED_ROWS)
    assert unknown_levels(log) == {}
    assert not any(is_junk_date(date, today) for date in value_counts(log["date"]))


def test_a_value_that_belongs_to_no_row_is_not_counted(today):
    text = pa.DictionaryArray.from_arrays(pa.array([1, 1], pa.int32()), pa.array(["popup", "radio"]))
    assert unknown_levels(pa.table({"context_type": text})) == {}
    dates = pa.DictionaryArray.from_arrays(pa.array([1, 1], pa.int32()), pa.array(["soon", "2018-07-15"]))
    assert value_counts(pa.chunked_array([dates])) == {"2018-07-15": 2}


def test_text_as_strings_is_counted_the_same():
    table = pa.table({"mode": ["minor", "dorian", "major", "dorian"]})
    assert unknown_levels(table) == {"mode": {"dorian": 2}}


def test_empty_text_is_no_level_where_values_may_be_missing():
    table = pa.table({"context_type": ["", "car", "radio"], "mode": ["", "", "major"]})
    assert unknown_levels(table) == {"context_type": {"": 1, "car": 1}, "mode": {"": 2}}
    assert unknown_levels(table, may_be_empty=("context_type",)) == {
        "context_type": {"car": 1},
        "mode": {"": 2},
    }
