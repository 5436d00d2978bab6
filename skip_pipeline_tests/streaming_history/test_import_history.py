"""An import from files to files: refusals before anything is written, and nothing personal in what is."""

import json

import pyarrow.parquet as pq
import pytest

from skip_pipeline.errors import MissingInputError, RefusedError
from skip_pipeline.streaming_history.import_history import ImportedFeatures, import_history
from skip_pipeline_tests.streaming_history.exports_for_tests import (
    PERSONAL,
    local,
    new_names,
    old_names,
    podcast,
    track_id,
    write_zip,
)
from skip_pipeline_tests.streaming_history.histories import history


def files(raw):
    return {path.name: path.read_bytes() for path in raw.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """300 sessions of one person, and a podcast."""
    records = [*history(300), podcast("2023-03-01T23:00:00Z")]
    return write_zip(tmp_path_factory.mktemp("export") / "my_spotify_data.zip", new_names([records]))


def test_an_export_becomes_raw_logs_and_a_summary(tmp_path, export):
    summary = import_history([export], tmp_path, time_zone="Europe/Stockholm")

    marker = summary.marker
    assert (summary.plays, summary.first_year, summary.last_year) == (3000, 2023, 2023)
    assert (marker.people, marker.sessions, marker.plays, marker.tracks) == (1, 300, 3000, 40)
    assert (marker.time_zone, marker.pause_minutes) == ("Europe/Stockholm", 30)
    assert sum(marker.left_out.values()) == 1
    assert summary.features is None
    assert sorted(path.name for path in (tmp_path / "training_set").iterdir()) == [
        "log_0_20230101_000000000000.csv",
        "log_0_20230201_000000000000.csv",
    ]


def test_fewer_than_300_sessions_are_refused_with_their_number_and_nothing_is_written(tmp_path):
    export = write_zip(tmp_path / "my_spotify_data.zip", new_names([history(299)]))

    with pytest.raises(
        RefusedError, match=r"give 299 sessions.*at least 300\..*synthesize.*Nothing was written"
    ):
        import_history([export], tmp_path / "raw", time_zone="UTC")
    assert not (tmp_path / "raw").exists()


def test_a_history_of_local_files_alone_has_no_session_and_is_refused(tmp_path):
    records = [local(f"2023-01-01T10:{minute:02d}:00Z") for minute in range(60)]
    export = write_zip(tmp_path / "a.zip", new_names([records]))

    with pytest.raises(RefusedError, match=r"give 0 sessions.*music without a track id"):
        import_history([export], tmp_path / "raw", time_zone="UTC")
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("minutes", [0.5, 0, -1, float("nan")])
def test_an_impossible_pause_is_refused_before_anything_is_read(tmp_path, minutes):
    with pytest.raises(RefusedError, match=r"--pause-minutes is .*; expected at least 1\. Choose more"):
        import_history([tmp_path / "none"], tmp_path, time_zone="UTC", pause_minutes=minutes)


def test_an_unknown_time_zone_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(RefusedError, match="the time zone 'Mars/Base' is not known"):
        import_history([tmp_path / "none"], tmp_path, time_zone="Mars/Base")


def test_a_missing_file_of_features_is_refused_before_the_export_is_read(tmp_path):
    with pytest.raises(MissingInputError, match=r"features\.csv is not there"):
        import_history([tmp_path / "none"], tmp_path, time_zone="UTC", features=tmp_path / "features.csv")


def test_features_are_written_and_are_unknown_no_more_where_every_track_has_them(tmp_path, export):
    table = tmp_path / "features.csv"
    rows = [f"{track_id(i)},{100 + i},{'' if i == 3 else 0.5},x" for i in range(40)]
    table.write_text("\n".join(["track_id,tempo,energy,genre", *rows, rows[0]]))

    summary = import_history([export], tmp_path / "raw", time_zone="UTC", features=table)

    assert summary.features == ImportedFeatures(found=40, ignored=("genre",), repeated=1)
    assert "tempo" not in summary.marker.unknown
    assert {"energy", "valence"} <= set(summary.marker.unknown)
    lines = (tmp_path / "raw/track_features/tf_000000000000.csv").read_text().splitlines()
    header, first = (line.split(",") for line in lines[:2])
    known = {name: cell for name, cell in zip(header, first, strict=True) if cell}
    assert {"track_id", "tempo"} <= set(known) <= {"track_id", "tempo", "energy"}


@pytest.mark.parametrize("generation", ["2022", "2024", "2025"])
def test_nothing_personal_is_in_any_byte_that_is_written(tmp_path, generation):
    records = [
        *history(300, generation),
        local("2023-03-01T10:00:00Z", master_metadata_track_name="Track planted"),
    ]
    name_files = old_names if generation == "2022" else new_names
    export = write_zip(tmp_path / "planted-file-name.zip", name_files([records]))
    raw = tmp_path / "raw"
    import_history([export], raw, time_zone="Europe/Stockholm")

    written = files(raw)
    planted = [*PERSONAL.values(), "planted", "Track ", "Artist ", "Album ", "spotify:", track_id(1)]
    for name, content in written.items():
        assert [text for text in planted if text.encode() in content or text in name] == []
    marker = json.loads(written["OWN_LISTENING.json"])
    assert set(marker) == {
        "data", "files", "first_day", "last_day", "left_out", "pause_minutes", "people", "plays", "sessions",
        "source", "time_zone", "tracks", "unknown",
    }  # fmt: skip


def test_names_are_in_their_own_file_alone_and_only_if_asked_for(tmp_path, export):
    import_history([export], tmp_path, time_zone="UTC", with_names=True)

    assert pq.read_table(tmp_path / "names.parquet").num_rows == 40
    assert [name for name, content in files(tmp_path).items() if b"Artist " in content] == ["names.parquet"]
    assert all(
        not any(value.encode() in content for value in PERSONAL.values())
        for content in files(tmp_path).values()
    )


def test_people_are_numbered_in_the_order_of_the_arguments(tmp_path, export):
    other = write_zip(tmp_path / "other.zip", new_names([history(10, first=100)]))

    summary = import_history([other, export], tmp_path / "raw", time_zone="UTC")

    log = (tmp_path / "raw/training_set/log_0_20230101_000000000000.csv").read_text().splitlines()[1:]
    assert summary.marker.people == 2
    assert sum(line.startswith("1_") for line in log) == 100
    assert sum(line.startswith("2_") for line in log) > 1000
