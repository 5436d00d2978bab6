"""What Dagster is told of shards: how many were made, and the version of the code that made them."""

import dagster as dg
import pytest

from skip_pipeline.code_version import ASSETS, asset_version
from skip_pipeline.definitions import defs
from skip_pipeline.world.synthesize import synthesize

pytestmark = pytest.mark.slow

TABLES = ("merged_table", "encoded_table", "scaled_table", "tensor_bundles")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Logs of three files."""
    folder = tmp_path_factory.mktemp("shards")
    synthesize(folder, sessions=90, tracks=100, seed=2, shards=3)
    return folder


def made(project):
    """How many shards each table made in its latest run, of how many."""
    assert project.run(",".join(TABLES)).success
    instance = project.instance()
    counts = {}
    for name in TABLES:
        event = instance.get_latest_materialization_event(dg.AssetKey(name))
        metadata = event.asset_materialization.metadata
        counts[name] = (metadata["shards_made"].value, metadata["shards"].value)
    return counts


def test_a_materialization_tells_how_many_shards_were_made_of_how_many(sharded):
    assert made(sharded) == dict.fromkeys(TABLES, (3, 3))
    changed, removed, _ = sorted((sharded.layout.raw / "training_set").iterdir())
    changed.write_text(changed.read_text().replace(",editorial_playlist,", ",catalog,"))
    removed.unlink()
    counts = made(sharded)
    assert counts["merged_table"] == counts["encoded_table"] == (1, 2)
    shown = sharded.metadata("merged_table")["shards_of_this_run"].records
    fates = [(record.data["shard"], record.data["in this run"]) for record in shown]
    kept = next(name for name, fate in fates if fate == "kept")
    assert fates == [
        (f"{changed.stem}.parquet", "made"),
        (f"{removed.stem}.parquet", "removed"),
        (kept, "kept"),
    ]


def test_dagster_knows_each_asset_by_the_version_of_its_code():
    specs = defs().resolve_asset_graph().asset_nodes
    assert {node.key.to_user_string(): node.code_version for node in specs} == {
        asset: asset_version(asset) for asset in ASSETS
    }
