"""The table of scores: who is in it, on which sessions, and what it says of its data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import difficulty
from skip_pipeline.bundles.gather import Bundle
from skip_pipeline.settings import ORACLE_FILE
from skip_pipeline.world.synthesize import synthesize

WITHOUT_ORACLE = [
    "majority class",
    "last outcome",
    "logistic regression",
    "gradient-boosted trees",
]
ORACLES = ["oracle given the past", "oracle given the state"]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small world; copy it before changing it."""
    folder = tmp_path_factory.mktemp("raw")
    synthesize(folder, sessions=600, tracks=400, seed=2)
    return folder


@pytest.fixture(scope="module")
def bundles(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    return difficulty.build_bundles(raw, tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="module")
def predictors(raw: Path, bundles: dict[str, Bundle]) -> dict[str, difficulty.Predictor]:
    found = difficulty.measure(bundles, raw / ORACLE_FILE, seed=0)
    assert [predictor.name for predictor in found] == WITHOUT_ORACLE + ORACLES
    return {predictor.name: predictor for predictor in found}


def test_all_are_scored_on_the_same_held_out_sessions(
    bundles: dict[str, Bundle], predictors: dict[str, difficulty.Predictor]
) -> None:
    assert {p.scores.sessions for p in predictors.values()} == {bundles["held_out"].sessions}


def test_the_simple_rules_are_what_they_say(
    bundles: dict[str, Bundle], predictors: dict[str, difficulty.Predictor]
) -> None:
    train, test = bundles["train"], bundles["held_out"]
    majority = predictors["majority class"].scores
    commoner = train.not_skipped.mean() >= 0.5

    assert majority.accuracy == pytest.approx(float((test.not_skipped == commoner).mean()))
    assert majority.roc_auc == 0.5
    # Whoever played the track before is likelier to play the last one, so the rule repeats what they did.
    repeated = float((test.skip_sequence[:, -1, 0] == test.not_skipped).mean())
    assert predictors["last outcome"].scores.accuracy == pytest.approx(repeated)


def test_knowing_more_scores_better(predictors: dict[str, difficulty.Predictor]) -> None:
    order = ["majority class", "logistic regression", "oracle given the state"]
    losses = [predictors[name].scores.log_loss for name in order]

    assert losses == sorted(losses, reverse=True)


def test_the_command_prints_the_table_and_writes_the_figures(
    raw: Path,
    predictors: dict[str, difficulty.Predictor],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(difficulty, "measure", lambda *_bundles, **_seed: list(predictors.values()))

    assert difficulty.main([str(raw), "--json", str(tmp_path / "figures.json")]) == 0

    printed = capsys.readouterr().out
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert "synthetic data" in printed.splitlines()[0]
    assert [line[:26].strip() for line in printed.splitlines()[2:]] == WITHOUT_ORACLE + ORACLES
    assert figures["data_source"] == "synthetic"
    assert set(figures["predictors"]) == {*WITHOUT_ORACLE, *ORACLES}
    for name, scores in figures["predictors"].items():
        assert set(scores) == {"sessions", "accuracy", "log_loss", "roc_auc", "brier", "seconds"}
        [line] = [line for line in printed.splitlines() if line.startswith(name)]
        assert f"{scores['log_loss']:.4f}" in line
