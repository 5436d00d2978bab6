"""The data path's benchmark: contenders make the same, and what is measured, printed and written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from benchmarks import agreement, data_path, stages
from benchmarks.peers import duckdb_merge, pandas_notebook, polars_merge
from skip_pipeline import schema
from skip_pipeline.bundles.gather import open_bundle
from skip_pipeline.settings import DataLayout
from skip_pipeline.storage import MANIFEST
from skip_pipeline_tests.benchmarks.conftest import SESSIONS, Answering

Arrays = dict[str, dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def encoded(raw: Path) -> pa.Table:
    [table] = stages.merge_and_encode(raw, raw).result
    return table


@pytest.fixture(scope="module")
def bundles(raw: Path) -> Arrays:
    return stages.wide(stages.bundled(raw)[0])


# --- Contenders ---------------------------------------------------------------------------------------


def test_the_tuned_notebook_makes_the_pipelines_arrays(raw: Path, bundles: Arrays) -> None:
    tuned = pandas_notebook.arrays(raw, pandas_notebook.select_before_loop)
    agreement.compare_arrays("pandas", tuned, bundles)


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


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["in_process", "processes", "dask"])
def test_persisted_is_what_the_assets_do_and_says_how_much_it_left(
    engine: Any, sharded: Path, tmp_path: Path, bundles: Arrays
) -> None:
    made = stages.persisted(sharded, tmp_path, engine=engine, workers=2)

    layout = DataLayout(tmp_path)
    private = {"_files", "_manifests"}
    files = [path for path in tmp_path.rglob("*") if path.is_file() and not private & set(path.parts)]
    sizes = {path: path.stat().st_size for path in files if path.name not in (MANIFEST, ".lock")}
    bundle_sizes = [size for path, size in sizes.items() if layout.bundles in path.parents]
    assert made.sessions == SESSIONS
    assert made.bundle_bytes == sum(bundle_sizes) > 0
    assert made.table_bytes == sum(sizes.values()) - sum(bundle_sizes) > 0
    assert made.seconds is not None
    assert made.seconds > 0
    opened = {split: open_bundle(layout.bundles, split) for split in schema.SPLITS}
    agreement.compare_arrays(engine, stages.wide(opened), bundles)


# --- Disagreement -------------------------------------------------------------------------------------


def test_another_value_in_a_column_is_refused(encoded: pa.Table) -> None:
    tempo = pc.add(encoded["tempo"], pa.scalar(1.0, pa.float32()))
    changed = encoded.set_column(encoded.column_names.index("tempo"), "tempo", tempo)

    with pytest.raises(agreement.DisagreementError, match=f"column tempo differs in {encoded.num_rows} rows"):
        agreement.compare_tables("peer", changed, encoded)


def test_a_tiny_difference_is_allowed_in_scaled_features_alone(bundles: Arrays) -> None:
    changed = {split: dict(arrays) for split, arrays in bundles.items()}
    changed["train"]["last_track"] = bundles["train"]["last_track"] + np.float32(6e-8)
    agreement.compare_arrays("peer", changed, bundles)

    changed["train"]["skip_sequence"] = bundles["train"]["skip_sequence"] + np.float32(1e-6)
    with pytest.raises(agreement.DisagreementError, match="train skip_sequence"):
        agreement.compare_arrays("peer", changed, bundles)


# --- The command ----------------------------------------------------------------------------------------


def test_the_command_prints_the_table_and_writes_the_figures(
    answering: Answering, raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(lambda _target: 1.0)

    assert data_path.main(["--raw", str(raw), "--json", str(tmp_path / "figures.json")]) == 0

    printed, result = capsys.readouterr().out, json.loads((tmp_path / "figures.json").read_text())
    assert "synthetic data" in printed.splitlines()[0]
    assert list(result["contenders"]) == list(data_path.CONTENDERS)
    assert all(name in printed for name in [*data_path.CONTENDERS, *result["headline"]])
    assert result["data"]["raw"]["data_source"] == "synthetic"
    assert {"python", "pyarrow", "polars", "duckdb"} <= set(result["environment"]["versions"])


def test_ratios_are_of_medians(answering: Answering, raw: Path) -> None:
    seconds = dict(zip(data_path.CONTENDERS.values(), (1, 3, 4, 8, 60, 15, 2, 4, 5), strict=True))
    answering(lambda target: seconds.get(target, 0.1))

    result = data_path.compare(raw, repetitions=2)

    assert result["headline"] == {
        "in_memory_over_parse": 3.0,
        "persisted_over_parse": 8.0,
        "peer_over_ours": 20.0,
        "peer_over_ours_gathered": 15.0,
        "tuned_peer_over_ours": 5.0,
        "polars_over_ours": 2.0,
        "duckdb_over_ours": 2.5,
        "bundle_bytes_per_session": 10.0,
    }


def test_with_shards_ours_alone_is_measured_and_its_growth(grown: tuple[Path, dict[str, Any]]) -> None:
    _, result = grown
    assert (result["data"]["small"]["shards"], result["data"]["large"]["shards"]) == (1, 10)
    assert [c["sessions"] for c in result["contenders"].values()] == [20, 200]
    assert all("processes" in name for name in result["contenders"])
    peaks = [contender["peak_rss_mib"] for contender in result["contenders"].values()]
    assert result["headline"]["peak_rss_mib"] == peaks[1]
    assert result["headline"]["peak_rss_growth"] == pytest.approx(peaks[1] / peaks[0], abs=1e-3)
    assert set(result["headline"]) >= {"rows_per_second", "bundle_bytes_per_session"}


def test_with_shards_bundles_can_be_kept_without_tables(grown: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = grown
    sessions = {
        name: sum(open_bundle(folder / name / "05_bundles", split).sessions for split in schema.SPLITS)
        for name in ("small", "large")
    }
    assert sessions == {"small": 20, "large": 200}
    assert not list(folder.rglob("*.parquet"))
