"""Three nights on a small world, the last of them bad; then what a person does in the morning."""

import json
import shutil
import socket
from pathlib import Path

import dagster as dg
import mlflow
import pytest
import typer
from typer.testing import CliRunner

from skip_pipeline import settings
from skip_pipeline.cli.rollback import register
from skip_pipeline.definitions import mlflow_tracker
from skip_pipeline.defs.assets.baselines import baseline_models
from skip_pipeline.defs.assets.champion import champion_model
from skip_pipeline.defs.assets.monitoring import data_drift
from skip_pipeline.defs.registry import Registry
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.settings import DataLayout
from skip_pipeline.stages import flow as stages
from skip_pipeline.storage import write_json
from skip_pipeline.world.drift import Drift
from skip_pipeline.world.synthesize import synthesize
from skip_pipeline_tests.conftest import forget_settings
from skip_pipeline_tests.nightly.linear_models import train_linear

DAYS = 4
DRIFT = "context_type@2018-07-18"


class Nights:
    """A data directory to which a day is delivered each night."""

    def __init__(self, root: Path, world: Path) -> None:
        self.layout = DataLayout(root)
        self._days = sorted((world / "training_set").iterdir())
        shutil.copytree(world / "track_features", self.layout.root / "01_raw" / "track_features")
        shutil.copy(world / "SYNTHETIC.json", self.layout.root / "01_raw")
        (self.layout.root / "01_raw" / "training_set").mkdir()
        self.client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{self.layout.mlflow / 'mlflow.db'}")

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

    def night(self, days: int, *, wrong: bool = False) -> dict[str, object]:
        """Deliver, train, look at the data and judge; what the champion says of itself."""
        self.deliver(days)
        self.train(wrong=wrong)
        result = self.materialize(data_drift, champion_model)
        assert result.success
        return metadata(result, "champion_model")

    @property
    def aliases(self) -> dict[str, str]:
        found = self.client.get_registered_model(settings.MODEL_NAME).aliases
        return {alias: str(version) for alias, version in found.items()}


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, object]:
    (event,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


def warnings(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """What each failed check says."""
    found = result.get_asset_check_evaluations()
    assert {check.severity for check in found} == {dg.AssetCheckSeverity.WARN}
    return {check.check_name: str(check.description) for check in found if not check.passed}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    synthesize(folder, sessions=800 * DAYS, tracks=400, seed=3, days=DAYS, drifts=[Drift.parse(DRIFT)])
    return folder


@pytest.fixture(scope="module")
def three_nights(tmp_path_factory, world, template):
    """After two good nights and a bad one, with what each said; to be read only."""
    root = tmp_path_factory.mktemp("nights") / "data"
    shutil.copytree(template, root)
    with pytest.MonkeyPatch.context() as environment:
        forget_settings(environment)
        nights = Nights(root, world)
        said = [nights.night(2), nights.night(3)]
        nights.deliver(4)
        drift = nights.materialize(data_drift)
        said.append(nights.night(4, wrong=True))
    return nights, said, drift


@pytest.fixture
def nights(three_nights, tmp_path, monkeypatch) -> Nights:
    """The same nights, to be changed: every test puts the aliases back."""
    nights, _, _ = three_nights
    before = nights.aliases
    monkeypatch.setenv(settings.DATA_DIR_VARIABLE, str(nights.layout.root))
    yield nights
    for alias in nights.aliases:
        if alias not in before:
            nights.client.delete_registered_model_alias(settings.MODEL_NAME, alias)
    for alias, version in before.items():
        nights.client.set_registered_model_alias(settings.MODEL_NAME, alias, version)


def test_the_first_model_serves_once_it_beats_the_last_outcome(three_nights):
    _, (first, _, _), _ = three_nights

    assert (first["decision"], first["champion"], first["opponent"]) == ("promoted", "1", "none")


def test_a_model_that_is_not_worse_takes_the_place_of_the_champion(three_nights):
    _, (_, second, _), _ = three_nights

    assert (second["decision"], second["champion"], second["opponent"]) == ("promoted", "2", "1")
    assert second["champion_log_loss_difference_high"] <= settings.PROMOTION_MARGIN


def test_a_bad_model_is_refused_with_reasons_and_the_night_succeeds(three_nights):
    nights, (_, _, third), _ = three_nights

    assert (third["decision"], third["challenger"], third["champion"]) == ("refused", "3", "2")
    assert "not worse than the champion" in {
        row.data["rule"] for row in third["reasons"].records if not row.data["passed"]
    }
    assert nights.aliases == {"champion": "2", "challenger": "3", "previous_champion": "1"}


def test_versions_and_runs_carry_the_decision(three_nights):
    nights, _, _ = three_nights
    version = nights.client.get_model_version(settings.MODEL_NAME, "3")
    experiment = nights.client.get_experiment_by_name(settings.EXPERIMENT)
    (run,) = nights.client.search_runs([experiment.experiment_id], "tags.challenger = '3'")

    assert version.tags["promotion.decision"] == run.data.tags["decision"] == "refused"
    assert version.tags["promotion.opponent"] == run.data.tags["opponent"] == "2"
    assert version.tags["promotion.reasons"].startswith("Refused: log-loss")
    assert run.data.metrics["champion_log_loss_difference"] > 0
    assert "decision.json" in {entry.path for entry in nights.client.list_artifacts(run.info.run_id)}


def test_the_decision_lies_in_a_file_and_on_a_page_with_the_champions_before_it(three_nights):
    nights, _, _ = three_nights
    kept = json.loads((nights.layout.root / "07_promotion" / "promotion.json").read_text())

    assert kept["promoted"] is False
    assert (kept["challenger"], kept["opponent"], kept["champion"]) == ("3", "2", "2")
    assert {part["way"] for part in kept["slices"]} == {"context_type", "premium"}
    page = (nights.layout.root / "07_promotion" / "promotion.html").read_text()
    assert "Version 3 is refused, and version 2 serves." in page
    assert "no version served" not in page
    experiment = nights.client.get_experiment_by_name(settings.EXPERIMENT)
    (run,) = nights.client.search_runs([experiment.experiment_id], "tags.challenger = '3'")
    assert "promotion.html" in {entry.path for entry in nights.client.list_artifacts(run.info.run_id)}


def test_the_registry_tells_the_history_of_versions(three_nights):
    nights, _, _ = three_nights
    history = Registry(nights.client, f"sqlite:///{nights.layout.mlflow / 'mlflow.db'}").history()

    assert [(v.version, v.decision, v.opponent, v.aliases) for v in history] == [
        ("3", "refused", "2", ("challenger",)),
        ("2", "promoted", "1", ("champion",)),
        ("1", "promoted", "", ("previous_champion",)),
    ]
    assert {v.data_source for v in history} == {"synthetic"}


def test_a_drift_is_named_the_same_night(three_nights):
    _, _, drift = three_nights
    found = warnings(drift)

    assert "context_type" in found["features_as_in_training"]
    assert "tracks_known_to_champion" not in found
    assert {"drift", "distributions"} <= metadata(drift, "data_drift").keys()
    assert metadata(drift, "data_drift")["new_shards"] == 1


def test_judging_again_gives_the_same_and_moves_nothing(nights):
    before = nights.aliases
    again = metadata(nights.materialize(champion_model), "champion_model")

    assert (again["decision"], again["opponent"], again["decided_before"]) == ("refused", "2", True)
    assert nights.aliases == before


def test_a_rollback_puts_the_previous_champion_back_and_a_second_one_undoes_it(nights):
    app = typer.Typer()
    register(app)
    app.callback()(lambda: None)
    first = CliRunner().invoke(app, ["rollback"])

    assert first.exit_code == 0, first.output
    assert "version 1 is the champion again; version 2 is withdrawn" in first.output
    assert (nights.aliases["champion"], nights.aliases["previous_champion"]) == ("1", "2")
    assert CliRunner().invoke(app, ["rollback"]).exit_code == 0
    assert (nights.aliases["champion"], nights.aliases["previous_champion"]) == ("2", "1")


def test_a_rollback_without_a_previous_champion_is_refused(nights):
    app = typer.Typer()
    register(app)
    app.callback()(lambda: None)
    nights.client.delete_registered_model_alias(settings.MODEL_NAME, "previous_champion")

    refused = CliRunner().invoke(app, ["rollback"])

    assert refused.exit_code == 1
    assert "has no previous_champion" in refused.output
    assert nights.aliases["champion"] == "2"


def test_a_registry_that_is_down_fails_the_asset_and_keeps_the_model(nights, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    drift = nights.materialize(data_drift)
    failed = nights.materialize(champion_model)

    assert drift.success
    assert all("did not answer" in said for said in warnings(drift).values())
    assert len(warnings(drift)) == 5
    assert not failed.success
    (event,) = [e for e in failed.all_events if e.event_type == dg.DagsterEventType.STEP_FAILURE]
    assert "materialize champion_model, or wait" in str(event.event_specific_data.error_display_string)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert nights.materialize(champion_model).success


def test_a_model_that_training_could_not_register_is_registered_when_it_is_judged(nights):
    nights.train()
    said = metadata(nights.materialize(champion_model), "champion_model")

    assert int(said["challenger"]) > 3
    assert said["decided_before"] is False


def test_a_champion_whose_files_are_gone_is_replaced_by_what_beats_the_baseline(nights):
    registered = nights.client.get_model_version_download_uri(settings.MODEL_NAME, "2")
    place = Path(registered.removeprefix("file://"))
    gone = place.with_name("gone")
    place.rename(gone)
    try:
        nights.train()
        said = nights.materialize(champion_model)
    finally:
        gone.rename(place)

    reasons = {
        row.data["rule"]: row.data["facts"] for row in metadata(said, "champion_model")["reasons"].records
    }
    assert said.success
    assert any("holds no served model" in facts for facts in reasons.values()), reasons


def test_a_model_of_other_bundles_is_refused(nights):
    description = nights.layout.model / "served_model" / "served_model.json"
    content = json.loads(description.read_text())
    write_json(description, content | {"bundles": "other"})
    failed = nights.materialize(champion_model)
    write_json(description, content)

    assert not failed.success


def test_a_champion_of_another_vocabulary_cannot_be_compared(nights):
    place = Path(
        nights.client.get_model_version_download_uri(settings.MODEL_NAME, "2").removeprefix("file://")
    )
    (vocabulary,) = place.glob("artifacts/*/vocabulary.json")
    before = vocabulary.read_text()
    vocabulary.write_text(before.replace("catalog", "catalogue"))
    nights.train()
    said = metadata(nights.materialize(champion_model), "champion_model")
    vocabulary.write_text(before)

    assert said["decision"] == "promoted"
    assert "cannot be used" in said["summary"]


def test_a_synthetic_challenger_does_not_follow_a_champion_on_real_data(nights):
    as_if_real(nights, "2")
    nights.train()
    said = metadata(nights.materialize(champion_model), "champion_model")
    as_if_real(nights, "2", undo=True)

    assert (said["decision"], said["champion"]) == ("refused", "2")
    assert "synthetic" in said["summary"]


def test_data_of_another_source_than_the_champions_is_not_compared_and_says_so(nights):
    as_if_real(nights, "2")
    said = warnings(nights.materialize(data_drift))
    as_if_real(nights, "2", undo=True)

    assert set(said.values()) == {"not judged: version 2 was trained on real data, and this is synthetic"}


def test_a_champion_that_does_not_say_what_it_was_trained_on_is_a_warning(nights):
    place = Path(
        nights.client.get_model_version_download_uri(settings.MODEL_NAME, "2").removeprefix("file://")
    )
    (profile,) = place.glob("artifacts/*/profile.json")
    before = profile.read_text()
    profile.unlink()
    said = warnings(nights.materialize(data_drift))
    profile.write_text(before)

    assert "holds no profile.json" in said["features_as_in_training"]


def as_if_real(nights: Nights, version: str, *, undo: bool = False) -> None:
    """Have a registered version say that it was trained on real data."""
    uri = nights.client.get_model_version_download_uri(settings.MODEL_NAME, version)
    words = ('"real"', '"synthetic"') if undo else ('"synthetic"', '"real"')
    for name in ("served_model.json", "profile.json"):
        (path,) = Path(uri.removeprefix("file://")).glob(f"artifacts/*/{name}")
        path.write_text(path.read_text().replace(*words))
