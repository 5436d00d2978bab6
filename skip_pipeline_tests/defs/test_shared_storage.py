"""What lies in storage that several machines share, and what stays on this machine, through Dagster."""

import shutil
import tempfile

import dagster as dg
import pytest
from typer.testing import CliRunner

from skip_pipeline import settings
from skip_pipeline.cli.main import app
from skip_pipeline.definitions import data_layout, defs
from skip_pipeline.defs.resources import DataDirectory
from skip_pipeline.errors import RefusedError
from skip_pipeline.locations import files_below, location
from skip_pipeline.settings import DataLayout
from skip_pipeline.storage import read_manifest
from skip_pipeline_tests.builders import assert_says, refusal

pytestmark = pytest.mark.slow

SELECTION = "session_logs,track_features,merged_table,encoded_table,scaled_table,tensor_bundles"
SHARED = ("raw", "session_log_summaries", "track_feature_summaries", "merged", "encoded", "scaled", "bundles")
OWN = ("model", "report", "mlflow", "dagster")


@pytest.fixture
def shared(project, tmp_path, monkeypatch, s3_bucket):
    """A project whose raw files are in an object store, by URL."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name, path in files_below(project.layout.raw):
        (s3_bucket / "01_raw" / name).write_bytes(path.read_bytes())
    shutil.rmtree(project.layout.raw)
    monkeypatch.setenv(settings.STORAGE_VARIABLE, str(s3_bucket))
    project.layout = DataLayout(project.layout.root, s3_bucket)
    return project


def test_tables_lie_in_the_shared_storage_and_model_report_and_records_on_this_machine(tmp_path):
    layout = DataLayout(tmp_path / "data", location("memory://bucket/prefix"))
    for name in SHARED:
        assert str(getattr(layout, name)).startswith("memory://bucket/prefix/0")
        assert getattr(DataLayout(tmp_path), name).is_relative_to(tmp_path)
    for name in OWN:
        assert getattr(layout, name).is_relative_to(tmp_path / "data")


def test_the_variable_names_a_url_or_a_path_and_reaches_the_assets_as_a_resource(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert data_layout().shared is None
    monkeypatch.setenv(settings.STORAGE_VARIABLE, "mounted")
    assert data_layout().merged == tmp_path / "mounted" / "02_merged"
    monkeypatch.setenv(settings.STORAGE_VARIABLE, "memory://bucket/prefix")
    assert str(data_layout().merged) == "memory://bucket/prefix/02_merged"
    resources = defs().resources
    assert resources is not None
    assert resources["data"].shared == "memory://bucket/prefix"
    assert resources["data"].layout() == data_layout()


def test_a_url_with_a_password_is_refused_and_shown_nowhere(monkeypatch):
    monkeypatch.setenv(settings.STORAGE_VARIABLE, "s3://key:secret@bucket/prefix")
    for attempt in (defs, DataDirectory(path="/data", shared="s3://key:secret@bucket/prefix").layout):
        message = refusal(RefusedError, attempt)
        assert "secret" not in message
        assert_says(message, "holds a password", "credentials in the environment")
    answer = CliRunner().invoke(app, ["run"])
    assert answer.exit_code == 1
    assert answer.stderr.startswith("error: the storage URL s3://…@bucket/prefix holds a password")
    assert answer.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_run_makes_its_tables_in_the_shared_storage_and_says_so(shared):
    outcome = shared.run(SELECTION)
    assert outcome.failures == ()
    assert outcome.success
    layout = shared.layout
    assert read_manifest(layout.bundles, made_by="tensor_bundles").path("parts.json").is_file()
    assert {path.name for path in layout.root.iterdir()} == {"mlflow", "dagster"}
    event = shared.instance().get_latest_materialization_event(dg.AssetKey("scaled_table"))
    metadata = event.asset_materialization.metadata
    assert metadata["path"].value == str(layout.scaled)
    assert metadata["dagster/uri"].value == str(layout.scaled)
    assert "mlflow_run_incomplete" not in metadata
    runs = shared.mlflow_runs(outcome.run_id)
    artifacts = shared.mlflow_client().list_artifacts(runs["scaled_table"].info.run_id)
    assert settings.SCALER_FILE in {artifact.path for artifact in artifacts}


def test_synthetic_files_are_not_written_to_a_folder_called_like_a_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(app, ["synthesize", "--out", "s3://bucket/01_raw"])
    assert answer.exit_code == 2
    assert "it is a URL" in answer.stderr
    assert list(tmp_path.iterdir()) == []
