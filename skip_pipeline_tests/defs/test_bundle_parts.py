"""Parts of bundles as shards come, change and go, and what the checks say of damaged ones."""

import shutil

import dagster as dg
import numpy as np
import pytest

from skip_pipeline import schema, settings
from skip_pipeline.bundles.gather import open_bundle
from skip_pipeline.defs.checks import tensor_bundles_checks
from skip_pipeline.defs.launch import prepare_home
from skip_pipeline.defs.resources import DataDirectory, ShardEngine
from skip_pipeline.settings import DataLayout
from skip_pipeline.world.synthesize import synthesize
from skip_pipeline_tests.projects import Project, lasting_project

TABLES = "merged_table,encoded_table,scaled_table"


@pytest.fixture(scope="module")
def three_nights(tmp_path_factory, template):
    """A data directory with bundles of three nights; to be copied."""
    folder = tmp_path_factory.mktemp("nights")
    synthesize(folder / "raw", sessions=300, tracks=100, seed=2, days=4)
    (folder / "raw" / "oracle.parquet").unlink()
    with lasting_project(folder / "data", folder / "raw", template) as project:
        fourth = logs(project.layout)[3]
        fourth.rename(project.layout.root / fourth.name)
        assert project.run(f"{TABLES},tensor_bundles").success
        return project.layout.root


@pytest.fixture
def nights(three_nights, tmp_path, monkeypatch):
    """A project with bundles of three nights; the fourth waits beside the data."""
    layout = DataLayout(tmp_path / "data")
    shutil.copytree(three_nights, layout.root)
    monkeypatch.setenv(settings.DATA_DIR_VARIABLE, str(layout.root))
    prepare_home(layout)
    return Project(layout)


def logs(layout):
    return sorted((layout.raw / "training_set").iterdir())


def bundled(project):
    """How many parts the latest run made, of how many."""
    event = project.instance().get_latest_materialization_event(dg.AssetKey("tensor_bundles"))
    metadata = event.asset_materialization.metadata
    return metadata["shards_made"].value, metadata["shards"].value


def contents(project):
    folder = project.layout.bundles
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.npy")}


def test_nothing_new_makes_no_part(nights):
    before = contents(nights)
    assert nights.run("tensor_bundles").success
    assert bundled(nights) == (0, 3)
    assert contents(nights) == before


def test_a_night_comes_and_another_goes(nights):
    gone = logs(nights.layout)[0]
    before = contents(nights)
    [fourth] = nights.layout.root.glob("*.csv")
    fourth.rename(gone.with_name(fourth.name))
    gone.unlink()
    assert nights.run(f"{TABLES},tensor_bundles").success

    after = contents(nights)
    assert bundled(nights)[1] == 3
    assert {name.split("/")[0] for name in after if "/" in name} == {p.stem for p in logs(nights.layout)}
    # Rows hold track numbers, so a part is the same even where the new night has moved every scaled value.
    kept = {name for name in before if name in after and "/" in name}
    assert len(kept) == 6
    assert all(after[name] == before[name] for name in kept)
    for split in schema.SPLITS:
        assert len(open_bundle(nights.layout.bundles, split).parts) == 3


def test_a_part_that_is_damaged_is_made_again(nights):
    path = next(nights.layout.bundles.glob("*/rows.npy"))
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    assert nights.run("tensor_bundles").success
    assert bundled(nights) == (1, 3)
    assert path.read_bytes() == content


def test_tables_that_do_not_belong_together_are_refused(nights):
    tracks = next((nights.layout.raw / "track_features").iterdir())
    tracks.write_text(tracks.read_text().replace(",major,", ",minor,"))
    assert nights.run("merged_table,encoded_table").success

    [message] = nights.run("tensor_bundles").failures
    assert "is not that of the row's track" in message
    assert "Materialize merged_table, encoded_table and scaled_table again" in message


def judged(project):
    """Outcome of each check of the bundles as they are on disk now, and the facts of the last one."""
    results = list(
        tensor_bundles_checks(data=DataDirectory(path=str(project.layout.root)), engine=ShardEngine())
    )
    return {result.check_name: result.passed for result in results}, results[-1].metadata


def test_the_checks_pass_on_what_has_been_published(nights):
    outcomes, facts = judged(nights)
    assert outcomes == dict.fromkeys(("bundle_shapes", "each_session_in_one_split", "no_label_leak"), True)
    assert facts["sessions tried"].value > 0


def test_the_check_finds_records_that_are_not_those_of_the_table(nights):
    path = next(nights.layout.bundles.glob("*/rows.npy"))
    rows = np.load(path)
    rows["flags"][5] ^= 1
    np.save(path, rows)
    outcomes, facts = judged(nights)
    assert outcomes == {"bundle_shapes": True, "each_session_in_one_split": True, "no_label_leak": False}
    assert facts[f"{path.parent.name}.parquet"].value == "session_log"


def test_the_check_finds_a_session_twice(nights):
    path = next(nights.layout.bundles.glob("*/session_id.npy"))
    ids = np.load(path)
    ids[0] = ids[1]
    np.save(path, ids)
    outcomes, _ = judged(nights)
    assert outcomes == {"bundle_shapes": True, "each_session_in_one_split": False, "no_label_leak": True}


def test_the_check_says_what_could_not_be_opened(nights):
    path = next(nights.layout.bundles.glob("*/rows.npy"))
    path.write_bytes(b"half a file")
    outcomes, facts = judged(nights)
    assert outcomes == {"bundle_shapes": False, "each_session_in_one_split": False, "no_label_leak": False}
    assert facts["not judged"].value == "bundle_shapes must pass first"
