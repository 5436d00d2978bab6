"""Runs of Dagster whose shards are worked on elsewhere: same results, and errors that say what is wrong."""

import shutil

import pytest

from skip_pipeline.storage import read_manifest
from skip_pipeline.world.synthesize import synthesize

FEATURES = "merged_table,encoded_table,scaled_table,tensor_bundles"


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Logs of three files."""
    folder = tmp_path_factory.mktemp("shards")
    synthesize(folder, sessions=300, tracks=200, seed=2, shards=3)
    return folder


def config(**engine):
    return {"resources": {"engine": {"config": engine}}}


def published(project):
    folders = (project.layout.merged, project.layout.encoded, project.layout.scaled, project.layout.bundles)
    return {
        (folder.name, record.name): (folder / record.name).read_bytes()
        for folder in folders
        for record in read_manifest(folder, made_by="a stage").files
    }


def test_results_are_the_same_wherever_shards_are_worked_on(sharded):
    results = []
    for kind in ("in_process", "processes", "dask"):
        for folder in (sharded.layout.merged, sharded.layout.encoded, sharded.layout.scaled):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(sharded.layout.bundles, ignore_errors=True)
        outcome = sharded.run(FEATURES, config(kind=kind, workers=2))
        assert outcome.success, outcome.failures
        results.append(published(sharded))
    assert len(results[0]) > 12
    assert results[0] == results[1] == results[2]


def test_a_corrupt_shard_is_named_though_another_process_read_it(sharded):
    corrupt = sorted((sharded.layout.raw / "training_set").iterdir())[1]
    corrupt.write_text(corrupt.read_text().replace(",true,", ",maybe,", 1))
    [message] = sharded.run("merged_table", config(kind="processes", workers=2)).failures
    assert str(corrupt) in message
    assert "'maybe'" in message


@pytest.mark.parametrize(
    ("engine", "fact"),
    [
        ({"kind": "cloud"}, "There is no engine 'cloud'; choose in_process, processes or dask"),
        ({"kind": "dask", "address": "tcp://127.0.0.1:9"}, "127.0.0.1:9"),
        ({"kind": "processes", "address": "tcp://127.0.0.1:9"}, "only engine 'dask' uses"),
        ({"kind": "processes", "workers": 0}, "workers is 0"),
    ],
)
def test_an_engine_that_cannot_be_had_fails_the_run_with_the_reason(sharded, engine, fact):
    [message] = sharded.run("merged_table", config(**engine)).failures
    assert fact in message
