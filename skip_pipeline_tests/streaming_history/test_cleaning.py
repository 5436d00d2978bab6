import itertools

import pyarrow as pa
import pytest

from skip_pipeline.streaming_history.cleaning import clean
from skip_pipeline.streaming_history.export_json import read_records
from skip_pipeline.streaming_history.plays import PLAYS
from skip_pipeline_tests.streaming_history.exports_for_tests import (
    Record,
    audiobook,
    content,
    local,
    play,
    podcast,
    track_id,
)

NOON = "2023-03-01T12:00:00Z"
LATER = "2023-03-01T12:10:00Z"
START = 1_677_672_000_000  # noon


def cleaned(*records: Record, person: int | list[int] = 1):
    table = read_records("endsong_0.json", content(records))
    persons = person if isinstance(person, list) else [person] * len(records)
    plays, left_out = clean(table.append_column("person", pa.array(persons, pa.int16())))
    assert plays.schema == PLAYS
    assert len(plays) + sum(left_out.values()) == len(records)
    return plays.to_pylist(), left_out


def column(rows, name):
    return [row[name] for row in rows]


def test_a_play_starts_before_its_end_by_what_was_heard():
    [row], left_out = cleaned(play(NOON, 8, ms_played=61_001, shuffle=True, reason_start="clickrow"))
    assert left_out == {}
    assert row == {
        "person": 1,
        "start": START - 61_001,
        "heard": 61_001,
        "track": track_id(8),
        "track_name": "Track 8",
        "artist": "Artist 1",
        "album": "Album 8",
        "reason_start": "clickrow",
        "reason_end": "trackdone",
        "shuffle": True,
    }


def test_exact_duplicates_are_dropped_whatever_their_names_and_skips():
    rows, left_out = cleaned(
        play(NOON, 1, skipped=None, master_metadata_track_name="B"),
        play(NOON, 1, skipped=True, master_metadata_track_name="A"),
        play(NOON, 1, skipped=False, master_metadata_track_name=None),
    )
    assert (column(rows, "track_name"), left_out) == (["A"], {"exact duplicates": 2})


@pytest.mark.parametrize(
    "other", [{"ts": LATER}, {"number": 2}, {"reason_start": "clickrow"}, {"reason_end": "fwdbtn"}]
)
def test_repeats_are_kept(other):
    rows, left_out = cleaned(play(**{"ts": NOON, "number": 1} | other), play(NOON, 1))
    assert (len(rows), left_out) == (2, {})


def test_the_same_play_of_two_people_is_kept():
    rows, left_out = cleaned(play(NOON), play(NOON), person=[2, 1])
    assert (column(rows, "person"), left_out) == ([1, 2], {})


def test_reasons_that_are_null_are_equal_in_duplicates_and_kept():
    rows, left_out = cleaned(
        play(NOON, reason_end=None), play(NOON, reason_end=None), play(NOON, reason_end="")
    )
    assert (column(rows, "reason_end"), left_out) == (["", None], {"exact duplicates": 1})


def test_podcasts_and_audiobooks_are_counted_once_each():
    rows, left_out = cleaned(
        play(NOON), podcast(NOON, 1), podcast(NOON, 1), podcast(NOON, 2), audiobook(LATER, 1)
    )
    assert column(rows, "track") == [track_id(1)]
    assert left_out == {"exact duplicates": 1, "podcasts": 2, "audiobooks": 1}


def test_local_tracks_are_kept_and_never_joined():
    rows, left_out = cleaned(local(NOON, ms_played=3), local(NOON, ms_played=2))
    assert (column(rows, "track"), column(rows, "heard"), left_out) == ([None, None], [3, 2], {})


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"ts": None}, "without a time (ts is null)"),
        ({"ms_played": None}, "without a length (ms_played is null)"),
        ({"ts": "1970-01-01T00:00:00Z"}, "dated before 2006"),
        ({"ts": "2005-12-31T23:59:59Z"}, "dated before 2006"),
        ({"shuffle": None}, "that do not say whether shuffle was on (null)"),
    ],
)
def test_a_play_that_cannot_be_placed_is_counted(fields, reason):
    rows, left_out = cleaned(play(LATER, 7), play(number=2) | fields)
    assert (column(rows, "track"), left_out) == ([track_id(7)], {reason: 1})


def test_the_duplicate_that_knows_shuffle_is_kept():
    rows, left_out = cleaned(play(NOON, shuffle=None), play(NOON, shuffle=True))
    assert (column(rows, "shuffle"), left_out) == ([True], {"exact duplicates": 1})


def test_a_split_play_is_joined():
    rows, left_out = cleaned(
        play(NOON, 1, ms_played=4_000, reason_start="appload", reason_end="fwdbtn", shuffle=True),
        play(NOON, 1, ms_played=90_000, reason_start="clickrow", reason_end="logout"),
        play(LATER, 1, ms_played=90_000),
    )
    assert left_out == {"parts of split plays, joined to the rest": 1}
    assert column(rows, "start") == [START - 94_000, START + 510_000]
    assert column(rows, "heard") == [94_000, 90_000]
    assert column(rows, "reason_start") == ["clickrow", "trackdone"]
    assert column(rows, "reason_end") == ["fwdbtn", "trackdone"]
    assert column(rows, "shuffle") == [False, False]


def test_a_play_split_in_three_is_joined():
    parts = [
        play(NOON, 1, ms_played=ms, reason_end=end)
        for ms, end in [(1, "endplay"), (9, "logout"), (5, "remote")]
    ]
    rows, left_out = cleaned(*parts)
    assert left_out == {"parts of split plays, joined to the rest": 2}
    assert [(row["heard"], row["reason_end"]) for row in rows] == [(15, "endplay")]


def test_a_part_of_0_ms_tells_the_end():
    rows, _ = cleaned(
        play(NOON, 1, ms_played=0, reason_end="fwdbtn"), play(NOON, 1, ms_played=7, reason_end="logout")
    )
    assert [(row["heard"], row["reason_end"]) for row in rows] == [(7, "fwdbtn")]


def test_a_finished_play_has_no_further_part():
    rows, left_out = cleaned(
        play(NOON, 1, ms_played=200_000, reason_end="trackdone"),
        play(NOON, 1, ms_played=2_000, reason_start="clickrow", reason_end="endplay"),
    )
    assert (column(rows, "heard"), left_out) == ([200_000, 2_000], {})


def test_parts_of_equal_length_are_repeats():
    rows, left_out = cleaned(play(NOON, 1, reason_end="logout"), play(NOON, 1, reason_end="remote"))
    assert (column(rows, "reason_end"), left_out) == (["logout", "remote"], {})


def test_parts_of_two_people_or_tracks_are_not_joined():
    parts = [play(NOON, number, ms_played=ms, reason_end="logout") for number, ms in [(1, 9), (1, 5), (2, 7)]]
    rows, left_out = cleaned(*parts, person=[1, 2, 1])
    assert (column(rows, "heard"), left_out) == ([9, 7, 5], {})


def test_plays_are_sorted_by_person_and_start():
    rows, _ = cleaned(
        play(LATER, 1, ms_played=10),
        play(NOON, 2, ms_played=10),
        play(LATER, 3, ms_played=700_000),
        play(NOON, 4, ms_played=10),
        person=[1, 1, 1, 2],
    )
    assert column(rows, "track") == [track_id(number) for number in (3, 2, 1, 4)]


def test_of_plays_that_end_together_the_longer_is_first():
    rows, _ = cleaned(*(play(NOON, number, ms_played=ms) for number, ms in [(1, 0), (2, 500), (3, 40_000)]))
    assert column(rows, "track") == [track_id(number) for number in (3, 2, 1)]


def test_of_plays_that_start_together_the_shorter_is_first():
    rows, _ = cleaned(
        play("2023-03-01T12:00:05Z", 1, ms_played=5_000),
        play(NOON, 2, ms_played=0),
        play("2023-03-01T12:00:01Z", 3, ms_played=1_000),
    )
    assert column(rows, "track") == [track_id(number) for number in (2, 3, 1)]


def test_the_order_of_records_is_of_no_effect():
    records = [
        play(NOON, 2, ms_played=0, reason_end="fwdbtn"),
        play(NOON, 1, ms_played=0, reason_end="fwdbtn"),
        play(NOON, 1, ms_played=0, reason_end="backbtn"),
        play(NOON, 1, ms_played=0, reason_end="backbtn", master_metadata_track_name="Renamed"),
        local(NOON, ms_played=0),
    ]
    every = [cleaned(*order) for order in [*itertools.permutations(records)][::7]]
    assert [result for result in every if result != every[0]] == []
    assert [(row["track"], row["reason_end"]) for row in every[0][0]] == [
        (track_id(1), "backbtn"),
        (track_id(1), "fwdbtn"),
        (track_id(2), "fwdbtn"),
        (None, "trackdone"),
    ]


def test_nothing_but_podcasts_leaves_no_play():
    assert cleaned(podcast(NOON)) == ([], {"podcasts": 1})
