"""The best possible score: read for synthetic data only, joined by session, all or nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skip_pipeline import schema
from skip_pipeline.errors import BadInputError
from skip_pipeline.metrics.scores import SplitScores
from skip_pipeline.report.oracle import BestPossible, best_possible, find_oracle

# Labels 1, 0, 1, 0; the file has the sessions in another order, and one that is no test session.
TEST = {
    schema.SESSION_ID: np.array(["a", "b", "c", "d"]),
    schema.LABEL: np.array([1, 0, 1, 0], dtype=np.int8),
}
IDS = ["d", "x", "c", "b", "a"]
PAST = [0.25, 0.9, 0.25, 0.5, 0.75]
STATE = [0.125, 0.9, 0.5, 0.25, 0.875]


def _write(
    path: Path,
    ids: Sequence[str] = IDS,
    past: Sequence[float | None] = PAST,
    state: Sequence[float | None] = STATE,
) -> Path:
    columns = [pa.array(ids, pa.string()), pa.array(state, pa.float32()), pa.array(past, pa.float32())]
    pq.write_table(pa.Table.from_arrays(columns, schema=schema.ORACLE), path)
    return path


def test_both_oracles_are_scored_on_the_test_sessions(tmp_path: Path) -> None:
    scores = best_possible(_write(tmp_path / "oracle.parquet"), TEST)
    # Given the past: 0.75, 0.5, 0.25, 0.25 for labels 1, 0, 1, 0.
    assert scores.given_past.sessions == 4
    assert scores.given_past.accuracy == 0.5
    expected = -(math.log(0.75) + math.log(0.5) + math.log(0.25) + math.log(0.75)) / 4
    assert scores.given_past.log_loss == pytest.approx(expected)
    assert scores.given_past.roc_auc == 0.625
    # Given the state: 0.875, 0.25, 0.5, 0.125; a half counts as played.
    assert scores.given_state.accuracy == 1.0
    assert scores.given_state.brier == pytest.approx((0.125**2 + 0.25**2 + 0.5**2 + 0.125**2) / 4)


def test_the_distance_is_what_the_model_lacks() -> None:
    best = BestPossible(
        given_past=SplitScores(4, 0.8, 0.45, 0.9, 0.15), given_state=SplitScores(4, 0.85, 0.4, 0.95, 0.1)
    )
    metrics = best.metrics(SplitScores(4, 0.75, 0.5, 0.8, 0.2))
    assert metrics["given_past"]["accuracy"] == 0.8
    assert metrics["given_past"]["distance"] == pytest.approx({"log_loss": 0.05, "accuracy": 0.05})
    assert metrics["given_state"]["distance"] == pytest.approx({"log_loss": 0.1, "accuracy": 0.1})
    lucky = best.metrics(SplitScores(4, 0.9, 0.44, 0.9, 0.1))
    assert lucky["given_past"]["distance"] == pytest.approx({"log_loss": -0.01, "accuracy": -0.1})


def test_an_oracle_is_found_beside_synthetic_data_only(tmp_path: Path) -> None:
    assert find_oracle(tmp_path) is None
    path = _write(tmp_path / "oracle.parquet")
    assert find_oracle(tmp_path) is None  # real data: no marker
    (tmp_path / "SYNTHETIC.json").write_text("{}")
    assert find_oracle(tmp_path) == path
    path.unlink()
    assert find_oracle(tmp_path) is None


def _refusal(path: Path) -> str:
    with pytest.raises(BadInputError) as refusal:
        best_possible(path, TEST)
    message = str(refusal.value)
    assert message.startswith(str(path))
    assert "expected" in message
    assert "`skip-pipeline synthesize`" in message
    assert "delete the file" in message
    return message


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "oracle.parquet"
    path.write_bytes(b"PAR1 not really")
    assert "cannot be read" in _refusal(path)


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "oracle.parquet"
    path.mkdir()
    assert _refusal(path)


def test_other_columns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "oracle.parquet"
    pq.write_table(pa.table({"session_id": ["a"], "p": [0.5]}), path)
    assert "has the columns session_id, p;" in _refusal(path)


def test_sessions_that_it_lacks_are_named(tmp_path: Path) -> None:
    path = _write(tmp_path / "oracle.parquet", ids=["d", "x", "y", "b", "z"])
    assert "lacks 2 of the 4 test sessions, a, c;" in _refusal(path)


@pytest.mark.parametrize("wrong", [1.5, -0.1, math.nan, None])
@pytest.mark.parametrize("column", ["past", "state"])
def test_what_is_no_probability_is_refused(tmp_path: Path, column: str, wrong: float | None) -> None:
    path = _write(tmp_path / "oracle.parquet", **{column: [0.5, 0.5, wrong, 0.5, 0.5]})
    assert f"p_not_skipped_given_{column} is no probability in 1 of the 4 test sessions" in _refusal(path)


def test_a_wrong_value_outside_the_test_sessions_does_no_harm(tmp_path: Path) -> None:
    best_possible(_write(tmp_path / "oracle.parquet", past=[0.5, 7.0, 0.5, 0.5, 0.5]), TEST)
