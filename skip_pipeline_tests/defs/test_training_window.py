"""Training with a window of days, and as one of several workers: what is learnt from, and who publishes."""

import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.cli.main import app
from skip_pipeline.nightly.reference import read_reference
from skip_pipeline.settings import DAGSTER_HOME_VARIABLE, DATA_DIR_VARIABLE, TF_CONFIG_VARIABLE
from skip_pipeline.storage import read_manifest
from skip_pipeline.world.synthesize import synthesize
from skip_pipeline_tests.builders import assert_says
from skip_pipeline_tests.projects import lasting_project

pytestmark = pytest.mark.slow

DAYS = ("log_0_20180715_000000000000", "log_0_20180716_000000000000", "log_0_20180717_000000000000")
BEFORE = "session_logs,track_features,merged_table,encoded_table,scaled_table,tensor_bundles"


def config(**more):
    """The preset that is traced fastest: what is learnt from does not depend on it."""
    quick = {"preset": "single_input", "max_epochs": 1, "batch_size": 16, "seed": 3}
    window = {name: value for name, value in more.items() if name == "train_days"}
    return {"ops": {"trained_model": {"config": {**quick, **more}}, "baseline_models": {"config": window}}}


def only(**more):
    """The same for a run of ``trained_model`` alone."""
    return {"ops": {"trained_model": config(**more)["ops"]["trained_model"]}}


def task(index):
    cluster = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}
    return json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("days")
    synthesize(folder, sessions=600, tracks=300, seed=2, days=len(DAYS))
    return folder


@pytest.fixture(scope="module")
def bundles_of_days(tmp_path_factory, shards, template):
    with lasting_project(tmp_path_factory.mktemp("bundled") / "data", shards, template) as project:
        assert project.run(BEFORE).success
        yield project


@pytest.fixture
def bundled(bundles_of_days, monkeypatch):
    """Bundles of three days; a model that one test trains is the next one's to replace."""
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(bundles_of_days.layout.root))
    monkeypatch.setenv(DAGSTER_HOME_VARIABLE, str(bundles_of_days.layout.dagster))
    return bundles_of_days


def test_only_the_newest_days_are_learnt_from(bundled):
    outcome = bundled.run("trained_model,baseline_models,best_model", config(train_days=2))

    assert outcome.success, outcome.failures
    manifest = read_manifest(bundled.layout.model, made_by="trained_model")
    train = open_bundles(bundled.layout.bundles)["train"]
    newest = train.of_shards(DAYS[1:]).sessions
    assert newest < train.sessions
    assert (manifest.rows, manifest.details["train_days"]) == (newest, 2)
    reference = read_reference(bundled.layout.best / "served_model")
    assert reference.profile.sessions == newest
    assert set(reference.shards) == set(DAYS)  # what had come, whether it was learnt from or not
    others = read_manifest(bundled.layout.baselines, made_by="baseline_models")
    assert others.details["train_days"] == 2
    assert set(others.details["training_sessions"].values()) == {newest}
    runs = bundled.mlflow_runs(outcome.run_id)
    assert [runs[name].data.params["train_days"] for name in ("trained_model", "baseline_models")] == [
        "2"
    ] * 2


def test_without_a_window_everything_is_learnt_from(bundled):
    assert bundled.run("trained_model", only()).success

    manifest = read_manifest(bundled.layout.model, made_by="trained_model")
    assert manifest.rows == open_bundles(bundled.layout.bundles)["train"].sessions
    assert manifest.details["train_days"] is None


def test_a_window_of_no_day_and_a_worker_that_is_not_the_first_are_refused(bundled, monkeypatch):
    [no_day] = bundled.run("trained_model", only(train_days=0)).failures
    monkeypatch.setenv(TF_CONFIG_VARIABLE, task(1))
    [second_worker] = bundled.run("trained_model", only()).failures

    assert_says(no_day, "train_days is 0, expected at least 1")
    assert_says(second_worker, "worker 1, expected 0", "train-worker")


def test_another_worker_takes_part_and_the_first_publishes(bundled, monkeypatch):
    trained, materialized = [], []

    def train(learnt, validation, settings, on_epoch):
        trained.append((learnt.sessions, validation.sessions))
        on_epoch("epoch 1 of at most 1")
        return SimpleNamespace(history=[None])

    monkeypatch.setattr("skip_pipeline.training.train.train", train)
    monkeypatch.setattr("skip_pipeline.cli.main.run", lambda **options: materialized.append(options))
    worker = ["train-worker", "--data-dir", str(bundled.layout.root), "--train-days", "2", "--seed", "5"]
    monkeypatch.setenv(TF_CONFIG_VARIABLE, task(1))
    took_part = CliRunner().invoke(app, worker)
    monkeypatch.setenv(TF_CONFIG_VARIABLE, task(0))
    published = CliRunner().invoke(app, worker)

    bundles = open_bundles(bundled.layout.bundles)
    assert trained == [(bundles["train"].of_shards(DAYS[1:]).sessions, bundles["validation"].sessions)]
    assert (took_part.exit_code, published.exit_code) == (0, 0)
    assert_says(took_part.stdout, "epoch 1 of at most 1", "Took part in 1 epochs; worker 0 keeps the network")
    (options,) = materialized
    assert (options["select"], options["seed"], options["train_days"]) == ("trained_model", 5, 2)


@pytest.mark.parametrize("value", ["", "{"])
def test_a_worker_without_others_is_refused(project, monkeypatch, value):
    monkeypatch.setenv(TF_CONFIG_VARIABLE, value)
    answer = CliRunner().invoke(app, ["train-worker"])

    assert answer.exit_code == 1
    assert_says(answer.stderr, "$TF_CONFIG", '"task": {"type": "worker", "index": 0}')
