import json

import pytest

from skip_pipeline.errors import BadInputError
from skip_pipeline.streaming_history.export_json import count_records, read_records
from skip_pipeline.streaming_history.plays import LONGEST_PLAY, RECORDS, Kind
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.streaming_history.exports_for_tests import (
    PERSONAL,
    Record,
    audiobook,
    content,
    local,
    play,
    podcast,
    short,
    track_id,
    uri,
)


def read(*records: Record):
    return read_records("endsong_0.json", content(records)).to_pylist()


def refused(data: bytes) -> str:
    return refusal(BadInputError, lambda: read_records("endsong_0.json", data))


@pytest.mark.parametrize("generation", ["2022", "2024", "2025"])
def test_all_sets_of_keys_give_the_same_record(generation):
    record = play("2023-03-01T18:05:59Z", 8, generation, shuffle=True, reason_end="fwdbtn")
    assert len(record) == {"2022": 21, "2024": 19, "2025": 23}[generation]
    assert read(record) == [
        {
            "end": 1_677_693_959_000,
            "heard": 200_000,
            "kind": Kind.MUSIC,
            "item": track_id(8),
            "track_name": "Track 8",
            "artist": "Artist 1",
            "album": "Album 8",
            "reason_start": "trackdone",
            "reason_end": "fwdbtn",
            "shuffle": True,
        }
    ]


def test_no_personal_value_is_in_the_table():
    table = read_records("endsong_0.json", content([play(generation="2022"), play(generation="2024")]))
    assert table.schema == RECORDS
    assert [value for value in PERSONAL.values() if value in str(table.to_pylist())] == []


@pytest.mark.parametrize(
    ("record", "kind", "item"),
    [
        (play(number=3), Kind.MUSIC, track_id(3)),
        (local("2023-03-01T18:05:59Z"), Kind.MUSIC, None),
        (play(spotify_track_uri=""), Kind.MUSIC, None),
        (play(spotify_track_uri="spotify:local:Somebody:Demo:Song:201"), Kind.MUSIC, None),
        (podcast("2023-03-01T18:05:59Z", 4), Kind.PODCAST, f"spotify:episode:{4:022d}"),
        (podcast("2023-03-01T18:05:59Z", 4, spotify_episode_uri=None), Kind.PODCAST, "Episode 4"),
        (play(spotify_track_uri="spotify:episode:4"), Kind.PODCAST, "spotify:episode:4"),
        (audiobook("2023-03-01T18:05:59Z", 5), Kind.AUDIOBOOK, f"spotify:show:{5:022d}"),
        (audiobook("2023-03-01T18:05:59Z", 5, audiobook_uri=None), Kind.AUDIOBOOK, "Book 5"),
    ],
)
def test_uris_and_titles_tell_what_was_played(record, kind, item):
    [row] = read(record)
    assert (row["kind"], row["item"]) == (kind, item)


def test_null_and_empty_values():
    named = (
        "master_metadata_track_name",
        "master_metadata_album_artist_name",
        "master_metadata_album_album_name",
    )
    anywhere = ("ts", "ms_played", "reason_start", "reason_end", "shuffle")
    assert [row["kind"] for row in read(play(episode_name="", spotify_track_uri="", audiobook_uri=""))] == [0]
    [row] = read(play() | dict.fromkeys(named, "") | dict.fromkeys(anywhere))
    assert row == dict.fromkeys(RECORDS.names) | {"kind": Kind.MUSIC, "item": track_id(1)}
    assert read(play(reason_start=""))[0]["reason_start"] == ""


def test_a_length_as_pandas_writes_it_beside_missing_ones_is_read():
    assert [row["heard"] for row in read(play(ms_played=61_000.0), play(ms_played=None))] == [61_000, None]


def test_a_list_without_plays_is_read():
    assert read_records("endsong_0.json", b"[]").num_rows == 0
    assert count_records("endvideo.json", b"[ ]") == 0


def test_a_byte_order_mark_is_read_over():
    assert read_records("endsong_0.json", b"\xef\xbb\xbf" + content([play()])).num_rows == 1


def test_records_are_counted_whatever_their_fields():
    assert count_records("endvideo.json", content([play(ms_played=-1), {}, short()])) == 3
    assert_says(
        refusal(BadInputError, lambda: count_records("endvideo.json", b"[{}, ")), "endvideo.json", "byte 5"
    )


TWO = content([play(), play("2023-03-01T18:09:59Z", 2)])


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        (b"", ["is empty"]),
        (b" \n", ["is empty"]),
        (TWO[:-1], [f"is cut off at byte {len(TWO) - 1:,}"]),
        (TWO[: len(TWO) // 2], [f"is cut off at byte {len(TWO) // 2:,}"]),
        (TWO[: TWO.index(b"Track 2") + 3], ["is cut off at byte"]),
        (b"<html>", ["is not JSON at byte 1"]),
        (TWO + b"x", [f"is not JSON at byte {len(TWO) + 1:,}"]),
        (TWO.replace(b"Track 2", b"Track \xff"), ["is not UTF-8 text at byte", "Spotify"]),
        (content([play()]).decode().encode("utf-16"), ["is not UTF-8 text at byte 1"]),
        (b'{"plays": []}', ["no list of plays", "dict"]),
        (b"null", ["no list of plays"]),
        (b"[" * 100_000, ["is not JSON (maximum recursion depth"]),
        (b'[{"a":' * 50_000, ["is not JSON (maximum recursion depth"]),
        (b"[" + b"9" * 5000 + b"]", ["is not JSON (Exceeds the limit"]),
        (TWO.replace(b"200000", b"NaN"), ["is not JSON (NaN is no number of JSON)"]),
    ],
)
def test_a_file_that_is_no_list_of_plays_is_refused(data, facts):
    assert_says(refused(data), "endsong_0.json", *facts, "expected", "Download the export again")


@pytest.mark.parametrize(
    ("fields", "facts"),
    [
        ({"ts": 1_677_693_959}, ["field ts in row 2", "int"]),
        ({"ts": "yesterday"}, ["ts is no time in data row 2 ('yesterday')", "2023-01-31T18:05:59Z"]),
        ({"ts": "2023-02-30T18:05:59Z"}, ["ts is no time in data row 2"]),
        ({"ts": "2023-03-01T18:05:59"}, ["ts is no time in data row 2"]),
        ({"ms_played": -1}, ["field ms_played in row 2", ">= 0"]),
        ({"ms_played": LONGEST_PLAY + 1}, ["field ms_played in row 2", "<= 2147483647"]),
        ({"ms_played": 10**30}, ["field ms_played in row 2"]),
        ({"ms_played": "200000"}, ["field ms_played in row 2", "str"]),
        ({"ms_played": 1.5}, ["field ms_played in row 2", "float"]),
        ({"shuffle": "true"}, ["field shuffle in row 2", "str"]),
        ({"reason_end": ["fwdbtn"]}, ["field reason_end in row 2", "array"]),
        ({"reason_end": "a line\nbreak"}, ["reason_end is no reason in data row 2"]),
        ({"reason_start": "x" * 41}, ["reason_start is no reason in data row 2"]),
        (
            {"spotify_track_uri": "spotify:track:short"},
            ["spotify_track_uri is no track in data row 2", "22 letters"],
        ),
        ({"spotify_track_uri": uri(1) + "0"}, ["spotify_track_uri is no track in data row 2"]),
        ({"spotify_track_uri": 5}, ["field spotify_track_uri in row 2", "int"]),
        ({"master_metadata_track_name": 1999}, ["field master_metadata_track_name in row 2", "int"]),
    ],
)
def test_a_wrong_value_is_refused_by_row_and_field(fields, facts):
    message = refused(content([play(), play(**fields), play(number=3)]))
    assert_says(message, "endsong_0.json", *facts, "expected", "Download the export again, or")


@pytest.mark.parametrize(
    "field", ["ts", "ms_played", "reason_start", "reason_end", "shuffle", "spotify_track_uri"]
)
def test_a_missing_field_is_refused(field):
    broken = {name: value for name, value in play().items() if name != field}
    assert_says(
        refused(content([play(), broken])), "the record in row 2", f"missing required field `{field}`"
    )


@pytest.mark.parametrize("row", [b"null", b"3", b"[]", b'"play"'])
def test_a_row_that_is_no_record_is_refused(row):
    assert_says(
        refused(b"[" + json.dumps(play()).encode() + b", " + row + b"]"), "the record in row 2", "object"
    )


@pytest.mark.parametrize("field", ["master_metadata_track_name", "ts", "user_agent_decrypted"])
@pytest.mark.parametrize("half", [r"\ud83d", r"\udc00 "])
def test_half_a_surrogate_pair_is_refused(field, half):
    data = json.dumps([play(), play(number=2) | {field: "HALF"}]).replace("HALF", half).encode()
    assert_says(refused(data), "endsong_0.json", f"field {field} in row 2", "half a surrogate pair")


@pytest.mark.parametrize("field", ["master_metadata_track_name", "platform"])
def test_a_whole_surrogate_pair_is_a_character(field):
    [row] = json.loads(
        json.dumps(read_records("endsong_0.json", json.dumps([play() | {field: "🎵"}]).encode()).to_pylist())
    )
    assert row["track_name"] == ("🎵" if field == "master_metadata_track_name" else "Track 1")


def test_the_short_account_data_is_refused_by_name():
    message = refused(content([short(), short()]))
    assert_says(
        message,
        "endsong_0.json",
        "Account data",
        "without reasons",
        '"Extended streaming history"',
        "Privacy",
    )
