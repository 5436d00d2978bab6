"""All stages over storage that several machines share: the same bytes as on this machine."""

import shutil
import tempfile
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from skip_pipeline.bundles.gather import open_bundle
from skip_pipeline.engine import open_engine
from skip_pipeline.locations import file_system, files_below, location
from skip_pipeline.raw.folder import find_session_logs
from skip_pipeline.report.oracle import best_possible, find_oracle
from skip_pipeline.schema import SPLITS
from skip_pipeline.settings import DataLayout, EngineSettings
from skip_pipeline.stages import flow
from skip_pipeline.storage import in_turn, read_manifest, table_files
from skip_pipeline.world.synthesize import synthesize
from skip_pipeline_tests.builders import deliver

STAGES = {
    flow.session_logs: "session_log_summaries",
    flow.track_features: "track_feature_summaries",
    flow.merged_table: "merged",
    flow.encoded_table: "encoded",
    flow.scaled_table: "scaled",
    flow.tensor_bundles: "bundles",
}


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A data directory of this machine with all stages of three nights, the last one gzipped."""
    layout = DataLayout(tmp_path_factory.mktemp("local"))
    synthesize(layout.raw, sessions=60, tracks=120, seed=2, days=3)
    last = find_session_logs(layout.raw)[-1]
    deliver(last.with_name(f"{last.name}.gz"), last.read_bytes())
    last.unlink()
    run(layout)
    return layout


@pytest.fixture
def layout(tmp_path, local, monkeypatch):
    """A layout in an object store in memory, with the three nights delivered."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = location(f"memory://{tmp_path / 'bucket'}")
    yield deliver_nights(DataLayout(tmp_path / "data", place), local)
    file_system(place).store.clear()


def deliver_nights(layout, local):
    for name, path in files_below(local.raw):
        (layout.raw / name).write_bytes(path.read_bytes())
    return layout


def run(layout, apply=in_turn):
    """Make all stages; how many shards of session logs each table made anew."""
    outcomes: dict[str, Any] = {name: stage(layout, apply=apply) for stage, name in STAGES.items()}
    made = {name: getattr(outcome, "staging", outcome).made for name, outcome in outcomes.items()}
    return [sum(not shard.startswith("_") for shard in made[name]) for name in list(made)[2:]]


def made(layout):
    """Bytes of every file of every stage, by plain name, and what decided them."""
    found: dict[tuple[str, str], object] = {}
    for name in set(STAGES.values()) - {"track_feature_summaries"}:
        manifest = read_manifest(getattr(layout, name), made_by="a stage")
        found[name, ""] = (manifest.stage, manifest.data_source, manifest.rows, manifest.shards)
        found |= {(name, f.name): manifest.path(f.name).read_bytes() for f in manifest.files}
    return found


def assert_same(layout, local):
    found, expected = made(layout), made(local)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
    assert not layout.root.exists()


def test_every_file_has_the_bytes_that_it_has_on_this_machine(layout, local, tmp_path):
    run(layout)
    assert_same(layout, local)
    found = pd.concat(map(pd.read_parquet, table_files(str(layout.merged))))
    assert found["session_id"].tolist() == pq.read_table(local.merged)["session_id"].to_pylist()
    for split in SPLITS:
        expected = open_bundle(local.bundles, split)
        for bundle in (open_bundle(layout.bundles, split), open_bundle(str(layout.bundles), split)):
            assert bundle.sessions > 0
            for name, array in expected.items():
                np.testing.assert_array_equal(np.asarray(bundle[name]), np.asarray(array))
    assert len(list(tmp_path.glob("skip_pipeline-*/*/*-parts.json"))) == 1  # the copy on this machine
    test = open_bundle(local.bundles, "test")
    oracles = [find_oracle(layout.raw), find_oracle(local.raw)]
    assert len({best_possible(oracle, test) for oracle in oracles if oracle}) == 1
    assert None not in oracles


@pytest.mark.slow
def test_two_processes_share_an_s3_store(tmp_path, local, s3_bucket):
    layout = deliver_nights(DataLayout(tmp_path / "data", s3_bucket), local)
    with open_engine(EngineSettings(kind="processes", workers=2)) as engine:
        run(layout, lambda function, shards: engine.map(function, shards, label="shared"))
    assert_same(layout, local)
    found = pd.concat(map(pd.read_parquet, table_files(str(layout.merged))))
    assert len(found) == pq.read_table(local.merged).num_rows


def test_storage_may_be_shared_by_a_path(tmp_path, local):
    layout = DataLayout(tmp_path / "data", location(str(tmp_path / "mounted")))
    shutil.copytree(local.raw, layout.raw)
    run(layout)
    assert_same(layout, local)
