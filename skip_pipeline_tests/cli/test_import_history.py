"""The command import-history as a person types it."""

from zoneinfo import ZoneInfoNotFoundError

import pytest
import tzlocal
from typer.testing import CliRunner

from skip_pipeline.cli.main import app
from skip_pipeline_tests.streaming_history.exports_for_tests import new_names, podcast, track_id, write_zip
from skip_pipeline_tests.streaming_history.histories import history


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    records = [*history(300), podcast("2023-03-01T23:00:00Z")]
    return write_zip(tmp_path_factory.mktemp("export") / "my_spotify_data.zip", new_names([records]))


@pytest.fixture
def cli(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments):
        answer = CliRunner().invoke(app, ["import-history", *map(str, arguments)])
        assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
        return answer

    return invoke


def test_the_command_says_what_was_found_left_out_and_not_known_and_what_to_do_next(cli, tmp_path, export):
    answer = cli(export, "--data-dir", "my data", "--time-zone", "Europe/Stockholm")
    words = " ".join(answer.output.split())

    assert answer.exit_code == 0
    assert "1 person, 3,000 plays of music, 2023 to 2023: 300 sessions of 10 to 20 tracks" in words
    assert f"written to {tmp_path / 'my data/01_raw'} in " in answer.output
    assert "│ 1 │ podcasts" in words
    assert "Hours and dates are those of Europe/Stockholm\n" in answer.output
    assert "Not known: context_switch, hist_user_behavior_n_seekfwd" in words
    assert "Not known: all track features (--features FILE adds them)" in words
    assert answer.output.endswith("Next:   skip-pipeline run --data-dir 'my data'\n")
    assert "Artist" not in answer.output


def test_without_options_the_data_directory_and_the_machine_s_time_zone_are_taken(
    cli, tmp_path, monkeypatch, export
):
    monkeypatch.setattr(tzlocal, "get_localzone_name", lambda: "Pacific/Kiritimati")
    monkeypatch.setenv("SKIP_PIPELINE_DATA_DIR", str(tmp_path / "mine"))
    answer = cli(export)

    assert answer.exit_code == 0
    assert (
        "those of Pacific/Kiritimati, the time zone of this machine; --time-zone names another"
        in answer.output
    )
    assert answer.output.endswith("Next:   skip-pipeline run\n")
    assert '"time_zone": "Pacific/Kiritimati"' in (tmp_path / "mine/01_raw/OWN_LISTENING.json").read_text()


def test_a_machine_without_a_time_zone_is_refused_and_the_option_named(cli, monkeypatch, export):
    def conflict():
        raise ZoneInfoNotFoundError("two settings")

    monkeypatch.setattr(tzlocal, "get_localzone_name", conflict)
    answer = cli(export)

    assert answer.exit_code == 1
    assert "the time zone of this machine cannot be found" in answer.stderr
    assert "--time-zone Europe/Stockholm" in answer.stderr


def test_track_features_are_counted_and_columns_without_use_named(cli, tmp_path, export):
    features = tmp_path / "features.csv"
    features.write_text(f"id,tempo,genre\n{track_id(1)},90,rock\n{track_id(1)},91,rock\n{track_id(99)},1,x\n")
    answer = cli(export, "--features", features, "--time-zone", "UTC", "--names")
    words = " ".join(answer.output.split())

    assert answer.exit_code == 0
    assert f"Track features: 1 of 40 tracks are in {features}; columns without use: genre; " in words
    assert "rows without use, because an earlier row has their track: 1" in words
    assert "Not known of some or all tracks: duration, release_year" in words
    assert (tmp_path / "data/01_raw/names.parquet").is_file()


def test_a_refusal_is_one_line_and_writes_nothing(cli, tmp_path, export):
    answer = cli(export, "--time-zone", "Europe/Stockhom")

    assert answer.exit_code == 1
    assert answer.stderr.startswith("error: the time zone 'Europe/Stockhom' is not known")
    assert not (tmp_path / "data").exists()


def test_a_shared_storage_is_refused_because_the_import_writes_to_this_machine(cli, monkeypatch, export):
    monkeypatch.setenv("SKIP_PIPELINE_STORAGE_URL", "s3://bucket/prefix")
    answer = cli(export)

    assert answer.exit_code == 1
    assert (
        "$SKIP_PIPELINE_STORAGE_URL is set, but an import writes to a folder of this machine" in answer.stderr
    )
