import json

import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError, BrokenSessionError
from skip_pipeline.raw import session_log
from skip_pipeline.raw.session_log import (
    SESSION_LOG,
    SessionLogSummary,
    combine,
    load_session_log,
    order_session_log,
    read_session_log,
)
from skip_pipeline.stages.merge import merge
from skip_pipeline_tests.builders import (
    PUBLISHED_ROWS,
    assert_says,
    csv_bytes,
    deliver,
    log_table,
    refusal,
    session,
    track,
    track_table,
)


@pytest.fixture
def refused(load, log_path):
    """What such a session log is refused with; every message must name the file."""

    def refused(content, error=BadInputError):
        message = refusal(error, lambda: load(content))
        assert str(log_path) in message
        return message

    return refused


@pytest.fixture
def load_all(today):
    """Summaries of all session logs, combined."""

    def load_all(*paths):
        return combine({path: load_session_log(path, among=paths, today=today)[1] for path in paths})

    return load_all


# --- Published rows -------------------------------------------------------------------------------------


def test_published_rows_are_read_into_the_typed_table():
    log = read_session_log(PUBLISHED_ROWS)
    assert log.schema.equals(SESSION_LOG)
    assert log.num_rows == 14
    assert log.slice(13).to_pylist() == [
        {
            "session_id": "0_00010fc5-b79e-4cdf-bc4c-f140d0f99a3a",
            "session_position": 1,
            "session_length": 20,
            "track_id_clean": "t_8f9f2397-334b-48ee-9120-96d9ddf32f92",
            "skip_1": False,
            "skip_2": False,
            "skip_3": True,
            "not_skipped": False,
            "context_switch": 0,
            "no_pause_before_play": 0,
            "short_pause_before_play": 0,
            "long_pause_before_play": 0,
            "hist_user_behavior_n_seekfwd": 0,
            "hist_user_behavior_n_seekback": 0,
            "hist_user_behavior_is_shuffle": False,
            "hour_of_day": 19,
            "date": "2018-07-15",
            "premium": True,
            "context_type": "radio",
            "hist_user_behavior_reason_start": "fwdbtn",
            "hist_user_behavior_reason_end": "fwdbtn",
        }
    ]


def test_published_rows_written_back_in_the_raw_spelling_are_the_file_byte_for_byte():
    log = read_session_log(PUBLISHED_ROWS)
    assert csv_bytes(log.to_pylist(), log.column_names) == PUBLISHED_ROWS.read_bytes()


def test_published_rows_merge_with_features_of_their_tracks_to_50_columns():
    log = read_session_log(PUBLISHED_ROWS)
    tracks = track_table(*map(track, log["track_id_clean"].to_pylist()))
    merged = merge(log, tracks, shard="log.csv")
    assert (merged.num_rows, merged.num_columns) == (14, 50)
    assert merged.select(log.column_names).cast(schema.SESSION_LOG).equals(log.cast(schema.SESSION_LOG))


# --- Single values of a session log ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "fact"),
    [
        ("session_position", 21, "is not a whole number from 1 to 20 in data row 4 (21)"),
        ("session_length", 9, "is not a whole number from 10 to 20 in data row 4 (9)"),
        ("hour_of_day", 24, "is not a whole number from 0 to 23 in data row 4 (24)"),
        ("context_switch", 2, "is not a whole number from 0 to 1 in data row 4 (2)"),
        ("hist_user_behavior_n_seekfwd", -1, "is not a whole number from 0 to 2147483647 in data row 4 (-1)"),
        ("hist_user_behavior_n_seekback", 2**31, "from 0 to 2147483647 in data row 4 ('2147483648')"),
        ("skip_2", "no", "is not true or false in data row 4 ('no')"),
        ("session_id", "", "is empty in data row 4; every row needs an id"),
        ("track_id_clean", "", "is empty in data row 4; every row needs an id"),
    ],
)
def test_a_wrong_value_is_named_with_its_row(refused, column, value, fact):
    rows = session()
    rows[3][column] = value
    message = refused(rows)
    assert_says(message, f"column {column}", fact, "or remove the whole sessions")


def test_a_long_id_is_cut(refused):
    message = refused(session("s" * 5_000)[:9], BrokenSessionError)
    assert_says(message, "session 'sss", "…", "lacks 10")
    assert len(message) < 600


# --- Sessions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [10, 20])
def test_whole_sessions_are_loaded_and_counted(load, length):
    log, summary = load(session("s1", length) + session("s2", 10))
    assert log.schema.equals(SESSION_LOG)
    assert (summary.rows, summary.sessions, summary.reordered) == (length + 10, 2, False)
    assert sum(summary.lengths.values()) == 2
    assert summary.lengths[length] >= 1


def test_rows_in_any_order_are_sorted_by_session_and_position(load):
    rows = session("s1") + session("s2", 12)
    ordered, _ = load(rows)
    log, summary = load(rows[::-2] + rows[::2])
    assert summary.reordered
    assert log.equals(ordered)
    assert log["session_id"].chunk(0).dictionary.to_pylist() == ["s1", "s2"]
    assert log["session_position"].to_pylist() == [*range(1, 11), *range(1, 13)]


@pytest.mark.parametrize(
    ("positions", "fact"),
    [
        ([1, 2, 3, 4, 5, 5, 7, 8, 9, 10], "repeats 5 in data rows 15 (5), 16 (5); lacks 6"),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 11], "goes beyond its length with 11 in data row 20 (11); lacks 10"),
        ([2, 3, 4, 5, 6, 7, 8, 9, 10, 10], "repeats 10 in data rows 19 (10), 20 (10); lacks 1"),
        (
            [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
            "repeats 1 in data rows 11 (1), 12 (1), 13 (1), 14 (1), 15 (1) and 5 more; "
            "lacks 2, 3, 4, 5, 6 and 4 more",
        ),
    ],
    ids=["repeated", "beyond length", "first missing", "all alike"],
)
def test_wrong_positions_are_named_with_session_and_their_rows(refused, positions, fact):
    message = refused(session("s1") + session("s2", session_position=positions), BrokenSessionError)
    assert_says(
        message,
        "session 's2'",
        f"column session_position {fact}. ",
        "Expected 1 to 10 (session_length), each once",
        "Deliver the session whole, or remove its rows",
    )


def test_a_missing_row_is_named_with_session_and_rows(refused):
    message = refused(session("s1") + session("s2")[:6] + session("s2")[7:], BrokenSessionError)
    assert_says(
        message,
        "session 's2'",
        "column session_position lacks 7 among data rows 11, 12, 13, 14, 15 and 4 more. Expected",
    )


@pytest.mark.parametrize("cut", [slice(1, None), slice(None, -1)], ids=["first", "last"])
def test_a_missing_end_is_noticed(refused, cut):
    assert "column session_position lacks" in refused(session("s1")[cut], BrokenSessionError)


def test_a_session_listed_twice_over_is_refused(refused):
    message = refused(session("s1") + session("s2") + session("s1"), BrokenSessionError)
    assert_says(
        message,
        "session 's1'",
        "repeats 1, 2, 3, 4, 5 and 5 more in data rows 1 (1), 21 (1), 2 (2), 22 (2), 3 (3) and 15 more. ",
    )


def test_rows_are_named_as_they_stand_in_a_file_that_is_not_sorted(refused):
    message = refused(session("s2")[:9] + session("s1"), BrokenSessionError)
    assert_says(message, "session 's2'", "lacks 10 among data rows 1, 2, 3, 4, 5 and 4 more. ")


def test_repeated_rows_are_named_as_they_stand_in_a_file_that_is_not_sorted(refused):
    rows = session("s2")[::-1] + session("s1")
    rows[3] = rows[0]
    message = refused(rows, BrokenSessionError)
    assert_says(message, "session 's2'", "repeats 10 in data rows 1 (10), 4 (10); lacks 7. ")


def test_a_length_that_changes_within_a_session_is_named(refused):
    lengths = [10] * 9 + [11]
    message = refused(session("s1") + session("s2", session_length=lengths), BrokenSessionError)
    assert_says(
        message,
        "session 's2'",
        "column session_length differs in data row 20 (11) from the 10 of the other rows",
        "expected one length throughout",
        "Correct the lengths, or remove the session",
    )


def test_further_broken_sessions_are_counted(refused):
    broken = [row for name in ("s1", "s2", "s3") for row in session(name)[:-1]]
    assert "session 's1' and 2 more: " in refused(broken + session("s4"), BrokenSessionError)


# --- Sessions in two files ------------------------------------------------------------------------------


def test_summaries_of_files_add_up(raw, load_all):
    first = deliver(raw / "a.csv", session("s1", 10, date="1969-12-31", context_type="smart_speaker"))
    last = session("s3", 12, context_type="car")[::-1]
    second = deliver(raw / "b.csv.gz", session("s2", 10, date="1969-12-31") + last)
    summary = load_all(first, second)
    assert (summary.rows, summary.sessions, summary.lengths) == (32, 3, {10: 2, 12: 1})
    assert summary.junk_dates == {"1969-12-31": 20}
    assert summary.unknown_levels == {"context_type": {"car": 12, "smart_speaker": 10}}
    assert summary.reordered


def test_a_summary_survives_json(load):
    _, summary = load(session("s1", context_type="car", date="soon") + session("s2", 12))
    content = json.loads(json.dumps(summary.to_json()))
    assert SessionLogSummary.from_json(content, summary.session_hashes) == summary


@pytest.mark.parametrize("cut", [1, 4, 9])
def test_a_session_whose_rows_lie_in_two_files_is_refused_naming_both(raw, load_all, cut):
    first = deliver(raw / "a.csv", session("s1") + session("s2")[:cut])
    second = deliver(raw / "b.csv", session("s2")[cut:] + session("s3"))
    message = refusal(BadInputError, lambda: load_all(first, second))
    assert_says(
        message,
        "session 's2' (column session_id) has rows in both",
        f"{first} (data row",
        f"{second} (data row",
        "expected every session whole in one file",
        "join its rows in one file",
    )


def test_a_session_that_looks_whole_in_either_file_is_refused_naming_both(raw, load_all):
    first = deliver(raw / "a.csv", session("s1") + session("s2"))
    second = deliver(raw / "b.csv", session("s2") + session("s3"))
    message = refusal(BadInputError, lambda: load_all(first, second))
    assert_says(
        message,
        "session 's2' (column session_id)",
        f"{first} (data rows 11, 12, 13, 14, 15 and 5 more)",
        f"{second} (data rows 1, 2, 3, 4, 5 and 5 more)",
        "expected every session whole in one file",
        "Remove the copy",
    )


def test_a_few_rows_of_a_session_that_is_whole_in_an_earlier_file_are_refused_naming_both(raw, load_all):
    first = deliver(raw / "a.csv", session("s1") + session("s2"))
    second = deliver(raw / "b.csv", session("s2")[3:5] + session("s3"))
    message = refusal(BadInputError, lambda: load_all(first, second))
    assert_says(
        message,
        "session 's2'",
        f"{second} (data rows 1, 2)",
        f"{first} (data rows 11, 12, 13, 14, 15 and 5 more)",
    )


def test_hashes_are_compared_a_share_at_a_time(raw, load_all, monkeypatch):
    monkeypatch.setattr(session_log, "_HASHES_AT_ONCE", 2)
    first = deliver(raw / "a.csv", session("s1") + session("s2") + session("s3"))
    second = deliver(raw / "b.csv", session("s2") + session("s4"))
    assert "session 's2' (column session_id) has rows in both" in refusal(
        BadInputError, lambda: load_all(first, second)
    )
    first = deliver(raw / "a.csv", session("s1") + session("s3"))
    assert load_all(first, second).sessions == 4


def test_sessions_that_share_a_hash_are_not_taken_for_one(raw, load_all, monkeypatch):
    monkeypatch.setattr(session_log, "_hashes", lambda ids: np.zeros(len(ids), np.uint64))
    first = deliver(raw / "a.csv", session("s1"))
    second = deliver(raw / "b.csv", session("s2"))
    assert load_all(first, second).sessions == 2


def test_further_sessions_in_two_files_are_counted(raw, load_all):
    first = deliver(raw / "a.csv", session("s1") + session("s2") + session("s3"))
    second = deliver(raw / "b.csv", session("s1") + session("s2") + session("s3"))
    assert ", and so have 2 more; " in refusal(BadInputError, lambda: load_all(first, second))


def test_ordering_keeps_a_sorted_table_as_it_is():
    log = log_table(session("s1"), session("s2"))
    assert order_session_log(log) == (log, False)


def test_sessions_are_sorted_as_bytes_whatever_the_order_of_delivery(load):
    ids = ["s10", "Z", "s9", "é", "a", "s1"]
    log, summary = load([row for name in ids for row in session(name)])
    assert summary.reordered
    assert log["session_id"].to_pylist()[::10] == ["Z", "a", "s1", "s10", "s9", "é"]
    assert log["session_position"].to_pylist() == [*range(1, 11)] * 6


def test_text_is_held_once_per_value(load):
    log, _ = load(session("s1", context_type=["radio"] * 9 + ["charts"]) + session("s2"))
    assert log["context_type"].chunk(0).dictionary.to_pylist() == ["radio", "charts"]
    assert log["session_id"].chunk(0).indices.to_pylist() == [0] * 10 + [1] * 10


def test_hashes_are_one_per_session_and_those_of_the_ids_alone(load):
    _, one = load(session("s1") + session("s2"))
    _, other = load((session("s2", 12) + session("s1"))[::-1])
    assert one.session_hashes.dtype == np.uint64
    assert one.session_hashes.tolist() == other.session_hashes.tolist()
    assert len(set(one.session_hashes.tolist())) == 2


def test_values_that_may_be_missing_are_null_and_no_unknown_level(load, log_path, today):
    rows = session(premium=None, context_type="", context_switch=[None, *[1] * 9])
    deliver(log_path, rows)
    unknown = ("premium", "context_type", "context_switch")
    log, summary = load_session_log(log_path, among=[log_path], today=today, may_be_empty=unknown)
    assert log["premium"].null_count == 10
    assert log["context_switch"].to_pylist() == [None, *[1] * 9]
    assert summary.unknown_levels == {}
    assert_says(
        refusal(BadInputError, lambda: load(rows)), "column context_switch has no value in data row 1"
    )


def test_a_session_in_two_logs_is_named_where_values_are_missing(raw, today):
    paths = [deliver(raw / name, session(premium=None)) for name in ("a.csv", "b.csv")]
    summaries = {
        path: load_session_log(path, among=paths, today=today, may_be_empty=("premium",))[1] for path in paths
    }
    assert_says(refusal(BadInputError, lambda: combine(summaries)), "session 's0'", "a.csv", "b.csv")
