"""All benchmarks in one file, and the speed-up by a second worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import measure, run_all, speedup
from benchmarks.measure import Run
from skip_pipeline.raw import folder as raw_folder
from skip_pipeline_tests.benchmarks.conftest import Answering


def test_speed_up_is_of_one_worker_over_two_engine_by_engine(answering: Answering, raw: Path) -> None:
    seconds = {("dask", 1): 9.0, ("dask", 2): 6.0, ("processes", 1): 8.0, ("processes", 2): 4.0}
    answering(lambda _target, engine, workers: seconds[engine, workers])

    result = speedup.compare(raw, repetitions=3)

    assert result["headline"] == {"dask_speedup": 1.5, "processes_speedup": 2.0}
    assert {name: c["runs"] for name, c in result["contenders"].items()} == {
        "dask, 1 worker": 3,
        "dask, 2 workers": 3,
        "processes, 1 worker": 3,
        "processes, 2 workers": 3,
    }


def test_speed_up_takes_the_first_shards_of_a_set_that_is_there(
    monkeypatch: pytest.MonkeyPatch, sharded: Path, tmp_path: Path
) -> None:
    seen = []

    def measured(_target: str, raw: Path, **_options: Any) -> Run:
        seen.append(raw_folder.find_session_logs(raw))
        return Run(seconds=1.0, peak_rss_mib=1, rows=10, sessions=100)

    monkeypatch.setattr(measure, "run", measured)
    figures = tmp_path / "figures.json"
    options = ["--raw", str(sharded), "--shards", "2", "--repetitions", "1", "--json", str(figures)]
    assert speedup.main(options) == 0

    first_two = [path.name for path in raw_folder.find_session_logs(sharded)[:2]]
    assert [[path.name for path in logs] for logs in seen] == [first_two] * 4
    assert json.loads(figures.read_text())["data"]["raw"]["shards"] == 2


def test_headlines_stand_on_top_in_their_order_and_the_later_one_wins() -> None:
    found: dict[str, dict[str, Any]] = {
        "small": {"headline": {"bundle_bytes_per_session": 800, "other": 1, "peer_over_ours": 20.0}},
        "large": {"headline": {"rows_per_second": 9, "bundle_bytes_per_session": 764}},
        "third": {"seconds": 1},
    }

    result = run_all.collect(found)

    assert list(result.items())[:4] == [
        ("peer_over_ours", 20.0),
        ("rows_per_second", 9),
        ("bundle_bytes_per_session", 764),
        ("other", 1),
    ]
    assert result["benchmarks"] == found
    assert "date" in result["environment"]


def test_every_benchmark_is_a_module_that_takes_json(tmp_path: Path) -> None:
    folder = Path(run_all.__file__).parent
    modules = {command[0] for command in run_all.commands(tmp_path, sessions=10, shards=2).values()}

    taken = 'add_argument("--json"'
    commands = {f"benchmarks.{path.stem}" for path in folder.glob("*.py") if taken in path.read_text()}
    assert modules == commands - {"benchmarks.run_all"}


def test_a_failing_benchmark_fails_the_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_all, "commands", lambda *_folder, **_sizes: {"gone": ["benchmarks.gone"]})
    monkeypatch.setattr(run_all, "_run", lambda command: int("benchmarks.gone" in command))

    assert run_all.main(["--json", str(tmp_path / "results.json")]) == 1

    assert "== gone" in capsys.readouterr().out
    assert not (tmp_path / "results.json").exists()
