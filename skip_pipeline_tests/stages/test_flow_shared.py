"""All stages over storage that several machines share: the same bytes as on this machine."""

import shutil
import sys
import tempfile

import numpy as np
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
from skip_pipeline.storage import MANIFEST, in_turn, read_json
from skip_pipeline.world.synthesize import synthesize
from skip_pipeline_tests.builders import deliver
from skip_pipeline_tests.storage import disk_objects

STAGES = (
    stages.session_logs,
    stages.track_features,
    stages.merged_table,
    stages.encoded_table,
    stages.scaled_table,
    stages.tensor_bundles,
)
OWN = ("seconds", "details")
"""What two manifests of the same files may differ in: how long it took, and how the raw files looked."""


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
def known_everywhere(tmp_path, monkeypatch):
    """Worker processes too find the object store that lies in files, as they would find an installed one."""
    site = tmp_path / "site"
    site.mkdir()
    disk_objects.install(site)
    disk_objects.register()
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])


@pytest.fixture(params=["memory", disk_objects.PROTOCOL])
def layout(request, tmp_path, nights, known_everywhere, monkeypatch):
    """A layout in an object store, with the three nights delivered."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = location(f"{request.param}://{tmp_path / 'bucket'}")
    yield deliver_nights(DataLayout(tmp_path / "data", place), nights)
    if request.param == "memory":
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
    """Bytes of every file of every stage, and what the manifests say of them."""
    found = {}
    folders = (layout.session_log_summaries, layout.merged, layout.encoded, layout.scaled, layout.bundles)
    for folder in folders:
        for name, path in files_below(folder):
            if name == MANIFEST:
                fields = read_json(path).items()
                found[folder.name, name] = {key: value for key, value in fields if key not in OWN}
            elif name != ".lock":
                found[folder.name, name] = path.read_bytes()
    return found


def assert_same(layout, local):
    found, expected = made(layout), made(local)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []


def test_every_file_has_the_bytes_that_it_has_on_this_machine(layout, local):
    run(layout)
    assert_same(layout, local)
    assert not layout.root.exists()


def test_two_processes_share_an_object_store(tmp_path, nights, local, known_everywhere):
    place = location(f"{disk_objects.PROTOCOL}://{tmp_path / 'bucket'}")
    layout = deliver_nights(DataLayout(tmp_path / "data", place), nights)
    with open_engine(EngineSettings(kind="processes", workers=2)) as engine:
        run(layout, lambda function, shards: engine.map(function, shards, label="shared"))
    assert_same(layout, local)


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
    assert len(list(tmp_path.glob("skip_pipeline-*/*/*/parts.json"))) == 1


def test_the_oracle_is_found_beside_the_raw_files(layout, local):
    test = open_bundle(local.bundles, "test")
    assert best_possible(find_oracle(layout.raw), test) == best_possible(find_oracle(local.raw), test)


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
    assert not [name for name, _ in files_below(layout.merged) if name.startswith(".")]
