"""The decision with the largest average accuracy, and the order of the scores on a small world."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from benchmarks import challenge_bound, second_half_draws
from skip_pipeline.metrics.challenge import average_accuracy


def test_the_best_string_is_the_best_of_all_tried_one_by_one() -> None:
    rng = np.random.default_rng(0)
    # Outcomes of one session that depend on one another, so that chances alone do not decide.
    skips = (rng.standard_normal((3, 500, 1)) + 0.7 * rng.standard_normal((3, 500, 5)) + 0.1) > 0
    tried = np.array(list(product([False, True], repeat=5)))
    for session, best in enumerate(second_half_draws.best_strings(skips)):
        scores = [average_accuracy(skips[session] == string).mean() for string in tried]
        assert (best == tried[int(np.argmax(scores))]).all()


def test_knowing_the_world_beats_repeating_the_last_action(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bound.json"
    arguments = ["--sessions", "600", "--tracks", "800", "--draws", "60", "--json", str(out)]
    assert challenge_bound.main(arguments) == 0
    assert "600 synthetic sessions" in capsys.readouterr().out
    written = json.loads(out.read_text(encoding="utf-8"))
    last, _, best = written["scores"]
    assert written["data_source"] == "synthetic"
    assert (last["name"], best["name"]) == ("last action", "best possible")
    assert 0 < last["maa"] + 2 * last["maa_error"] < best["maa"] < 1
    assert last["fpa"] < best["fpa"] < 1
