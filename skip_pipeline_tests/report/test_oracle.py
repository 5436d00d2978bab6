"""The best possible score: read for synthetic data only, joined by session, all or nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError
from skip_pipeline.metrics.scores import SplitScores
from skip_pipeline.report.oracle import BestPossible, best_possible, find_oracle
from skip_pipeline_tests.builders import assert_says, refusal

# Labels 1, 0, 1, 0; the file has the sessions in another order, and one that is no test session.
TEST = {
    schema.SESSION_ID: np.array(["a", "b", "c", "d"]),
    schema.LABEL: np.array([1, 0, 1, 0], dtype=np.int8),
}
IDS = ["d", "x", "c", "b", "a"]
PAST = [0.25, 0.9, 0.25, 0.5, 0.75]
STATE = [0.125, 0.9, 0.5, 0.25, 0.875]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "oracle.parquet"


def _write(
    path: Path,
    ids: Sequence[str] = IDS,
    past: Sequence[float | None] = PAST,
    state: Sequence[float | None] = STATE,
) -> None:
    columns = [pa.array(ids, pa.string()), pa.array(state, pa.float32()), pa.array(past, pa.float32())]
    pq.write_table(pa.Table.from_arrays(columns, schema=schema.ORACLE), path)


def test_both_oracles_are_scored_on_the_test_sessions(path: Path) -> None:
    _write(path, past=[0.25, 7.0, 0.25, 0.5, 0.75])  # a wrong value outside the test sessions does no harm
    scores = best_possible(path, TEST)
    # Given the past: 0.75, 0.5, 0.25, 0.25 for labels 1, 0, 1, 0.
    expected = -(math.log(0.75) + math.log(0.5) + math.log(0.25) + math.log(0.75)) / 4
    assert astuple(scores.given_past) == pytest.approx((4, 0.5, expected, 0.625, 0.234375))
    # Given the state: 0.875, 0.25, 0.5, 0.125; a half counts as played.
    assert scores.given_state.accuracy == 1.0
    assert scores.given_state.brier == pytest.approx((0.125**2 + 0.25**2 + 0.5**2 + 0.125**2) / 4)


def test_the_distance_is_what_the_model_lacks() -> None:
    best = BestPossible(SplitScores(4, 0.8, 0.45, 0.9, 0.15), SplitScores(4, 0.85, 0.4, 0.95, 0.1))
    metrics = best.metrics(SplitScores(4, 0.75, 0.5, 0.8, 0.2))
    assert metrics["given_past"]["accuracy"] == 0.8
    assert metrics["given_past"]["distance"] == pytest.approx({"log_loss": 0.05, "accuracy": 0.05})
    assert metrics["given_state"]["distance"] == pytest.approx({"log_loss": 0.1, "accuracy": 0.1})
    lucky = best.metrics(SplitScores(4, 0.9, 0.44, 0.9, 0.1))
    assert lucky["given_past"]["distance"] == pytest.approx({"log_loss": -0.01, "accuracy": -0.1})


def test_an_oracle_is_found_beside_synthetic_data_only(path: Path) -> None:
    assert find_oracle(path.parent) is None
    _write(path)
    assert find_oracle(path.parent) is None  # real data: no marker
    (path.parent / "SYNTHETIC.json").write_text("{}")
    assert find_oracle(path.parent) == path
    path.unlink()
    assert find_oracle(path.parent) is None


def _assert_refused(path: Path, *facts: str) -> None:
    message = refusal(BadInputError, lambda: best_possible(path, TEST))
    assert message.startswith(str(path))
    assert_says(message, *facts, "expected", "`skip-pipeline synthesize`", "delete the file")


def test_what_is_no_oracle_is_refused(path: Path) -> None:
    path.write_bytes(b"PAR1 not really")
    _assert_refused(path, "cannot be read")
    pq.write_table(pa.table({"session_id": ["a"], "p": [0.5]}), path)
    _assert_refused(path, "has the columns session_id, p;")
    path.unlink()
    path.mkdir()
    _assert_refused(path)


def test_sessions_that_it_lacks_are_named(path: Path) -> None:
    _write(path, ids=["d", "x", "y", "b", "z"])
    _assert_refused(path, "lacks 2 of the 4 test sessions, a, c;")


@pytest.mark.parametrize("wrong", [1.5, -0.1, math.nan, None])
def test_what_is_no_probability_is_refused(path: Path, wrong: float | None) -> None:
    _write(path, past=[0.5, 0.5, wrong, 0.5, 0.5])
    _assert_refused(path, "p_not_skipped_given_past is no probability in 1 of the 4 test sessions")
    _write(path, state=[0.5, 0.5, wrong, 0.5, 0.5])
    _assert_refused(path, "p_not_skipped_given_state is no probability in 1 of the 4 test sessions")
