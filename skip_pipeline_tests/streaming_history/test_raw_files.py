"""Files of an import: whole or not at all, never over other data, equal months untouched."""

import hashlib
import json

import pytest

from skip_pipeline.errors import RefusedError
from skip_pipeline.raw.own_listening import own_listening
from skip_pipeline.streaming_history.exports import Imported
from skip_pipeline.streaming_history.import_history import raw_tables
from skip_pipeline.streaming_history.raw_files import publish_raw
from skip_pipeline.world.synthesize import synthesize
from skip_pipeline_tests.streaming_history.plays_tables import in_a_row, table

MARKER, TRACKS, GROUPS, NAMES = (
    "OWN_LISTENING.json",
    "track_features/tf_000000000000.csv",
    "track_groups.csv",
    "names.parquet",
)
MARCH, APRIL, MAY = (f"training_set/log_0_2024{month}01_000000000000.csv" for month in ("03", "04", "05"))

SPRING = in_a_row(12, "2024-03-31 20:00:00") + in_a_row(30, "2024-04-02 20:00:00")
MORE = in_a_row(12, "2024-04-30 20:00:00", track=70)
NEXT_MONTH = in_a_row(15, "2024-05-01 20:00:00", track=80)


def publish(raw, rows, names=False):
    tables = raw_tables(Imported(table(rows), {}, 1), "UTC")
    return publish_raw(
        raw, tables.log, tables.tracks, tables.groups, tables.names if names else None, tables.marker
    )


def contents(raw):
    return {
        path.relative_to(raw).as_posix(): path.read_bytes()
        for path in sorted(raw.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def inodes(raw):
    return {path.relative_to(raw).as_posix(): path.stat().st_ino for path in raw.rglob("*.*")}


def test_an_import_is_logs_by_month_tracks_groups_and_a_marker_that_lists_them(tmp_path):
    marker = publish(tmp_path, SPRING)
    files = contents(tmp_path)

    assert sorted(files) == sorted([MARCH, APRIL, TRACKS, GROUPS, MARKER])
    assert {name: (file.bytes, file.sha256) for name, file in marker.files.items()} == {
        name: (len(text), hashlib.sha256(text).hexdigest()) for name, text in files.items() if name != MARKER
    }
    assert own_listening(tmp_path) == marker
    assert (marker.people, marker.plays, marker.sessions, marker.tracks) == (1, 42, 3, 30)
    assert (marker.first_day, marker.last_day) == ("2024-03-31", "2024-04-02")
    assert {"premium", "context_type", "acousticness", "mode"} <= set(marker.unknown)
    assert "hour_of_day" not in marker.unknown


def test_names_are_written_only_if_asked_for_and_go_with_an_import_without_them(tmp_path):
    publish(tmp_path, SPRING, names=True)
    assert NAMES in contents(tmp_path)

    publish(tmp_path, SPRING)
    assert NAMES not in contents(tmp_path)


def test_a_grown_export_changes_the_last_month_the_track_tables_and_the_marker_only(tmp_path):
    publish(tmp_path, SPRING)
    before, places = contents(tmp_path), inodes(tmp_path)

    publish(tmp_path, SPRING + MORE + NEXT_MONTH)

    after = contents(tmp_path)
    assert {name for name in after if after[name] != before.get(name)} == {APRIL, MAY, TRACKS, GROUPS, MARKER}
    assert inodes(tmp_path)[MARCH] == places[MARCH]
    for name in (APRIL, TRACKS, GROUPS):  # rows are added at the end
        assert after[name].startswith(before[name])
        assert len(after[name]) > len(before[name])


def test_the_same_export_again_changes_no_file(tmp_path):
    publish(tmp_path, SPRING, names=True)
    before, places = contents(tmp_path), inodes(tmp_path)

    publish(tmp_path, SPRING, names=True)

    assert contents(tmp_path) == before
    assert {name: places[name] for name in (MARCH, APRIL, TRACKS, GROUPS, NAMES)}.items() <= inodes(
        tmp_path
    ).items()


def test_a_month_that_is_no_longer_there_is_removed(tmp_path):
    publish(tmp_path, SPRING + NEXT_MONTH)
    publish(tmp_path, SPRING)

    assert MAY not in contents(tmp_path)
    assert set(json.loads((tmp_path / MARKER).read_text())["files"]) == {MARCH, APRIL, TRACKS, GROUPS}


def refused(raw, reason):
    before = contents(raw)
    with pytest.raises(RefusedError, match=reason):
        publish(raw, SPRING)
    assert contents(raw) == before


@pytest.mark.parametrize(
    "name", ["training_set/log_mini.csv", "test_set/log_input.csv", "oracle.parquet", NAMES, GROUPS]
)
def test_files_of_another_origin_are_never_touched(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("other")
    refused(
        tmp_path, f"holds {name}, which no readable OWN_LISTENING.json lists as it is.*move the files away"
    )


def test_a_synthetic_set_is_never_touched_nor_is_its_marker_alone(tmp_path):
    synthesize(tmp_path, sessions=2, tracks=3, seed=0)
    refused(tmp_path, r"holds SYNTHETIC\.json, oracle\.parquet, track_features/tf_mini\.csv and more, which")
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "SYNTHETIC.json").write_text("{}")
    refused(alone, r"holds SYNTHETIC\.json, which")


def test_own_listening_is_not_touched_by_a_synthetic_set(tmp_path):
    publish(tmp_path, SPRING)
    before = contents(tmp_path)

    with pytest.raises(RefusedError, match=r"holds OWN_LISTENING\.json.*replaces only another such set"):
        synthesize(tmp_path, sessions=2, tracks=3, seed=0)
    assert contents(tmp_path) == before


def test_a_file_of_the_import_that_was_changed_is_never_touched(tmp_path):
    publish(tmp_path, SPRING)
    (tmp_path / MARCH).write_bytes((tmp_path / MARCH).read_bytes().replace(b"true", b"fals", 1))
    refused(tmp_path, f"holds {MARCH}, which")


def test_a_marker_that_cannot_be_read_protects_everything(tmp_path):
    publish(tmp_path, SPRING)
    (tmp_path / MARKER).write_text("{}")
    refused(tmp_path, r"which no readable OWN_LISTENING\.json lists")
