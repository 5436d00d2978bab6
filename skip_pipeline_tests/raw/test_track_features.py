import pytest

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError
from skip_pipeline.raw.track_features import TRACK_FEATURES, read_track_features
from skip_pipeline_tests.builders import assert_says, deliver, refusal, track, track_table


def test_tracks_of_all_files_come_as_one_table_sorted_by_id(read_tracks):
    tracks = read_tracks([track("t_3"), track("t_1")], [track("t_2")])
    assert tracks.schema.equals(TRACK_FEATURES)
    assert tracks.cast(schema.TRACK_FEATURES).equals(track_table(*(track(f"t_{i}") for i in (1, 2, 3))))


def test_a_track_listed_twice_in_a_file_is_named_with_its_rows(read_tracks, raw):
    message = refusal(
        BadInputError, lambda: read_tracks([track("t_2"), track("t_1"), track("t_2", energy=0.5)])
    )
    assert_says(
        message,
        "column track_id lists 't_2' more than once",
        f"{raw / 'a.csv'} data rows 1, 3",
        "expected each track once",
        "Remove the repeated rows",
    )


def test_a_track_listed_in_two_files_is_named_with_both(read_tracks, raw):
    message = refusal(BadInputError, lambda: read_tracks([track("t_1"), track("t_2")], [track("t_2")]))
    assert_says(
        message, f"'t_2' more than once ({raw / 'a.csv'} data row 2; {raw / 'b.csv'} data row 1); expected"
    )


def test_further_tracks_listed_twice_are_counted(read_tracks):
    rows = [track(f"t_{i}") for i in range(4)]
    assert ", and 3 other tracks;" in refusal(BadInputError, lambda: read_tracks(rows, rows))
    assert ", and 1 other track;" in refusal(BadInputError, lambda: read_tracks(rows[:2], rows[:2]))


def test_an_empty_track_id_is_named_with_its_row(read_tracks, raw):
    message = refusal(BadInputError, lambda: read_tracks([track("t_1"), track("")]))
    assert_says(message, f"{raw / 'a.csv'}: column track_id is empty in data row 2", "needs an id", "Fill in")


@pytest.mark.parametrize("value", ["NaN", "inf", "-inf"])
def test_a_feature_that_is_not_finite_is_named_with_its_row(read_tracks, raw, value):
    message = refusal(BadInputError, lambda: read_tracks([track("t_1"), track("t_2", energy=value)]))
    assert_says(
        message,
        f"{raw / 'a.csv'}: column energy is not a finite 32-bit number in data row 2",
        "correct or remove",
    )


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("acousticness", "high", "a number"),
        ("release_year", "1999.5", "a whole number from -32768 to 32767"),
        ("key", "C", "a whole number from -128 to 127"),
    ],
)
def test_a_feature_of_a_wrong_type_is_named_with_its_row(read_tracks, raw, column, value, expected):
    message = refusal(BadInputError, lambda: read_tracks([track("t_1"), track("t_2", **{column: value})]))
    assert_says(message, str(raw / "a.csv"), f"column {column} is not {expected} in data row 2 ('{value}')")


def test_the_order_of_delivery_leaves_no_trace(read_tracks):
    rows = [track("t_1", mode="minor"), track("t_2"), track("t_3", mode="dorian"), track("t_4")]
    sorted_already = read_tracks(rows)
    assert read_tracks(rows[::-1]).equals(sorted_already)
    assert read_tracks(rows[2:], rows[:2]).equals(sorted_already)
    assert sorted_already["mode"].chunk(0).dictionary.to_pylist() == ["minor", "major", "dorian"]


def test_one_track_alone_is_a_table(read_tracks):
    assert read_tracks([track("t_1")])["track_id"].to_pylist() == ["t_1"]


def test_features_that_may_be_missing_are_null(raw):
    path = deliver(raw / "a.csv", [track("t_1", tempo=None, key=None, mode=""), track("t_2")])
    tracks = read_track_features([path], may_be_empty=("tempo", "key", "mode"))
    assert tracks["tempo"].to_pylist() == [None, 2.25]
    assert tracks["key"].to_pylist() == [None, 2]
    assert tracks["mode"].to_pylist() == ["", "major"]
    message = refusal(BadInputError, lambda: read_track_features([path], may_be_empty=("tempo", "mode")))
    assert_says(message, "column key has no value in data row 1")


# --- The release with names -----------------------------------------------------------------------------


def named(date, **columns):
    """A track as the release with names has it, its columns in the order of that release."""
    of = track(**columns)
    start = {
        "track_id": of["track_id"],
        "track_uri": "spotify:track:4uLU6hMCjMI75M1A2tKUQC",
        "track_name": '"Quoted ""name"", with a comma"',
        "artist": "音楽",
        "duration": of["duration"],
        "release_date_estimate": date,
        "us_popularity_estimate": of["us_popularity_estimate"],
        "album_name": "",
    }
    return start | {name: value for name, value in of.items() if name not in (*start, "release_year")}


def test_the_release_with_names_is_read_as_the_others_are(read_tracks):
    dates = {"1962": 1962, "1962-05": 1962, "2018-07-15": 2018, "2018-07-15 00:00:00": 2018, "1962.0": 1962}
    rows = [named(date, track_id=f"t_{i}") for i, date in enumerate(dates)]
    assert len(rows[0]) == 34
    plain = [track(f"t_{i}", release_year=year) for i, year in enumerate(dates.values())]
    assert read_tracks(rows).equals(read_tracks(plain))


def test_files_of_both_releases_are_one_table(read_tracks):
    both = read_tracks([track("t_1", release_year=1950)], [named("1951-01-01", track_id="t_2")])
    assert both["release_year"].to_pylist() == [1950, 1951]


@pytest.mark.parametrize("date", ["", "62", "1962-5", "15/07/2018", "2018-07-15 12:00:00", "1962.5"])
def test_a_release_date_in_another_form_is_named_with_its_row(read_tracks, raw, date):
    message = refusal(BadInputError, lambda: read_tracks([named("1962"), named(date, track_id="t_2")]))
    fact = (
        f"column release_date_estimate is not a date as 1962, 1962-05 or 1962-05-14 in data row 2 ('{date}')"
    )
    assert_says(message, str(raw / "a.csv"), fact, "correct or remove those rows")


def test_a_release_date_that_is_not_known_is_a_year_that_is_not_known(raw):
    path = deliver(raw / "a.csv", [named(""), named("1962", track_id="t_2")])
    table = read_track_features([path], may_be_empty=["release_year"])
    assert table["release_year"].to_pylist() == [None, 1962]


def test_a_file_with_other_columns_beside_release_dates_is_refused(read_tracks):
    rows = [named("1962") | {"genre": "pop"}]
    assert_says(refusal(BadInputError, lambda: read_tracks(rows)), "unexpected 'genre'", "remove the other")
