import hashlib
import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skip_pipeline import schema, serving
from skip_pipeline.bundles.gather import open_bundle
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.serving import ServedModel
from skip_pipeline.serving.model_folder import pack as pack_folder
from skip_pipeline.serving.model_folder import track_table_ids, vocabulary
from skip_pipeline.serving.requests import sessions_of_records
from skip_pipeline.settings import DataLayout
from skip_pipeline.storage import read_json, write_json
from skip_pipeline.training.onnx_model import predict_onnx
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.serving.small_models import (
    MEMORY,
    SESSIONS,
    copied,
    network,
    pack,
    request,
)

RECORDS = [request(rows) for rows in SESSIONS]


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
    np.save(tmp_path / "memory.npy", MEMORY)
    again = pack_folder(
        tmp_path / "again",
        layout,
        network=onnx,
        calibration=None,
        preset="fast",
        memory=tmp_path / "memory.npy",
    )
    assert again.fingerprint == serving.read_description(folder).fingerprint


def test_calibration_corrects_the_networks_probabilities(layout: DataLayout, tmp_path: Path) -> None:
    own = copied(layout, tmp_path)
    plain = 1 - serving.load(pack(own)).score_records(RECORDS).p_skip
    corrected = 1 - serving.load(pack(own, slope=2.0)).score_records(RECORDS).p_skip
    odds = np.log(plain / (1 - plain))
    np.testing.assert_allclose(corrected, 1 / (1 + np.exp(-(2 * odds + 0.1))), rtol=1e-6)


def test_the_skip_probability_is_one_less_the_other(model: ServedModel) -> None:
    p_not_skipped = predict_onnx(model.network, model.inputs(sessions_of_records(RECORDS)))
    np.testing.assert_allclose(model.score_records(RECORDS).p_skip, 1 - p_not_skipped, atol=1e-7)


def test_threads_change_nothing(model: ServedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = sessions_of_records(RECORDS)
    whole = model.score(sessions)
    monkeypatch.setattr("skip_pipeline.serving.model.PREDICTION_BATCH_SIZE", 7)
    np.testing.assert_array_equal(model.score(sessions).p_skip, model.score(sessions, threads=3).p_skip)
    np.testing.assert_allclose(model.score(sessions).p_skip, whole.p_skip, atol=1e-6)


def assert_bundled_sessions_are_scored_as_requests(model: ServedModel, layout: DataLayout) -> None:
    train = open_bundle(layout.bundles, "train")
    numbers = {name: number for number, name in enumerate(train.session_id.tolist())}
    chosen = [rows for rows in SESSIONS if rows[0]["session_id"] in numbers]
    order = np.array([numbers[rows[0]["session_id"]] for rows in chosen])
    expected = 1 - model.score_records([request(rows) for rows in chosen]).p_skip
    for some, wanted in ((order, expected), (order[:3], expected[:3])):
        found = model.predict_bundle_tracks(train, track_table_ids(layout), some)[:, -1]
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("slope", [None, 2.0])
def test_bundled_sessions_are_scored_as_requests_are(
    layout: DataLayout, tmp_path: Path, slope: float | None
) -> None:
    own = copied(layout, tmp_path)
    model = serving.load(pack(own, slope=slope))
    assert_bundled_sessions_are_scored_as_requests(model, own)
    assert model.threshold == 0.5


def test_unknown_tracks_of_a_bundle_are_neutral(model: ServedModel, layout: DataLayout) -> None:
    ids = track_table_ids(layout)
    ids[3] = b"new"
    assert np.flatnonzero(model.tracks.rows_of_bytes(ids) < 0).tolist() == [3]
    train = open_bundle(layout.bundles, "train")
    before, after = (model.predict_bundle_tracks(train, of)[:, -1] for of in (track_table_ids(layout), ids))
    changed = after != before
    has_track = (np.asarray(train.previous_tracks)[:, :, 0] == model.tracks.matrix[3, 0]).any(axis=1)
    has_track |= np.asarray(train.last_track)[:, 0] == model.tracks.matrix[3, 0]
    np.testing.assert_array_equal(changed, has_track)
    assert 0 < changed.sum() < len(changed)


# --- What cannot be packed or loaded -----------------------------------------------------------------------


def test_nothing_to_load(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        message = refusal(MissingInputError, partial(serving.load, place))
        assert_says(message, str(place), "served_model.json", "materialize best_model first")


@pytest.mark.parametrize("name", ["tracks.npy", "track_ids.npy", "skip_model.onnx", "scaler.json"])
def test_a_lost_file_is_named(own: Path, name: str) -> None:
    (own / name).unlink()
    assert_says(refusal(MissingInputError, lambda: serving.load(own)), str(own), name)


@pytest.mark.parametrize("name", ["tracks.npy", "track_ids.npy", "skip_model.onnx", "vocabulary.json"])
def test_a_cut_file_is_named(own: Path, name: str) -> None:
    content = (own / name).read_bytes()
    (own / name).write_bytes(content[: len(content) // 2])
    message = refusal(ContractError, lambda: serving.load(own))
    assert_says(message, name, f"not {len(content)} and", "materialize best_model")


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


LEVELS = vocabulary()["levels"]


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"levels": LEVELS | {"mode": ["major"]}}, ("other levels", "mode: 'minor' is only in the code")),
        ({"track": ["key"]}, ("other track", "is only in the code")),
        (
            {"session_log": [*schema.SESSION_LOG_BRANCH, "mood"]},
            ("session log", "'mood' is only in the mod"),
        ),
        ({"track": list(reversed(schema.TRACK_BRANCH))}, ("other track", "another order")),
        ({"skip_padding": 8.0}, ("skip padding", "8.0 in the model, 9.0 in the code")),
    ],
)
def test_a_model_of_another_vocabulary_is_refused(
    own: Path, change: dict[str, Any], parts: tuple[str, ...]
) -> None:
    rewrite(own, "vocabulary.json", json.dumps(vocabulary() | change).encode())
    assert_says(refusal(ContractError, lambda: serving.load(own)), str(own), *parts, "materialize best_model")


def test_a_network_that_remembers_tracks_needs_their_memory(own: Path) -> None:
    fields = read_json(own / "served_model.json")
    fields["files"] = [record for record in fields["files"] if record["name"] != "track_memory.npy"]
    write_json(own / "served_model.json", fields)
    message = refusal(ContractError, lambda: serving.load(own))
    assert_says(message, "names no track_memory.npy", "materialize best_model")


@pytest.mark.parametrize("memory", [MEMORY[:-1], MEMORY[:, :-1], MEMORY.astype(np.float32)])
def test_a_memory_of_another_vocabulary_is_refused(own: Path, tmp_path: Path, memory: np.ndarray) -> None:
    np.save(tmp_path / "memory.npy", memory)
    rewrite(own, "track_memory.npy", (tmp_path / "memory.npy").read_bytes())
    message = refusal(ContractError, lambda: serving.load(own))
    assert_says(message, "track_memory.npy", f"expected float16 {MEMORY.shape}", "Materialize trained_model")


def test_another_format_is_refused(own: Path) -> None:
    fields = read_json(own / "served_model.json")
    write_json(own / "served_model.json", fields | {"format": 1})
    assert_says(refusal(ContractError, lambda: serving.load(own)), "format 1, not 2")


def test_a_damaged_description_is_refused(own: Path) -> None:
    (own / "served_model.json").write_text("{")
    assert_says(refusal(ContractError, lambda: serving.load(own)), "served_model.json is damaged")


@pytest.mark.parametrize(
    ("name", "array", "part"),
    [
        ("track_ids.npy", np.array([b"t_01"]), "not bytes (20,)"),
        ("neutral_track.npy", np.zeros(3, np.float32), "not float32 (31,)"),
        ("track_ids.npy", np.array([{"a": 1}], dtype=object), "is not a readable array"),  # a pickle
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    own: Path, tmp_path: Path, name: str, array: Any, part: str
) -> None:
    np.save(tmp_path / "array.npy", array, allow_pickle=True)
    rewrite(own, name, (tmp_path / "array.npy").read_bytes())
    assert_says(refusal(ContractError, lambda: serving.load(own)), name, part)


def test_damaged_json_and_an_incomplete_description_are_refused(own: Path) -> None:
    rewrite(own, "vocabulary.json", b"{")
    assert_says(refusal(ContractError, lambda: serving.load(own)), "vocabulary.json is not readable JSON")
    fields = read_json(own / "served_model.json")
    fields["files"] = [record for record in fields["files"] if record["name"] != "vocabulary.json"]
    write_json(own / "served_model.json", fields)
    assert_says(refusal(ContractError, lambda: serving.load(own)), "names no vocabulary.json")


# --- Blends -----------------------------------------------------------------------------------------------

STACK = {"network": 0.5, "logistic_regression": 0.2, "gradient_boosted_trees": 0.4}


@pytest.fixture(scope="module")
def blended(layout: DataLayout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed stack; to be read only."""
    return pack(copied(layout, tmp_path_factory.mktemp("blended")), slope=2.0, weights=STACK)


def test_a_stack_is_packed_with_the_models_that_it_weighs(blended: Path, folder: Path) -> None:
    described = serving.read_description(blended)
    names = {record.name for record in described.files}

    assert names >= {"blend.json", "handmade_models.onnx", "skip_model.onnx", "calibration.json"}
    assert described.kind == "stack"
    assert serving.read_description(folder).kind == "network"


def test_a_model_packed_before_there_were_kinds_is_a_network(own: Path) -> None:
    fields = read_json(own / "served_model.json")
    del fields["kind"]
    write_json(own / "served_model.json", fields)

    assert serving.load(own).kind == "network"


def test_bundled_sessions_are_scored_by_a_stack_as_requests_are(blended: Path) -> None:
    assert_bundled_sessions_are_scored_as_requests(serving.load(blended), DataLayout(blended.parents[1]))


def test_threads_and_batches_change_no_answer_of_a_stack(
    blended: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, sessions = serving.load(blended), sessions_of_records(RECORDS)
    whole = model.score(sessions)
    monkeypatch.setattr("skip_pipeline.serving.model.PREDICTION_BATCH_SIZE", 7)
    monkeypatch.setattr("skip_pipeline.baselines.handmade._AT_ONCE", 3)

    for threads in (1, 3):
        np.testing.assert_allclose(model.score(sessions, threads=threads).p_skip, whole.p_skip, atol=1e-5)


def test_flags_keep_their_share_of_all_skips(blended: Path) -> None:
    model, sessions = serving.load(blended), sessions_of_records(RECORDS)
    alone = replace(model, blended=None)
    own, networks = model.score(sessions), alone.score(sessions)

    np.testing.assert_allclose(own.p_flags / own.p_skip[:, None], networks.p_flags / networks.p_skip[:, None])
    assert np.abs(own.p_skip - networks.p_skip).max() > 0.01


@pytest.mark.parametrize("name", ["handmade_models.onnx", "track_memory.npy"])
def test_a_blend_needs_what_its_models_need(blended: Path, tmp_path: Path, name: str) -> None:
    own = Path(shutil.copytree(blended, tmp_path / "own"))
    fields = read_json(own / "served_model.json")
    fields["files"] = [record for record in fields["files"] if record["name"] != name]
    write_json(own / "served_model.json", fields)

    assert_says(refusal(ContractError, lambda: serving.load(own)), f"names no {name}")


def test_a_blend_of_an_unknown_model_is_refused(blended: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(blended, tmp_path / "own"))
    content = read_json(own / "blend.json") | {"weights": {"oracle": 1.0}}
    rewrite(own, "blend.json", json.dumps(content).encode())

    assert_says(refusal(ContractError, lambda: serving.load(own)), "weighs oracle, expected some of network")


def test_a_damaged_network_is_not_packed(layout: DataLayout, tmp_path: Path) -> None:
    (tmp_path / "network.onnx").write_bytes(b"no network")
    with pytest.raises(ContractError, match="cannot be read as an ONNX model"):
        pack_folder(
            tmp_path / "made", layout, network=tmp_path / "network.onnx", calibration=None, preset="fast"
        )
    assert not (tmp_path / "made" / "served_model.json").exists()
