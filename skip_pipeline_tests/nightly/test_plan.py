"""Whether a night has anything to do, from the state of the data directory and past nights."""

import shutil

import pytest

from skip_pipeline.nightly import plan
from skip_pipeline.nightly.plan import PastNight, Run, Skip, plan_night, state_of
from skip_pipeline.settings import DataLayout
from skip_pipeline_tests.builders import TRACKS, deliver, own_listening, session

LOGS = ("log_0_20180715_000000000000.csv", "log_0_20180716_000000000000.csv")


@pytest.fixture
def layout(tmp_path) -> DataLayout:
    layout = DataLayout(tmp_path)
    deliver(layout.root / "01_raw" / "training_set" / LOGS[0], session())
    deliver(layout.root / "01_raw" / "track_features" / "tf_mini.csv", TRACKS)
    return layout


def planned(layout, *, last=None, config=None, under_way=None, attempts=0):
    return plan_night(state_of(layout, config or {}), under_way=under_way, last=last, attempts=attempts)


def because(layout, last, config=None) -> str:
    return str(planned(layout, last=last, config=config).tags["skip_pipeline/because"])


@pytest.fixture
def last(layout) -> PastNight:
    return PastNight("earlier", planned(layout).tags)


def test_the_first_night_runs_and_its_tags_name_the_data(layout):
    tags = planned(layout).tags

    assert tags["skip_pipeline/data_date"] == "2018-07-15"
    assert tags["skip_pipeline/shards"] == "1"
    assert tags["skip_pipeline/because"] == "no night has succeeded yet"
    shown = {name.removeprefix("skip_pipeline/") for name in tags if not name.startswith(".dagster/")}
    assert shown - {"git_commit"} == {"because", "data_date", "shards"}  # Dagster hides the others


def test_a_night_on_which_nothing_has_changed_is_skipped(layout, last):
    found = planned(layout, last=last)

    assert isinstance(found, Skip)
    assert "run earlier, the last night that succeeded" in found.reason


def test_days_that_came_during_an_outage_are_one_run(layout, last):
    for name in (LOGS[1], "log_0_20180717_000000000000.csv"):
        shutil.copy(layout.raw / "training_set" / LOGS[0], layout.raw / "training_set" / name)
    tags = planned(layout, last=last).tags

    assert tags["skip_pipeline/data_date"] == "2018-07-17"
    assert tags["skip_pipeline/shards"] == "3"
    assert tags["skip_pipeline/because"] == "changed since run earlier: raw input"


def test_other_configuration_and_other_code_are_reasons(layout, last, monkeypatch):
    assert because(layout, last, {"ops": {}}).endswith(": configuration")
    monkeypatch.setattr(plan, "asset_version", lambda _asset: "other")
    assert because(layout, last).endswith(": code")


def test_new_sessions_to_score_and_a_new_marker_are_reasons(layout, last):
    deliver(layout.raw / "test_set" / "log_input_20180716_000000000000.csv", session())
    assert because(layout, last).endswith(": raw input")
    assert planned(layout, last=last).tags["skip_pipeline/shards"] == "1"

    again = PastNight("second", planned(layout).tags)
    (layout.raw / "SYNTHETIC.json").write_text("{}")
    assert because(layout, again).endswith("second: raw input")


def test_a_failed_night_is_tried_again_under_a_new_key_and_a_tick_evaluated_twice_is_one_run(layout):
    first, again, second = planned(layout), planned(layout), planned(layout, attempts=1)

    assert isinstance(first, Run)
    assert again.key == first.key != second.key
    assert first.tags == second.tags


def test_one_night_at_a_time(layout):
    assert planned(layout, under_way="r1") == Skip("run r1 is still under way")


def test_without_a_log_there_is_nothing_to_do(layout):
    (layout.raw / "training_set" / LOGS[0]).unlink()

    assert "no session log has been delivered" in planned(layout).reason


def test_a_name_without_a_date_gives_no_data_date(layout):
    folder = layout.raw / "training_set"
    (folder / LOGS[0]).rename(folder / "log_mini.csv")

    assert "skip_pipeline/data_date" not in planned(layout).tags


@pytest.mark.parametrize("git", [None, "/bin/false"])
def test_code_outside_a_repository_has_no_commit(layout, monkeypatch, git):
    plan._commit.cache_clear()
    monkeypatch.setattr(shutil, "which", lambda _name: git)

    assert state_of(layout, {}).commit == ""
    plan._commit.cache_clear()


def test_another_marker_of_own_listening_is_new_input(layout, last):
    own_listening(layout.raw, "premium")
    assert because(layout, last) == "changed since run earlier: raw input"
