"""Damaged bundles: what the checks find, and what is refused or made again."""

import shutil
from typing import Any

import numpy as np
import pytest

from skip_pipeline.defs.checks import tensor_bundles_checks
from skip_pipeline.defs.resources import DataDirectory, ShardEngine
from skip_pipeline.errors import ContractError
from skip_pipeline.settings import DataLayout
from skip_pipeline.stages import flow
from skip_pipeline.storage import read_manifest
from skip_pipeline.world.synthesize import synthesize
from skip_pipeline_tests.builders import assert_says, refusal

CHECKS = ("bundle_shapes", "each_session_in_one_split", "no_label_leak")


@pytest.fixture(scope="module")
def three_nights(tmp_path_factory):
    """A data directory with bundles of three nights; to be copied."""
    layout = DataLayout(tmp_path_factory.mktemp("nights"))
    synthesize(layout.root / "01_raw", sessions=300, tracks=100, seed=2, days=3)
    for stage in (flow.merged_table, flow.encoded_table, flow.scaled_table, flow.tensor_bundles):
        stage(layout)
    return layout.root


@pytest.fixture
def layout(three_nights, tmp_path):
    shutil.copytree(three_nights, tmp_path / "data")
    return DataLayout(tmp_path / "data")


def a_file(layout, file):
    """The shard of the first part, and the path of its file of that name."""
    manifest = read_manifest(layout.bundles, made_by="tensor_bundles")
    name = min(record.name for record in manifest.files if record.name.endswith(f"/{file}"))
    return f"{name.removesuffix(f'/{file}')}.parquet", manifest.path(name)


def judged(layout):
    """Checks that fail on the bundles as they are on disk, and the facts of the last one."""
    checks: Any = tensor_bundles_checks
    results = list(checks(data=DataDirectory(path=str(layout.root)), engine=ShardEngine()))
    assert tuple(result.check_name for result in results) == CHECKS
    return {result.check_name for result in results if not result.passed}, results[-1].metadata


def test_the_checks_pass_on_what_has_been_published(layout):
    failed, facts = judged(layout)
    assert failed == set()
    assert facts["sessions tried"].value == 300


def test_the_check_finds_records_that_are_not_those_of_the_table(layout):
    shard, path = a_file(layout, "rows.npy")
    rows = np.load(path)
    rows["binary"][5, 0] ^= 1
    np.save(path, rows)
    failed, facts = judged(layout)
    assert failed == {"no_label_leak"}
    assert facts[shard].value == "session_log"


def test_the_check_says_what_could_not_be_opened(layout):
    _, path = a_file(layout, "rows.npy")
    path.write_bytes(b"half a file")
    failed, facts = judged(layout)
    assert failed == set(CHECKS)
    assert facts["not judged"].value == "bundle_shapes must pass first"


def test_tables_that_do_not_belong_together_are_refused(layout):
    tracks = next((layout.raw / "track_features").iterdir())
    tracks.write_text(tracks.read_text().replace(",major,", ",minor,"))
    flow.merged_table(layout)
    flow.encoded_table(layout)
    message = refusal(ContractError, lambda: flow.tensor_bundles(layout))
    assert_says(
        message, "is not that of the row's track", "Materialize merged_table, encoded_table and scaled"
    )
