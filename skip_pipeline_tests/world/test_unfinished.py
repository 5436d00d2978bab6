"""Sessions to be scored: the public test set's format, of the same world and of nobody else in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import csv

from skip_pipeline.errors import RefusedError
from skip_pipeline.raw.folder import marker_doubt
from skip_pipeline.raw.log_pairs import cut, log_pairs
from skip_pipeline.schema import SESSION_LOG
from skip_pipeline.serving.logs import read_log_pair
from skip_pipeline.world import synthesize as module
from skip_pipeline.world.synthesize import synthesize

SIZE: dict[str, Any] = {"sessions": 60, "tracks": 200, "seed": 4}
PREHISTORY = "test_set/log_prehistory_20180717_000000000000.csv"
INPUT = "test_set/log_input_20180717_000000000000.csv"
TRUTH = "truth/log_truth_20180717_000000000000.csv"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unfinished")
    synthesize(folder, **SIZE, days=2, test_sessions=30)
    return folder


def test_each_session_is_cut_in_half_and_its_second_half_has_no_outcome(out: Path) -> None:
    heard, asked = csv.read_csv(out / PREHISTORY), csv.read_csv(out / INPUT)

    assert heard.column_names == SESSION_LOG.names
    assert asked.column_names == ["session_id", "track_id_clean", "session_position", "session_length"]
    lengths = {row["session_id"]: row["session_length"] for row in asked.to_pylist()}
    assert len(lengths) == 30
    for table, first in ((heard, True), (asked, False)):
        for session_id, length in lengths.items():
            own = table.filter(pc.equal(table["session_id"], session_id))
            half = length // 2
            expected = range(1, half + 1) if first else range(half + 1, length + 1)
            assert own["session_position"].to_pylist() == list(expected)


def test_the_serving_code_reads_it(out: Path) -> None:
    (pair,) = log_pairs(out)

    assert len(read_log_pair(pair)) == 30


def test_the_truth_lies_apart_and_has_the_outcomes_that_the_test_set_lacks(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    def watched(log: pa.Table) -> tuple[pa.Table, ...]:
        drawn.append(log)
        return cut(log)

    monkeypatch.setattr(module, "cut", watched)
    synthesize(tmp_path, **SIZE, days=2, test_sessions=30)
    [log] = drawn
    truth = csv.read_csv(out / TRUTH, convert_options=csv.ConvertOptions(column_types={"skip_2": "string"}))

    assert truth.column_names == ["session_id", "skip_2"]
    asked = csv.read_csv(out / INPUT)["session_id"].to_pylist()
    assert truth["session_id"].to_pylist() == list(dict.fromkeys(asked))
    for row in truth.to_pylist():
        own = log.filter(pc.equal(log["session_id"], row["session_id"]))["skip_2"].to_pylist()
        assert row["skip_2"] == "".join("01"[skipped] for skipped in own[len(own) // 2 :])
    assert "1" in "".join(truth["skip_2"].to_pylist())


def test_tracks_are_of_the_catalogue_and_listeners_are_others_on_the_day_after(out: Path) -> None:
    heard, asked = csv.read_csv(out / PREHISTORY), csv.read_csv(out / INPUT)
    logs = [csv.read_csv(path) for path in sorted((out / "training_set").iterdir())]
    catalogue = set(csv.read_csv(out / "track_features" / "tf_000000000000.csv")["track_id"].to_pylist())

    assert {*heard["track_id_clean"].to_pylist(), *asked["track_id_clean"].to_pylist()} <= catalogue
    trained = {i for log in logs for i in log["session_id"].to_pylist()}
    assert trained.isdisjoint(heard["session_id"].to_pylist())
    newest = max(str(day) for log in logs for day in log["date"].to_pylist())
    assert max(str(day) for day in heard["date"].to_pylist()) > newest
    outcomes = [log["not_skipped"].to_pylist()[: 30 * 5] for log in (logs[0], heard)]
    assert outcomes[0] != outcomes[1]


def test_the_rest_of_the_world_is_the_same_with_it_and_without(out: Path, tmp_path: Path) -> None:
    synthesize(tmp_path, **SIZE, days=2)
    shared = [path.relative_to(tmp_path) for path in tmp_path.rglob("*.csv")]

    assert shared
    assert all((tmp_path / name).read_bytes() == (out / name).read_bytes() for name in shared)
    assert (tmp_path / "oracle.parquet").read_bytes() == (out / "oracle.parquet").read_bytes()
    assert "test_sessions" not in json.loads((tmp_path / "SYNTHETIC.json").read_text())
    assert not (tmp_path / "test_set").exists()
    assert not (tmp_path / "truth").exists()


def test_the_marker_lists_it_and_a_set_without_it_replaces_it(tmp_path: Path) -> None:
    synthesize(tmp_path, **SIZE, test_sessions=5, compressed=True)
    marker = json.loads((tmp_path / "SYNTHETIC.json").read_text())

    assert marker["test_sessions"] == 5
    assert len([name for name in marker["files"] if name.startswith("test_set/")]) == 2
    assert [name for name in marker["files"] if name.startswith("truth/")] == [
        "truth/log_truth_20180716_000000000000.csv.gz"
    ]
    assert all(path.suffix == ".gz" for path in (tmp_path / "test_set").iterdir())
    assert marker_doubt(tmp_path) == ""
    synthesize(tmp_path, **SIZE)
    assert [*(tmp_path / "test_set").iterdir(), *(tmp_path / "truth").iterdir()] == []


def test_a_number_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="sessions is -1, but must be at least 1"):
        synthesize(tmp_path / "out", **SIZE, test_sessions=-1)
    assert not (tmp_path / "out").exists()
