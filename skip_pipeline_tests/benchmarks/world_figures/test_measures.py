"""Figures of tiny sets, each worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.world_figures.measures import measure
from benchmarks.world_figures.published import figures
from skip_pipeline_tests.builders import Row, log_table, session, track, track_table

T, F = True, False
LOUDNESS = -7.0  # within the outlier filter
TRACKS = [track(f"t_{i:02}", loudness=LOUDNESS) for i in range(1, 21)]
START, END = "hist_user_behavior_reason_start", "hist_user_behavior_reason_end"
SEEK = "hist_user_behavior_n_seekfwd"


def measured(*sessions: list[Row], tracks: list[Row] = TRACKS) -> Any:
    return measure(log_table(*sessions), track_table(*tracks))


# --- The log: counts ------------------------------------------------------------------------------


def test_sizes() -> None:
    sizes = measured(session("a", 10), session("b", 12))["sizes"]
    assert sizes == {
        "log rows": 22,
        "log columns": 21,
        "sessions": 2,
        "tracks in the log": 12,
        "track rows": 20,
        "track columns": 30,
        "missing values": 0,
        "tracks in one table only": 8,
    }


def test_lengths_and_positions() -> None:
    world = measured(session("a", 10), session("b", 10), session("c", 20))
    assert world["sessions_by_length"] == {"10": 2 / 3, "20": 1 / 3}
    assert world["rows_by_length"] == {"10": 0.5, "20": 0.5}
    assert world["rows_by_position"]["10"] == 3 / 40
    assert world["rows_by_position"]["11"] == 1 / 40
    assert world["session_length_of_rows"]["session_length / mean"] == 15


def test_skip_flags_alone_jointly_and_on_last_tracks() -> None:
    one = [T, F, F, F, F, F, F, F, F, F]
    two = [T, T, F, F, F, F, F, F, F, F]
    three = [T, T, T, F, F, F, F, F, F, F]
    played = [F, F, F, F, T, T, T, T, T, T]
    world = measured(session(length=10, skip_1=one, skip_2=two, skip_3=three, not_skipped=played))
    assert world["skip_flags"] == {"skip_1": 0.1, "skip_2": 0.2, "skip_3": 0.3, "not_skipped": 0.6}
    assert world["skip_flags_joint"] == {
        "skip_1": 0.1,
        "skip_2 without skip_1": 0.1,
        "skip_3 without skip_2": 0.1,
        "not_skipped": 0.6,
        "none of the four": 0.1,
    }
    assert set(world["skip_flags_nesting"].values()) == {0}
    assert world["last_track"]["skip_2"] == 0
    assert world["last_track"]["not_skipped"] == 1


def test_rows_that_break_the_nesting_are_counted() -> None:
    world = measured(session(skip_1=[T] + 9 * [F], skip_3=[F, T, T] + 7 * [F], not_skipped=[T, T] + 8 * [F]))
    assert world["skip_flags_nesting"] == {
        "skip_1 without skip_2": 1,
        "skip_2 without skip_3": 0,
        "not_skipped with skip_3": 1,
    }


def test_levels_and_flags_of_rows() -> None:
    world = measured(
        session("a", context_type="radio"), session("b", context_type=["charts"] + 9 * ["radio"])
    )
    assert world["context_type"] == {"radio": 0.95, "charts": 0.05}
    assert world["row_flags"]["no_pause_before_play"] == 1
    assert world["row_flags"]["context_switch"] == 0


def test_premium_by_session() -> None:
    world = measured(session("a"), session("b", premium=False), session("c", premium=[F] + 9 * [T]))
    assert world["premium_by_session"] == {"all rows": 1 / 3, "no row": 1 / 3, "some rows": 1 / 3}
    assert world["full_premium"] == {"premium": 1 / 3}


def test_seeks() -> None:
    seeks = measured(session(hist_user_behavior_n_seekfwd=[0, 0, 0, 0, 0, 0, 0, 2, 2, 6]))["seeks"]
    assert seeks[f"{SEEK} / mean"] == 1
    assert seeks[f"{SEEK} / max"] == 6
    assert seeks[f"{SEEK} / rows of 1 or more"] == 3
    assert seeks[f"{SEEK} / distinct values"] == 3
    assert seeks[f"{SEEK} / 50%"] == 0
    assert seeks[f"{SEEK} / 99.9%"] == pytest.approx(2 + 0.991 * 4)  # rank 0.999 * 9 = 8.991


def test_hours_dates_and_years() -> None:
    days = ["2018-07-14"] * 4 + ["2018-07-15"] * 6
    world = measured(
        session("a", date=days, hour_of_day=[23] * 4 + [0] * 6),
        session("b", date="1970-01-01", hour_of_day=9),
    )
    assert world["hours"] == {"0": 0.3, "9": 0.5, "23": 0.2}
    assert world["hour_bands"]["night, 0-4"] == 0.3
    assert world["hour_bands"]["evening, 16-19"] == 0
    assert world["dates"] == {"2018-07-14": 0.2, "2018-07-15": 0.3, "1970-01-01": 0.5}
    assert world["dates_distinct"] == {"dates": 3}
    assert world["full_years"] == {"2018": 0.5, "1970": 0.5}


def test_distinct_values_per_session() -> None:
    distinct = measured(session("a", premium=[F] + 9 * [T]), session("b"))["full_distinct_per_session"]
    assert distinct["premium"] == 1.5
    assert distinct["date"] == 1


def test_a_start_follows_an_end_within_a_session_only() -> None:
    ends = ["fwdbtn"] * 5 + ["trackdone"] * 5
    starts = ["fwdbtn", *ends[:-1]]
    one_off = [*starts[:-1], "clickrow"]
    world = measured(
        session("a", hist_user_behavior_reason_start=starts, hist_user_behavior_reason_end=ends),
        session("b", hist_user_behavior_reason_start=one_off, hist_user_behavior_reason_end=ends),
    )
    assert world["start_follows_end"] == {"same reason": 17 / 18}


# --- The log: rates -------------------------------------------------------------------------------


def test_skip_rates_by_position_hour_context_and_premium() -> None:
    world = measured(
        session("a", skip_2=[T] + 9 * [F], premium=False, hour_of_day=7),
        session("b", skip_2=5 * [T] + 5 * [F], context_type="charts", hour_of_day=8),
    )
    assert world["skip_2_by_position"]["1"] == 1
    assert world["skip_2_by_position"]["2"] == 0.5
    assert "11" not in world["skip_2_by_position"]
    assert world["skip_2_by_hour"] == {"7": 0.1, "8": 0.5}
    assert world["skip_2_by_context_type"] == {"radio": 0.1, "charts": 0.5}
    assert world["skip_2_by_premium"] == {"false": 0.1, "true": 0.5}


def test_cross_tables() -> None:
    world = measured(
        session(
            context_type=["charts"] * 4 + ["radio"] * 6,
            premium=[T, T, T, F] + [T] * 6,
            hist_user_behavior_reason_start=["fwdbtn"] * 5 + ["trackdone"] * 5,
            hist_user_behavior_reason_end=["fwdbtn"] + ["trackdone"] * 9,
        )
    )
    assert world["reason_end_by_reason_start"]["fwdbtn / fwdbtn"] == 0.2
    assert world["reason_end_by_reason_start"]["trackdone / trackdone"] == 1
    assert world["reason_end_by_reason_start"]["trackdone / logout"] == 0
    assert world["reason_start_by_context_type"]["radio / fwdbtn"] == 1 / 6
    assert world["flags_by_context_type"]["charts / premium"] == 0.75
    assert world["flags_by_reason_start"]["fwdbtn / premium"] == 0.8


def test_pauses_jointly() -> None:
    world = measured(
        session(
            no_pause_before_play=[0, 0, 0, 1, 1, 1, 1, 1, 1, 1],
            short_pause_before_play=[0, 1, 0, 1, 0, 0, 0, 0, 0, 0],
            long_pause_before_play=[0, 1, 1, 0, 0, 0, 0, 0, 0, 0],
        )
    )
    assert world["pauses_joint"] == {
        "short and long": 0.1,
        "no and short": 0.1,
        "no and long": 0,
        "none of the three": 0.1,
    }


def test_the_outlier_filter_drops_seeks_silence_and_noise() -> None:
    loudness = {"t_01": -40.0, "t_02": -31.2, "t_03": -0.1, "t_04": 0.0}
    tracks = [{**row, "loudness": loudness.get(row["track_id"], LOUDNESS)} for row in TRACKS]
    log = session(
        skip_2=[T, F, F, T, T, T, F, F, F, F],  # of the rows that go, all; of the others, none
        hist_user_behavior_n_seekfwd=[0, 0, 0, 0, 3, 0, 2, 0, 0, 0],
        hist_user_behavior_n_seekback=[0, 0, 0, 0, 0, 4, 3, 0, 0, 0],
    )
    world = measured(log, tracks=tracks)
    assert world["filter"] == {"kept": 0.6}
    assert world["skip_2_by_level"]["premium"] == 0
    assert world["skip_flags"]["skip_2"] == 0.4


# --- The log: succession ----------------------------------------------------------------------------


def test_transitions_in_file_order_cross_sessions_and_those_within_do_not() -> None:
    world = measured(session("a", skip_2=9 * [F] + [T]), session("b", skip_2=10 * [F]))
    assert world["skip_2_transitions"]["skip after skip"] == 0
    assert "skip after skip" not in world["skip_2_within_session"]  # the only skip ends its session
    assert world["skip_2_pairs"]["1 then 0"] == 1 / 19
    assert world["skip_2_pairs"]["0 then 0"] == 17 / 19
    assert world["skip_2_within_session"]["agreement"] == 17 / 18
    assert world["skip_2_first_rows"] == {"skip_2": 0.05}


# --- Tracks -----------------------------------------------------------------------------------------


def test_tracks_count_once_and_rows_as_often_as_they_play() -> None:
    tracks = [track("t_01", energy=0.0, key=3, mode="minor"), track("t_02", energy=1.0, key=5)]
    world = measured(session(track_id_clean=["t_01"] * 8 + ["t_02"] * 2), tracks=tracks)
    assert world["features_per_track"]["energy / mean"] == 0.5
    assert world["features_per_row"]["energy / mean"] == 0.2
    assert world["key_of_rows"] == {"3": 0.8, "5": 0.2}
    assert world["mode_of_rows"] == {"major": 0.2, "minor": 0.8}
    assert world["full_mode"] == {"major": 0.5, "minor": 0.5}
    assert world["features_by_hour_band"] == {
        f"{name} / evening, 16-19": pytest.approx(mean)
        for name, mean in {"danceability": 1.45, "energy": 0.2, "valence": 1.45}.items()
    }


def test_top_tracks_and_skips_of_the_second() -> None:
    world = measured(
        session(track_id_clean=["t_01"] * 5 + ["t_02"] * 4 + ["t_03"], skip_2=5 * [F] + [T, F, F, F] + [T])
    )
    assert world["top_tracks"] == {"1": 5, "2": 4, "3": 1, "4": 0, "5": 0}
    assert world["second_track"]["skip_2"] == 0.25


# --- Correlations -----------------------------------------------------------------------------------


def test_correlations_over_rows_take_flags_levels_and_features_of_the_rows_kept() -> None:
    half = [T] * 5 + [F] * 5
    world = measured(
        session(
            skip_2=[*half[:-1], T],
            premium=half,
            track_id_clean=["t_02"] * 5 + ["t_01"] * 5,
            context_type=["charts"] * 5 + ["radio"] * 5,
            hist_user_behavior_n_seekfwd=[0] * 9 + [5],  # the row that would spoil the correlation is dropped
        )
    )
    rows = world["correlations_of_rows"]
    assert rows["premium ~ skip_2"] == pytest.approx(1)
    assert rows["skip_2 ~ tempo"] == pytest.approx(1)
    assert rows["context_type_charts ~ context_type_radio"] == pytest.approx(-1)
    assert not any("skip_1" in key or "not_skipped" in key for key in rows)


def test_correlations_with_the_label() -> None:
    half = [T] * 5 + [F] * 5
    found = measured(
        session(not_skipped=half, date=["2018-07-14"] * 5 + ["2018-07-15"] * 5, skip_3=[not x for x in half])
    )["correlations_with_not_skipped"]
    assert found["skip_3"] == pytest.approx(-1)
    assert found["date_2018-07-14"] == pytest.approx(1)
    assert "premium" not in found  # constant


# --- The whole ----------------------------------------------------------------------------------------


def test_every_group_but_one_has_a_counterpart() -> None:
    world = measured(session("a"), session("b", 20))
    assert set(figures()) - set(world) == {"first_part_of_sessions"}
    assert set(world) <= set(figures())
