"""Where sessions begin and end, and what is in none."""

import numpy as np
import pytest

from skip_pipeline.streaming_history.sittings import CUT_OFF, SHORT, WITHOUT_TRACK, sessions_of
from skip_pipeline_tests.streaming_history.plays_tables import at, in_a_row, play, table

MINUTE = 60_000


def sessions(rows, pause_minutes=30.0):
    plays = table(rows)
    cut_off = np.array([reason == "logout" for reason in plays["reason_end"].to_pylist()])
    return sessions_of(plays, cut_off, pause_minutes)


def lengths(found):
    """Length of each session, by its id."""
    ids = found.ids.to_pylist()
    return {name: int((found.session == i).sum()) for i, name in enumerate(ids)}


def test_plays_in_a_row_are_one_session_named_by_person_and_start_in_utc():
    found = sessions(in_a_row(12, "2024-05-01 10:00:00", person=3))

    assert lengths(found) == {"3_20240501T100000_000": 12}
    assert found.position.tolist() == list(range(1, 13))
    assert found.length.tolist() == [12] * 12
    assert found.left_out == {WITHOUT_TRACK: 0, CUT_OFF: 0, SHORT: 0}


@pytest.mark.parametrize(("pause", "number"), [(30 * MINUTE, 1), (30 * MINUTE + 1, 2)])
def test_a_pause_above_the_limit_begins_another_session(pause, number):
    first = in_a_row(10, 0)
    second = in_a_row(10, 10 * 200_000 + pause)

    assert len(sessions(first + second).ids) == number
    assert len(sessions(first + second, pause_minutes=31).ids) == 1


def test_a_pause_is_counted_from_the_latest_end_of_the_plays_before():
    long_play = play(0, 100 * MINUTE)
    short_play = play(1, 1_000)
    later = in_a_row(10, 125 * MINUTE)  # 125 minutes after the short play, 25 after the long one

    found = sessions([long_play, short_play, *later])

    assert len(found.ids) == 1
    assert found.gap.tolist()[:3] == [0, 1 - 100 * MINUTE, 25 * MINUTE]


def test_sittings_of_several_people_are_apart_even_if_their_times_overlap():
    found = sessions(in_a_row(10, 10**9, person=1) + in_a_row(11, 5, person=2))

    assert lengths(found) == {"1_19700112T134640_000": 10, "2_19700101T000000_000": 11}
    assert found.gap.tolist() == [0] * 21


def test_a_long_sitting_is_cut_into_windows_of_twenty_and_a_short_rest_is_left_out():
    found = sessions(in_a_row(49, "2024-05-01 10:00:00"))

    assert lengths(found) == {"1_20240501T100000_000": 20, "1_20240501T100000_001": 20}
    assert found.position.tolist() == [*range(1, 21)] * 2
    assert found.left_out[SHORT] == 9
    assert lengths(sessions(in_a_row(50)))["1_20240501T100000_002"] == 10


def test_a_short_sitting_takes_no_number_of_a_session():
    found = sessions(in_a_row(3, 0) + in_a_row(10, "2024-05-01 10:00:00"))

    assert lengths(found) == {"1_20240501T100000_000": 10}
    assert set(found.session.tolist()) == {0}


def test_a_play_without_a_track_bridges_a_pause_and_makes_no_row():
    first, second = in_a_row(5, 0), in_a_row(5, 5 * 200_000 + 50 * MINUTE)
    between = play(5 * 200_000 + 25 * MINUTE, MINUTE, track=None)

    found = sessions([*first, between, *second])

    assert lengths(found) == {"1_19700101T000000_000": 10}
    assert found.gap[5] == 24 * MINUTE
    assert found.left_out[WITHOUT_TRACK] == 1
    assert len(sessions([*first, *second]).ids) == 0


def test_cut_off_plays_at_the_end_of_a_window_are_left_out_and_others_stay():
    rows = in_a_row(22)
    for i in (3, 18, 19):
        rows[i]["reason_end"] = "logout"

    found = sessions(rows)

    assert found.plays.tolist() == list(range(18))
    assert found.length.tolist() == [18] * 18
    assert found.left_out == {WITHOUT_TRACK: 0, CUT_OFF: 2, SHORT: 2}


def test_a_session_that_is_short_without_its_cut_off_end_is_left_out():
    rows = in_a_row(10)
    rows[9]["reason_end"] = "logout"

    assert sessions(rows).left_out == {WITHOUT_TRACK: 0, CUT_OFF: 1, SHORT: 9}
    assert sessions(in_a_row(10, end="logout")).left_out == {WITHOUT_TRACK: 0, CUT_OFF: 10, SHORT: 0}


def test_later_plays_change_no_earlier_session():
    rows = in_a_row(30, "2024-05-01 10:00:00") + in_a_row(12, "2024-05-02 10:00:00")
    before, after = sessions(rows), sessions(rows + in_a_row(15, "2024-05-03 10:00:00"))

    assert after.ids.to_pylist()[:-1] == before.ids.to_pylist()
    assert after.plays.tolist()[:-15] == before.plays.tolist()


def test_a_table_without_plays_or_without_tracks_has_no_session():
    assert len(sessions([]).ids) == 0
    assert sessions([play(at("2024-05-01"), track=None)]).left_out[WITHOUT_TRACK] == 1
