"""Numbers of tracks, artists and albums in the order of the first play in a session."""

import numpy as np

from skip_pipeline.streaming_history.tracks import tracks_of
from skip_pipeline_tests.streaming_history.plays_tables import play, spotify_id, table


def tracks(*rows, chosen=None):
    plays = table(list(rows))
    return tracks_of(plays, np.arange(len(plays)) if chosen is None else np.array(chosen))


def groups(found):
    return list(zip(*found.groups.to_pydict().values(), strict=True))


def test_tracks_are_numbered_by_their_first_play_over_all_people():
    found = tracks(play(10, track=7, person=1), play(30, track=8, person=1), play(20, track=9, person=2))

    assert found.of_row.tolist() == [0, 2, 1]
    assert found.spotify.to_pylist() == [spotify_id(7), spotify_id(9), spotify_id(8)]
    assert found.ids.to_pylist() == ["t_0000000", "t_0000001", "t_0000002"]


def test_a_play_outside_the_sessions_numbers_nothing():
    found = tracks(play(1, track=5), play(2, track=6), play(3, track=6), chosen=[1, 2])

    assert found.of_row.tolist() == [0, 0]
    assert found.spotify.to_pylist() == [spotify_id(6)]


def test_later_plays_append_numbers():
    rows = [play(i, track=track) for i, track in enumerate([4, 2, 4, 9])]
    before, after = tracks(*rows), tracks(*rows, play(10, track=1), play(11, track=2))

    assert after.of_row.tolist()[:4] == before.of_row.tolist()
    assert groups(after)[:3] == groups(before)


def test_artists_share_a_number_by_name_and_albums_by_name_and_artist():
    found = tracks(
        play(1, track=1, artist="A", album="Best"),
        play(2, track=2, artist="B", album="Best"),
        play(3, track=3, artist="A", album="Best"),
        play(4, track=4, artist="A", album="Worst"),
    )

    assert groups(found) == [
        ("t_0000000", 0, 0),
        ("t_0000001", 1, 1),
        ("t_0000002", 0, 0),
        ("t_0000003", 0, 2),
    ]


def test_tracks_without_an_artist_or_album_are_alone():
    found = tracks(
        play(1, track=1, artist=None, album=None),
        play(2, track=2, artist=None, album="Best"),
        play(3, track=3, artist="A", album=None),
        play(4, track=4, artist="A", album=None),
    )

    assert [group[1:] for group in groups(found)] == [(0, 0), (1, 1), (2, 2), (2, 3)]


def test_names_are_of_the_first_play_and_empty_where_not_known():
    found = tracks(
        play(1, track=1, track_name="Old", artist=None, album="X"), play(2, track=1, track_name="New")
    )

    assert found.names.to_pylist() == [
        {
            "track_id": "t_0000000",
            "spotify_track_uri": f"spotify:track:{spotify_id(1)}",
            "track": "Old",
            "artist": "",
            "album": "X",
        }
    ]
