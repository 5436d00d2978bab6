"""Which files of a raw folder are read, and whether they are called synthetic."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from skip_pipeline.errors import BadInputError, MissingInputError
from skip_pipeline.raw import folder as raw_folder
from skip_pipeline_tests.builders import assert_says, deliver, own_listening, refusal

ANY = {"bytes": 3, "sha256": hashlib.sha256(b"any").hexdigest()}
MARKER = json.dumps({"files": {"track_features/tf_mini.csv": ANY, "training_set/log_mini.csv": ANY}})


@pytest.fixture
def raw(tmp_path):
    return tmp_path / "01_raw"


def beside(name):
    return lambda place: deliver(place / name, b"any")


UNUSABLE = {
    "a folder": (lambda place: (place / "b.csv").mkdir(), ("b.csv is a folder", "expected a file", "Rename")),
    "a folder called gzip": (
        lambda place: (place / "b.csv.gz").mkdir(),
        ("b.csv.gz is a folder", "expected a file", "Rename it"),
    ),
    "a link": (
        lambda place: (place / "b.csv").symlink_to("gone.csv"),
        ("b.csv is a link to nothing", "expected a file", "remove it"),
    ),
    "a special file": (
        lambda place: os.mkfifo(place / "b.csv"),
        ("b.csv is a special file", "expected a file"),
    ),
    "a twin": (
        lambda place: deliver(place / "a.csv.gz", b"any"),
        ("holds both a.csv and a.csv.gz", "expected one", "Remove"),
    ),
    "a name that is not UTF-8": (
        lambda place: deliver(place / "a\udcff.csv", b"any"),
        (r"'a\udcff.csv'", "expected a file name in UTF-8", "Rename"),
    ),
    "a special file that is linked": (
        lambda place: (place / "b.csv").symlink_to("/dev/null"),
        ("b.csv is a special file", "expected a file"),
    ),
    "a loop of links": (
        lambda place: (place / "b.csv").symlink_to("b.csv"),
        ("b.csv is a link to nothing", "expected a file"),
    ),
    "a long name": (
        lambda place: deliver(place / f"{'é' * 99}.csv", b"any"),
        ("a name of 202 bytes; expected at most 200", "Rename the file"),
    ),
    **{
        name: (
            beside(name),
            (f"holds {name}, which is not read; expected .csv and .csv.gz alone", "or move it away"),
        )
        for name in ("b.csv.bz2", "b.CSV.zip", "b.csv.7z", "b.xlsx", "b.tsv", "b.parquet")
    },
    "a folder of CSVs": (
        lambda place: deliver(place / "more" / "b.csv.gz", b"any"),
        ("holds the folder more with CSVs, which are not read", "Move them there, or move the folder away"),
    ),
    "a name that parquet readers would skip": (
        lambda place: deliver(place / "_a.csv", b"any"),
        ("holds _a.csv", "expected no name", "Rename it"),
    ),
}

OF_OTHER_PROGRAMS = (
    *("._a.csv", ".DS_Store", "__MACOSX/a.csv", "Thumbs.db", "desktop.ini", "~$a.csv", ".~lock.a.csv#"),
    *("#a.csv#", "a.csv~", "a.csv:Zone.Identifier", "README.md", "training_set.tar.gz", "e.csv.crdownload"),
)


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
        for name in ("b.csv.gz", "a.csv", ".c.csv", "d.csv.part", "B.CSV", "C.Csv.GZ", *OF_OTHER_PROGRAMS):
            deliver(raw / folder / name, b"any")
        assert [path.name for path in find(raw)] == ["B.CSV", "C.Csv.GZ", "a.csv", "b.csv.gz"]

    def test_a_file_in_place_of_the_folder_is_named(self, raw, find, folder):
        deliver(raw / folder, b"any")
        message = refusal(MissingInputError, lambda: find(raw))
        assert_says(message, f"{raw / folder} is not a folder", "expected a folder of", "synthesize --out")

    @pytest.mark.parametrize(("spoil", "facts"), UNUSABLE.values(), ids=UNUSABLE)
    def test_a_path_that_cannot_be_used_is_refused(self, raw, find, folder, spoil, facts):
        deliver(raw / folder / "a.csv", b"any")
        spoil(raw / folder)
        assert_says(refusal(BadInputError, lambda: find(raw)), str(raw / folder), *facts)

    def test_a_folder_that_cannot_be_listed_is_refused(self, raw, find, folder, monkeypatch):
        # Permissions do not bind the superuser, so the answer of the system is made up.
        (raw / folder).mkdir(parents=True)

        def forbidden(path):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(Path, "iterdir", forbidden)
        message = refusal(BadInputError, lambda: find(raw))
        assert_says(message, f"{raw / folder} cannot be read", "Permission denied", "permissions")

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


def test_what_is_no_file_is_left_out_where_files_are_counted(tmp_path):
    kept = deliver(tmp_path / "training_set" / "a.csv", b"any")
    (tmp_path / "training_set" / "b.csv").symlink_to("b.csv")
    (tmp_path / "training_set" / "c.csv").mkdir()
    assert raw_folder.delivered_csvs(tmp_path) == [kept]


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


@pytest.mark.parametrize(
    ("marker", "law"),
    [
        ('{"files": {}, "law": "habits"}', "habits"),
        ('{"files": {}}', None),
        ('{"law": "habits"}', None),  # doubted
        ("no JSON", None),
        (None, None),
    ],
)
def test_the_law_is_what_a_marker_says(tmp_path, marker, law):
    if marker is not None:
        (tmp_path / "SYNTHETIC.json").write_text(marker)

    assert raw_folder.synthetic_law(tmp_path) == law


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


# --- The marker of own listening ------------------------------------------------------------------------


@pytest.fixture
def imported(tmp_path):
    """A raw folder as an import leaves it."""
    deliver(tmp_path / "training_set" / "log_0_20240101_000000000000.csv", b"any")
    deliver(tmp_path / "track_features" / "tf.csv", b"any")
    deliver(tmp_path / "track_groups.csv", b"any")
    own_listening(tmp_path, "premium")
    return tmp_path


def test_own_listening_is_real_and_not_doubted(imported):
    assert raw_folder.data_source(imported) == "real"
    assert raw_folder.marker_doubt(imported) == ""


@pytest.mark.parametrize("name", ["training_set/log_1.csv", "track_features/tf.csv", "track_groups.csv"])
def test_a_file_that_was_not_imported_as_it_is_is_doubted(imported, name):
    added = deliver(imported / name, b"another")
    assert_says(
        raw_folder.marker_doubt(imported),
        f"{imported / 'OWN_LISTENING.json'} does not list {added} as it is, yet everything is called own",
        "import the export again, or move these files away",
    )


@pytest.mark.parametrize("name", ["training_set/log_0_20240101_000000000000.csv", "track_groups.csv"])
def test_an_imported_file_that_is_gone_is_doubted(imported, name):
    (imported / name).unlink()
    assert_says(
        raw_folder.marker_doubt(imported), f"lists {imported / name}, which is not there", "import the export"
    )


def test_two_markers_are_doubted_and_everything_is_synthetic(imported):
    (imported / "SYNTHETIC.json").write_text(MARKER)
    assert raw_folder.data_source(imported) == "synthetic"
    assert_says(
        raw_folder.marker_doubt(imported), "holds both SYNTHETIC.json and OWN_LISTENING.json", "expected one"
    )


def test_a_damaged_marker_of_own_listening_is_doubted(imported):
    (imported / "OWN_LISTENING.json").write_text("{")
    assert "cannot be read as the marker of own listening" in raw_folder.marker_doubt(imported)
