"""What a folder without CSVs is said to hold, and what to do about it."""

import shlex
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from skip_pipeline.errors import MissingInputError
from skip_pipeline.raw.folder import find_session_logs, find_track_features
from skip_pipeline_tests.builders import assert_says, deliver, refusal


@pytest.fixture
def raw(tmp_path):
    return tmp_path / "01 raw"  # a command has to quote this


def message_of(raw):
    return refusal(MissingInputError, lambda: find_session_logs(raw))


def run_its_command(message):
    """Run the command that a message gives as it stands."""
    command = message.split("`")[1]
    assert shlex.split(command)[0] in ("mv", "tar", "unzip")
    subprocess.run(["bash", "-c", command], check=True)


@pytest.mark.parametrize(
    "deeper", ["data/training_set", "20181120_mini/data/Training_Set", "training_set/data", "Training-Set"]
)
@pytest.mark.parametrize("exists", [False, True])
def test_files_one_folder_deeper_are_moved_by_the_command_of_the_message(raw, deeper, exists):
    deliver(raw / deeper / "log_mini.csv.gz", b"any")
    if exists:
        (raw / "training_set").mkdir(exist_ok=True)
    message = message_of(raw)
    assert_says(message, f"The CSVs lie in {raw / deeper}; move them to {raw / 'training_set'}: `mv ")
    run_its_command(message)
    assert find_session_logs(raw) == (raw / "training_set" / "log_mini.csv.gz",)


@pytest.mark.parametrize("name", ["20181120_training_set.tar.gz", "mini.tgz", "training_set.TAR"])
@pytest.mark.parametrize("folder", ["", "training_set"])
def test_a_packed_archive_is_unpacked_by_the_command_of_the_message(raw, name, folder):
    source = deliver(raw.parent / "log.csv", b"any")
    archive = raw / folder / name
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz" if name.endswith("gz") else "w") as packed:
        packed.add(source, "training_set/log_0.csv")
    message = message_of(raw)
    assert_says(message, f"{archive} is still packed; unpack into {raw}, so that", "`tar -xf ")
    run_its_command(message)
    assert find_session_logs(raw) == (raw / "training_set" / "log_0.csv",)


def test_of_several_archives_the_one_of_the_folder_is_named(raw):
    for name in ("test_set.zip", "track_features.zip", "training_set.zip"):
        deliver(raw / name, b"any")
    assert f"{raw / 'training_set.zip'} is still packed" in message_of(raw)
    message = refusal(MissingInputError, lambda: find_track_features(raw))
    assert_says(
        message, f"{raw / 'track_features.zip'} is still packed", "`unzip ", "track_features.zip' -d "
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("log_mini.csv.bz2", "log_mini.csv.bz2 must be unpacked, or packed with gzip as .csv.gz"),
        ("log_mini.xlsx", "There is log_mini.xlsx; let the name of a CSV end in .csv, and save other tables"),
        ("log_mini.csv.txt", "There is log_mini.csv.txt; let the name of a CSV end in .csv"),
        ("log_mini.csv.crdownload", "log_mini.csv.crdownload has not been downloaded to its end; download"),
        ("../log_mini.csv", "move those that belong there to "),
    ],
)
def test_files_of_other_formats_are_named(raw, name, said):
    deliver(raw / "training_set" / name, b"any")
    assert_says(message_of(raw), said, "Or else put the public archive's files there", "synthesize --out")


def test_a_csv_packed_alone_is_unpacked_in_its_place(raw):
    place = raw / "training_set"
    place.mkdir(parents=True)
    with zipfile.ZipFile(place / "log_mini.csv.zip", "w") as packed:
        packed.writestr("log_mini.csv", "any")
    run_its_command(message_of(raw))
    (place / "log_mini.csv.zip").unlink()
    assert find_session_logs(raw) == (place / "log_mini.csv",)


@pytest.mark.parametrize(("name", "command"), [("a.7z", "`7z x "), ("a.rar", "`unrar x ")])
def test_other_archives_are_unpacked_by_their_own_programs(raw, name, command):
    deliver(raw / name, b"any")
    assert command in message_of(raw)


def test_a_folder_that_cannot_be_listed_is_passed_over(raw, monkeypatch):
    deliver(raw / "training_set.zip", b"any")
    (raw / "lost+found").mkdir()
    listing = Path.iterdir

    def forbidden(path):
        if path.name == "lost+found":
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", forbidden)
    assert "training_set.zip is still packed" in message_of(raw)


def test_files_of_the_other_folders_and_hidden_ones_are_no_session_logs(raw):
    deliver(raw / "track_features" / "tf_mini.csv", b"any")
    deliver(raw / "training_set" / "._log_mini.csv", b"any")
    deliver(raw / "__MACOSX" / "training_set" / "log_mini.csv", b"any")
    assert_says(message_of(raw), "holds no .csv or .csv.gz; expected session logs", ". To go on, put")


def test_a_folder_that_holds_everything_is_searched_to_a_bound(raw, monkeypatch):
    monkeypatch.setattr("skip_pipeline.raw.misplaced._MOST", 3)
    for i in range(5):
        deliver(raw / f"a{i}" / "other.txt", b"any")
    deliver(raw / "z" / "training_set" / "log.csv", b"any")
    assert "To go on" in message_of(raw)
