"""Track features from somebody's table: ids, names of columns, missing and wrong values."""

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError, MissingInputError
from skip_pipeline.streaming_history.features import read_features, track_features
from skip_pipeline_tests.streaming_history.plays_tables import spotify_id

A, B, C = map(spotify_id, range(3))


def written(tmp_path, text, name="features.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def joined(path, ids=(A, B, C)):
    """Features of three tracks as dictionaries without missing values, and how many tracks were found."""
    own = pa.array([f"t_{i:07d}" for i in range(len(ids))])
    table, found = track_features(own, pa.array(ids), read_features(path))
    assert table.schema == schema.TRACK_FEATURES
    assert table["track_id"].to_pylist() == own.to_pylist()
    rows = [{k: v for k, v in row.items() if v is not None and k != "track_id"} for row in table.to_pylist()]
    return rows, found


def test_published_columns_are_joined_by_id_and_other_tracks_stay_unknown(tmp_path):
    path = written(tmp_path, f"track_id,tempo,key,mode,genre\n{C},120.5,4,major,rock\n{A},90,0,minor,pop\n")

    rows, found = joined(path)

    assert rows == [{"tempo": 90, "key": 0, "mode": "minor"}, {}, {"tempo": 120.5, "key": 4, "mode": "major"}]
    assert found == 2
    assert read_features(path).ignored == ("genre",)


def test_without_a_file_nothing_is_known():
    table, found = track_features(pa.array(["t_0000000"]), pa.array([A]), None)

    assert table.schema == schema.TRACK_FEATURES
    assert all(table[name].null_count == 1 for name in schema.TRACK_ATTRIBUTES)
    assert found == 0


@pytest.mark.parametrize("name", ["track_id", "id", "uri", "spotify_track_uri", "track_uri"])
@pytest.mark.parametrize(
    "spelling", ["{}", "spotify:track:{}", "https://open.spotify.com/track/{}?si=0123456789abcdef"]
)
def test_ids_may_be_bare_or_uris_in_a_column_of_several_names(tmp_path, name, spelling):
    rows, found = joined(written(tmp_path, f"{name},valence\n{spelling.format(B)},0.25\n"))

    assert (rows, found) == ([{}, {"valence": 0.25}, {}], 1)


def test_a_uri_is_preferred_to_a_row_number_called_id(tmp_path):
    assert joined(written(tmp_path, f"id,uri,valence\n1,spotify:track:{A},0.5\n"))[1] == 1


def test_values_of_spotify_s_interface_become_the_published_ones(tmp_path):
    text = f"id,duration_ms,year,mode,key\n{A},215893,2011,1,-1\n{B},1000,1999,0,11\n"

    rows, _ = joined(written(tmp_path, text))

    assert rows == [
        {"duration": pytest.approx(215.893), "release_year": 2011, "mode": "major"},
        {"duration": 1.0, "release_year": 1999, "mode": "minor", "key": 11},
        {},
    ]


def test_a_published_name_is_preferred_to_another_name(tmp_path):
    path = written(tmp_path, f"id,duration_ms,duration\n{A},1000,200\n")

    assert joined(path)[0][0] == {"duration": 200}
    assert read_features(path).ignored == ("duration_ms",)


def test_missing_values_and_numbers_that_mean_not_found_stay_unknown(tmp_path):
    text = f"id,tempo,time_signature,duration,valence,mode\n{A},0,0,0,,\n{B},,,,NaN,NA\n{C},60,4,1,1,1\n"

    rows, found = joined(written(tmp_path, text))

    assert rows[:2] == [{}, {}]
    assert found == 3
    assert len(rows[2]) == 5


def test_parquet_and_gzip_are_read_like_csv(tmp_path):
    table = pa.table({"id": [A, B], "energy": [0.5, float("nan")], "key": pa.array([1.0, None])})
    pq.write_table(table, tmp_path / "features.parquet")
    (tmp_path / "features.csv.gz").write_bytes(gzip.compress(f"id,energy,key\n{A},0.5,1.0\n{B},,\n".encode()))

    expected = ([{"energy": 0.5, "key": 1}, {}, {}], 2)
    assert joined(tmp_path / "features.parquet") == expected
    assert joined(tmp_path / "features.csv.gz") == expected


def test_of_rows_with_the_same_track_the_first_counts(tmp_path):
    path = written(tmp_path, f"track_id,energy\n{B},0.5\n{A},0.25\n{B},0.75\nspotify:track:{A},1\n")

    assert joined(path)[0][:2] == [{"energy": 0.25}, {"energy": 0.5}]
    assert read_features(path).repeated == 2


def test_names_with_commas_and_line_breaks_do_no_harm(tmp_path):
    assert joined(written(tmp_path, f'id,name,energy\n{A},"one,\ntwo",0.5\n{B},x,1\n'))[1] == 2


@pytest.mark.parametrize(
    ("rows", "fact"),
    [
        (f"{A},x", r"column energy is not a number in data row 2 \('x'\); correct or remove those rows"),
        (f"{A},1.5", r"column energy is not a number from 0 to 1 in data row 2 \(1.5\)"),
        (f"{A},inf", r"column energy is not a number from 0 to 1 in data row 2"),
        ("t_0000000,1", r"column id is not a Spotify id of 22 characters.*data row 2 \('t_0000000'\)"),
        (",1", r"column id is not a Spotify id.*data row 2 \(''\)"),
    ],
)
def test_a_wrong_value_is_refused_with_its_row(tmp_path, rows, fact):
    with pytest.raises(BadInputError, match=fact):
        read_features(written(tmp_path, f"id,energy\n{B},0.5\n{rows}\n"))


@pytest.mark.parametrize(
    ("column", "value", "fact"),
    [
        ("duration", "240000", r"column duration is not a number from 0 to 86400 seconds"),
        ("duration_ms", "-1", r"column duration_ms is not a number from 0 to 86400 seconds"),
        ("key", "1.5", r"column key is not a whole number from -1 to 11"),
        ("key", "12", r"column key is not a whole number from -1 to 11"),
        ("mode", "2", r"column mode is none of major, minor, 1 and 0 in data row 1 \('2'\)"),
        ("tempo", "1e39", r"column tempo is not a number from -3\.\d+e\+38 to 3\.\d+e\+38"),
        ("tempo", "true", r"column tempo is not a number in data row 1"),
    ],
)
def test_a_value_outside_its_range_is_refused(tmp_path, column, value, fact):
    with pytest.raises(BadInputError, match=fact):
        read_features(written(tmp_path, f"id,{column}\n{A},{value}\n"))


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        (f"name,energy\n{A},1\n", "has the columns name, energy; expected one of spotify_track_uri"),
        (f"id,genre\n{A},x\n", "has none of the track features; expected some of duration"),
        ("", r"features\.csv is empty"),
        ("id;energy\n", "the values seem to be separated by ';'"),
        ("PK\3\4", r"is a zip archive, as \.xlsx files are"),
        (f"id,energy\n{A}\n", "cannot be read as a table"),
    ],
)
def test_a_table_of_something_else_is_refused(tmp_path, text, fact):
    with pytest.raises(BadInputError, match=fact):
        read_features(written(tmp_path, text))


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    with pytest.raises(BadInputError, match=r"features\.parquet is no parquet file, as its name says"):
        read_features(written(tmp_path, "id,energy\n", "features.parquet"))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingInputError, match=r"nothing\.csv is not there; expected a CSV or parquet"):
        read_features(tmp_path / "nothing.csv")
    with pytest.raises(MissingInputError, match="is a folder"):
        read_features(tmp_path)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("tempo", r"a number in data row 1 \(b'\\xff'\); correct"),
        ("mode", r"text in UTF-8 in data row 1 \(b'\\xff'\); save the file as UTF-8"),
    ],
)
def test_a_column_that_is_no_text_is_refused(tmp_path, column, said):
    path = tmp_path / "features.csv"
    row = {"track_id": A.encode(), "tempo": b"90", "mode": b"major"}
    path.write_bytes(
        b",".join(name.encode() for name in row) + b"\n" + b",".join((row | {column: b"\xff"}).values())
    )

    with pytest.raises(BadInputError, match=rf"{path}: column {column} is not {said}"):
        read_features(path)


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    path = written(tmp_path, f"track_id,tempo,tempo\n{A},90,91\n")

    with pytest.raises(BadInputError, match="names columns more than once: tempo; expected each once"):
        read_features(path)
