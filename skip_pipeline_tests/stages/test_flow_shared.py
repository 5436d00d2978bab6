"""All stages over storage that several machines share: the same bytes as on this machine."""

import shutil
import tempfile

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from skip_pipeline.bundles.gather import open_bundle
from skip_pipeline.engine import open_engine
from skip_pipeline.errors import BadInputError
from skip_pipeline.locations import file_system, files_below, location
from skip_pipeline.raw.folder import find_session_logs
from skip_pipeline.report.oracle import best_possible, find_oracle
from skip_pipeline.schema import SPLITS
from skip_pipeline.settings import DataLayout, EngineSettings
from skip_pipeline.stages import flow as stages
from skip_pipeline.storage import in_turn, read_manifest, table_files
from skip_pipeline.world.synthesize import synthesize
from skip_pipeline_tests.builders import deliver

pytestmark = pytest.mark.slow

STAGES = (
    stages.session_logs,
    stages.track_features,
    stages.merged_table,
    stages.encoded_table,
    stages.scaled_table,
    stages.tensor_bundles,
)


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """Three nights, the last one gzipped."""
    folder = tmp_path_factory.mktemp("nights")
    synthesize(folder, sessions=60, tracks=120, seed=2, days=3)
    last = find_session_logs(folder)[-1]
    deliver(last.with_name(f"{last.name}.gz"), last.read_bytes())
    last.unlink()
    return folder


@pytest.fixture(scope="module")
def local(nights, tmp_path_factory):
    """A data directory of this machine in which all stages have been made."""
    layout = DataLayout(tmp_path_factory.mktemp("local"))
    shutil.copytree(nights, layout.raw)
    run(layout)
    return layout


@pytest.fixture
def layout(tmp_path, nights, monkeypatch):
    """A layout in an object store in memory, with the three nights delivered."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = location(f"memory://{tmp_path / 'bucket'}")
    yield deliver_nights(DataLayout(tmp_path / "data", place), nights)
    file_system(place).store.clear()


def deliver_nights(layout, nights):
    for name, path in files_below(nights):
        (layout.raw / name).write_bytes(path.read_bytes())
    return layout


def run(layout, apply=in_turn):
    """Make all stages."""
    return [stage(layout, apply=apply) for stage in STAGES]


def shards_made(layout):
    """How many log files each table made anew."""
    names = ("merged", "encoded", "scaled", "bundles")
    return {
        name: sum(not shard.startswith("_") for shard in getattr(outcome, "staging", outcome).made)
        for name, outcome in zip(names, run(layout)[2:], strict=True)
    }


def made(layout):
    """Bytes of every file of every stage, by plain name, and what decided them."""
    found: dict[tuple[str, str], object] = {}
    folders = (layout.session_log_summaries, layout.merged, layout.encoded, layout.scaled, layout.bundles)
    for folder in folders:
        manifest = read_manifest(folder, made_by="a stage")
        found[folder.name, ""] = (manifest.stage, manifest.data_source, manifest.rows, manifest.shards)
        found |= {(folder.name, f.name): manifest.path(f.name).read_bytes() for f in manifest.files}
    return found


def assert_same(layout, local):
    found, expected = made(layout), made(local)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []


def test_every_file_has_the_bytes_that_it_has_on_this_machine(layout, local):
    run(layout)
    assert_same(layout, local)
    assert not layout.root.exists()


def test_two_processes_share_an_s3_store(tmp_path, nights, local, s3_bucket):
    layout = deliver_nights(DataLayout(tmp_path / "data", s3_bucket), nights)
    with open_engine(EngineSettings(kind="processes", workers=2)) as engine:
        run(layout, lambda function, shards: engine.map(function, shards, label="shared"))
    assert_same(layout, local)
    found = pd.concat(map(pd.read_parquet, table_files(str(layout.merged))))
    assert len(found) == pq.read_table(local.merged).num_rows


def test_storage_may_be_shared_by_a_path(tmp_path, nights, local):
    layout = DataLayout(tmp_path / "data", location(str(tmp_path / "mounted")))
    shutil.copytree(nights, layout.raw)
    run(layout)
    assert_same(layout, local)
    assert not layout.root.exists()


def test_a_bundle_is_opened_from_a_copy_on_this_machine(layout, local, tmp_path):
    run(layout)
    for split in SPLITS:
        expected = open_bundle(local.bundles, split)
        for bundle in (open_bundle(layout.bundles, split), open_bundle(str(layout.bundles), split)):
            assert bundle.sessions > 0
            for name, array in expected.items():
                np.testing.assert_array_equal(np.asarray(bundle[name]), np.asarray(array))
    assert len(list(tmp_path.glob("skip_pipeline-*/*/*-parts.json"))) == 1


def test_the_oracle_is_found_beside_the_raw_files(layout, local):
    test = open_bundle(local.bundles, "test")
    ours, theirs = find_oracle(layout.raw), find_oracle(local.raw)
    assert ours is not None
    assert theirs is not None
    assert best_possible(ours, test) == best_possible(theirs, test)


def test_unchanged_nights_are_kept_and_a_removed_one_goes(layout):
    assert set(shards_made(layout).values()) == {3}
    assert set(shards_made(layout).values()) == {0}
    gone = find_session_logs(layout.raw)[0]
    gone.unlink()
    counts = shards_made(layout)
    assert (counts["merged"], counts["encoded"]) == (0, 0)
    assert not [name for _, name in made(layout) if gone.stem in name]


def test_a_corrupt_night_costs_that_night_alone_when_it_is_mended(layout):
    run(layout)
    first, second, _ = find_session_logs(layout.raw)
    whole = first.read_bytes()
    first.write_bytes(whole.replace(b",true,", b",maybe,", 1))
    second.write_bytes(second.read_bytes().replace(b",editorial_playlist,", b",catalog,"))
    with pytest.raises(BadInputError, match="maybe") as failure:
        stages.merged_table(layout)
    assert str(first) in str(failure.value)
    first.write_bytes(whole)
    assert stages.merged_table(layout).staging.made == []  # one is as it was, one was made before it failed
    assert files_below(layout.merged / "_made") == []


def test_pandas_reads_a_table_by_the_list_of_its_files(layout, local):
    run(layout)
    merged = table_files(str(layout.merged))
    found = pd.concat(map(pd.read_parquet, merged))
    assert found["session_id"].tolist() == pq.read_table(local.merged)["session_id"].to_pylist()
