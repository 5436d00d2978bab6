from collections.abc import Generator

import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.bundles.track_memory import TrackMemory, remember
from skip_pipeline.training.batches import Share, batches, epoch_cuts, epoch_order
from skip_pipeline.training.splits import Split, parts
from skip_pipeline_tests.networks.literal_sessions import bundle
from skip_pipeline_tests.stages.shard_builders import shard
from skip_pipeline_tests.tiny_bundle import tiny_bundle

INPUTS = tuple(schema.INPUT_SHAPES)
FOUR = tuple(schema.BRANCH_SHAPES)


@pytest.fixture(scope="module")
def numbered() -> dict[str, np.ndarray]:
    """Fifty sessions with their number as the first feature of the last track."""
    bundle = tiny_bundle(50)
    bundle["last_track"][:, 0] = np.arange(50)
    return bundle


# --- Order and shares -----------------------------------------------------------------------------------


def test_each_epoch_has_every_session_once_in_an_order_that_the_seed_decides() -> None:
    orders = [epoch_order(50, 3, 0), epoch_order(50, 3, 1), epoch_order(50, 4, 0), np.arange(50)]

    assert [sorted(order) for order in orders] == [list(range(50))] * 4
    assert len({tuple(order) for order in orders}) == 4
    assert epoch_order(50, 3, 1).tolist() == orders[1].tolist()


def test_batches_follow_the_order_and_the_last_is_smaller(numbered: dict[str, np.ndarray]) -> None:
    order = epoch_order(50, 0, 0)
    made = list(batches(numbered, 16, INPUTS, order=order))

    assert [len(batch.depths) for batch in made] == [16, 16, 16, 2]
    assert np.concatenate([batch.inputs["last_track"][:, 0] for batch in made]).tolist() == order.tolist()
    depths = np.concatenate([batch.depths for batch in made])
    np.testing.assert_array_equal(depths[:, -1] == 4, numbered[schema.LABEL][order])
    for name in INPUTS:
        given = np.concatenate([batch.inputs[name] for batch in made])
        np.testing.assert_array_equal(given, numbered[name][order])


def test_each_track_is_a_target_by_its_depth_and_padding_counts_nothing() -> None:
    (batch,) = batches(bundle(["123upp", "pu1"]), 2, FOUR)

    assert batch.depths.tolist() == [[0] * 14 + [0, 1, 2, 3, 4, 4], [0] * 17 + [4, 3, 0]]
    assert batch.weights.tolist() == [[0] * 14 + [1] * 6, [0] * 17 + [1] * 3]
    assert batch.depths.dtype == batch.weights.dtype == np.float32
    assert set(batch.inputs) == set(FOUR)


def test_without_an_order_sessions_keep_their_own(numbered: dict[str, np.ndarray]) -> None:
    made = list(batches(numbered, 20, FOUR))
    assert np.concatenate([b.inputs["last_track"][:, 0] for b in made]).tolist() == list(range(50))


def test_shares_make_up_each_batch_and_an_empty_one_counts_nothing(numbered: dict[str, np.ndarray]) -> None:
    order = epoch_order(50, 1, 0)
    shares = [list(batches(numbered, 16, FOUR, order=order, share=Share(k, 3))) for k in range(3)]

    assert [len(share) for share in shares] == [4, 4, 4]
    for number, of_batch in enumerate(zip(*shares, strict=True)):
        counted = np.concatenate([own.inputs["last_track"][own.weights[:, -1] == 1, 0] for own in of_batch])
        assert sorted(counted) == sorted(order[number * 16 : number * 16 + 16])
    assert [len(own.weights) for own in (share[0] for share in shares)] == [6, 5, 5]
    assert [share[3].weights[:, -1].tolist() for share in shares] == [[1], [1], [0]]
    assert not shares[2][3].weights.any()


def test_an_epoch_that_is_left_early_leaves_no_thread_at_work(numbered: dict[str, np.ndarray]) -> None:
    made = batches(numbered, 16, FOUR)
    next(made)
    assert isinstance(made, Generator)
    made.close()
    assert list(made) == []


def test_no_sessions_make_no_batches(numbered: dict[str, np.ndarray]) -> None:
    assert list(batches({name: array[:0] for name, array in numbered.items()}, 16, INPUTS)) == []


# --- Cuts -----------------------------------------------------------------------------------------------


def test_about_half_of_the_sessions_are_cut_anew_in_each_epoch() -> None:
    cuts = [epoch_cuts(4000, 0, epoch, 0.5) for epoch in (0, 1, 0)]

    assert (cuts[0] < 1).mean() == pytest.approx(0.5, abs=0.03)
    assert (cuts[0] != cuts[1]).mean() == pytest.approx(0.75, abs=0.03)  # all but those cut in neither
    assert (cuts[0] == cuts[2]).all()
    assert (epoch_cuts(4000, 1, 0, 0.5) != cuts[0]).mean() == pytest.approx(0.75, abs=0.03)
    assert epoch_cuts(3, 0, 0, 0.0).tolist() == [1, 1, 1]


def test_a_cut_leaves_at_least_one_track_visible_and_each_number_is_as_likely() -> None:
    """Of 5 earlier tracks, 1 to 5 stay visible, behind 14 steps of padding."""
    sessions = bundle(["ppppp1"] * 11)
    cuts = np.array([0, 0.199, 0.2, 0.399, 0.4, 0.6, 0.8, 0.999, 1.0, 1.0, 1.0])
    (batch,) = batches(sessions, 11, ("skip_sequence", "visible_steps"), cuts=cuts)
    visible = batch.inputs["visible_steps"]

    assert visible.dtype == np.float32
    assert (visible[:, 0] - 14).tolist() == [1, 1, 2, 2, 3, 4, 5, 5, 5, 5, 5]
    assert sessions["visible_steps"].tolist() == [[19]] * 11  # the split's own are as they were


def test_a_cut_goes_with_its_session_whatever_the_order_and_share(numbered: dict[str, np.ndarray]) -> None:
    order, cuts = epoch_order(50, 0, 0), epoch_cuts(50, 0, 0, 0.5)
    whole = np.empty((50, 1), np.float32)
    (in_order,) = batches(numbered, 50, INPUTS, cuts=cuts)
    for worker in range(2):
        (own,) = batches(numbered, 50, INPUTS, order=order, cuts=cuts, share=Share(worker, 2))
        whole[order[worker::2]] = own.inputs["visible_steps"]
    np.testing.assert_array_equal(whole, in_order.inputs["visible_steps"])
    assert len(np.unique(whole)) > 5


def test_a_network_that_takes_no_cuts_gets_none(numbered: dict[str, np.ndarray]) -> None:
    (batch,) = batches(numbered, 50, FOUR, cuts=np.zeros(50))
    assert set(batch.inputs) == set(FOUR)


def test_without_cuts_every_step_is_visible(numbered: dict[str, np.ndarray]) -> None:
    (batch,) = batches(numbered, 50, INPUTS)
    assert (batch.inputs["visible_steps"] == schema.STEPS).all()


# --- Bundles and memory ---------------------------------------------------------------------------------


def test_a_bundle_gives_what_its_arrays_give_with_a_memory_and_without() -> None:
    lazy = shard([10, 13, 20, 11]).bundle()
    arrays = {name: np.asarray(lazy[name]) for name in lazy}
    memory = TrackMemory.fit(lazy, lazy.tracks)
    order = np.array([2, 0, 3, 1])
    splits: list[Split] = [remember({"train": of}, memory)["train"] for of in (lazy, arrays)]
    splits.append(arrays | {"track_memory": memory.of(arrays["track_numbers"], training=True)})
    one, *others = (next(batches(split, 4, INPUTS, order=order)) for split in splits)

    for other in others:
        np.testing.assert_array_equal(one.depths, other.depths)
        assert list(one.inputs) == list(other.inputs) == list(INPUTS)
        for name in INPUTS:
            np.testing.assert_array_equal(one.inputs[name], other.inputs[name])
    (without,) = batches(lazy, 4, FOUR, order=order)
    np.testing.assert_array_equal(without.depths, one.depths)


def test_parts_follow_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skip_pipeline.training.splits.PREDICTION_BATCH_SIZE", 3)
    lazy = shard([10, 13, 20, 11]).bundle()
    found = list(parts(remember({"test": lazy}, TrackMemory.fit(lazy, lazy.tracks))["test"], INPUTS))

    assert [len(part["last_track"]) for part in found] == [3, 1]
    assert all(set(INPUTS) <= set(part) for part in found)
    memory = np.concatenate([part["track_memory"] for part in found])
    assert memory.shape == (4, 20, schema.TRACK_MEMORY)
