"""The data path's benchmark: contenders make the same, and what is measured, printed and written."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from benchmarks import agreement, data_path, measure, run_all, stages
from benchmarks.measure import ChildFailedError, Run
from benchmarks.peers import duckdb_merge, pandas_notebook, polars_merge
from skip_pipeline import schema
from skip_pipeline.world.synthesize import synthesize

SESSIONS, TRACKS = 150, 120
Arrays = dict[str, dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw")
    synthesize(folder, sessions=SESSIONS, tracks=TRACKS, seed=3)
    return folder


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharded")
    synthesize(folder, sessions=SESSIONS, tracks=TRACKS, seed=3, shards=3)
    return folder


@pytest.fixture(scope="module")
def encoded(raw: Path) -> pa.Table:
    [table] = stages.merge_and_encode(raw, raw).result
    return table


@pytest.fixture(scope="module")
def bundles(raw: Path) -> Arrays:
    return stages.wide(stages.bundled(raw)[0])


# --- Contenders ---------------------------------------------------------------------------------------


def test_the_notebook_makes_the_pipelines_arrays(raw: Path, bundles: Arrays) -> None:
    agreement.compare_arrays("pandas", pandas_notebook.arrays(raw), bundles)


def test_polars_makes_the_encoded_table(raw: Path, encoded: pa.Table) -> None:
    agreement.compare_tables("polars", polars_merge.encoded(raw).to_arrow(), encoded)


def test_duckdb_makes_the_encoded_table(raw: Path, encoded: pa.Table) -> None:
    agreement.compare_tables("duckdb", duckdb_merge.encoded(raw), encoded)


def test_all_agree_on_several_shards(sharded: Path, tmp_path: Path) -> None:
    assert agreement.check(sharded, tmp_path).rows > SESSIONS * schema.MIN_SESSION_LENGTH


def test_peers_put_rows_in_order(raw: Path, tmp_path: Path, encoded: pa.Table) -> None:
    shuffled = tmp_path / "raw"
    (shuffled / "track_features").mkdir(parents=True)
    (shuffled / "training_set").mkdir()
    features = raw / "track_features" / "tf_mini.csv"
    header, *rows = features.read_text().splitlines()
    (shuffled / "track_features" / "tf_mini.csv").write_text("\n".join([header, *reversed(rows)]) + "\n")
    header, *rows = (raw / "training_set" / "log_mini.csv").read_text().splitlines()
    (shuffled / "training_set" / "log_mini.csv").write_text("\n".join([header, *reversed(rows)]) + "\n")

    agreement.compare_tables("polars", polars_merge.encoded(shuffled).to_arrow(), encoded)
    agreement.compare_tables("duckdb", duckdb_merge.encoded(shuffled), encoded)
    assert pandas_notebook.encoded(shuffled)["duration"].tolist() == pytest.approx(
        encoded["duration"].to_pylist()
    )


@pytest.mark.parametrize("contender", data_path.CONTENDERS)
def test_every_contender_counts_the_same_rows(contender: str, raw: Path, encoded: pa.Table) -> None:
    run = measure.run(data_path.CONTENDERS[contender], raw)

    assert run.rows == encoded.num_rows
    assert run.seconds > 0
    assert run.peak_rss_mib > 50  # pyarrow alone is more than that


def test_persisted_says_how_much_it_left_on_disk(sharded: Path, tmp_path: Path) -> None:
    made = stages.persisted(sharded, tmp_path)

    sizes = {p: p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()}
    bundle_sizes = [size for path, size in sizes.items() if "05_bundles" in path.parts]
    assert made.sessions == SESSIONS
    assert made.bundle_bytes == sum(bundle_sizes) > 0
    assert made.table_bytes == sum(sizes.values()) - sum(bundle_sizes) > 0


# --- Disagreement -------------------------------------------------------------------------------------


def test_another_value_in_a_column_is_refused(encoded: pa.Table) -> None:
    tempo = pc.add(encoded["tempo"], pa.scalar(1.0, pa.float32()))
    changed = encoded.set_column(encoded.column_names.index("tempo"), "tempo", tempo)

    with pytest.raises(agreement.DisagreementError, match=f"column tempo differs in {encoded.num_rows} rows"):
        agreement.compare_tables("peer", changed, encoded)


def test_a_row_less_is_refused(encoded: pa.Table) -> None:
    with pytest.raises(agreement.DisagreementError, match=f"peer: {encoded.num_rows - 1} rows"):
        agreement.compare_tables("peer", encoded[:-1], encoded)


@pytest.mark.parametrize(("array", "change"), [("previous_tracks", 1e-6), ("session_log", 1e-6)])
def test_another_value_in_an_array_is_refused(bundles: Arrays, array: str, change: float) -> None:
    changed = {split: dict(arrays) for split, arrays in bundles.items()}
    values = changed["test"][array].copy()
    values[0, -1, 0] += change
    changed["test"][array] = values

    with pytest.raises(agreement.DisagreementError, match=f"1 of .* values of test {array} differ"):
        agreement.compare_arrays("peer", changed, bundles)


def test_a_tiny_difference_is_allowed_in_scaled_features_alone(bundles: Arrays) -> None:
    changed = {split: dict(arrays) for split, arrays in bundles.items()}
    changed["train"]["last_track"] = bundles["train"]["last_track"] + np.float32(6e-8)
    agreement.compare_arrays("peer", changed, bundles)

    changed["train"]["skip_sequence"] = bundles["train"]["skip_sequence"] + np.float32(1e-6)
    with pytest.raises(agreement.DisagreementError, match="train skip_sequence"):
        agreement.compare_arrays("peer", changed, bundles)


def test_a_missing_session_is_refused(bundles: Arrays) -> None:
    changed = {split: {n: a[1:] for n, a in arrays.items()} for split, arrays in bundles.items()}

    with pytest.raises(agreement.DisagreementError, match="expected"):
        agreement.compare_arrays("peer", changed, bundles)


# --- Measuring ----------------------------------------------------------------------------------------


def test_a_failing_child_says_why(tmp_path: Path) -> None:
    with pytest.raises(ChildFailedError, match="track_features does not exist"):
        measure.run("benchmarks.stages:in_memory", tmp_path)


def test_the_memory_of_a_childs_own_children_counts(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', "
        "'import time; held = bytearray(200 << 20); time.sleep(0.5)'], check=True); print('done')"
    )
    printed, peak = measure.output([sys.executable, "-c", code])

    assert printed == "done\n"
    assert peak > 200 << 20


def test_a_summary_is_of_all_runs() -> None:
    run = Run(seconds=2.0, peak_rss_mib=100.0, rows=1000, sessions=60, bundle_bytes=7)
    summary = data_path.Summary.of(
        [run, replace(run, seconds=4.0, peak_rss_mib=90.0), replace(run, seconds=9)]
    )

    assert (summary.seconds, summary.fastest, summary.slowest, summary.runs) == (4.0, 2.0, 9.0, 3)
    assert (summary.rows_per_second, summary.peak_rss_mib, summary.bundle_bytes) == (250, 100.0, 7)


def test_ratios_are_of_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = dict(zip(data_path.CONTENDERS.values(), (1, 3, 4, 8, 60, 2, 4, 5), strict=True))

    def measured(target: str, _raw: Path) -> Run:
        return Run(seconds=seconds.get(target, 0.1), peak_rss_mib=1, rows=10, sessions=5, bundle_bytes=50)

    monkeypatch.setattr(measure, "run", measured)
    monkeypatch.setattr(data_path, "_synthesize", lambda _raw, **sizes: sizes)

    result = data_path.compare(sessions=5, tracks=4, repetitions=2)

    assert result["headline"] == {
        "in_memory_over_parse": 3.0,
        "persisted_over_parse": 8.0,
        "peer_over_ours": 20.0,
        "peer_over_ours_gathered": 15.0,
        "polars_over_ours": 2.0,
        "duckdb_over_ours": 2.5,
        "bundle_bytes_per_session": 10.0,
    }


def test_the_command_prints_the_table_and_writes_the_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "figures.json"
    sizes = ["--sessions", str(SESSIONS), "--tracks", str(TRACKS)]
    assert data_path.main([*sizes, "--repetitions", "1", "--json", str(figures)]) == 0

    printed, result = capsys.readouterr().out, json.loads(figures.read_text())
    assert printed.startswith(f"{SESSIONS} sessions, synthetic data")
    assert list(result["contenders"]) == list(data_path.CONTENDERS)
    assert all(name in printed for name in [*data_path.CONTENDERS, *result["headline"]])
    assert result["data"]["data_source"] == "synthetic"
    assert result["environment"]["cores"] >= 1
    assert {"python", "pyarrow", "polars", "duckdb"} <= set(result["environment"]["versions"])


def test_with_shards_ours_alone_is_measured_and_its_growth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "figures.json"
    sizes = ["--sessions", "200", "--tracks", str(TRACKS), "--shards", "10"]
    assert data_path.main([*sizes, "--json", str(figures)]) == 0

    result = json.loads(figures.read_text())
    small, large = result["data"].values()
    assert (small["sessions"], small["shards"], large["sessions"], large["shards"]) == (20, 1, 200, 10)
    peaks = [contender["peak_rss_mib"] for contender in result["contenders"].values()]
    assert result["headline"]["peak_rss_mib"] == peaks[1]
    assert result["headline"]["peak_rss_growth"] == pytest.approx(peaks[1] / peaks[0], abs=1e-3)
    assert set(result["headline"]) >= {"rows_per_second", "bundle_bytes_per_session"}
    assert "peak_rss_growth" in capsys.readouterr().out


def test_a_failure_is_told_and_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert data_path.main(["--sessions", "0", "--json", str(tmp_path / "figures.json")]) == 1

    assert "sessions" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "figures.json").exists()


# --- All benchmarks -----------------------------------------------------------------------------------


def test_headlines_stand_on_top_and_the_later_one_wins() -> None:
    found: dict[str, dict[str, Any]] = {
        "small": {"headline": {"peer_over_ours": 20.0, "bundle_bytes_per_session": 800}},
        "large": {"headline": {"bundle_bytes_per_session": 764}},
        "other": {"seconds": 1},
    }

    result = run_all.collect(found)

    assert (result["peer_over_ours"], result["bundle_bytes_per_session"]) == (20.0, 764)
    assert result["benchmarks"] == found
    assert "date" in result["environment"]


def test_every_benchmark_is_a_module_that_takes_json(tmp_path: Path) -> None:
    folder = Path(run_all.__file__).parent
    modules = {command[0] for command in run_all.commands(tmp_path, sessions=10, shards=2).values()}

    commands = {f"benchmarks.{path.stem}" for path in folder.glob("*.py") if '"--json"' in path.read_text()}
    assert modules == commands - {"benchmarks.run_all"}


def test_a_failing_benchmark_fails_the_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_all, "commands", lambda *_args, **_sizes: {"gone": ["benchmarks.gone"]})
    monkeypatch.setattr(run_all, "_run", lambda command: int("benchmarks.gone" in command))

    assert run_all.main(["--json", str(tmp_path / "results.json")]) == 1

    assert "== gone" in capsys.readouterr().out
    assert not (tmp_path / "results.json").exists()
