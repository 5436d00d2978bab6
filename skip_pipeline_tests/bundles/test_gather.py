"""Opened bundles: what indexing gives, and that nothing but what is asked for is gathered."""

import mmap

import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.bundles import gather, open_bundle
from skip_pipeline.bundles.gather import ARRAYS, INPUTS, Bundle
from skip_pipeline.errors import RefusedError
from skip_pipeline.storage import publish
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.stages.shard_builders import joined, same, shard, write

FIRST, SECOND, THIRD = (
    shard([10, 13, 20], seed=1),
    shard([11], seed=2),
    shard([12, 20, 10], seed=3, most_seeks=300),
)
WIDE = joined(*(made.wide()["train"] for made in (FIRST, SECOND, THIRD)))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    """Seven training sessions in three parts."""
    folder = tmp_path_factory.mktemp("bundles")
    write(folder, a=FIRST, b=SECOND, c=THIRD)
    return open_bundle(folder, "train")


INDICES = {
    "one": 4,
    "one, as numpy has it": np.int64(4),
    "one from the end": -1,
    "a slice across parts": slice(1, 5),
    "a slice with a step": slice(None, None, 3),
    "a slice backwards": slice(5, 1, -2),
    "an empty slice": slice(3, 3),
    "a slice beyond the end": slice(5, 99),
    "everything": slice(None),
    "a list": [6, 0, 3],
    "repetitions in any order": np.array([6, 0, 0, 4, 3, 6]),
    "small unsigned integers": np.array([6, 0], np.uint8),
    "negative ones": np.array([-7, -1, 2]),
    "none": [],
    "a mask": np.array([True, False, False, True, True, False, True]),
    "a mask of nothing": np.zeros(7, bool),
    "dots": ...,
}


def test_part_of_a_bundle_keeps_the_groups_of_its_tracks(bundle):
    groups = np.arange(80, dtype=np.int32).reshape(40, 2)
    grouped = Bundle(bundle._tracks, bundle.parts, groups)
    some = np.arange(bundle.sessions) < 2
    for part in (grouped.of_sessions(some), grouped.joined(bundle), grouped.of_shards(set())):
        assert part.groups is groups


def test_chosen_sessions_of_joined_splits_are_a_bundle_of_their_own(bundle):
    chosen = np.array(
        [True, False, False, True, False, False, True, False, True, True, False, False, False, True]
    )
    twice = joined(WIDE, WIDE)

    assert same(bundle.joined(bundle).of_sessions(chosen), {n: twice[n][chosen] for n in ARRAYS})
    assert bundle.of_sessions(np.zeros(7, bool)).sessions == 0


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES)
@pytest.mark.parametrize("name", ARRAYS)
def test_an_index_on_the_first_axis_gives_what_numpy_would(bundle, name, index):
    found, expected = bundle[name][index], WIDE[name][index]
    assert np.shape(found) == np.shape(expected)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    "index",
    [
        np.s_[:, -1, 0],
        np.s_[2, -1, 0],
        np.s_[1:5, :, 0],
        np.s_[[6, 0], 3:, :],
        np.s_[WIDE["not_skipped"] == 1, -1],
        np.s_[..., 0],
    ],
)
def test_the_other_axes_are_indexed_as_well(bundle, index):
    assert np.array_equal(bundle.session_log[index], WIDE["session_log"][index])
    assert np.array_equal(bundle.skip_sequence[index], WIDE["skip_sequence"][index])


UNUSABLE = {
    "beyond the end": 7,
    "before the first": -8,
    "one of a list beyond the end": [0, 7],
    "a mask of another length": np.ones(6, bool),
    "a mask of other axes": np.ones((7, 19), bool),
    "a table of numbers": np.zeros((2, 2), int),
    "a fraction": 1.0,
    "a text": "a",
    "a boolean": True,
    "nothing": None,
    "a list on a later axis": np.s_[:, [0, 1]],
    "an axis too many": np.s_[:, 0, 0, 0],
    "beyond a later axis": np.s_[:, 19],
}


@pytest.mark.parametrize("index", UNUSABLE.values(), ids=UNUSABLE)
def test_an_index_that_selects_no_sessions_is_refused(bundle, index):
    with pytest.raises(IndexError):
        bundle.session_log[index]


@pytest.mark.parametrize("name", INPUTS)
def test_shape_and_dtype_are_known_without_gathering(bundle, name, monkeypatch):
    monkeypatch.setattr(Bundle, "_steps", lambda *_: pytest.fail("gathered"))
    assert bundle[name].shape == WIDE[name].shape
    assert bundle[name].dtype == np.float32
    assert len(bundle[name]) == 7


def test_only_the_sessions_asked_for_are_gathered(bundle, monkeypatch):
    asked = []
    steps = Bundle._steps

    def asking(self, chosen):
        asked.extend(chosen)
        return steps(self, chosen)

    monkeypatch.setattr(Bundle, "_steps", asking)
    _ = bundle.session_log[3], bundle.last_track[5:]
    assert asked == [3, 5, 6]


def test_many_sessions_are_decoded_some_at_a_time(bundle, monkeypatch):
    monkeypatch.setattr(gather, "_AT_ONCE", 2)
    assert same(bundle, WIDE)
    assert np.array_equal(list(bundle.last_track), WIDE["last_track"])


def test_numpy_takes_it_for_an_array(bundle):
    assert np.array_equal(np.asarray(bundle.last_track, dtype=np.float64), WIDE["last_track"].astype(float))
    assert np.array_equal(np.ones((7, 1), np.float32) * bundle.last_track, WIDE["last_track"])
    assert np.array_equal(np.concatenate([bundle.session_id, ["z"]]), [*WIDE["session_id"], "z"])
    with pytest.raises(ValueError, match="last_track is not in memory"):
        np.asarray(bundle.last_track, copy=False)


def test_what_is_gathered_is_the_callers_own(bundle):
    bundle.last_track[:][:] = 3
    bundle.batch([0])["session_log"][:] = 3
    assert same(bundle, WIDE)


def test_a_batch_has_all_inputs_and_the_label_of_the_same_sessions(bundle):
    batch = bundle.batch(np.array([6, 0, 3, 6]), INPUTS)
    assert list(batch) == [*INPUTS, "not_skipped", "last_flags"]
    for name, array in batch.items():
        assert array.dtype == np.float32
        assert np.array_equal(array, WIDE[name][[6, 0, 3, 6]])


def test_a_batch_of_no_sessions(bundle):
    assert {name: array.shape for name, array in bundle.batch([]).items()} == {
        **{name: (0, *shape) for name, shape in schema.BRANCH_SHAPES.items()},
        "not_skipped": (0,),
        "last_flags": (0, 3),
    }


def test_a_bundle_gives_its_arrays_by_name_and_as_attributes(bundle):
    assert list(bundle) == list(ARRAYS)
    assert all(bundle[name] is getattr(bundle, name) for name in bundle)
    assert len(bundle) == len(schema.INPUT_SHAPES) - 1 + 3  # the memory of tracks is not in a bundle
    assert "sessions" not in bundle
    assert bundle.sessions == 7
    assert type(bundle.not_skipped) is type(bundle.last_flags) is np.ndarray


def test_the_files_are_mapped_and_read_only(bundle):
    for part in bundle.parts:
        for array in (part.sessions, part.rows, part.ids):
            assert not array.flags.writeable
            assert isinstance(owner(array), mmap.mmap)


def owner(array):
    """Whoever holds an array's memory."""
    while isinstance(array, np.ndarray):
        array = array.base
    return array


def test_the_sessions_of_some_shards(bundle):
    some = bundle.of_shards({"a", "c"})
    assert same(some, joined(FIRST.wide()["train"], THIRD.wide()["train"]))
    assert bundle.of_shards(None) is bundle
    assert bundle.of_shards(()).batch(slice(None))["session_log"].shape == (0, 19, 35)


def test_a_folder_may_be_given_as_text(tmp_path):
    write(tmp_path, log=FIRST)
    assert open_bundle(str(tmp_path), "train").sessions == 3


def test_an_unknown_split_is_refused_with_those_there_are(tmp_path):
    message = refusal(RefusedError, lambda: open_bundle(tmp_path, "holdout"))
    assert_says(message, "no split 'holdout'", "choose one of train, validation, gate, test")


def test_a_manifest_opens_its_own_generation_though_another_was_published_since(tmp_path):
    earlier, later = (shard([10, 11, 12, 13], list(schema.SPLITS), seed=seed) for seed in (1, 2))
    manifests = []
    for made in (earlier, later):
        with publish(tmp_path, stage="tensor_bundles", data_source="real") as staging:
            write(staging.folder, log=made)
        manifests.append(staging.manifest)

    assert same(open_bundle(manifests[0], "train"), earlier.wide()["train"])
    assert same(open_bundle(tmp_path, "train"), later.wide()["train"])
