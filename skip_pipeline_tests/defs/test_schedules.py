"""Whether a night has anything to do, asked as the daemon asks."""

import shutil

import dagster as dg
import pytest

from skip_pipeline.defs import nights
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.defs.schedules import nightly_retraining
from skip_pipeline.settings import DataLayout
from skip_pipeline_tests.builders import TRACKS, deliver, session

LOGS = ("log_0_20180715_000000000000.csv", "log_0_20180716_000000000000.csv")


@pytest.fixture
def layout(tmp_path) -> DataLayout:
    layout = DataLayout(tmp_path)
    deliver(layout.root / "01_raw" / "training_set" / LOGS[0], session())
    deliver(layout.root / "01_raw" / "track_features" / "tf_mini.csv", TRACKS)
    return layout


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@dg.job
def retrain():
    pass


def tick(layout: DataLayout, instance: dg.DagsterInstance, config: dict | None = None):
    """What the schedule asks for, or why it asks for nothing."""
    config = config or {}
    said = nights.plan_night(instance, nights.state_of(layout, config), job="retrain", run_config=config)
    return said.skip_message if isinstance(said, dg.SkipReason) else said


def ran(instance: dg.DagsterInstance, request: dg.RunRequest, status=dg.DagsterRunStatus.SUCCESS) -> str:
    return instance.create_run_for_job(retrain, tags=dict(request.tags), status=status).run_id


def test_the_first_night_runs_and_says_on_what(layout, instance):
    request = tick(layout, instance)

    assert request.tags["skip_pipeline/data_date"] == "2018-07-15"
    assert request.tags["skip_pipeline/shards"] == "1"
    assert request.tags["skip_pipeline/because"] == "no night has succeeded yet"


def test_a_night_on_which_nothing_has_changed_is_left_out(layout, instance):
    run_id = ran(instance, tick(layout, instance))

    assert tick(layout, instance) == (
        f"raw input, code and configuration are those of run {run_id}, the last night that succeeded"
    )


def test_days_that_came_during_an_outage_are_one_run(layout, instance):
    ran(instance, tick(layout, instance))
    for name in (LOGS[1], "log_0_20180717_000000000000.csv"):
        shutil.copy(layout.raw / "training_set" / LOGS[0], layout.raw / "training_set" / name)
    request = tick(layout, instance)

    assert request.tags["skip_pipeline/data_date"] == "2018-07-17"
    assert request.tags["skip_pipeline/shards"] == "3"
    assert request.tags["skip_pipeline/because"].endswith(": raw input")


def test_other_configuration_is_a_reason(layout, instance):
    ran(instance, tick(layout, instance))
    config = {"ops": {"trained_model": {"config": {"seed": 1}}}}
    request = tick(layout, instance, config)

    assert request.run_config == config
    assert request.tags["skip_pipeline/because"].endswith(": configuration")


def test_other_code_is_a_reason(layout, instance, monkeypatch):
    ran(instance, tick(layout, instance))
    monkeypatch.setattr(nights, "_code_version", lambda: "other")

    assert tick(layout, instance).tags["skip_pipeline/because"].endswith(": code")


def test_a_failed_night_is_tried_again_under_a_key_of_its_own(layout, instance):
    first = tick(layout, instance)
    ran(instance, first, dg.DagsterRunStatus.FAILURE)
    second = tick(layout, instance)

    assert second.tags["skip_pipeline/state"] == first.tags["skip_pipeline/state"]
    assert second.run_key != first.run_key


def test_the_same_tick_evaluated_twice_asks_for_one_run(layout, instance):
    assert tick(layout, instance).run_key == tick(layout, instance).run_key


def test_one_night_at_a_time(layout, instance):
    run_id = ran(instance, tick(layout, instance), dg.DagsterRunStatus.STARTED)

    assert tick(layout, instance) == f"run {run_id} of retrain is still under way"


def test_without_a_log_there_is_nothing_to_do(layout, instance):
    (layout.raw / "training_set" / LOGS[0]).unlink()

    assert "no session log has been delivered" in tick(layout, instance)


def test_a_name_without_a_date_gives_no_data_date(layout, instance):
    folder = layout.raw / "training_set"
    (folder / LOGS[0]).rename(folder / "log_mini.csv")

    assert "skip_pipeline/data_date" not in tick(layout, instance).tags


def test_new_sessions_to_score_are_a_reason(layout, instance):
    ran(instance, tick(layout, instance))
    for kind in ("log_prehistory", "log_input"):
        deliver(layout.root / "01_raw" / "test_set" / f"{kind}_20180716_000000000000.csv", session())
    request = tick(layout, instance)

    assert request.tags["skip_pipeline/because"].endswith(": raw input")
    assert request.tags["skip_pipeline/shards"] == "1"


def test_the_schedule_plans_the_night_from_the_data_directory_and_its_configuration(project):
    context = dg.build_schedule_context(
        instance=project.instance(), resources={"data": DataDirectory(path=str(project.layout.root))}
    )
    window = {"ops": {"trained_model": {"config": {"train_days": 7}}}}
    (request,) = nightly_retraining("UTC", window).evaluate_tick(context).run_requests

    assert request.run_config == window
    assert request.tags["skip_pipeline/state"] == nights.state_of(project.layout, window).digest
    assert request.tags["skip_pipeline/state"] != nights.state_of(project.layout, {}).digest
