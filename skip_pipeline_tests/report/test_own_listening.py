"""What is counted of own listening, on sessions of a few literal plays."""

from typing import Any

import pyarrow as pa
import pytest

from skip_pipeline import schema
from skip_pipeline.errors import ContractError
from skip_pipeline.report.own_listening import Listening, Row, count_listening, read_plays, sittings
from skip_pipeline.storage import write_table
from skip_pipeline_tests.builders import assert_says, merged_table, refusal, session

PLAYED, SKIPPED, CUT_OFF = "p", "s", "c"


def sitting(session_id: str, outcomes: str, **columns: Any) -> list[dict[str, Any]]:
    """A session with an outcome per track: played to its end, skipped or cut off."""
    return session(
        session_id,
        len(outcomes),
        skip_3=[outcome == SKIPPED for outcome in outcomes],
        not_skipped=[outcome == PLAYED for outcome in outcomes],
        **columns,
    )


def counted(*sessions: list[dict[str, Any]], artists: dict[str, int] | None = None) -> Listening:
    return count_listening(merged_table(*sessions).cast(schema.MERGED), artists or {})


def by_label(rows: tuple[Row, ...]) -> dict[str, tuple[int, int]]:
    """Plays and skips of the rows that have any."""
    return {row.label: (row.plays, row.skipped) for row in rows if row.plays}


def test_every_play_is_played_or_skipped_or_cut_off():
    found = counted(sitting("1_20240101T080000_000", "ppssscpppp"))

    assert found.all == Row("all", 10, 3)
    assert found.cut_off == 1
    assert found.all.share == 0.3
    assert found.all.few


def test_the_track_before_is_that_of_the_same_sitting_also_in_another_session():
    found = counted(
        sitting("1_20240101T080000_000", "ssssssssss"),
        sitting("1_20240101T080000_001", "sppppppppp"),
        sitting("1_20240102T080000_000", "pscppppppp"),
        sitting("2_20240102T080000_000", "pppppppppp"),
    )

    assert by_label(found.before) == {
        "nothing: the first track of a sitting": (3, 1),
        "a track played to its end": (24, 1),
        "a skip": (12, 10),
        "a track cut off": (1, 0),
    }
    assert (found.longest_skipped, found.longest_played) == (11, 10)


def test_skips_in_a_row_are_counted_before_each_track_but_the_first_of_a_sitting():
    found = counted(
        sitting("1_20240101T080000_000", "sssssssssssp"), sitting("1_20240102T080000_000", "p" * 10)
    )

    assert by_label(found.runs) == {
        "no skip": (9, 0),
        "1 skip": (1, 1),
        "2 skips": (1, 1),
        "3 or 4 skips": (2, 2),
        "5 to 9 skips": (5, 5),
        "10 or more skips": (2, 1),
    }


def test_an_acquaintance_grows_with_the_plays_of_one_person_in_the_order_of_time():
    again = [["t_01"] * 10] * 11
    sessions = [
        sitting(f"1_2024010{1 + i // 6}T0{i % 6}0000_000", "s" * 10, track_id_clean=tracks)
        for i, tracks in enumerate(again)
    ]
    other = sitting("2_20240103T000000_000", "p" * 10, track_id_clean=["t_01", *["t_02"] * 9])
    found = counted(*sessions, other)

    assert by_label(found.acquaintance) == {
        "first play": (3, 1),
        "2nd to 9th play": (16, 8),
        "10th to 99th play": (90, 90),
        "100th play or later": (11, 11),
    }
    assert by_label(found.people) == {"1": (110, 110), "2": (10, 0)}


def test_time_is_counted_by_month_without_gaps_by_weekday_and_by_hour():
    found = counted(
        sitting("1_20240130T080000_000", "s" * 10, date="2024-01-30", hour_of_day=[8] * 4 + [9] * 6),
        sitting("1_20240303T230000_000", "p" * 10, date="2024-03-03", hour_of_day=23),
    )

    assert not found.by_quarter
    assert [(row.label, row.plays, row.skipped) for row in found.periods] == [
        ("January 2024", 10, 10),
        ("February 2024", 0, 0),
        ("March 2024", 10, 0),
    ]
    assert [row.share for row in found.periods] == [1.0, 0.0, 0.0]
    assert by_label(found.hours) == {"08:00": (4, 4), "09:00": (6, 6), "23:00": (10, 0)}
    assert by_label(found.weekdays) == {"Tuesday": (10, 10), "Sunday": (10, 0)}
    assert [len(day) for day in found.week] == [24] * 7
    assert by_label(found.week[1]) == {"Tuesday 08:00": (4, 4), "Tuesday 09:00": (6, 6)}
    assert by_label(found.week[6]) == {"Sunday 23:00": (10, 0)}


def test_a_span_of_more_than_three_years_is_shown_by_quarter():
    found = counted(
        sitting("1_20210130T080000_000", "s" * 10, date="2021-01-30"),
        sitting("1_20240130T080000_000", "p" * 10, date="2024-01-30"),
    )

    assert found.by_quarter
    assert len(found.periods) == 13
    assert by_label(found.periods) == {"Q1 2021": (10, 10), "Q1 2024": (10, 0)}


def test_starts_have_words_and_what_has_none_shares_a_row():
    reason = ["fwdbtn"] * 3 + ["trackdone"] * 4 + ["autoplay", "unknown", "clickrow"]
    shuffle = [True] * 9 + [False]
    found = counted(
        sitting(
            "1_20240101T080000_000",
            "ssspppppsp",
            hist_user_behavior_reason_start=reason,
            hist_user_behavior_is_shuffle=shuffle,
        )
    )

    assert by_label(found.starts) == {
        "the track before had ended": (4, 0),
        "the next button": (3, 3),
        "another reason, or none given": (2, 1),
        "chosen from a list": (1, 0),
    }
    assert [row.plays for row in found.starts] == [4, 3, 2, 1]
    assert by_label(found.shuffle) == {"shuffle off": (1, 0), "shuffle on": (9, 4)}


def test_the_twenty_most_played_artists_are_shown_and_tracks_without_one_are_left_out():
    tracks = (
        [f"t_{1 + i // 2:02}" for i in range(20)],
        [f"t_{11 + i // 2:02}" for i in range(18)],
        ["t_01"] * 10,
    )
    artists = {f"t_{i:02}": 100 + i for i in range(1, 20)} | {"t_18": 7, "t_19": 7}
    found = counted(
        *(
            sitting(f"1_2024010{i}T080000_000", "s" * len(ids), track_id_clean=ids)
            for i, ids in enumerate(tracks, 1)
        ),
        artists={track: artist for track, artist in artists.items() if track != "t_02"},
    )

    assert [(row.label, row.plays) for row in found.artists[:3]] == [("101", 12), ("7", 4), ("103", 2)]
    assert len(found.artists) == 17
    assert "102" not in {row.label for row in found.artists}


def test_plays_are_read_in_the_order_of_time_whatever_the_order_of_shards(tmp_path):
    days = [4, 1, 6, 3, 2, 5]
    for name, own in (("a.parquet", days[:3]), ("b.parquet", days[3:])):
        rows = merged_table(*(sitting(f"1_2024010{day}T080000_000", "p" * 10) for day in own))
        write_table(rows, tmp_path / name, schema.MERGED, data_source="real")

    found = read_plays(tmp_path.joinpath, ["b.parquet", "a.parquet"])

    assert found["session_id"].to_pylist() == [
        f"1_2024010{day}T080000_000" for day in range(1, 7) for _ in range(10)
    ]
    assert found["session_position"].to_pylist() == list(range(1, 11)) * 6


def test_a_session_id_has_a_person_a_start_and_a_window():
    assert sittings(pa.array(["12_20240131T235959_003"])).to_pylist() == [
        {"person": "12", "start": "20240131T235959", "window": "003"}
    ]


@pytest.mark.parametrize("strange", ["0_00000001-0000", "1_20240131T235959", "x_20240131T235959_000", ""])
def test_another_session_id_is_refused_with_the_remedy(strange):
    message = refusal(ContractError, lambda: sittings(pa.array(["1_20240131T235959_000", strange])))

    assert_says(message, strange, "PERSON_YYYYMMDDTHHMMSS_WINDOW", "import the history again")
