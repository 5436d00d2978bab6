"""What Dagster loads: checks that block, policies, and settings from the environment."""

import tomllib
from pathlib import Path

import dagster as dg
import pytest
import yaml  # type: ignore[import-untyped]

from skip_pipeline import schema
from skip_pipeline.cli import ui
from skip_pipeline.definitions import defs, mlflow_tracker, nightly_config
from skip_pipeline.defs.assets.model import TrainingConfig
from skip_pipeline.errors import RefusedError
from skip_pipeline.nightly.monitoring import SIGNALS
from skip_pipeline.nightly.promotion_record import CHECKS
from skip_pipeline.settings import DataLayout
from skip_pipeline.training.refusals import _RANGES

STAGES = (
    "session_logs", "merged_table", "encoded_table", "scaled_table", "tensor_bundles", "trained_model",
    "best_model", "champion_model", "skip_predictions",
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
        assert "part" in spec.tags, spec.key
    assert {spec.group_name for spec in definitions.resolve_all_asset_specs()} == {"skip_pipeline"}


def test_every_stage_comes_after_the_stage_before_it(graph):
    order = [key.to_user_string() for key in graph.toposorted_asset_keys]

    assert [name for name in order if name in STAGES] == list(STAGES)
    assert len(order) == 14


def test_every_check_blocks_what_comes_after_but_those_of_drift_and_promotion(graph):
    warning = {key.name for key in graph.asset_check_keys if not graph.get(key).blocking}
    checked = {key.asset_key.to_user_string() for key in graph.asset_check_keys}

    assert warning == {*SIGNALS, *CHECKS}
    unchecked = {"trained_model", "best_model", "skip_predictions"}
    assert checked == {*STAGES, "track_features", "data_drift", "evaluation_report"} - unchecked


def test_only_the_delivery_can_be_overdue_because_a_night_without_one_is_skipped(definitions):
    specs = definitions.resolve_all_asset_specs()

    assert [spec.key.to_user_string() for spec in specs if spec.freshness_policy] == ["session_logs"]


def test_every_check_is_described_by_a_sentence(graph):
    for key in graph.asset_check_keys:
        described = graph.get(key).description
        assert described, key
        assert described.endswith("."), key


def test_every_command_gives_the_code_location_the_same_name():
    root = Path(__file__).parents[2]
    [location] = yaml.safe_load((root / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["dg"]["project"]
    command = ui.commands(DataLayout(root), 3000, 5000)["Dagster"]

    assert location["python_module"] == {
        "module_name": "skip_pipeline.definitions",
        "location_name": "skip_pipeline",
    }
    assert project["code_location_target_module"] == "skip_pipeline.definitions"
    assert project["code_location_name"] == "skip_pipeline"
    assert Path(command[command.index("-w") + 1]).samefile(root / "workspace.yaml")


def test_the_launchpad_names_the_bounds_of_the_settings():
    fields = TrainingConfig.model_fields
    for names, _, wanted in _RANGES:
        for name in fields.keys() & set(names):
            assert wanted in (fields[name].description or ""), name


def test_columns_are_traced_from_the_tensors_to_the_delivered_files(graph):
    metadata = {key.to_user_string(): graph.get(key).metadata for key in graph.get_all_asset_keys()}
    delivered = {"session_logs": schema.SESSION_LOG.names, "track_features": schema.TRACK_FEATURES.names}

    def raw(asset: str, column: str) -> set[tuple[str, str]]:
        if asset in delivered:
            assert column in delivered[asset]
            return {(asset, column)}
        deps = metadata[asset]["dagster/column_lineage"].deps_by_column[column]
        return set().union(*(raw(dep.asset_key.to_user_string(), dep.column_name) for dep in deps))

    assert raw("tensor_bundles", "skip_sequence") == {("session_logs", "not_skipped")}
    assert ("session_logs", "context_type") in raw("tensor_bundles", "session_log")
    of_track = {column for asset, column in raw("tensor_bundles", "last_track") if asset == "track_features"}
    assert of_track == set(schema.TRACK_ATTRIBUTES)
    [shape] = [
        column.type
        for column in metadata["tensor_bundles"]["dagster/column_schema"].columns
        if column.name == "session_log"
    ]
    assert shape == "float32 (n, 19, 35)"
    described = {c.name: c.description for c in metadata["encoded_table"]["dagster/column_schema"].columns}
    assert described["mode_major"] == "from mode of merged_table"


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


def test_a_time_zone_that_does_not_exist_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("SKIP_PIPELINE_TIMEZONE", "Berlin")

    with pytest.raises(RefusedError, match=r"SKIP_PIPELINE_TIMEZONE is 'Berlin'.*Europe/Stockholm"):
        defs()


def test_the_window_of_the_nightly_training_is_a_setting(monkeypatch):
    assert nightly_config() == {}
    monkeypatch.setenv("SKIP_PIPELINE_TRAIN_DAYS", "30")

    window = {"config": {"train_days": 30}}
    assert nightly_config() == {"ops": {"trained_model": window, "baseline_models": window}}


@pytest.mark.parametrize("value", ["0", "-1", "a month", "1.5", "²"])
def test_a_window_that_is_no_number_of_days_is_refused(monkeypatch, value):
    monkeypatch.setenv("SKIP_PIPELINE_TRAIN_DAYS", value)

    with pytest.raises(RefusedError, match=r"SKIP_PIPELINE_TRAIN_DAYS is .* whole number of days"):
        defs()
