"""A bundle's files, damaged, missing and mixed up."""

import json
import resource
import shutil

import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.bundles import parts
from skip_pipeline.bundles.parts import PartRecord, open_groups, open_parts, plays, read_parts, write_parts
from skip_pipeline.bundles.records import ROW, flag, level_codes
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.stages.shard_builders import TRACKS, shard, write

AGAIN = "materialize tensor_bundles again"
FORMAT_3 = np.dtype([("last_track", "u1"), ("length", "u1"), ("not_skipped", "u1")])  # no flags, no hour
FILES = ("tracks.npy", "log/sessions.npy", "log/rows.npy", "log/session_id.npy")


@pytest.fixture
def bundles(tmp_path):
    """One session of every split, 42 earlier rows in all."""
    write(tmp_path, log=shard([10, 11, 12, 13], ["train", "validation", "test", "gate"]))
    return tmp_path


def refused(folder, error=ContractError):
    return refusal(error, lambda: open_parts(folder, folder.joinpath))


def test_what_each_shard_holds_of_every_split(bundles):
    sessions = {"train": 1, "validation": 1, "gate": 1, "test": 1}
    assert read_parts(bundles, bundles.joinpath) == (PartRecord("log", sessions, tracks=40),)
    tracks, parts = open_parts(bundles, bundles.joinpath)
    assert np.array_equal(tracks, TRACKS)
    assert {split: [len(part.rows) for part in of] for split, of in parts.items()} == {
        "train": [9],
        "validation": [10],
        "gate": [12],
        "test": [11],
    }


def with_groups(folder, groups):
    np.save(folder / "groups.npy", groups)
    write_parts(folder, read_parts(folder, folder.joinpath), groups=True)


def test_groups_are_opened_where_the_list_of_parts_says_so(bundles):
    groups = np.arange(80, dtype=np.int32).reshape(40, 2)
    np.save(bundles / "groups.npy", groups)
    assert open_groups(bundles, bundles.joinpath, 40) is None
    with_groups(bundles, groups)
    np.testing.assert_array_equal(open_groups(bundles, bundles.joinpath, 40), groups)
    assert [part.name for part in read_parts(bundles, bundles.joinpath)] == ["log"]


@pytest.mark.parametrize(
    ("groups", "fault"),
    [
        (np.zeros((39, 2), np.int32), "is int32 (39, 2), not int32 (40, 2)"),
        (np.zeros((40, 2)), "is float64 (40, 2), not int32 (40, 2)"),
    ],
)
def test_groups_of_other_tracks_are_named(bundles, groups, fault):
    with_groups(bundles, groups)
    message = refusal(ContractError, lambda: open_groups(bundles, bundles.joinpath, 40))
    assert_says(message, str(bundles / "groups.npy"), fault, AGAIN)


def test_missing_groups_are_named(bundles):
    with_groups(bundles, np.zeros((40, 2), np.int32))
    (bundles / "groups.npy").unlink()
    message = refusal(MissingInputError, lambda: open_groups(bundles, bundles.joinpath, 40))
    assert_says(message, f"{bundles} holds no groups.npy", "materialize tensor_bundles first")


def test_a_bundle_that_was_never_made_is_asked_for(tmp_path):
    assert_says(
        refused(tmp_path / "05_bundles", MissingInputError),
        f"{tmp_path / '05_bundles'} holds no parts.json",
        "materialize tensor_bundles first",
    )


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundles, name):
    (bundles / name).unlink()
    assert_says(
        refused(bundles, MissingInputError),
        f"{(bundles / name).parent} holds no {name.split('/')[-1]}",
        "materialize tensor_bundles",
    )


def test_a_missing_part_is_named(bundles):
    shutil.rmtree(bundles / "log")
    assert_says(refused(bundles, MissingInputError), f"{bundles / 'log'} holds no sessions.npy")


@pytest.mark.parametrize("kept", [0, 20, -1], ids=["nothing", "part of the header", "all but a byte"])
@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_named(bundles, name, kept):
    path = bundles / name
    path.write_bytes(path.read_bytes()[:kept])
    assert_says(refused(bundles), f"{path} is not a readable array", AGAIN)


@pytest.mark.parametrize("name", FILES)
def test_a_pickle_is_not_opened(bundles, name):
    np.save(bundles / name, np.array(["a", None], dtype=object))
    assert_says(refused(bundles), f"{bundles / name} is not a readable array")


@pytest.mark.parametrize(
    ("name", "array", "fault"),
    [
        ("tracks.npy", np.zeros((40, 30), np.float32), "is float32 (40, 30), not float32 (tracks, 31)"),
        ("tracks.npy", np.zeros((40, 31)), "is float64 (40, 31), not float32"),
        ("log/sessions.npy", np.zeros(4), "is float64 (4,), not 4 records of a session"),
        ("log/sessions.npy", np.zeros(4, FORMAT_3), "not 4 records of a session"),
        ("log/rows.npy", np.zeros(42, ROW), "not 42 records of a track"),  # track numbers take a byte here
        ("log/rows.npy", np.zeros((42, 11), np.uint8), "is uint8 (42, 11), not 42 records"),
        ("log/session_id.npy", np.array(["a"] * 4), "is <U1 (4,), not 4 ids as bytes"),
        ("log/session_id.npy", np.array([b"a"] * 3), "is |S1 (3,), not 4 ids"),
    ],
)
def test_an_array_of_another_shape_or_dtype_is_named(bundles, name, array, fault):
    np.save(bundles / name, array)
    assert_says(refused(bundles), str(bundles / name), fault, AGAIN)


@pytest.mark.parametrize("name", FILES[1:])
def test_a_file_of_another_shard_is_named(bundles, tmp_path, name):
    write(tmp_path / "other", log=shard([10, 11, 20, 13, 14]))
    shutil.copy(tmp_path / "other" / name, bundles / name)
    assert_says(refused(bundles), str(bundles / name), AGAIN)


def test_lengths_that_do_not_add_up_to_the_rows_are_noticed(bundles, tmp_path):
    write(tmp_path / "other", log=shard([10, 12, 12, 13], ["train", "validation", "test", "gate"]))
    shutil.copy(tmp_path / "other/log/sessions.npy", bundles / "log/sessions.npy")
    assert_says(refused(bundles), str(bundles / "log/rows.npy"), "(42,), not 43 records of a track", AGAIN)


def test_a_matrix_of_other_tracks_is_noticed(bundles):
    np.save(bundles / "tracks.npy", TRACKS[:-1])
    assert_says(refused(bundles), f"{bundles / 'log'} was made for 40 tracks", "tracks.npy has 39", AGAIN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 5, "parts": []}',
        '{"format": 7, "parts": []}',
        '{"format": 6, "parts": [{"name": "log"}]}',
        '{"format": 6, "parts": [{"name": "log", "sessions": {"train": 1}, "tracks": 1}]}',
        '{"format": 6}',
    ],
)
def test_a_list_of_parts_that_is_none_is_named(bundles, text):
    (bundles / "parts.json").write_text(text)
    assert_says(refused(bundles), f"{bundles / 'parts.json'} is damaged or of another version", AGAIN)


def test_another_format_is_named(bundles):
    (bundles / "parts.json").write_text('{"format": 5, "parts": []}')
    assert_says(refused(bundles), "format 5, not 6", AGAIN)


def test_parts_that_the_list_does_not_name_are_not_there(bundles):
    content = json.loads((bundles / "parts.json").read_text())
    (bundles / "parts.json").write_text(json.dumps(content | {"parts": []}))
    assert open_parts(bundles, bundles.joinpath)[1] == {
        split: [] for split in ("train", "validation", "gate", "test")
    }


def test_many_shards_raise_the_limit_of_open_files(bundles, monkeypatch):
    limits = []
    monkeypatch.setattr("resource.getrlimit", lambda _: (8, 10))
    monkeypatch.setattr("resource.setrlimit", lambda _, limit: limits.append(limit))
    open_parts(bundles, bundles.joinpath)
    assert limits == [(10, 10)]


def test_plays_count_earlier_and_predicted_tracks():
    made = shard([10, 12])
    [part] = [part for part in made.parts().values() if len(part.ids)]
    expected = np.bincount(made.track_rows, minlength=40)
    assert plays([part, part], 40).tolist() == (2 * expected).tolist()


def test_columns_of_a_record_are_those_of_its_row():
    made = shard([20] * 9)
    rows, earlier = made.parts()["train"].rows, np.delete(np.arange(180), np.arange(19, 180, 20))
    assert flag(rows, "skip_2").tolist() == made.scaled["skip_2"].to_numpy()[earlier].tolist()
    levels = np.stack([made.scaled[n].to_numpy()[earlier] for n in schema.indicators("context_type")])
    expected = [of.tolist().index(1) if 1 in of else len(of) for of in levels.T]
    assert level_codes(rows, "context_type").tolist() == expected
    assert {*expected} == {*range(7)}


@pytest.mark.parametrize(
    ("accepted", "asked"), [(10**9, [1_256]), (10_240, [100_256, 10_240]), (0, [100_256, 10_240])]
)
def test_more_open_files_are_asked_for_within_what_the_system_gives(monkeypatch, accepted, asked):
    """As on macOS, where the limit is called infinite, and more than 10,240 are refused."""
    tried = []

    def setrlimit(_kind, limits):
        tried.append(limits[0])
        if limits[0] > accepted:
            raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    parts._allow_open_files(asked[0] - 256)
    assert tried == asked
