"""Reading a pair: order, compression, cuts elsewhere than in the middle, and all ways to disagree."""

from __future__ import annotations

from pathlib import Path

import pytest

from skip_pipeline.challenge.half_sessions import read_half_sessions
from skip_pipeline.errors import BadInputError, BrokenSessionError, MissingInputError, SkipPipelineError
from skip_pipeline.raw.log_pairs import LogPair
from skip_pipeline_tests.builders import Row, assert_says, deliver, refusal, session
from skip_pipeline_tests.challenge.small_test_sets import deliver_halves, deliver_pair, inputs

# --- Order ------------------------------------------------------------------------------------------------


def test_sessions_are_in_the_order_of_the_input_file_and_rows_in_that_of_positions(tmp_path: Path) -> None:
    first, second = session("s9", 11), session("s1", 10)
    heard = [*reversed(second[:5]), *first[:5]]
    asked = [first[7], second[9], *first[8:], *first[5:7], *second[5:9]]
    found = read_half_sessions(deliver_pair(tmp_path, heard, asked))

    assert len(found) == 2
    assert (found.heard.tolist(), found.tracks.tolist()) == ([5, 5], [6, 5])
    assert found.log["session_id"].to_pylist() == ["s9"] * 5 + ["s1"] * 5
    assert found.log["session_position"].to_pylist() == [*range(1, 6), *range(1, 6)]
    assert found.log["track_id_clean"].to_pylist()[:2] == ["t_01", "t_02"]
    assert found.asked["session_id"].to_pylist() == ["s9"] * 6 + ["s1"] * 5
    assert found.asked["session_position"].to_pylist() == [*range(6, 12), *range(6, 11)]
    assert found.asked["track_id_clean"].to_pylist()[-1] == "t_10"
    assert found.not_half == 0


def test_any_order_of_rows_gives_the_same_sessions(tmp_path: Path) -> None:
    sessions = [session("s2", 20), session("s1", 10)]
    plain = read_half_sessions(deliver_halves(tmp_path / "plain", sessions))
    heard = [row for rows in sessions for row in rows[: len(rows) // 2]]
    asked = [row for rows in sessions for row in rows[len(rows) // 2 :]]
    shuffled = read_half_sessions(
        deliver_pair(tmp_path / "other", heard[::-1], [asked[3], *asked[:3], *asked[:3:-1]])
    )

    assert shuffled.log.equals(plain.log)
    assert shuffled.asked.equals(plain.asked)
    assert shuffled.tracks.tolist() == plain.tracks.tolist() == [10, 5]


@pytest.mark.parametrize(("name", "other"), [("1.csv.gz", "1.csv"), ("1.csv", "1.csv.gz")])
def test_one_file_may_be_gzipped_and_the_other_not(tmp_path: Path, name: str, other: str) -> None:
    rows = session("s1", 10)
    found = read_half_sessions(deliver_pair(tmp_path, rows[:5], rows[5:], name, other))
    assert found.asked["session_position"].to_pylist() == [6, 7, 8, 9, 10]


@pytest.mark.parametrize("cut", [1, 4, 6, 9])
def test_a_prehistory_that_is_not_half_is_read_and_counted(tmp_path: Path, cut: int) -> None:
    rows, half = session("s1", 10), session("s2", 11)
    found = read_half_sessions(deliver_pair(tmp_path, rows[:cut] + half[:5], rows[cut:] + half[5:]))
    assert (found.heard.tolist(), found.tracks.tolist()) == ([cut, 5], [10 - cut, 6])
    assert found.not_half == 1


# --- Halves that disagree ---------------------------------------------------------------------------------

ONE, TWO = session("s1", 10), session("s2", 12)
LONGER = [row | {"session_length": 11} for row in ONE]


@pytest.mark.parametrize(
    ("heard", "asked", "error", "parts"),
    [
        (
            ONE[:5] + TWO[:6],
            ONE[5:],
            BadInputError,
            ("log_prehistory_1.csv: session 's2' (column session_id, data rows 6, 7", "not in log_input_1"),
        ),
        (
            ONE[:5],
            TWO[6:8] + ONE[5:] + TWO[8:],
            BadInputError,
            ("log_input_1.csv: session 's2' (column session_id, data rows 1, 2, 8", "not in log_prehistory_"),
        ),
        (
            ONE[:5] + TWO[:6],
            LONGER[5:] + TWO[6:],
            BadInputError,
            (
                "log_prehistory_1.csv: session 's1'",
                "session_length is 10 in data rows 1, 2",
                "and 11 in data",
            ),
        ),
        (
            TWO[:6] + ONE[:5],
            TWO[6:] + ONE[5:9] + LONGER[9:],
            BadInputError,
            (
                "log_input_1.csv: session 's1'",
                "is 11 in data row 11, and 10 in data row 7 of log_input_1.csv",
            ),
        ),
        (
            ONE[:3] + ONE[4:5],
            ONE[5:],
            BrokenSessionError,
            (
                "log_prehistory_1.csv: session 's1' (data rows 1, 2, 3, 4)",
                "lacks 4 and",
                "row 4 (5)",
                "1 to 4,",
            ),
        ),
        (
            ONE[:5] + ONE[2:3],
            ONE[5:],
            BrokenSessionError,
            ("log_prehistory_1.csv: session 's1'", "lacks 6", "repeated values in data rows 3 (3), 6 (3)"),
        ),
        (
            ONE,
            [TWO[10] | {"session_id": "s1", "session_length": 10}],
            BrokenSessionError,
            ("log_prehistory_1.csv: session 's1'", "other or repeated values in data row 10 (10)", "1 to 9"),
        ),
        (
            TWO[:6] + ONE[:5],
            TWO[6:] + ONE[6:],
            BrokenSessionError,
            ("log_input_1.csv: session 's1' (data rows 7, 8, 9, 10)", "lacks 6; expected 6 to 10, each once"),
        ),
        (
            TWO[:6] + ONE[:5],
            TWO[6:] + ONE[5:9],
            BrokenSessionError,
            ("log_input_1.csv: session 's1'", "lacks 10; expected 6 to 10"),
        ),
        (
            ONE[:5],
            ONE[5:] + ONE[7:8],
            BrokenSessionError,
            ("log_input_1.csv: session 's1'", "has other or repeated values in data rows 3 (8), 6 (8)"),
        ),
        (
            ONE[:5],
            ONE[4:],
            BrokenSessionError,
            ("log_input_1.csv: session 's1'", "has other or repeated values in data row 1 (5)"),
        ),
        (
            ONE[:5] + TWO[:6],
            ONE[6:] + TWO[7:],
            BrokenSessionError,
            ("log_input_1.csv: session 's1' and 1 more", "lacks 6"),
        ),
    ],
)
def test_halves_that_disagree_are_refused(
    tmp_path: Path, heard: list[Row], asked: list[Row], error: type[SkipPipelineError], parts: tuple[str, ...]
) -> None:
    pair = deliver_pair(tmp_path, heard, asked)
    message = refusal(error, lambda: read_half_sessions(pair))
    assert_says(message, *parts, "expected", "Deliver both files again, or remove the session from both")


def test_rows_are_named_as_they_stand_in_a_file_whose_rows_were_in_another_order(tmp_path: Path) -> None:
    pair = deliver_pair(tmp_path, ONE[:5] + TWO[:6], ONE[:4:-1] + TWO[:5:-1] + TWO[8:9])
    message = refusal(BrokenSessionError, lambda: read_half_sessions(pair))
    assert_says(message, "session 's2'", "repeated values in data rows 9 (9), 12 (9)")


def test_a_bad_value_is_named_by_column_and_row(tmp_path: Path) -> None:
    pair = deliver_halves(tmp_path, [ONE])
    pair.input.write_text(pair.input.read_text().replace(",7,", ",seven,"))
    assert_says(
        refusal(BadInputError, lambda: read_half_sessions(pair)), "session_position", "data row 2 ('seven')"
    )


def test_a_file_that_vanished_is_refused(tmp_path: Path) -> None:
    pair = LogPair(tmp_path / "log_prehistory_1.csv", deliver(tmp_path / "log_input_1.csv", inputs(ONE[5:])))
    assert_says(
        refusal(MissingInputError, lambda: read_half_sessions(pair)), "log_prehistory_1.csv is not there"
    )
