import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from skip_pipeline import schema, serving
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.serving.model_folder import vocabulary
from skip_pipeline.serving.pack import pack as pack_folder
from skip_pipeline.settings import DataLayout
from skip_pipeline.storage import read_json, write_json
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.serving.small_models import SESSIONS, network, pack, request


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """A copy of the packed model, to be broken."""
    return Path(shutil.copytree(folder, tmp_path / "own"))


def test_a_packed_model_is_plain_files_with_a_description(folder: Path) -> None:
    described = serving.read_description(folder)
    names = {record.name for record in described.files}
    assert {path.name for path in folder.iterdir()} == names | {"served_model.json"}
    assert {Path(name).suffix for name in names} == {".onnx", ".json", ".npy"}
    assert (described.preset, described.data_source, described.tracks) == ("fast", "real", 20)
    assert {"skip-pipeline", "numpy", "onnxruntime"} == set(described.versions)


def test_the_arrays_are_mapped(folder: Path) -> None:
    tracks = serving.load(folder).tracks
    assert isinstance(tracks.matrix.base, np.memmap)
    assert isinstance(tracks.ids.base, np.memmap)


def test_equal_input_is_an_equal_model(layout: DataLayout, folder: Path, tmp_path: Path) -> None:
    onnx = tmp_path / "network.onnx"
    onnx.write_bytes(network())
    again = pack_folder(tmp_path / "again", layout, network=onnx, calibration=None, preset="fast")
    assert again.fingerprint == serving.read_description(folder).fingerprint


def test_calibration_corrects_the_networks_probabilities(layout: DataLayout, tmp_path: Path) -> None:
    own = DataLayout(Path(shutil.copytree(layout.root, tmp_path / "data")))
    records = [request(rows) for rows in SESSIONS]
    plain = 1 - serving.load(pack(own)).score_records(records).p_skip
    corrected = 1 - serving.load(pack(own, slope=2.0)).score_records(records).p_skip
    odds = np.log(plain / (1 - plain))
    np.testing.assert_allclose(corrected, 1 / (1 + np.exp(-(2 * odds + 0.1))), rtol=1e-6)


def test_the_skip_probability_is_one_less_the_other(model: serving.ServedModel) -> None:
    from skip_pipeline.serving.requests import sessions_of_records
    from skip_pipeline.training.onnx_model import predict_onnx

    records = [request(rows) for rows in SESSIONS]
    p_not_skipped = predict_onnx(model.network, model.inputs(sessions_of_records(records)))
    np.testing.assert_allclose(model.score_records(records).p_skip, 1 - p_not_skipped, atol=1e-7)


def test_threads_change_nothing(model: serving.ServedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from skip_pipeline.serving import model as module
    from skip_pipeline.serving.requests import sessions_of_records

    sessions = sessions_of_records([request(rows) for rows in SESSIONS])
    whole = model.score(sessions)
    monkeypatch.setattr(module, "PREDICTION_BATCH_SIZE", 7)
    np.testing.assert_array_equal(model.score(sessions).p_skip, model.score(sessions, threads=3).p_skip)
    np.testing.assert_allclose(model.score(sessions).p_skip, whole.p_skip, atol=1e-6)


# --- What cannot be packed or loaded -----------------------------------------------------------------------


def test_nothing_to_load(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        message = refusal(MissingInputError, lambda place=place: serving.load(place))
        assert_says(message, str(place), "served_model.json", "materialize trained_model first")


@pytest.mark.parametrize("name", ["tracks.npy", "track_ids.npy", "skip_model.onnx", "scaler.json"])
def test_a_lost_file_is_named(own: Path, name: str) -> None:
    (own / name).unlink()
    assert_says(refusal(MissingInputError, lambda: serving.load(own)), str(own), name)


@pytest.mark.parametrize("name", ["tracks.npy", "track_ids.npy", "skip_model.onnx", "vocabulary.json"])
def test_a_cut_file_is_named(own: Path, name: str) -> None:
    content = (own / name).read_bytes()
    (own / name).write_bytes(content[: len(content) // 2])
    message = refusal(ContractError, lambda: serving.load(own))
    assert_says(message, name, f"not {len(content)} and", "materialize trained_model")


def test_a_file_of_another_model_is_named(own: Path) -> None:
    content = bytearray((own / "tracks.npy").read_bytes())
    content[-1] ^= 1
    (own / "tracks.npy").write_bytes(content)
    message = refusal(ContractError, lambda: serving.load(own))
    assert_says(message, "tracks.npy", f"{len(content)} bytes and SHA-256", "in served_model.json")


def rewrite(own: Path, name: str, content: bytes) -> None:
    """Put other contents in place of a file, and describe them."""
    (own / name).write_bytes(content)
    fields = json.loads((own / "served_model.json").read_text())
    for record in fields["files"]:
        if record["name"] == name:
            record |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    write_json(own / "served_model.json", fields)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (
            {"levels": {**vocabulary()["levels"], "mode": ["major"]}},
            ("other levels", "mode: 'minor' is only in the code"),
        ),
        ({"track": ["key"]}, ("other track", "is only in the code")),
        (
            {"session_log": [*schema.SESSION_LOG_BRANCH, "mood"]},
            ("session log", "'mood' is only in the model"),
        ),
        ({"track": list(reversed(schema.TRACK_BRANCH))}, ("other track", "another order")),
        ({"skip_padding": 8.0}, ("skip padding", "8.0 in the model, 9.0 in the code")),
    ],
)
def test_a_model_of_another_vocabulary_is_refused(own: Path, change: dict, parts: tuple[str, ...]) -> None:
    rewrite(own, "vocabulary.json", json.dumps(vocabulary() | change).encode())
    assert_says(
        refusal(ContractError, lambda: serving.load(own)), str(own), *parts, "materialize trained_model"
    )


def test_another_format_is_refused(own: Path) -> None:
    fields = read_json(own / "served_model.json")
    write_json(own / "served_model.json", fields | {"format": 2})
    assert_says(refusal(ContractError, lambda: serving.load(own)), "format 2, not 1")


def test_a_damaged_description_is_refused(own: Path) -> None:
    (own / "served_model.json").write_text("{")
    assert_says(refusal(ContractError, lambda: serving.load(own)), "served_model.json is damaged")


def test_ids_that_do_not_fit_the_tracks_are_refused(own: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.array([b"t_01"]))
    rewrite(own, "track_ids.npy", (tmp_path / "ids.npy").read_bytes())
    assert_says(refusal(ContractError, lambda: serving.load(own)), "track_ids.npy", "not bytes (20,)")


def test_pickles_are_refused(own: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    rewrite(own, "track_ids.npy", (tmp_path / "ids.npy").read_bytes())
    assert_says(refusal(ContractError, lambda: serving.load(own)), "track_ids.npy is not a readable array")


def test_a_damaged_network_is_not_packed(layout: DataLayout, tmp_path: Path) -> None:
    (tmp_path / "network.onnx").write_bytes(b"no network")
    with pytest.raises(ContractError, match="cannot be read as an ONNX model"):
        pack_folder(
            tmp_path / "made", layout, network=tmp_path / "network.onnx", calibration=None, preset="fast"
        )
    assert not (tmp_path / "made" / "served_model.json").exists()
