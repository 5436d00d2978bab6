"""Names from manifests, descriptions and deliveries lead nowhere outside their folders."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from skip_pipeline import serving, storage
from skip_pipeline.errors import BadInputError, ContractError
from skip_pipeline.raw.folder import find_session_logs
from skip_pipeline.settings import DataLayout
from skip_pipeline.stages import flow
from skip_pipeline.storage import read_json, read_manifest, write_json
from skip_pipeline.storage.manifest import manifest_path
from skip_pipeline.training.onnx_model import open_onnx
from skip_pipeline_tests.builders import TRACKS, assert_says, deliver, refusal, session
from skip_pipeline_tests.serving.small_models import data_directory, pack

OUTSIDE = ("/etc/passwd", "../outside", "_files/../../outside", "..", "", "a\0b")


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published stage, to be copied."""
    layout = DataLayout(tmp_path_factory.mktemp("stage"))
    deliver(layout.raw / "training_set" / "log_mini.csv", session("a", 10))
    deliver(layout.raw / "track_features" / "tf_mini.csv", TRACKS)
    flow.merged_table(layout)
    return layout.merged


def with_a_file(stage: Path, folder: Path, **changes: str) -> Path:
    """A copy of a stage whose newest manifest says something else of its first file."""
    own = Path(shutil.copytree(stage, folder / "stage", symlinks=True))
    path = manifest_path(own, 1)
    content = json.loads(path.read_text(encoding="utf-8"))
    content["files"][0] |= changes
    path.unlink()
    path.write_text(json.dumps(content), encoding="utf-8")
    return own


@pytest.mark.parametrize("field", ["path", "name"])
@pytest.mark.parametrize("value", OUTSIDE)
def test_a_manifest_that_names_a_file_outside_is_refused(
    merged: Path, tmp_path: Path, field: str, value: str
) -> None:
    stage = with_a_file(merged, tmp_path, **{field: value})
    message = refusal(ContractError, lambda: read_manifest(stage, made_by="merged_table"))
    assert_says(message, str(stage), "is no path within the folder", "materialize merged_table again")


@pytest.mark.parametrize("digest", ["../../../outside", "/etc/passwd", "0" * 63, "A" * 64, ""])
def test_a_digest_that_names_a_copy_outside_is_refused(merged: Path, tmp_path: Path, digest: str) -> None:
    stage = with_a_file(merged, tmp_path, sha256=digest)
    message = refusal(ContractError, lambda: read_manifest(stage, made_by="merged_table"))
    assert_says(message, "is no SHA-256 in hex")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(data_directory(tmp_path_factory.mktemp("served") / "data"))


@pytest.fixture
def version(served: Path, tmp_path: Path) -> Path:
    """A copy of a served model, to be changed."""
    return Path(shutil.copytree(served, tmp_path / "version"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*OUTSIDE, "sub/tracks.npy", ".hidden"])
def test_a_description_that_names_a_file_outside_is_refused(version: Path, name: str) -> None:
    fields = read_json(version / "served_model.json")
    fields["files"][0]["name"] = name
    write_json(version / "served_model.json", fields)
    message = refusal(ContractError, lambda: serving.load(version))
    assert_says(message, str(version / "served_model.json"), "is no file of the folder")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["skip_model.onnx", "tracks.npy", "scaler.json"])
@pytest.mark.parametrize("how", ["replaced", "written"])
def test_a_file_that_changes_between_its_digest_and_its_opening_is_refused(
    version: Path, name: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = version / name

    def swap(*arguments: Any, **options: Any) -> Any:
        if how == "replaced":
            shutil.copyfile(path, version / "other")
            (version / "other").replace(path)
        else:
            path.write_bytes(path.read_bytes())
        return open_onnx(*arguments, **options)

    monkeypatch.setattr("skip_pipeline.serving.model_folder.open_onnx", swap)
    message = refusal(ContractError, lambda: serving.load(version))
    assert_says(message, str(path), "was changed while it was opened", "try again")


NAMES = ("C:\\log.csv", "a\\..\\log.csv", "a b'$(x)`y`.csv", "log;rm -rf.csv")


@pytest.mark.parametrize("name", NAMES)
def test_what_a_session_log_is_called_names_nothing_outside(tmp_path: Path, name: str) -> None:
    layout = DataLayout(tmp_path / "data")
    deliver(layout.raw / "training_set" / "log_mini.csv", session("a", 10))
    (layout.raw / "training_set" / "log_mini.csv").rename(layout.raw / "training_set" / name)
    deliver(layout.raw / "track_features" / "tf_mini.csv", TRACKS)
    flow.merged_table(layout)
    manifest = read_manifest(layout.merged, made_by="merged_table")
    (shard,) = storage.shard_names(manifest)
    assert manifest.path(shard).resolve().is_relative_to(layout.merged.resolve())
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def test_a_session_log_that_is_a_link_to_nothing_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "training_set"
    place.mkdir()
    (place / "log_mini.csv").symlink_to(tmp_path / "missing")
    assert_says(refusal(BadInputError, lambda: find_session_logs(tmp_path)), "link to nothing")
