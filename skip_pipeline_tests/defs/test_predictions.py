"""The asset that scores the test set, materialized alone over a packed model."""

from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest

from skip_pipeline import settings
from skip_pipeline.definitions import mlflow_tracker
from skip_pipeline.defs.assets.predictions import skip_predictions
from skip_pipeline.defs.resources import DataDirectory, ShardEngine
from skip_pipeline.serving import batch
from skip_pipeline.settings import DataLayout
from skip_pipeline_tests.serving.small_models import SESSIONS, data_directory, deliver_test_set, pack


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataLayout:
    monkeypatch.setenv(settings.TRACKING_URI_VARIABLE, f"sqlite:///{tmp_path / 'nowhere' / 'mlflow.db'}")
    return data_directory(tmp_path / "data")


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


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    (event,) = result.asset_materializations_for_node("skip_predictions")
    return {name: value.value for name, value in event.metadata.items()}


def test_every_session_of_the_test_set_is_scored(layout: DataLayout) -> None:
    pack(layout)
    deliver_test_set(layout.raw, SESSIONS)
    result = materialize(layout)
    assert result.success
    facts = metadata(result)
    assert (facts["dagster/row_count"], facts["shards"], facts["unknown_tracks"]) == (len(SESSIONS), 1, 0)
    assert facts["data_source"] == "real"
    assert "nothing_to_score" not in facts
    (file,) = (layout.root / "08_predictions").glob("*.parquet")
    table = pq.read_table(file)
    assert table.schema.remove_metadata() == batch.SKIP_PREDICTIONS
    assert set(table["model_version"].to_pylist()) == {facts["model_version"]}


def test_without_a_test_set_it_succeeds_without_rows_and_says_so(layout: DataLayout) -> None:
    pack(layout)
    result = materialize(layout)
    assert result.success
    assert metadata(result)["dagster/row_count"] == 0
    assert "test_set holds no sessions" in str(metadata(result)["nothing_to_score"])


def test_without_a_model_it_fails_with_the_remedy(layout: DataLayout) -> None:
    deliver_test_set(layout.raw, SESSIONS)
    result = materialize(layout)
    assert not result.success
    (failure,) = result.filter_events(lambda event: event.is_step_failure)
    assert "materialize trained_model first" in str(failure.event_specific_data.error)
