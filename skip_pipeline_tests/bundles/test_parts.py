"""A bundle's files, damaged, missing and mixed up."""

import json
import shutil

import numpy as np
import pytest

from skip_pipeline.bundles.parts import PartRecord, open_parts, read_parts
from skip_pipeline.bundles.records import ROW_TYPES
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.stages.shard_builders import TRACKS, shard, write

AGAIN = "materialize tensor_bundles again"
FILES = ("tracks.npy", "log/sessions.npy", "log/rows.npy", "log/session_id.npy")


@pytest.fixture
def bundles(tmp_path):
    """Two sessions for training, one for validation and one for test, 42 earlier rows in all."""
    write(tmp_path, log=shard([10, 11, 12, 13], ["train", "validation", "test", "train"]))
    return tmp_path


def test_the_parts_are_told_with_what_is_in_them(bundles):
    sessions = {"train": 2, "validation": 1, "test": 1}
    assert read_parts(bundles, bundles.joinpath) == (PartRecord("log", sessions, rows=42, tracks=40),)


def test_a_bundle_that_was_never_made_is_asked_for(tmp_path):
    message = refusal(
        MissingInputError, lambda: open_parts(tmp_path / "05_bundles", (tmp_path / "05_bundles").joinpath)
    )
    assert_says(message, f"{tmp_path / '05_bundles'} holds no parts.json", "materialize tensor_bundles first")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundles, name):
    (bundles / name).unlink()
    message = refusal(MissingInputError, lambda: open_parts(bundles, bundles.joinpath))
    assert_says(
        message, f"{(bundles / name).parent} holds no {name.split('/')[-1]}", "materialize tensor_bundles"
    )


def test_a_missing_part_is_named(bundles):
    shutil.rmtree(bundles / "log")
    assert_says(
        refusal(MissingInputError, lambda: open_parts(bundles, bundles.joinpath)),
        f"{bundles / 'log'} holds no sessions.npy",
    )


@pytest.mark.parametrize("kept", [0, 20, -1], ids=["nothing", "part of the header", "all but a byte"])
@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_named(bundles, name, kept):
    path = bundles / name
    path.write_bytes(path.read_bytes()[:kept])
    message = refusal(ContractError, lambda: open_parts(bundles, bundles.joinpath))
    assert_says(message, f"{path} is not a readable array", AGAIN)


@pytest.mark.parametrize("name", FILES)
def test_a_pickle_is_not_opened(bundles, name):
    np.save(bundles / name, np.array(["a", None], dtype=object))
    assert_says(
        refusal(ContractError, lambda: open_parts(bundles, bundles.joinpath)),
        f"{bundles / name} is not a readable array",
    )


@pytest.mark.parametrize(
    ("name", "array", "fault"),
    [
        ("tracks.npy", np.zeros((40, 30), np.float32), "is float32 (40, 30), not float32 (tracks, 31)"),
        ("tracks.npy", np.zeros((40, 31)), "is float64 (40, 31), not float32"),
        ("log/sessions.npy", np.zeros(4), "is float64 (4,), not 4 records of first_row"),
        ("log/rows.npy", np.zeros(41, ROW_TYPES[0]), "(41,), not 42 records of track, flags"),
        ("log/rows.npy", np.zeros((42, 11), np.uint8), "is uint8 (42, 11), not 42 records"),
        ("log/session_id.npy", np.array(["a"] * 4), "is <U1 (4,), not bytes (4,)"),
        ("log/session_id.npy", np.array([b"a"] * 3), "is |S1 (3,), not bytes (4,)"),
    ],
)
def test_an_array_of_another_shape_or_dtype_is_named(bundles, name, array, fault):
    np.save(bundles / name, array)
    assert_says(
        refusal(ContractError, lambda: open_parts(bundles, bundles.joinpath)),
        str(bundles / name),
        fault,
        AGAIN,
    )


@pytest.mark.parametrize("name", FILES[1:])
def test_a_file_of_another_shard_is_named(bundles, tmp_path, name):
    write(tmp_path / "other", log=shard([10, 11, 20, 13, 14]))
    shutil.copy(tmp_path / "other" / name, bundles / name)
    assert_says(
        refusal(ContractError, lambda: open_parts(bundles, bundles.joinpath)), str(bundles / name), AGAIN
    )


def test_sessions_of_other_splits_than_told_are_named(bundles, tmp_path):
    write(tmp_path / "other", log=shard([10, 11, 12, 13], ["train", "train", "test", "train"]))
    shutil.copy(tmp_path / "other/log/sessions.npy", bundles / "log/sessions.npy")
    message = refusal(ContractError, lambda: open_parts(bundles, bundles.joinpath))
    assert_says(
        message, str(bundles / "log/sessions.npy"), "'train': 3", "not {'train': 2", "parts.json", AGAIN
    )


def test_a_matrix_of_other_tracks_is_noticed(bundles):
    np.save(bundles / "tracks.npy", TRACKS[:-1])
    message = refusal(ContractError, lambda: open_parts(bundles, bundles.joinpath))
    assert_says(message, f"{bundles / 'log'} was made for 40 tracks", "tracks.npy has 39", AGAIN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 0, "parts": []}',
        '{"format": 1, "parts": [{"name": "log"}]}',
        '{"format": 1}',
    ],
)
def test_a_list_of_parts_that_is_none_is_named(bundles, text):
    (bundles / "parts.json").write_text(text)
    message = refusal(ContractError, lambda: open_parts(bundles, bundles.joinpath))
    assert_says(message, f"{bundles / 'parts.json'} is damaged or of another version", AGAIN)


def test_parts_that_the_list_does_not_name_are_not_there(bundles):
    content = json.loads((bundles / "parts.json").read_text())
    (bundles / "parts.json").write_text(json.dumps(content | {"parts": []}))
    assert open_parts(bundles, bundles.joinpath)[1] == ()
