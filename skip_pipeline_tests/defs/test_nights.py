"""Two nights on a small world, the second with drift and a bad model, through Dagster and MLflow.

What a night decides is tested in ``nightly/test_champion.py``.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import mlflow
import pytest
from typer.testing import CliRunner

from benchmarks.server_process import free_port
from skip_pipeline import settings
from skip_pipeline.baselines.predictions import published_baselines
from skip_pipeline.cli.main import app
from skip_pipeline.definitions import mlflow_tracker
from skip_pipeline.defs.assets.baselines import baseline_models
from skip_pipeline.defs.assets.champion import champion_model
from skip_pipeline.defs.assets.monitoring import data_drift
from skip_pipeline.defs.registry import Registry
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.nightly import champion
from skip_pipeline.settings import DataLayout
from skip_pipeline.stages import flow as stages
from skip_pipeline.world.drift import Drift
from skip_pipeline.world.synthesize import synthesize
from skip_pipeline_tests.environment import forget_settings
from skip_pipeline_tests.nightly.linear_models import train_linear

pytestmark = pytest.mark.slow

DAYS = 3
DRIFT = "context_type@2018-07-17"


class Nights:
    """A data directory to which a day is delivered each night."""

    def __init__(self, root: Path, world: Path) -> None:
        self.layout = DataLayout(root)
        self._days = sorted((world / "training_set").iterdir())
        shutil.copytree(world / "track_features", self.layout.root / "01_raw" / "track_features")
        shutil.copy(world / "SYNTHETIC.json", self.layout.root / "01_raw")
        (self.layout.root / "01_raw" / "training_set").mkdir()
        uri = f"sqlite:///{self.layout.mlflow / 'mlflow.db'}"
        self.client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)

    def deliver(self, days: int) -> None:
        for path in self._days[:days]:
            shutil.copy(path, self.layout.raw / "training_set")
        for stage in (stages.merged_table, stages.encoded_table, stages.scaled_table, stages.tensor_bundles):
            stage(self.layout)

    def train(self, *, wrong: bool = False) -> None:
        train_linear(self.layout, wrong=wrong)
        assert self.materialize(baseline_models).success

    def materialize(self, *assets: dg.AssetsDefinition) -> dg.ExecuteInProcessResult:
        return dg.materialize(
            list(assets),
            resources={
                "data": DataDirectory(path=str(self.layout.root)),
                "tracker": mlflow_tracker(self.layout),
            },
            raise_on_error=False,
        )

    @property
    def aliases(self) -> dict[str, str]:
        found = self.client.get_registered_model(settings.MODEL_NAME).aliases
        return {alias: str(version) for alias, version in found.items()}


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


def warnings(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """What each failed check says."""
    found = result.get_asset_check_evaluations()
    assert not any(check.blocking for check in found)
    return {check.check_name: str(check.description) for check in found if not check.passed}


@pytest.fixture(scope="module", autouse=True)
def no_rivals() -> Iterator[None]:
    """The linear model stands in for the best of the night; regression and trees would refuse it."""

    def simple(*given: Any) -> Any:
        manifest, made = published_baselines(*given)
        return manifest, [baseline for baseline in made if baseline.name in ("majority", "last_outcome")]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(champion, "published_baselines", simple)
        yield


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory, template):
    """After a good night and a bad one, with Dagster's results of each; to be read only."""
    world, root = tmp_path_factory.mktemp("world"), tmp_path_factory.mktemp("nights") / "data"
    synthesize(world, sessions=800 * DAYS, tracks=400, seed=3, days=DAYS, drifts=[Drift.parse(DRIFT)])
    shutil.copytree(template, root)
    with pytest.MonkeyPatch.context() as environment:
        forget_settings(environment)
        nights = Nights(root, world)
        results = []
        for days, wrong in ((2, False), (3, True)):
            nights.deliver(days)
            drift = nights.materialize(data_drift)
            nights.train(wrong=wrong)
            results.append((drift, nights.materialize(champion_model)))
    return nights, results


@pytest.fixture
def nights(two_nights, monkeypatch) -> Iterator[Nights]:
    """The same nights, to be changed: every test puts the aliases back."""
    nights, _ = two_nights
    before = nights.aliases
    monkeypatch.setenv(settings.DATA_DIR_VARIABLE, str(nights.layout.root))
    yield nights
    for alias in nights.aliases.keys() - before.keys():
        nights.client.delete_registered_model_alias(settings.MODEL_NAME, alias)
    for alias, version in before.items():
        nights.client.set_registered_model_alias(settings.MODEL_NAME, alias, version)


def test_a_good_model_serves_and_a_bad_one_is_refused_with_reasons_and_both_nights_succeed(two_nights):
    nights, [(_, good), (_, bad)] = two_nights
    first, second = metadata(good, "champion_model"), metadata(bad, "champion_model")

    assert (first["decision"], first["champion"], first["opponent"]) == ("promoted", "1", "none")
    assert (second["decision"], second["challenger"], second["champion"]) == ("refused", "2", "1")
    failed = {row.data["rule"] for row in second["reasons"].records if not row.data["passed"]}
    worse = "not worse than the champion"
    assert {f"{worse}: last track", f"{worse}: next track at any position"} <= failed
    assert second["champion_log_loss_difference_low"] > 0
    assert good.success
    assert bad.success
    assert "no model beats" not in warnings(bad).get("nothing_to_look_at", "")
    assert "gate sessions" in warnings(bad)["gate_can_judge"]
    assert nights.aliases == {"champion": "1", "challenger": "2", "best_version": "1"}


def test_versions_run_file_and_page_carry_the_decision(two_nights):
    nights, _ = two_nights
    version = nights.client.get_model_version(settings.MODEL_NAME, "2")
    experiment = nights.client.get_experiment_by_name(settings.EXPERIMENT)
    (run,) = nights.client.search_runs([experiment.experiment_id], "tags.challenger = '2'")
    artifacts = {entry.path for entry in nights.client.list_artifacts(run.info.run_id)}
    kept = json.loads((nights.layout.root / "07_promotion" / "promotion.json").read_text())
    page = (nights.layout.root / "07_promotion" / "promotion.html").read_text()

    assert version.tags["promotion.decision"] == run.data.tags["decision"] == "refused"
    assert version.tags["promotion.opponent"] == run.data.tags["opponent"] == "1"
    assert version.tags["promotion.reasons"].startswith("Refused: last track: log-loss")
    assert run.data.metrics["champion_log_loss_difference"] > 0
    assert run.data.metrics["champion_next_track_difference"] > 0
    assert {"decision.json", "promotion.html", "promotion.json"} <= artifacts
    assert (kept["promoted"], kept["challenger"], kept["champion"]) == (False, "2", "1")
    assert {part["way"] for part in kept["slices"]} == {"premium"}
    assert kept["small_slices"] > 0  # those of context_type
    assert "Version 2 is refused, and version 1 serves." in page
    assert "<p>Best of the night: a linear model.</p>" in page


def test_model_and_versions_are_described_in_the_registry(two_nights):
    nights, _ = two_nights
    model = nights.client.get_registered_model(settings.MODEL_NAME)
    first, second = (nights.client.get_model_version(settings.MODEL_NAME, v).description for v in "12")

    assert "Not for decisions about a person" in model.description
    assert first.startswith("Promoted: ")
    assert ". Against no champion.\n" in first
    assert second.startswith("Refused: last track: log-loss")
    assert ". Against version 1.\n" in second
    assert "of 3 delivered session logs, newest day 2018-07-17" in second
    assert "Real sessions: it was trained on synthetic data." in second


def test_the_registry_keeps_the_history_of_versions(two_nights):
    nights, _ = two_nights
    history = Registry(f"sqlite:///{nights.layout.mlflow / 'mlflow.db'}").history()

    assert [(v.version, v.decision, v.opponent, v.aliases) for v in history] == [
        ("2", "refused", "1", ("challenger",)),
        ("1", "promoted", "", ("best_version", "champion")),
    ]
    assert {v.data_source for v in history} == {"synthetic"}


def test_a_drift_is_named_the_same_night(two_nights):
    _, [_, (drift, _)] = two_nights
    found = warnings(drift)

    assert "context_type" in found["features_as_in_training"]
    assert "tracks_known_to_champion" not in found
    assert {"drift", "distributions"} <= metadata(drift, "data_drift").keys()
    assert metadata(drift, "data_drift")["new_shards"] == 1


def test_a_rollback_puts_the_previous_champion_back_and_a_second_one_undoes_it(nights):
    refused = CliRunner().invoke(app, ["rollback"])
    nights.client.set_registered_model_alias(settings.MODEL_NAME, "previous_champion", "2")
    first = CliRunner().invoke(app, ["rollback"])

    assert refused.exit_code == 1
    assert "has no previous_champion" in refused.output
    assert first.exit_code == 0, first.output
    assert "version 2 is the champion again; version 1 is withdrawn" in first.output
    assert (nights.aliases["champion"], nights.aliases["previous_champion"]) == ("2", "1")
    assert CliRunner().invoke(app, ["rollback"]).exit_code == 0
    assert (nights.aliases["champion"], nights.aliases["previous_champion"]) == ("1", "2")


def test_a_registry_that_is_down_fails_the_asset_and_keeps_the_model(nights, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    before = nights.aliases
    drift, failed = nights.materialize(data_drift), nights.materialize(champion_model)

    assert drift.success
    assert len(warnings(drift)) == 5
    assert all("did not answer" in text for text in warnings(drift).values())
    assert not failed.success
    (event,) = [e for e in failed.all_events if e.event_type == dg.DagsterEventType.STEP_FAILURE]
    error = str(event.event_specific_data.error_display_string)
    assert "did not answer" in error
    assert "materialize champion_model, or wait" in error
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    again = metadata(nights.materialize(champion_model), "champion_model")
    assert (again["decision"], again["opponent"], again["decided_before"]) == ("refused", "1", True)
    assert nights.aliases == before


def test_a_model_that_training_could_not_register_is_registered_when_it_is_judged_unless_no_run_opens(
    nights, monkeypatch
):
    def refuse(**_options):
        raise mlflow.exceptions.MlflowException("no more runs")

    nights.train()
    with monkeypatch.context() as broken:
        broken.setattr(mlflow, "start_run", refuse)
        failed = nights.materialize(champion_model)
    found = metadata(nights.materialize(champion_model), "champion_model")

    (event,) = [e for e in failed.all_events if e.event_type == dg.DagsterEventType.STEP_FAILURE]
    assert "no MLflow run could be opened" in str(event.event_specific_data.error_display_string)
    assert int(found["challenger"]) > 2
    assert found["decided_before"] is False


def test_a_description_that_is_refused_costs_no_decision_and_a_persons_own_is_kept(nights, monkeypatch):
    def refuse(*_arguments, **_options):
        raise mlflow.exceptions.MlflowException("no descriptions today")

    nights.client.update_registered_model(settings.MODEL_NAME, "our own words")
    train_linear(nights.layout, last_alone=True)  # a model that no other test makes
    monkeypatch.setattr(mlflow.MlflowClient, "update_model_version", refuse)
    found = metadata(nights.materialize(champion_model), "champion_model")

    assert found["decided_before"] is False
    assert nights.aliases["challenger"] == found["challenger"]
    assert "description of version" in found["mlflow_run_incomplete"]
    assert "no descriptions today" in found["mlflow_run_incomplete"]
    assert nights.client.get_registered_model(settings.MODEL_NAME).description == "our own words"
