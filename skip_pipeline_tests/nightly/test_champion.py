"""What a night does with the champion, on a registry in memory."""

import shutil
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.baselines.fit import fit_baselines
from skip_pipeline.baselines.predictions import published_baselines, write_baselines
from skip_pipeline.bundles.gather import open_bundle, open_bundles
from skip_pipeline.errors import (
    ContractError,
    FullDiskError,
    MissingInputError,
    RefusedError,
    UnreachableError,
)
from skip_pipeline.networks.listening import all_played
from skip_pipeline.nightly import champion
from skip_pipeline.nightly.champion import challenger_of, compare_data, promote, roll_back
from skip_pipeline.report.session_attributes import read_session_attributes
from skip_pipeline.report.slices import slicings
from skip_pipeline.serving import load
from skip_pipeline.settings import DataLayout
from skip_pipeline.stages import flow as stages
from skip_pipeline.storage import publish, read_manifest
from skip_pipeline.world.synthesize import synthesize
from skip_pipeline_tests.nightly.linear_models import train_linear

TODAY = date(2018, 7, 16)


class Versions:
    """A registry in memory, whose failures are the tests' to choose."""

    def __init__(self) -> None:
        self.folders: dict[str, Path] = {}
        self.of: dict[str, dict[str, str]] = {}
        self.alias: dict[str, str] = {}
        self.failure: Exception | None = None
        self.unreachable = False

    def register(self, folder: Path) -> str:
        version = str(len(self.folders) + 1)
        self.folders[version], self.of[version] = folder, {}
        return version

    def aliases(self):
        return dict(self.alias)

    def point(self, alias, version):
        self.alias[alias] = version

    def drop(self, alias):
        del self.alias[alias]

    def tags(self, version):
        return self.of[version]

    def tag(self, version, tags):
        self.of[version] |= tags

    @contextmanager
    def fetched(self, version):
        if self.failure is not None:
            raise self.failure
        if not self.folders[version].is_dir():
            raise MissingInputError(f"version {version} holds no served model")
        yield self.folders[version]

    def check_reachable(self, _version):
        if self.unreachable:
            raise UnreachableError("the registry did not answer")


@pytest.fixture(scope="module")
def layout(tmp_path_factory) -> DataLayout:
    """Stages, baselines and a trained model of one day."""
    layout = DataLayout(tmp_path_factory.mktemp("night"))
    synthesize(layout.root / "01_raw", sessions=1200, tracks=200, seed=3)
    for stage in (stages.merged_table, stages.encoded_table, stages.scaled_table, stages.tensor_bundles):
        stage(layout)
    made = read_manifest(layout.bundles, made_by="tensor_bundles")
    bundles = open_bundles(made, schema.SPLITS)
    with publish(layout.baselines, stage="baseline_models", data_source="synthetic") as staging:
        baselines = fit_baselines(bundles)
        staging.rows = write_baselines(staging.folder, baselines, bundles, data_source="synthetic")
        staging.details["bundles"] = made.fingerprint
    return layout


@pytest.fixture(autouse=True)
def last_outcome_of_every_track(monkeypatch):
    """The baselines with a probability of every track: the share of those after the same outcome."""

    def with_tracks(layout, before, bundles):
        manifest, made = published_baselines(layout, before, bundles)
        played = all_played(bundles["gate"])
        earlier = np.pad(played, ((0, 0), (1, 0)), constant_values=np.nan)[:, :-1]
        p = np.where(np.isnan(earlier), 0.4, np.where(earlier == 1, 0.7, 0.25))
        return manifest, tuple(replace(baseline, p_tracks={"gate": p}) for baseline in made)

    monkeypatch.setattr(champion, "published_baselines", with_tracks)


@pytest.fixture(scope="module")
def models(layout, tmp_path_factory) -> dict[str, Path]:
    """A good model, one that has learnt the opposite, and one that answers the last track alone."""
    kept = tmp_path_factory.mktemp("models")
    kinds = {"wrong": {"wrong": True}, "last_alone": {"last_alone": True}, "good": {}}
    return {name: shutil.copytree(train_linear(layout, **kind), kept / name) for name, kind in kinds.items()}


@pytest.fixture(scope="module")
def ways(layout):
    bundles = open_bundles(layout.bundles)
    merged = read_manifest(layout.merged, made_by="merged_table")
    return slicings(read_session_attributes(merged.path, bundles["train"], bundles["gate"]))


@pytest.fixture
def judge(layout, models, ways):
    def judge(registry, version):
        return promote(registry, version, load(registry.folders[version]), layout, ways)

    return judge


@pytest.fixture
def registry(models, tmp_path):
    """A champion, version 1, whose folder may be broken, and a challenger, version 2, as good."""
    registry = Versions()
    registry.register(shutil.copytree(models["good"], tmp_path / "champion"))
    registry.register(models["good"])
    registry.point("champion", "1")
    registry.tag("1", {"data_source": "synthetic"})  # as a promotion leaves it
    return registry


def test_the_first_model_serves_and_an_equal_one_replaces_it_and_a_bad_one_does_not(judge, models):
    registry = Versions()
    first, equal, bad = (registry.register(models[name]) for name in ("good", "good", "wrong"))

    found = [judge(registry, version) for version in (first, equal, bad)]

    assert [(p.decision.word, p.opponent, p.champion) for p in found] == [
        ("promoted", None, "1"),
        ("promoted", "1", "2"),
        ("refused", "2", "2"),
    ]
    assert registry.aliases() == {
        "champion": "2",
        "previous_champion": "1",
        "challenger": "3",
        "best_version": "1",  # the second is as good, and no better
    }
    assert registry.tags(bad)["promotion.decision"] == "refused"
    assert registry.tags(bad)["kind"] == "network"
    assert registry.tags(bad)["promotion.reasons"].startswith("Refused: ")


def test_a_model_of_last_tracks_alone_is_refused_and_the_champion_stays(judge, registry, models):
    last_alone = registry.register(models["last_alone"])
    promotion = judge(registry, last_alone)

    assert (promotion.decision.word, promotion.champion) == ("refused", "1")
    assert "version 3 answers only the last track; train the preset fast" in promotion.decision.summary


def test_judging_again_compares_the_same_two_and_moves_nothing(judge, registry):
    judge(registry, "2")
    roll_back(registry)
    before = registry.aliases()
    again = judge(registry, "2")

    assert (again.again, again.opponent, again.champion) == (True, "1", "1")
    assert registry.aliases() == before


def damage_vocabulary(folder: Path) -> None:
    path = folder / "vocabulary.json"
    path.write_text(path.read_text().replace("catalog", "catalogue"))


@pytest.mark.parametrize(
    ("damage", "fact"), [(shutil.rmtree, "holds no served model"), (damage_vocabulary, "vocabulary.json has")]
)
def test_a_champion_whose_package_is_broken_is_replaced(judge, registry, damage, fact):
    damage(registry.folders["1"])
    promotion = judge(registry, "2")

    assert promotion.champion == "2"
    assert "cannot be used" in promotion.decision.summary
    assert fact in promotion.decision.summary


@pytest.mark.parametrize(
    ("failure", "unreachable"),
    [
        (UnreachableError("no answer"), False),
        (MissingInputError("nothing downloaded"), True),
        (FullDiskError("no room for the download"), False),
        (TypeError("ours"), False),
    ],
    ids=repr,
)
def test_any_other_failure_is_raised_and_the_champion_stays(judge, registry, failure, unreachable):
    registry.failure, registry.unreachable = failure, unreachable

    with pytest.raises((type(failure), UnreachableError)):
        judge(registry, "2")
    assert registry.aliases() == {"champion": "1"}


def as_if_real(folder: Path) -> None:
    for name in ("served_model.json", "profile.json"):
        path = folder / name
        path.write_text(path.read_text().replace('"synthetic"', '"real"'))


def test_a_model_of_other_bundles_is_no_challenger(layout, models):
    made = read_manifest(layout.bundles, made_by="tensor_bundles")
    assert challenger_of(layout, made).data_source == "synthetic"

    with pytest.raises(ContractError, match=r"other bundles.*best_model again"):
        challenger_of(layout, read_manifest(layout.merged, made_by="merged_table"))


def drop_profile(folder: Path) -> None:
    (folder / "profile.json").unlink()


@pytest.mark.parametrize(
    ("damage", "fact"), [(as_if_real, "trained on real data"), (drop_profile, "holds no profile.json")]
)
def test_a_champion_that_cannot_be_compared_with_is_an_alarm(registry, layout, damage, fact):
    damage(registry.folders["1"])
    night, version = compare_data(registry, layout, "synthetic", today=TODAY)

    assert version == "1"
    [alarm] = night.alarms
    assert "version 1" in alarm
    assert fact in alarm


def test_data_is_compared_with_what_the_champion_was_trained_on_once_there_is_one(registry, layout):
    night, _ = compare_data(registry, layout, "synthetic", today=TODAY)
    none, version = compare_data(Versions(), layout, "synthetic", today=TODAY)

    assert night.alarms == ()
    assert night.drifts
    assert (none.alarms, none.drifts, version) == ((), (), None)


# --- The best version -----------------------------------------------------------------------------------


@pytest.fixture
def with_best(registry, models, tmp_path):
    """The same, and version 3, whose folder may be broken, is the best version."""
    best = registry.register(shutil.copytree(models["good"], tmp_path / "best"))
    registry.point("best_version", best)
    registry.tag(best, {"data_source": "synthetic"})
    return registry


def test_a_challenger_is_judged_against_the_best_version_too_and_the_record_names_it(judge, with_best):
    promotion = judge(with_best, "2")

    assert (promotion.decision.word, promotion.best, promotion.best_now) == ("promoted", "3", "3")
    assert with_best.tags("2")["promotion.best_version"] == "3"
    content = promotion.to_json()["best_version"]
    assert (content["judged_against"], content["now"]) == ("3", "3")
    assert content["log_loss_difference"]["last track"] == {"value": 0.0, "low": 0.0, "high": 0.0}


@pytest.mark.parametrize("damage", [shutil.rmtree, damage_vocabulary])
def test_a_best_version_that_cannot_be_loaded_gives_way_to_the_champion(judge, with_best, damage):
    damage(with_best.folders["3"])
    promotion = judge(with_best, "2")

    assert (promotion.decision.word, promotion.champion, promotion.best_now) == ("promoted", "2", "1")
    [alarm] = promotion.alarms
    assert alarm.startswith("the best version, version 3, cannot be used")
    assert promotion.to_json()["alarms"] == [alarm]


def test_a_best_version_without_its_record_is_judged_by_its_files(judge, with_best):
    with_best.of["3"].clear()
    assert judge(with_best, "2").decision.to_best.keys() == {"last track", "next track at any position"}

    shutil.rmtree(with_best.folders["3"])
    with_best.of["2"].clear()
    again = judge(with_best, "2")
    assert again.decision.word == "refused"
    assert "on data of unknown source" in again.decision.summary


def test_the_best_version_serves_if_the_champion_is_lost_and_the_challenger_worse(judge, with_best, models):
    shutil.rmtree(with_best.folders["1"])
    promotion = judge(with_best, with_best.register(models["wrong"]))

    assert (promotion.decision.word, promotion.champion, promotion.best_now) == ("refused", "3", "3")
    assert with_best.aliases()["previous_champion"] == "1"


def test_judging_again_moves_no_best_version(judge, with_best):
    judge(with_best, "2")
    with_best.point("best_version", "2")
    again = judge(with_best, "2")

    assert (again.again, again.best, again.best_now) == (True, "3", "2")


def test_a_rollback_takes_the_best_version_from_what_it_withdraws(registry):
    registry.point("previous_champion", "2")
    registry.point("best_version", "1")
    roll_back(registry)
    assert registry.aliases()["best_version"] == "2"

    registry.point("best_version", "1")
    roll_back(registry)
    assert registry.aliases() == {"champion": "1", "previous_champion": "2", "best_version": "1"}


def test_the_newest_day_is_that_of_the_newest_shards(judge, registry, layout):
    promotion = judge(registry, "2")

    assert promotion.newest_day == "2018-07-15"
    assert (
        promotion.newest_sessions == promotion.gate_sessions == open_bundle(layout.bundles, "gate").sessions
    )
    assert promotion.decision.newest_day.keys() == {"last track", "next track at any position"}


def test_a_rollback_changes_champion_and_previous_champion(registry):
    registry.point("previous_champion", "2")
    assert roll_back(registry) == ("1", "2")
    assert registry.aliases() == {"champion": "2", "previous_champion": "1"}

    registry.drop("champion")
    assert roll_back(registry) == (None, "1")
    assert registry.aliases() == {"champion": "1"}

    with pytest.raises(RefusedError, match=r"no previous_champion.*champion: 1"):
        roll_back(registry)
