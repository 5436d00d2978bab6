"""Artist and album of each track, beside the marker of own listening."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from skip_pipeline.errors import BadInputError, MissingInputError
from skip_pipeline.raw.track_groups import read_track_groups, track_groups_file
from skip_pipeline_tests.builders import Row, assert_says, deliver, own_listening, refusal

IDS = pa.array(["t_1", "t_2"])


def group(track_id: str, artist: object = 0, album: object = 0) -> Row:
    return {"track_id": track_id, "artist": artist, "album": album}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "track_groups.csv"


def test_groups_come_in_the_order_of_the_tracks_asked_for(path: Path) -> None:
    deliver(path, [group("t_2", 7, 1), group("t_3", 7, 2), group("t_1", 0, 2147483647)])
    groups = read_track_groups(path, IDS)
    assert groups.dtype == "int32"
    assert groups.tolist() == [[0, 2147483647], [7, 1]]


def test_a_track_without_a_group_is_named(path: Path) -> None:
    deliver(path, [group("t_1")])
    message = refusal(BadInputError, lambda: read_track_groups(path, pa.array(["t_1", "t_5", "t_6"])))
    assert_says(message, f"{path} lacks 2 of 3 tracks", "'t_5'", "a row for each", "Import the export again")


def test_a_track_with_two_rows_is_named_with_them(path: Path) -> None:
    deliver(path, [group("t_1"), group("t_2"), group("t_1", 4)])
    message = refusal(BadInputError, lambda: read_track_groups(path, IDS))
    assert_says(message, f"{path}: column track_id", "data rows 1 ('t_1'), 3 ('t_1')", "each track once")


@pytest.mark.parametrize("artist", [-1, "", "unknown", 2**31])
def test_a_number_that_is_none_is_named(path: Path, artist: object) -> None:
    deliver(path, [group("t_1"), group("t_2", artist)])
    assert_says(refusal(BadInputError, lambda: read_track_groups(path, IDS)), str(path), "artist", "row 2")


# --- Whether there are groups ---------------------------------------------------------------------------


def test_groups_count_beside_the_marker_of_own_listening_alone(tmp_path: Path, path: Path) -> None:
    assert track_groups_file(tmp_path) is None
    deliver(path, [group("t_1")])
    assert track_groups_file(tmp_path) is None
    own_listening(tmp_path)
    assert track_groups_file(tmp_path) == path
    path.unlink()
    own_listening(tmp_path)
    assert track_groups_file(tmp_path) is None


def test_groups_that_the_marker_lists_are_missed(tmp_path: Path, path: Path) -> None:
    deliver(path, [group("t_1")])
    own_listening(tmp_path)
    path.unlink()
    message = refusal(MissingInputError, lambda: track_groups_file(tmp_path))
    assert_says(message, f"{path} does not exist", "the marker beside it lists it", "put the file back")
