"""What Dagster sees: assets in order and fully labelled, checks, job, schedule, policies."""

from pathlib import Path

import dagster as dg
import pytest
import yaml

from skip_pipeline.definitions import defs, nightly_config
from skip_pipeline.errors import RefusedError
from skip_pipeline.nightly.monitoring import SIGNALS
from skip_pipeline.stages import findings as contracts

UPSTREAM = {
    "session_logs": set(),
    "track_features": set(),
    "merged_table": {"session_logs", "track_features"},
    "encoded_table": {"merged_table"},
    "scaled_table": {"encoded_table"},
    "tensor_bundles": {"merged_table", "encoded_table", "scaled_table"},
    "baseline_models": {"tensor_bundles"},
    "trained_model": {"tensor_bundles"},
    "evaluation_report": {"trained_model", "baseline_models", "tensor_bundles", "merged_table"},
    "data_drift": {"tensor_bundles", "merged_table"},
    "champion_model": {
        "trained_model",
        "evaluation_report",
        "baseline_models",
        "tensor_bundles",
        "data_drift",
    },
    "skip_predictions": {"champion_model", "trained_model"},
}
GROUPS = {
    "session_logs": "ingest",
    "track_features": "ingest",
    "merged_table": "features",
    "encoded_table": "features",
    "scaled_table": "features",
    "tensor_bundles": "features",
    "baseline_models": "model",
    "trained_model": "model",
    "evaluation_report": "report",
    "data_drift": "monitoring",
    "champion_model": "model",
    "skip_predictions": "serving",
}
TABLE_CHECKS = {
    contracts.COLUMNS,
    contracts.ROWS,
    contracts.COMPLETE,
    contracts.POSITIONS,
    contracts.LENGTHS,
}
CHECKS = {
    "session_logs": {
        contracts.COLUMNS,
        contracts.SESSIONS_WHOLE,
        contracts.LENGTHS,
        contracts.LEVELS_KNOWN,
        contracts.DATES_PLAUSIBLE,
        contracts.MARKER_FITS,
    },
    "track_features": {
        contracts.COLUMNS,
        contracts.TRACKS_UNIQUE,
        contracts.COMPLETE,
        contracts.LEVELS_KNOWN,
    },
    "merged_table": TABLE_CHECKS,
    "encoded_table": TABLE_CHECKS | {contracts.INDICATORS},
    "scaled_table": TABLE_CHECKS | {contracts.INDICATORS, contracts.UNIT_INTERVAL},
    "tensor_bundles": {contracts.SHAPES, contracts.SESSIONS_ONCE, contracts.NO_LEAK},
    "evaluation_report": {contracts.BEATS_MAJORITY},
    "data_drift": set(SIGNALS),
}


@pytest.fixture(scope="module")
def definitions():
    return defs()


@pytest.fixture(scope="module")
def specs(definitions):
    return {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}


def test_the_definitions_can_be_loaded_and_run(definitions):
    dg.Definitions.validate_loadable(definitions)


def test_assets_depend_on_one_another_in_the_order_of_the_flow(specs):
    assert {name: {d.asset_key.to_user_string() for d in s.deps} for name, s in specs.items()} == UPSTREAM


def test_assets_are_grouped(specs):
    assert {name: spec.group_name for name, spec in specs.items()} == GROUPS


@pytest.mark.parametrize("name", UPSTREAM)
def test_an_asset_says_what_it_is_of_what_kind_whose_and_of_which_code(specs, name):
    spec = specs[name]

    assert len(spec.description) > 60
    assert spec.kinds
    assert all(owner.startswith("team:") for owner in spec.owners)
    assert spec.owners
    assert spec.code_version


def test_every_property_of_the_contract_is_a_blocking_check_and_drift_blocks_nothing(definitions):
    found: dict[str, set[str]] = {}
    for checks in definitions.resolve_asset_graph().asset_check_keys:
        found.setdefault(checks.asset_key.to_user_string(), set()).add(checks.name)
    assert found == CHECKS
    graph = definitions.resolve_asset_graph()
    warning = {key for key in graph.asset_check_keys if not graph.get(key).blocking}
    assert {key.asset_key.to_user_string() for key in warning} == {"data_drift"}
    assert len(warning) == len(SIGNALS)


def test_the_nightly_schedule_runs_the_retraining_of_every_asset_at_two(definitions):
    schedule = definitions.resolve_schedule_def("nightly_retraining")

    assert schedule.job_name == "retrain"
    assert schedule.cron_schedule == "0 2 * * *"
    assert schedule.execution_timezone == "UTC"
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    selected = definitions.resolve_job_def("retrain").asset_layer.executable_asset_keys
    assert {key.to_user_string() for key in selected} == set(UPSTREAM)


def test_the_time_zone_of_the_night_is_a_setting(monkeypatch):
    monkeypatch.setenv("SKIP_PIPELINE_TIMEZONE", "Europe/Stockholm")

    assert defs().resolve_schedule_def("nightly_retraining").execution_timezone == "Europe/Stockholm"


def test_the_delivery_alone_has_to_be_fresh_for_a_night_without_one_is_left_out(specs):
    assert {name for name, spec in specs.items() if spec.freshness_policy} == {"session_logs"}


def test_runs_stay_in_one_process_unless_told_otherwise(definitions):
    assert definitions.executor == dg.in_process_executor


def test_the_workspace_file_names_the_definitions():
    workspace = yaml.safe_load((Path(__file__).parents[2] / "workspace.yaml").read_text(encoding="utf-8"))

    assert workspace["load_from"][0]["python_module"]["module_name"] == "skip_pipeline.definitions"


@pytest.mark.parametrize(
    ("variables", "tracking_uri", "is_embedded", "mlflow_url"),
    [
        ({}, "sqlite:////data/mlflow/mlflow.db", True, "http://127.0.0.1:5000"),
        # MLflow sets the variable itself, once it is told of a store.
        (
            {"MLFLOW_TRACKING_URI": "sqlite:////data/mlflow/mlflow.db"},
            "sqlite:////data/mlflow/mlflow.db",
            True,
            "http://127.0.0.1:5000",
        ),
        (
            {"MLFLOW_TRACKING_URI": "http://me:secret@tracking.example:80"},
            "http://me:secret@tracking.example:80",
            False,
            "http://tracking.example:80",
        ),
        (
            {
                "MLFLOW_TRACKING_URI": "postgresql://db/mlflow",
                "SKIP_PIPELINE_MLFLOW_URL": "https://ui.example/",
            },
            "postgresql://db/mlflow",
            False,
            "https://ui.example",
        ),
    ],
)
def test_the_environment_says_where_runs_are_recorded(
    monkeypatch, variables, tracking_uri, is_embedded, mlflow_url
):
    monkeypatch.setenv("SKIP_PIPELINE_DATA_DIR", "/data")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    tracker = defs().resources["tracker"]

    assert tracker.tracking_uri == tracking_uri
    assert tracker.is_embedded is is_embedded
    assert tracker.mlflow_url == mlflow_url
    assert "secret" not in str(tracker.model_dump())


def test_a_time_zone_that_does_not_exist_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("SKIP_PIPELINE_TIMEZONE", "Berlin")

    with pytest.raises(RefusedError, match="SKIP_PIPELINE_TIMEZONE is 'Berlin', which is no time zone"):
        defs()


def test_the_window_of_the_nightly_training_is_a_setting(monkeypatch):
    assert nightly_config() == {}
    monkeypatch.setenv("SKIP_PIPELINE_TRAIN_DAYS", "30")

    assert nightly_config() == {"ops": {"trained_model": {"config": {"train_days": 30}}}}


@pytest.mark.parametrize("value", ["0", "-1", "a month", "1.5", "²"])
def test_a_window_that_is_no_number_of_days_is_refused(monkeypatch, value):
    monkeypatch.setenv("SKIP_PIPELINE_TRAIN_DAYS", value)

    with pytest.raises(RefusedError, match=r"SKIP_PIPELINE_TRAIN_DAYS is .* expected a whole number of days"):
        defs()


def test_what_a_crash_leaves_is_cleared_up_without_a_click(definitions):
    sensors = {sensor.name: sensor for sensor in definitions.sensors}

    assert set(sensors) == {"dead_runs", "close_tracking"}
    assert {sensor.default_status for sensor in sensors.values()} == {dg.DefaultSensorStatus.RUNNING}
