import pytest

from skip_pipeline.streaming_history.export_json import read_records
from skip_pipeline.streaming_history.people import people
from skip_pipeline_tests.streaming_history.exports_for_tests import Record, content, local, play


def minutes(first: int, last: int, number: int = 1) -> list[Record]:
    """A play of a track at each minute."""
    return [play(f"2023-03-01T12:{minute:02}:00Z", number) for minute in range(first, last)]


def numbers(*exports: list[Record]) -> list[int]:
    found: list[int] = people(
        [read_records("endsong_0.json", content(export)) for export in exports]
    ).tolist()
    return found


def test_one_export_is_one_person():
    assert numbers(minutes(0, 3)) == [1]
    assert numbers([]) == [1]


def test_overlapping_downloads_are_of_one_person():
    assert numbers(minutes(0, 30), minutes(20, 50)) == [1, 1]


def test_exports_without_common_plays_are_of_two_people():
    assert numbers(minutes(0, 30), minutes(0, 30, number=2), []) == [1, 2, 3]


def test_downloads_that_overlap_by_way_of_a_third_are_of_one_person():
    assert numbers(minutes(0, 20), minutes(0, 60, number=2), minutes(40, 60), minutes(10, 45)) == [1, 2, 1, 1]


def test_a_few_common_plays_do_not_make_one_person():
    together = minutes(10, 14)
    alone = [minutes(0, 10, number) + minutes(14, 60, number) for number in (2, 3)]
    assert numbers(*(together + one for one in alone)) == [1, 2]


@pytest.mark.parametrize(
    "common",
    [play("2023-03-01T12:05:00Z", ms_played=0), local("2023-03-01T12:05:00Z")],
    ids=["0 ms", "local"],
)
def test_plays_that_many_have_tell_nothing(common):
    assert numbers([common, *minutes(0, 1)], [common, *minutes(9, 10)]) == [1, 2]


def test_plays_of_a_wrong_clock_tell_nothing_of_the_time_that_is_covered():
    wrong = [play("1970-01-01T00:00:00Z", ms_played=ms) for ms in (1, 2)]
    assert numbers([wrong[0], *minutes(0, 30)], [wrong[1], *minutes(28, 59)]) == [1, 1]


def test_one_common_play_where_downloads_meet_makes_one_person():
    assert numbers(minutes(0, 6), minutes(5, 9)) == [1, 1]
