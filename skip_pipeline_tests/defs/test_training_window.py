"""A training with a window, alone and on several workers: what it learns from, and what it says of that."""

import json
import re

import pytest

from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.nightly.reference import read_reference
from skip_pipeline.storage import read_manifest
from skip_pipeline.world.synthesize import synthesize

DAYS = ("log_0_20180715_000000000000", "log_0_20180716_000000000000", "log_0_20180717_000000000000")
BEFORE = "session_logs,track_features,merged_table,encoded_table,scaled_table,tensor_bundles"


def config(**more):
    """The preset that is traced fastest: what is learnt from does not hang on it."""
    quick = {"preset": "single_input", "max_epochs": 1, "batch_size": 16, "seed": 3}
    return {"ops": {"trained_model": {"config": {**quick, **more}}}}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("days")
    synthesize(folder, sessions=600, tracks=300, seed=2, days=len(DAYS))
    return folder


@pytest.fixture
def bundled(sharded):
    assert sharded.run(BEFORE).success
    return sharded


def test_only_the_newest_days_are_learnt_from_by_one_worker_and_by_two(bundled):
    losses = []
    for workers in (1, 2):
        outcome = bundled.run("trained_model", config(train_days=2, workers=workers, dropout=0.0))

        assert outcome.success, outcome.failures
        manifest = read_manifest(bundled.layout.model, made_by="trained_model")
        train = open_bundles(bundled.layout.bundles)["train"]
        newest = train.of_shards(DAYS[1:]).sessions
        assert newest < train.sessions
        assert (manifest.rows, manifest.details["train_days"]) == (newest, 2)
        reference = read_reference(bundled.layout.model / "served_model")
        assert reference.profile.sessions == newest
        assert set(reference.shards) == set(DAYS)  # what had come, whether it was learnt from or not
        run = bundled.mlflow_runs(outcome.run_id)["trained_model"]
        assert run.data.params["train_days"] == "2"
        history = json.loads((bundled.layout.model / "history.json").read_text())
        losses.append(history["epochs"][0]["validation_loss"])
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


def test_without_a_window_everything_is_learnt_from(bundled):
    assert bundled.run("trained_model", config()).success

    manifest = read_manifest(bundled.layout.model, made_by="trained_model")
    assert manifest.rows == open_bundles(bundled.layout.bundles)["train"].sessions
    assert manifest.details["train_days"] is None


def test_a_window_of_no_day_and_one_over_logs_without_dates_are_refused(bundled):
    [nothing] = bundled.run("trained_model", config(train_days=0)).failures
    for log in (bundled.layout.raw / "training_set").iterdir():
        log.write_text(re.sub(r",\d{4}-\d\d-\d\d,", ",no date,", log.read_text()))
    assert bundled.run(BEFORE).success
    [undated] = bundled.run("trained_model", config(train_days=2)).failures

    assert "train_days is 0, expected at least 1" in nothing
    assert "no shard has a plausible date" in undated
    assert not bundled.layout.model.exists()
