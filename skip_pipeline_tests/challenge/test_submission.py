"""A submission: what the official rules accept, order, counts, and files that appear whole or not at all."""

from __future__ import annotations

import csv
import gzip
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from skip_pipeline.challenge import submission
from skip_pipeline.challenge.half_sessions import HalfSessions, read_half_sessions
from skip_pipeline.challenge.rules import RULES, last_action, majority, random
from skip_pipeline.challenge.submission import Submitted, lines_of, submit
from skip_pipeline.engine import open_engine
from skip_pipeline.errors import BadInputError, ContractError, MissingInputError, RefusedError
from skip_pipeline.settings import EngineSettings
from skip_pipeline_tests.builders import assert_says, refusal, session
from skip_pipeline_tests.challenge.small_test_sets import deliver_halves, deliver_pair, skipping

SESSIONS = [skipping("s3", "0100100110"), skipping("s1", "11111011000"), skipping("s2", "1" * 20)]


def positions(sessions: HalfSessions) -> np.ndarray:
    """Decisions by which a test sees the order: a track is skipped if its position is even."""
    return np.asarray(sessions.asked["session_position"].to_numpy() % 2 == 0)


@pytest.fixture
def test_set(tmp_path: Path) -> Path:
    """Two pairs of files; the second is sorted before the first."""
    deliver_halves(tmp_path / "test_set", SESSIONS[:2], "20180716_000000000000.csv")
    deliver_halves(tmp_path / "test_set", SESSIONS[2:], "20180715_000000000000.csv")
    return tmp_path / "test_set"


# --- The official rules -----------------------------------------------------------------------------------


def official_faults(test_set: Path, lines: Sequence[str]) -> Iterator[str]:
    """What the rules of the challenge's starter kit find wrong with the lines of a submission.

    Written from its notebooks: input files are globbed and sorted; a session begins where the one before has
    ended, and has as many predictions as its length minus its first position plus 1; each prediction is 0 or
    1; a line holds them without separators and ends with a line feed.
    """
    expected = []
    for path in sorted(test_set.glob("log_input_*.csv")):
        with path.open() as file:
            rows = list(csv.DictReader(file))
        while rows:
            first = rows[0]
            count = int(first["session_length"]) - int(first["session_position"]) + 1
            assert {row["session_id"] for row in rows[:count]} == {first["session_id"]}
            expected.append(count)
            del rows[:count]
    for number, (line, count) in enumerate(itertools.zip_longest(lines, expected), start=1):
        if line is None or count is None:
            yield f"{len(lines)} lines for {len(expected)} sessions"
            return
        if not line.endswith("\n"):
            yield f"line {number} has no line feed"
        digits = line.removesuffix("\n")
        if len(digits) != count:
            yield f"line {number} has {len(digits)} predictions, not {count}"
        if not {*digits} <= {"0", "1"}:
            yield f"line {number} has another value than 0 and 1"


@pytest.mark.parametrize("decide", [*RULES.values(), positions])
def test_the_official_rules_accept_a_submission(
    test_set: Path, tmp_path: Path, decide: submission.Decide
) -> None:
    submit(test_set, tmp_path / "out.txt", decide)
    lines = (tmp_path / "out.txt").read_bytes().decode().splitlines(keepends=True)
    assert list(official_faults(test_set, lines)) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda lines: lines[1:], "line 1 has 5 predictions, not 10"),
        (lambda lines: lines[:2], "2 lines for 3 sessions"),
        (lambda lines: [*lines, "\n"], "4 lines for 3 sessions"),
        (lambda lines: [lines[0], "0" + lines[1], lines[2]], "line 2 has 6 predictions, not 5"),
        (lambda lines: [lines[0], "2" + lines[1][1:], lines[2]], "line 2 has another value than 0 and 1"),
        (lambda lines: [*lines[:2], lines[2].strip()], "line 3 has no line feed"),
    ],
)
def test_the_official_rules_would_find_a_fault(
    test_set: Path, tmp_path: Path, change: Callable[[list[str]], list[str]], fault: str
) -> None:
    submit(test_set, tmp_path / "out.txt", last_action)
    lines = (tmp_path / "out.txt").read_bytes().decode().splitlines(keepends=True)
    assert fault in list(official_faults(test_set, change(lines)))


# --- Order and counts -------------------------------------------------------------------------------------


def test_lines_are_in_order_of_the_sorted_files_and_of_first_appearance(
    test_set: Path, tmp_path: Path
) -> None:
    counts = submit(test_set, tmp_path / "out.txt", positions)

    assert (tmp_path / "out.txt").read_bytes() == b"0101010101\n10101\n101010\n"
    assert counts == Submitted(files=2, sessions=3, tracks=21, not_half=0)
    assert list(tmp_path.iterdir()) == [test_set, tmp_path / "out.txt"]


def test_a_prehistory_longer_or_shorter_than_half_is_answered_and_counted(tmp_path: Path) -> None:
    rows = [skipping("s1", "0000100000"), skipping("s2", "0111111110"), skipping("s3", "0" * 10)]
    heard, asked = rows[0][:9] + rows[1][:2] + rows[2][:5], rows[0][9:] + rows[1][2:] + rows[2][5:]
    deliver_pair(tmp_path / "in", heard, asked)

    assert submit(tmp_path / "in", tmp_path / "out.txt", last_action).not_half == 2
    assert (tmp_path / "out.txt").read_text() == "0\n11111111\n00000\n"


def test_a_pair_of_which_one_file_is_gzipped_keeps_its_place(test_set: Path, tmp_path: Path) -> None:
    submit(test_set, tmp_path / "plain.txt", positions)
    for path in (
        test_set / "log_input_20180716_000000000000.csv",
        *test_set.glob("log_prehistory_20180715*"),
    ):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    submit(test_set, tmp_path / "mixed.txt", positions)

    assert (tmp_path / "mixed.txt").read_bytes() == (tmp_path / "plain.txt").read_bytes()


@pytest.mark.slow
def test_worker_processes_write_the_same_bytes(test_set: Path, tmp_path: Path) -> None:
    submit(test_set, tmp_path / "here.txt", random)
    with open_engine(EngineSettings(kind="processes", workers=2)) as engine:
        submit(
            test_set, tmp_path / "there.txt", random, lambda f, pairs: engine.map(f, pairs, label="submit")
        )
    assert (tmp_path / "there.txt").read_bytes() == (tmp_path / "here.txt").read_bytes()


# --- Whole or not at all ----------------------------------------------------------------------------------


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An earlier submission, which has to stay."""
    path = tmp_path / "out.txt"
    path.write_text("earlier")
    return path


def stays(out: Path) -> bool:
    return out.read_text() == "earlier" and not list(out.parent.glob(".*.part"))


@pytest.mark.parametrize(
    ("decide", "parts"),
    [
        (lambda s: positions(s)[1:], ("decisions have shape (10,), and sessions 11 tracks in all",)),
        (lambda s: positions(s)[None], ("decisions have shape (1, 11)",)),
        (lambda s: positions(s) * 2, ("6 of 11 decisions are neither 0 nor 1",)),
        (lambda s: positions(s) - 0.5, ("11 of 11 decisions are neither 0 nor 1",)),
    ],
)
def test_decisions_of_another_number_or_digit_are_refused(
    test_set: Path, out: Path, decide: submission.Decide, parts: tuple[str, ...]
) -> None:
    def wrong_in_the_second_file(sessions: HalfSessions) -> np.ndarray:
        return decide(sessions) if len(sessions) == 2 else positions(sessions)

    message = refusal(ContractError, lambda: submit(test_set, out, wrong_in_the_second_file))
    assert_says(message, "log_input_20180716_000000000000.csv: ", *parts)
    assert stays(out)


def test_a_broken_pair_leaves_the_earlier_submission(test_set: Path, out: Path) -> None:
    (test_set / "log_input_20180716_000000000000.csv").write_text("session_id\n")
    message = refusal(BadInputError, lambda: submit(test_set, out, positions))
    assert_says(message, "log_input_20180716_000000000000.csv")
    assert stays(out)


def test_lines_that_the_disk_lacks_are_noticed(
    test_set: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = submission._answer  # as of a worker that loses a line
    monkeypatch.setattr(
        submission, "_answer", lambda pair, decide: replace(whole(pair, decide=decide), lines=b"01010\n")
    )
    message = refusal(ContractError, lambda: submit(test_set, out, positions))
    assert_says(message, "has 2 lines, expected one for each of 3 sessions")
    assert stays(out)


def test_a_missing_test_set_is_refused(tmp_path: Path) -> None:
    message = refusal(MissingInputError, lambda: submit(tmp_path / "none", tmp_path / "out.txt", positions))
    assert_says(message, "none holds no log_input_….csv", "challenge split")


@pytest.mark.parametrize("name", ["", "nowhere/out.txt"])
def test_a_target_that_cannot_be_a_file_is_refused_before_any_work(
    test_set: Path, tmp_path: Path, name: str
) -> None:
    def never(sessions: HalfSessions) -> np.ndarray:
        raise AssertionError

    message = refusal(RefusedError, lambda: submit(test_set, tmp_path / name, never))
    assert_says(message, "expected the name of a file in an existing folder")


# --- Lines and rules --------------------------------------------------------------------------------------


def test_lines_of_flags_and_of_numbers_are_the_same() -> None:
    digits = np.array([1, 0, 0, 1, 1, 0])
    assert lines_of(digits, [1, 3, 2]) == lines_of(digits == 1, np.array([1, 3, 2])) == b"1\n001\n10\n"


def read(tmp_path: Path, *sessions: str) -> HalfSessions:
    rows = [skipping(f"s{number}", skipped) for number, skipped in enumerate(sessions)]
    return read_half_sessions(deliver_halves(tmp_path, rows))


def test_the_last_action_is_repeated(tmp_path: Path) -> None:
    sessions = read(tmp_path, "1111000000", "00001100000")
    assert last_action(sessions).tolist() == [0] * 5 + [1] * 6


def test_the_majority_is_repeated_and_the_last_action_where_there_is_none(tmp_path: Path) -> None:
    sessions = read(tmp_path, "1110000000", "00011000000", "110100" + "0" * 6, "000111" + "0" * 6)
    assert majority(sessions).tolist() == [1] * 5 + [0] * 6 + [0] * 6 + [1] * 6


def test_random_decisions_are_both_and_are_repeated_for_the_same_sessions(tmp_path: Path) -> None:
    sessions = [session(f"s{number}", 20) for number in range(40)]
    found = read_half_sessions(deliver_halves(tmp_path / "a", sessions))
    other = read_half_sessions(deliver_halves(tmp_path / "b", sessions[1:]))

    assert np.array_equal(random(found), random(found))
    assert 0.4 < random(found).mean() < 0.6
    assert not np.array_equal(random(found)[:100], random(other)[:100])
