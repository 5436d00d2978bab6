"""Scores of submissions, submissions that do not fit the truth, and who may read the truth."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

import skip_pipeline
from skip_pipeline.challenge.evaluation import evaluate, read_truth, truth_files
from skip_pipeline.errors import BadInputError, MissingInputError
from skip_pipeline_tests.builders import assert_says, refusal

PACKAGE = Path(skip_pipeline.__file__).parent


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Two files; the second is sorted before the first."""
    folder = tmp_path / "set" / "truth"
    folder.mkdir(parents=True)
    (folder / "log_truth_20180716.csv").write_text("session_id,skip_2\ns3,00000\ns1,111111\n")
    (folder / "log_truth_20180715.csv").write_text("session_id,skip_2\ns2,10101\n")
    return folder


def submission(folder: Path, content: str | bytes, name: str = "out.txt") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


RIGHT = "10101\n00000\n111111\n"


# --- Scores -----------------------------------------------------------------------------------------------


def test_lines_are_compared_with_the_truth_of_the_sorted_files(truth: Path, tmp_path: Path) -> None:
    found = evaluate(truth, [submission(tmp_path, "10101\n01111\n000001\n")])

    assert (found.sessions, found.tracks, found.differences) == (3, 16, ())
    assert found.scores[0].maa.value == pytest.approx((1 + 1 / 5 + (1 / 6) / 6) / 3)
    assert found.scores[0].fpa.value == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    "content", [RIGHT, RIGHT.removesuffix("\n"), RIGHT.replace("\n", "\r\n"), f"\ufeff{RIGHT}"]
)
def test_lines_may_begin_and_end_as_other_systems_write_them(
    truth: Path, tmp_path: Path, content: str
) -> None:
    assert evaluate(truth, [submission(tmp_path, content)]).scores[0].maa.value == 1


def test_a_submission_and_the_truth_may_be_gzipped(truth: Path, tmp_path: Path) -> None:
    plain = truth / "log_truth_20180716.csv"
    (truth / f"{plain.name}.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    zipped = submission(tmp_path, gzip.compress(RIGHT.encode()), "out.txt.gz")
    assert evaluate(truth, [zipped]).scores[0].maa.value == 1


def test_others_are_compared_with_the_first(truth: Path, tmp_path: Path) -> None:
    wrong = submission(tmp_path, "01010\n11111\n000000\n", "wrong.txt")
    found = evaluate(truth, [wrong, submission(tmp_path, RIGHT), wrong])

    assert [scores.maa.value for scores in found.scores] == [0, 1, 0]
    assert [scores.maa.value for scores in found.differences] == [1, 0]
    assert [scores.fpa.value for scores in found.differences] == [1, 0]


def test_one_file_of_the_truth_is_enough(truth: Path, tmp_path: Path) -> None:
    one = truth / "log_truth_20180715.csv"
    assert evaluate(one, [submission(tmp_path, "10101\n")]).sessions == 1


@pytest.mark.parametrize("place", [".", ".."])
def test_truth_beside_a_marker_is_synthetic(truth: Path, tmp_path: Path, place: str) -> None:
    out = submission(tmp_path, RIGHT)
    assert evaluate(truth, [out]).data_source == "real"
    (truth / place / "SYNTHETIC.json").write_text('{"files": {}}')
    assert evaluate(truth, [out]).data_source == "synthetic"
    one = submission(tmp_path, "10101\n")
    assert evaluate(truth / "log_truth_20180715.csv", [one]).data_source == "synthetic"


# --- Submissions that do not fit --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("10101\n00000\n", ("2 lines, and 3 sessions in the truth",)),
        ("", ("0 lines, and 3 sessions in the truth",)),
        (
            "10101\n111111\n",
            ("2 lines, and 3 sessions", "line 2 (session 's3', data row 1 of log_truth_2018"),
        ),
        (RIGHT + "0\n", ("4 lines, and 3 sessions in the truth",)),
        (RIGHT + "\n", ("4 lines, and 3 sessions in the truth",)),
        (
            "10101\n000000\n111111\n",
            ("line 2 (session 's3', data row 1 of log_truth_20180716.csv) is '000000'", "half has 5 tracks"),
        ),
        ("10101\n00000\n1111110\n", ("line 3 (session 's1', data row 2 of", "is '1111110'", "has 6 tracks")),
        ("10101\n00000\n11111", ("line 3 (session 's1'", "is '11111'", "has 6 tracks")),
        (
            "1010\n100000\n111111\n",
            ("line 1 (session 's2', data row 1 of log_truth_20180715.csv) is '1010'",),
        ),
        ("10101\n\n111111\n", ("line 2 (session 's3'", "is ''")),
        ("10201\n00000\n111111\n", ("line 1 (session 's2'", "is '10201'", "a digit 0 or 1")),
        ("10101\n0000\xe9\n111111\n", ("line 2 (session 's3'",)),
        ("session,skip\n" + RIGHT, ("4 lines, and 3 sessions", "line 1 (session 's2'", "is 'session,skip'")),
        ("1,0,1,0,1\n00000\n111111\n", ("line 1 (session 's2'", "is '1,0,1,0,1'")),
        (RIGHT.encode("utf-16"), ("the file is text in UTF-16 or UTF-32", "line 1 (session 's2'")),
        (gzip.compress(RIGHT.encode(), mtime=0), ("the file is gzipped; ",)),
        (b"PK\3\4", ("the file is a zip archive, as .xlsx files are; 1 lines, and 3 sessions",)),
    ],
)
def test_lines_that_do_not_fit_are_named(
    truth: Path, tmp_path: Path, content: str | bytes, parts: tuple[str, ...]
) -> None:
    good, bad = submission(tmp_path, RIGHT, "good.txt"), submission(tmp_path, content, "bad.txt")
    message = refusal(BadInputError, lambda: evaluate(truth, [good, bad]))
    assert_says(message, "bad.txt: ", *parts, "expected a line for each session", "Make the submission from")


def test_a_submission_that_is_not_there_is_refused(truth: Path, tmp_path: Path) -> None:
    message = refusal(MissingInputError, lambda: evaluate(truth, [tmp_path / "none.txt"]))
    assert_says(message, "none.txt is not there")


@pytest.mark.parametrize("content", [b"10101\n", gzip.compress(RIGHT.encode(), mtime=0)[:-9]])
def test_a_submission_that_is_no_whole_gzip_file_is_refused(
    truth: Path, tmp_path: Path, content: bytes
) -> None:
    bad = submission(tmp_path, content, "bad.txt.gz")
    message = refusal(BadInputError, lambda: evaluate(truth, [bad]))
    assert_says(message, "bad.txt.gz cannot be read", "plain or gzipped")


def test_a_folder_is_no_submission(truth: Path, tmp_path: Path) -> None:
    assert_says(refusal(BadInputError, lambda: evaluate(truth, [tmp_path])), "cannot be read")


# --- Truth that is damaged --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("session_id,skip_2\ns1,10x\n", ("column skip_2", "data row 1 ('10x')")),
        ("session_id,skip_2\ns1,10\ns2,01\ns3,2\n", ("column skip_2", "data row 3 ('2')")),
        ("session_id,skip_2\ns1,10\ns2,\n", ("column skip_2 is empty in data row 2",)),
        (
            "session_id,skip_2\ns1,10\ns2,0\ns1,11\n",
            ("session 's1' is in data rows 1, 3", "Remove the others"),
        ),
        ("session_id\ns1\n", ("columns missing skip_2",)),
        ("session_id,skip_2\n", ("has a header but no rows",)),
    ],
)
def test_damaged_truth_is_refused(truth: Path, content: str, parts: tuple[str, ...]) -> None:
    path = truth / "log_truth_20180715.csv"
    path.write_text(content)
    assert_says(refusal(BadInputError, lambda: read_truth(path)), "log_truth_20180715.csv", *parts)


def test_leading_zeros_are_kept(truth: Path) -> None:
    known = read_truth(truth / "log_truth_20180716.csv")
    assert known.skipped.tolist() == [0] * 5 + [1] * 6
    assert known.tracks.tolist() == [5, 6]


def test_a_folder_without_truth_is_refused(tmp_path: Path) -> None:
    assert_says(refusal(MissingInputError, lambda: truth_files(tmp_path)), "holds no log_truth_….csv")


def test_truth_that_is_there_twice_is_refused(truth: Path) -> None:
    (truth / "log_truth_20180715.csv.gz").touch()
    assert_says(refusal(BadInputError, lambda: truth_files(truth)), "holds both log_truth_20180715.csv and")


# --- Who may read it --------------------------------------------------------------------------------------


def test_only_its_writers_and_the_evaluator_name_the_truth() -> None:
    naming = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(name in path.read_text() for name in ("TRUTH_FOLDER", "LOG_TRUTH", "log_truth_", "/truth"))
    }
    assert {name for name in naming if not name.startswith(("world/", "cli/"))} == {
        "settings.py",
        "raw/folder.py",  # a synthetic set is replaced as a whole
        "raw/log_pairs.py",  # the format
        "challenge/split.py",
        "challenge/evaluation.py",
    }


def test_only_the_command_imports_the_evaluator() -> None:
    importing = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "challenge.evaluation" in path.read_text()
    }
    assert importing == {"cli/challenge.py"}
