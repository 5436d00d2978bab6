"""Rows of the raw log: pauses, hours, dates, spelling of reasons, and months."""

import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.errors import RefusedError
from skip_pipeline.streaming_history.outcomes import outcomes_of
from skip_pipeline.streaming_history.session_log import UNKNOWN_COLUMNS, by_month, session_log
from skip_pipeline.streaming_history.sittings import sessions_of
from skip_pipeline.streaming_history.tracks import tracks_of
from skip_pipeline_tests.streaming_history.plays_tables import at, in_a_row, table


def log(rows, zone="UTC"):
    plays = table(rows)
    outcomes = outcomes_of(plays)
    sessions = sessions_of(plays, outcomes.cut_off)
    return session_log(plays, outcomes, sessions, tracks_of(plays, sessions.plays), zone)


def test_the_log_has_the_published_columns_and_nulls_where_an_export_knows_nothing():
    found = log(in_a_row(10))

    assert found.schema == schema.SESSION_LOG
    assert {name for name in found.column_names if found[name].null_count} == set(UNKNOWN_COLUMNS)
    assert all(found[name].null_count == 10 for name in UNKNOWN_COLUMNS)


@pytest.mark.parametrize(
    ("gap", "flags"),
    [
        (-3_000, (1, 0, 0)),
        (5_000, (1, 0, 0)),
        (5_001, (0, 1, 0)),
        (15_000, (0, 1, 0)),
        (15_001, (0, 1, 1)),
        (1_800_000, (0, 1, 1)),
    ],
)
def test_pauses_come_from_the_gap_before_a_play(gap, flags):
    rows = in_a_row(1, 0) + in_a_row(10, 200_000 + gap)
    found = [log(rows)[f"{kind}_pause_before_play"].to_pylist() for kind in ("no", "short", "long")]

    assert tuple(column[1] for column in found) == flags
    assert [column[0] for column in found] == [0, 0, 0]


def test_the_first_row_of_a_later_window_has_no_pause_flag_either():
    found = log(in_a_row(30))["no_pause_before_play"].to_numpy()

    assert np.flatnonzero(found == 0).tolist() == [0, 20]


def test_hour_and_date_are_of_the_start_in_the_time_zone_across_a_change_of_the_clocks():
    # In Stockholm the clocks go from 02:00 to 03:00 at 01:00 UTC.
    rows = in_a_row(10, "2024-03-30 22:50:00", heard=20 * 60_000)
    found = log(rows, "Europe/Stockholm")

    assert found["hour_of_day"].to_pylist() == [23, 0, 0, 0, 1, 1, 1, 3, 3, 3]
    assert found["date"].to_pylist() == ["2024-03-30"] + ["2024-03-31"] * 9


def test_reasons_that_mean_a_published_level_are_spelled_like_it():
    rows = in_a_row(10)
    starts = ["click-row", "clickside", "nextbtn", "", None, "autoplay", "trackdone", "clickrow", "x", "y"]
    for row, reason in zip(rows, starts, strict=True):
        row["reason_start"] = reason
    rows[0]["reason_end"] = "nextbtn"
    found = log(rows)

    assert found["hist_user_behavior_reason_start"].to_pylist() == [
        "clickrow", "clickrow", "fwdbtn", "unknown", "unknown", "autoplay", "trackdone", "clickrow", "x", "y",
    ]  # fmt: skip
    assert found["hist_user_behavior_reason_end"][0].as_py() == "fwdbtn"


def test_a_session_is_of_the_month_in_which_it_begins_in_the_time_zone():
    rows = in_a_row(10, at("2023-12-31 23:50:00")) + in_a_row(10, at("2023-11-30 22:30:00"), person=2)
    months = dict(by_month(log(rows, "UTC")))
    local = dict(by_month(log(rows, "Europe/Stockholm")))

    assert {month: len(part) for month, part in months.items()} == {"202311": 10, "202312": 10}
    assert {month: len(part) for month, part in local.items()} == {"202311": 10, "202401": 10}
    assert list(months) == sorted(months)


@pytest.mark.parametrize("zone", ["Europe/Stockhom", "", "local"])
def test_a_time_zone_that_is_not_known_is_refused(zone):
    with pytest.raises(RefusedError, match=r"is not known.*such as Europe/Stockholm\. Correct --time-zone"):
        log(in_a_row(10), zone)
