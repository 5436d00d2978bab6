"""Runs of Dagster whose shards are worked on in other processes."""

import shutil

import pytest

from skip_pipeline.defs.resources import ShardEngine
from skip_pipeline.errors import EngineError, RefusedError
from skip_pipeline.world.synthesize import synthesize

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Logs of three files."""
    folder = tmp_path_factory.mktemp("shards")
    synthesize(folder, sessions=60, tracks=50, seed=2, shards=3)
    return folder


def config(**engine):
    return {"resources": {"engine": {"config": engine}}}


def test_a_cluster_gives_the_same_bytes_as_this_process(sharded):
    tables = []
    for kind in ("in_process", "dask"):
        shutil.rmtree(sharded.layout.merged, ignore_errors=True)
        outcome = sharded.run("merged_table", config(kind=kind, workers=2))
        assert outcome.success, outcome.failures
        tables.append(sorted(path.read_bytes() for path in sharded.layout.merged.rglob("*.parquet")))
    assert len(tables[0]) > 2
    assert tables[0] == tables[1]


def test_an_engine_that_does_not_exist_fails_the_run_with_the_reason(sharded):
    [message] = sharded.run("merged_table", config(kind="cloud")).failures
    assert "no engine 'cloud'" in message
    assert "choose in_process, processes or dask" in message


@pytest.mark.parametrize(
    ("options", "error", "fact"),
    [
        ({"kind": "dask", "address": "tcp://127.0.0.1:9"}, EngineError, "127.0.0.1:9"),
        ({"kind": "processes", "address": "tcp://127.0.0.1:9"}, RefusedError, "only engine 'dask' uses"),
        ({"kind": "processes", "workers": 0}, RefusedError, "workers is 0"),
    ],
)
def test_the_resource_passes_its_options_on(options, error, fact):
    with pytest.raises(error, match=fact), ShardEngine(**options).applying("merged_table"):
        pass
