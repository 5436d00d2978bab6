"""The asset that scores the test set, materialized alone over a packed model."""

import shutil
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest
from dagster._core.execution.plan.objects import StepFailureData

from skip_pipeline.definitions import mlflow_tracker
from skip_pipeline.defs.assets.predictions import skip_predictions
from skip_pipeline.defs.resources import DataDirectory, ShardEngine
from skip_pipeline.serving import batch
from skip_pipeline.settings import DataLayout
from skip_pipeline_tests.builders import required
from skip_pipeline_tests.serving.registry import Registry
from skip_pipeline_tests.serving.small_models import SESSIONS, data_directory, deliver_test_set, pack

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Path:
    """A data directory with bundles, to be copied."""
    root = tmp_path_factory.mktemp("predictions") / "data"
    shutil.copytree(template, root)
    return data_directory(root).root


@pytest.fixture
def layout(tmp_path: Path, bundled: Path) -> DataLayout:
    return DataLayout(Path(shutil.copytree(bundled, tmp_path / "data")))


def register(layout: DataLayout, folder: Path) -> None:
    """Make a served model the registry's champion."""
    registry = Registry(layout.mlflow)
    registry.promote(registry.register(folder))


def call_synthetic(folder: Path) -> None:
    """Change a served model's description: trained on synthetic data."""
    path = folder / "served_model.json"
    path.write_text(path.read_text().replace('"data_source": "real"', '"data_source": "synthetic"'))


def materialize(layout: DataLayout) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [skip_predictions],
        resources={
            "data": DataDirectory(path=str(layout.root)),
            "tracker": mlflow_tracker(layout),
            "engine": ShardEngine(),
        },
        raise_on_error=False,
    )


def failure(result: dg.ExecuteInProcessResult) -> str:
    assert not result.success
    (event,) = result.filter_events(lambda event: event.is_step_failure)
    assert isinstance(event.event_specific_data, StepFailureData)
    return str(event.event_specific_data.error)


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    (event,) = result.asset_materializations_for_node("skip_predictions")
    return {name: value.value for name, value in event.metadata.items()}


def test_every_session_of_the_test_set_is_scored(layout: DataLayout) -> None:
    register(layout, pack(layout))
    deliver_test_set(layout.raw, SESSIONS)
    result = materialize(layout)
    assert result.success
    facts = metadata(result)
    asked = sum(len(rows) - len(rows) // 2 for rows in SESSIONS)
    assert (facts["dagster/row_count"], facts["shards"], facts["unknown_tracks"]) == (asked, 1, 0)
    assert facts["data_source"] == "real"
    assert "nothing_to_score" not in facts
    (file,) = (layout.root / "08_predictions").glob("*.parquet")
    table = pq.read_table(file)
    assert table.schema.remove_metadata() == required(batch.SKIP_PREDICTIONS)
    assert set(table["model_version"].to_pylist()) == {facts["model_version"]}


def test_a_champion_of_synthetic_data_does_not_score_real_sessions(layout: DataLayout) -> None:
    folder = pack(layout)
    call_synthetic(folder)
    register(layout, folder)
    deliver_test_set(layout.raw, SESSIONS)
    assert_scored_nothing(materialize(layout), "version 1, was trained on synthetic data")


def test_without_a_champion_the_model_trained_last_does_not_score(layout: DataLayout) -> None:
    Registry(layout.mlflow).register(pack(layout))  # and refused by champion_model
    deliver_test_set(layout.raw, SESSIONS)
    assert_scored_nothing(materialize(layout), "no version of skip_model is champion")


def assert_scored_nothing(result: dg.ExecuteInProcessResult, reason: str) -> None:
    assert result.success
    facts = metadata(result)
    assert (facts["dagster/row_count"], facts["shards"], facts["data_source"]) == (0, 0, "real")
    assert reason in str(facts["nothing_to_score"])
    assert "model_version" not in facts


def test_without_a_test_set_it_succeeds_without_rows_and_says_so(layout: DataLayout) -> None:
    register(layout, pack(layout))
    result = materialize(layout)
    assert result.success
    assert metadata(result)["dagster/row_count"] == 0
    assert "test_set holds no sessions" in str(metadata(result)["nothing_to_score"])
