"""Which files of a raw folder are read, and whether they are called synthetic."""

import hashlib
import json
import os

import pytest

from skip_pipeline.errors import BadInputError, MissingInputError
from skip_pipeline.raw import folder as raw_folder
from skip_pipeline_tests.builders import assert_says, deliver, refusal

ANY = {"bytes": 3, "sha256": hashlib.sha256(b"any").hexdigest()}
MARKER = json.dumps({"files": {"track_features/tf_mini.csv": ANY, "training_set/log_mini.csv": ANY}})


@pytest.fixture
def raw(tmp_path):
    return tmp_path / "01_raw"


@pytest.mark.parametrize(
    ("find", "folder"),
    [(raw_folder.find_session_logs, "training_set"), (raw_folder.find_track_features, "track_features")],
)
class TestFinding:
    def test_a_missing_folder_is_named_with_what_belongs_there(self, raw, find, folder):
        message = refusal(MissingInputError, lambda: find(raw))
        assert_says(message, f"{raw / folder} does not exist", "expected ", "skip-pipeline synthesize --out")

    def test_an_empty_folder_is_named_with_what_belongs_there(self, raw, find, folder):
        deliver(raw / folder / "notes.txt", b"no data")
        message = refusal(MissingInputError, lambda: find(raw))
        assert_says(message, f"{raw / folder} holds no .csv or .csv.gz", "expected ", "skip-pipeline synth")

    def test_plain_and_gzipped_files_come_sorted_and_hidden_ones_not_at_all(self, raw, find, folder):
        for name in ("b.csv.gz", "a.csv", ".c.csv", "d.csv.part", "B.CSV", "C.Csv.GZ"):
            deliver(raw / folder / name, b"any")
        assert [path.name for path in find(raw)] == ["B.CSV", "C.Csv.GZ", "a.csv", "b.csv.gz"]

    def test_a_file_in_place_of_the_folder_is_named(self, raw, find, folder):
        deliver(raw / folder, b"any")
        message = refusal(MissingInputError, lambda: find(raw))
        assert_says(message, f"{raw / folder} is not a folder", "expected a folder of", "synthesize --out")

    @pytest.mark.parametrize("name", ["b.csv", "b.csv.gz"])
    def test_a_folder_called_like_a_file_is_refused(self, raw, find, folder, name):
        deliver(raw / folder / "a.csv", b"any")
        (raw / folder / name).mkdir()
        message = refusal(BadInputError, lambda: find(raw))
        assert_says(message, f"{raw / folder / name} is a folder", "expected a file", "Rename it")

    def test_a_link_to_nothing_is_refused(self, raw, find, folder):
        deliver(raw / folder / "a.csv", b"any")
        (raw / folder / "b.csv").symlink_to(raw / "gone.csv")
        message = refusal(BadInputError, lambda: find(raw))
        assert_says(message, f"{raw / folder / 'b.csv'} is a link to nothing", "expected a file", "remove it")

    def test_files_in_the_data_directory_and_in_its_raw_folder_are_refused(self, raw, find, folder):
        unread = raw.parent / folder
        for path in (raw / "training_set" / "a.csv", raw / folder / "a.csv", unread / "b.csv"):
            deliver(path, b"any")
        message = refusal(BadInputError, lambda: find(raw))
        assert_says(
            message, f"{raw / folder} and {unread} both hold CSVs", "in one folder only", "Remove one"
        )

    def test_files_in_the_data_directory_alone_are_found(self, raw, find, folder):
        for name in ("training_set", folder):
            deliver(raw.parent / name / "a.csv", b"any")
        assert find(raw.parent) == (raw.parent / folder / "a.csv",)

    def test_the_same_name_plain_and_gzipped_is_refused(self, raw, find, folder):
        for name in ("a.csv", "a.csv.gz"):
            deliver(raw / folder / name, b"any")
        message = refusal(BadInputError, lambda: find(raw))
        assert_says(message, str(raw / folder), "holds both a.csv and a.csv.gz", "expected one", "Remove")

    def test_a_name_that_is_not_utf_8_is_refused(self, raw, find, folder):
        deliver(raw / folder / "a\udcff.csv", b"any")
        message = refusal(BadInputError, lambda: find(raw))
        assert_says(message, str(raw / folder), r"'a\udcff.csv'", "expected a file name in UTF-8", "Rename")

    def test_a_special_file_is_refused(self, raw, find, folder):
        (raw / folder).mkdir(parents=True)
        os.mkfifo(raw / folder / "a.csv")
        message = refusal(BadInputError, lambda: find(raw))
        assert_says(message, f"{raw / folder / 'a.csv'} is a special file", "expected a file")

    def test_a_name_that_parquet_readers_would_skip_is_refused(self, raw, find, folder):
        deliver(raw / folder / "_a.csv", b"any")
        message = refusal(BadInputError, lambda: find(raw))
        assert_says(message, str(raw / folder), "holds _a.csv", "expected no name", "Rename it")


def test_a_marker_beside_the_raw_folders_makes_the_data_synthetic(tmp_path):
    deliver(tmp_path / "training_set" / "log_mini.csv", b"any")
    assert raw_folder.data_source(tmp_path) == "real"
    (tmp_path / "SYNTHETIC.json").write_text(MARKER)
    assert raw_folder.data_source(tmp_path) == "synthetic"


def test_a_synthetic_file_that_was_gzipped_later_is_still_synthetic(tmp_path):
    deliver(tmp_path / "training_set" / "log_mini.csv.gz", b"any")
    (tmp_path / "SYNTHETIC.json").write_text(MARKER)
    assert raw_folder.data_source(tmp_path) == "synthetic"


@pytest.mark.parametrize("name", ["training_set/log_0.csv", "track_features/log_mini.csv.gz"])
def test_a_file_beside_the_marker_that_it_does_not_list_is_synthetic_and_doubted(tmp_path, name):
    deliver(tmp_path / "training_set" / "log_mini.csv", b"any")
    deliver(tmp_path / "track_features" / "tf_mini.csv", b"any")
    (tmp_path / "SYNTHETIC.json").write_text(MARKER)
    assert raw_folder.marker_doubt(tmp_path) == ""
    added = deliver(tmp_path / name, b"any")
    assert raw_folder.data_source(tmp_path) == "synthetic"
    assert_says(
        raw_folder.marker_doubt(tmp_path),
        f"{tmp_path / 'SYNTHETIC.json'} does not list {added} as it is, yet everything is called synthetic",
        "if these files are real, move the synthetic ones and the marker away",
    )


def test_a_listed_file_of_another_size_is_doubted(tmp_path):
    changed = deliver(tmp_path / "training_set" / "log_mini.csv", b"real data")
    deliver(tmp_path / "track_features" / "tf_mini.csv", b"any")
    (tmp_path / "SYNTHETIC.json").write_text(MARKER)
    assert f"does not list {changed} as it is" in raw_folder.marker_doubt(tmp_path)


def test_a_listed_file_that_is_missing_is_doubted(tmp_path):
    deliver(tmp_path / "track_features" / "tf_mini.csv", b"any")
    (tmp_path / "SYNTHETIC.json").write_text(MARKER)
    assert_says(
        raw_folder.marker_doubt(tmp_path),
        f"lists {tmp_path / 'training_set/log_mini.csv'}, which is not there",
        "make it again with `skip-pipeline synthesize`",
    )


def test_a_listed_file_that_was_zipped_later_is_the_same(tmp_path):
    deliver(tmp_path / "training_set" / "log_mini.csv.gz", b"smaller")
    deliver(tmp_path / "track_features" / "tf_mini.csv", b"any")
    (tmp_path / "SYNTHETIC.json").write_text(MARKER)
    assert raw_folder.marker_doubt(tmp_path) == ""


def test_without_a_marker_there_is_no_doubt(tmp_path):
    deliver(tmp_path / "training_set" / "log_mini.csv", b"any")
    assert raw_folder.marker_doubt(tmp_path) == ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"files": 3}',
        b'{"files": ["a"]}',
        b'{"files": {"a.csv": {"bytes": 1e400, "sha256": ""}}}',
        b"[" * 100_000,
        b"\xff",
        None,
    ],
)
def test_a_marker_that_says_nothing_makes_synthetic_and_is_doubted(tmp_path, content):
    marker = tmp_path / "SYNTHETIC.json"
    if content is None:
        marker.mkdir()
    else:
        marker.write_bytes(content)
    assert raw_folder.data_source(tmp_path) == "synthetic"
    assert_says(
        raw_folder.marker_doubt(tmp_path),
        f"{marker} cannot be read",
        "expected JSON that lists",
        "Delete the marker if",
    )
