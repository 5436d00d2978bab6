"""Played, skipped or cut off, and how early: durations come from earlier finished plays alone."""

import numpy as np
import pytest

from skip_pipeline.streaming_history.outcomes import known_durations, outcomes_of
from skip_pipeline_tests.streaming_history.plays_tables import play, table


def outcome(**fields):
    """Of one play: the three skip flags and not_skipped, as digits."""
    found = outcomes_of(table([play(0, **fields)]))
    flags = (found.skip_1, found.skip_2, found.skip_3, found.not_skipped)
    return "".join(str(int(flag[0])) for flag in flags)


@pytest.mark.parametrize(
    "reason",
    ["fwdbtn", "nextbtn", "backbtn", "endplay", "clickrow", "click-row", "clickside", "playbtn", "popup"],
)
def test_a_play_that_the_listener_ended_is_skipped(reason):
    assert outcome(end=reason, heard=0) == "1110"
    assert outcome(end=reason, heard=10**7) == "0010"


@pytest.mark.parametrize(
    "reason",
    ["logout", "unexpected-exit", "unexpected-exit-while-paused", "remote", "unknown", "trackerror",
     "appload", "reload", "", None, "a reason of next year"],
)  # fmt: skip
def test_a_play_that_ended_otherwise_is_cut_off_however_long(reason):
    assert outcome(end=reason, heard=0) == "0000"
    assert outcome(end=reason, heard=200_000) == "0000"


def test_a_finished_play_is_played_if_anything_was_heard():
    assert outcome(end="trackdone", heard=1) == "0001"
    assert outcome(end="trackdone", heard=0) == "0000"


@pytest.mark.parametrize(
    ("heard", "flags"),
    [(22_199, "1110"), (22_200, "0110"), (73_999, "0110"), (74_000, "0010"), (300_000, "0010")],
)
def test_flags_of_a_skip_are_nested_below_a_tenth_and_a_third_of_the_duration(heard, flags):
    assert outcome(end="fwdbtn", heard=heard) == flags


def durations(*rows):
    plays = table(list(rows))
    finished = np.array([reason == "trackdone" for reason in plays["reason_end"].to_pylist()])
    return known_durations(plays, finished).tolist()


def test_duration_is_of_the_latest_earlier_finished_play_of_the_track():
    assert durations(
        play(0, 100, track=1),
        play(1, 50, track=1, end="fwdbtn"),
        play(2, 300, track=1),
        play(3, 7, track=1, end="fwdbtn"),
    ) == [222_000, 100, 100, 300]


def test_duration_of_a_track_never_finished_before_is_the_mean_of_what_was():
    assert durations(play(0, 100, track=1), play(1, 200, track=2), play(2, 9, track=3, end="fwdbtn")) == [
        222_000,
        100,
        150,
    ]


def test_no_later_play_changes_a_duration():
    earlier = [play(0, 100, track=1), play(1, 9, track=2, end="fwdbtn")]
    later = [play(2, 500, track=2), play(3, 700, track=1)]
    assert durations(*earlier, *later)[:2] == durations(*earlier)


def test_another_person_s_earlier_play_gives_the_duration_and_a_later_one_does_not():
    # In the table, person 1 is first; in time, person 2.
    assert durations(play(5, 9, track=1, end="fwdbtn", person=1), play(4, 100, track=1, person=2)) == [
        100,
        222_000,
    ]
    assert durations(play(5, 9, track=1, end="fwdbtn", person=1), play(6, 100, track=1, person=2)) == [
        222_000,
        222_000,
    ]


def test_of_plays_that_start_together_the_earlier_row_counts_as_earlier():
    assert durations(play(0, 100, track=1), play(0, 9, track=1, end="fwdbtn")) == [222_000, 100]
    assert durations(play(0, 9, track=1, end="fwdbtn"), play(0, 100, track=1)) == [222_000, 222_000]


def test_music_without_a_track_gives_no_duration():
    assert durations(play(0, 100, track=None), play(1, 9, track=None, end="fwdbtn"), play(2, track=1)) == [
        222_000,
        222_000,
        222_000,
    ]
