"""What Dagster loads: checks that block, policies, and settings from the environment."""

from pathlib import Path

import dagster as dg
import pytest
import yaml  # type: ignore[import-untyped]

from skip_pipeline.definitions import defs, mlflow_tracker, nightly_config
from skip_pipeline.errors import RefusedError
from skip_pipeline.nightly.monitoring import SIGNALS
from skip_pipeline.nightly.promotion_record import CHECKS
from skip_pipeline.settings import DataLayout

STAGES = (
    "session_logs", "merged_table", "encoded_table", "scaled_table", "tensor_bundles", "trained_model",
    "champion_model", "skip_predictions",
)  # fmt: skip


@pytest.fixture(scope="module")
def definitions():
    return defs()


@pytest.fixture(scope="module")
def graph(definitions):
    return definitions.resolve_asset_graph()


def test_the_definitions_can_be_loaded_and_every_asset_is_described_owned_and_versioned(definitions):
    dg.Definitions.validate_loadable(definitions)
    for spec in definitions.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.kinds, spec.key
        assert spec.owners, spec.key
        assert spec.code_version, spec.key
        assert spec.group_name != "default", spec.key


def test_every_stage_comes_after_the_stage_before_it(graph):
    order = [key.to_user_string() for key in graph.toposorted_asset_keys]

    assert [name for name in order if name in STAGES] == list(STAGES)
    assert len(order) == 13


def test_every_check_blocks_what_comes_after_but_those_of_drift_and_promotion(graph):
    warning = {key.name for key in graph.asset_check_keys if not graph.get(key).blocking}
    checked = {key.asset_key.to_user_string() for key in graph.asset_check_keys}

    assert warning == {*SIGNALS, *CHECKS}
    unchecked = {"trained_model", "skip_predictions"}
    assert checked == {*STAGES, "track_features", "data_drift", "evaluation_report"} - unchecked


def test_only_the_delivery_can_be_overdue_because_a_night_without_one_is_skipped(definitions):
    specs = definitions.resolve_all_asset_specs()

    assert [spec.key.to_user_string() for spec in specs if spec.freshness_policy] == ["session_logs"]


def test_the_workspace_file_names_the_definitions():
    workspace = yaml.safe_load((Path(__file__).parents[2] / "workspace.yaml").read_text(encoding="utf-8"))

    assert workspace["load_from"][0]["python_module"]["module_name"] == "skip_pipeline.definitions"


OWN = "sqlite:////data/mlflow/mlflow.db"
SERVER = "http://me:secret@tracking.example:80"
DATABASE = "postgresql://db/mlflow"


@pytest.mark.parametrize(
    ("tracking_uri", "ui", "uri", "mlflow_url"),
    [
        ("", "", OWN, "http://127.0.0.1:5000"),
        (OWN, "", OWN, "http://127.0.0.1:5000"),  # MLflow sets the variable itself when it is given a store
        (SERVER, "", SERVER, "http://tracking.example:80"),
        (DATABASE, "https://ui.example/", DATABASE, "https://ui.example"),
    ],
)
def test_the_environment_names_the_tracking_store(monkeypatch, tracking_uri, ui, uri, mlflow_url):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    monkeypatch.setenv("SKIP_PIPELINE_MLFLOW_URL", ui)

    tracker = mlflow_tracker(DataLayout(Path("/data")))

    assert tracker.tracking_uri == uri
    assert tracker.is_embedded is (uri == OWN)
    assert tracker.mlflow_url == mlflow_url
    assert "secret" not in str(tracker.model_dump())


def test_shared_storage_is_a_path_or_a_url(monkeypatch, tmp_path):
    monkeypatch.setenv("SKIP_PIPELINE_DATA_DIR", "/data")
    for named in (str(tmp_path), "memory://bucket"):
        monkeypatch.setenv("SKIP_PIPELINE_STORAGE_URL", named)
        data = (defs().resources or {})["data"]
        layout = data.layout()
        assert str(layout.root) == "/data"
        assert str(layout.tables).rstrip("/") == named


def test_a_time_zone_that_does_not_exist_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("SKIP_PIPELINE_TIMEZONE", "Berlin")

    with pytest.raises(RefusedError, match=r"SKIP_PIPELINE_TIMEZONE is 'Berlin'.*Europe/Stockholm"):
        defs()


def test_the_window_of_the_nightly_training_is_a_setting(monkeypatch):
    assert nightly_config() == {}
    monkeypatch.setenv("SKIP_PIPELINE_TRAIN_DAYS", "30")

    assert nightly_config() == {"ops": {"trained_model": {"config": {"train_days": 30}}}}


@pytest.mark.parametrize("value", ["0", "-1", "a month", "1.5", "²"])
def test_a_window_that_is_no_number_of_days_is_refused(monkeypatch, value):
    monkeypatch.setenv("SKIP_PIPELINE_TRAIN_DAYS", value)

    with pytest.raises(RefusedError, match=r"SKIP_PIPELINE_TRAIN_DAYS is .* whole number of days"):
        defs()
