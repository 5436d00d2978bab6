"""The commands as a person types them: a synthetic set, cut and scored without a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from skip_pipeline.cli.main import app
from skip_pipeline_tests.builders import assert_says, deliver, session
from skip_pipeline_tests.challenge.small_test_sets import deliver_pair, skipping

Cli = Callable[..., Result]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: object) -> Result:
        answer = CliRunner().invoke(app, ["challenge", *map(str, arguments)])
        assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
        return answer

    return invoke


def test_split_submit_and_evaluate(cli: Cli, tmp_path: Path) -> None:
    deliver(tmp_path / "log_1.csv", [*skipping("s1", "0000110000"), *skipping("s2", "00001111111")])
    assert (
        "Cut 2 sessions (files: 1): out/test_set, and the outcomes of 11 tracks in out/truth"
        in cli("split", "log_1.csv", "--out", "out").output
    )
    for rule in ("last-action", "majority"):
        answer = cli("submit", "out/test_set", "--rule", rule, "--out", f"{rule}.txt")
        assert (
            f"Wrote {rule}.txt: 2 lines for 11 tracks (files: 1). Decided by the rule {rule}\n"
            in answer.output
        )
    answer = cli("evaluate", "out/truth", "last-action.txt", "majority.txt")

    assert (tmp_path / "last-action.txt").read_text() == "11111\n111111\n"
    assert answer.exit_code == 0
    assert_says(
        answer.output,
        "2 sessions, 11 tracks, real data",
        "last-action.txt                      0.6000 (",
        "majority.txt minus last-action.txt   -0.3",
        "are not the challenge's test set, whose truth was never published",
    )


def test_synthetic_scores_say_so_and_stay_away_from_the_leaderboard(cli: Cli, tmp_path: Path) -> None:
    raw = ("--out", tmp_path / "raw", "--sessions", "9", "--tracks", "30", "--test-sessions", "4")
    assert CliRunner().invoke(app, ["synthesize", *map(str, raw)]).exit_code == 0
    made = cli("split", "raw/training_set/log_mini.csv", "--out", "out")
    for name in ("raw", "out"):
        cli("submit", f"{name}/test_set", "--rule", "random", "--out", f"{name}.txt")
        answer = cli("evaluate", f"{name}/truth", f"{name}.txt")
        assert answer.exit_code == 0
        assert_says(answer.output, "synthetic data\n", "do not belong beside the challenge's leaderboard")
        assert "never published" not in answer.output
    assert "Cut 9 synthetic sessions" in made.output


def test_sessions_that_are_not_cut_in_the_middle_are_answered_and_said(cli: Cli, tmp_path: Path) -> None:
    rows = session("s1", 10)
    deliver_pair(tmp_path / "in", rows[:7], rows[7:])
    answer = cli("submit", "in", "--rule", "last-action", "--out", "out.txt")
    assert (
        "3 tracks (files: 1); sessions with a prehistory longer or shorter than half: 1. Decided by"
        in answer.output
    )
    assert (tmp_path / "out.txt").read_text() == "000\n"


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (("split", "none.csv", "--out", "out"), "none.csv is not there"),
        (("submit", ".", "--rule", "random", "--out", "out.txt"), "holds no log_input_"),
        (("evaluate", ".", "out.txt"), "holds no log_truth_"),
        (("submit", ".", "--rule", "random", "--out", "out.txt", "--engine", "processes"), "holds no log_in"),
        (("submit", ".", "--rule", "random", "--model", "m", "--out", "out.txt"), "exclude each other"),
        (("submit", ".", "--model", "m", "--out", "out.txt"), "m holds no served model"),
    ],
)
def test_a_refusal_is_one_line(cli: Cli, arguments: tuple[str, ...], fact: str) -> None:
    answer = cli(*arguments)
    assert answer.exit_code == 1
    assert answer.stderr.startswith("error: ")
    assert fact in answer.stderr
    assert "Traceback" not in answer.output
