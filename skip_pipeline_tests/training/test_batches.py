from collections.abc import Generator

import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.training.batches import Share, batches, epoch_order
from skip_pipeline_tests.tiny_bundle import tiny_bundle


@pytest.fixture(scope="module")
def numbered() -> dict[str, np.ndarray]:
    """Fifty sessions with their number as the first feature of the last track."""
    bundle = tiny_bundle(50)
    bundle["last_track"][:, 0] = np.arange(50)
    return bundle


def test_each_epoch_has_every_session_once_in_an_order_that_the_seed_decides() -> None:
    orders = [epoch_order(50, 3, 0), epoch_order(50, 3, 1), epoch_order(50, 4, 0), np.arange(50)]

    assert [sorted(order) for order in orders] == [list(range(50))] * 4
    assert len({tuple(order) for order in orders}) == 4
    assert epoch_order(50, 3, 1).tolist() == orders[1].tolist()


def test_batches_follow_the_order_and_the_last_is_smaller(numbered: dict[str, np.ndarray]) -> None:
    order = epoch_order(50, 0, 0)
    made = list(batches(numbered, 16, order=order))

    assert [len(batch.targets) for batch in made] == [16, 16, 16, 2]
    assert np.concatenate([batch.inputs["last_track"][:, 0] for batch in made]).tolist() == order.tolist()
    targets = np.concatenate([batch.targets for batch in made])
    np.testing.assert_array_equal(targets[:, -1], numbered[schema.LABEL][order])
    assert set(made[0].inputs) == set(schema.BRANCH_SHAPES)


def test_each_track_is_a_target_and_padding_counts_nothing(numbered: dict[str, np.ndarray]) -> None:
    (batch,) = batches(numbered, 50)
    outcomes = numbered["skip_sequence"][:, :, 0]
    padding = outcomes == schema.SKIP_PADDING

    assert padding.any()
    np.testing.assert_array_equal(batch.weights, np.column_stack([~padding, np.ones(50)]))
    np.testing.assert_array_equal(batch.targets[:, :-1], np.where(padding, 0, outcomes))
    assert batch.targets.dtype == batch.weights.dtype == np.float32


def test_without_an_order_sessions_keep_their_own(numbered: dict[str, np.ndarray]) -> None:
    made = list(batches(numbered, 20))
    assert np.concatenate([b.inputs["last_track"][:, 0] for b in made]).tolist() == list(range(50))


def test_shares_make_up_each_batch_and_an_empty_one_counts_nothing(numbered: dict[str, np.ndarray]) -> None:
    order = epoch_order(50, 1, 0)
    shares = [list(batches(numbered, 16, order=order, share=Share(k, 3))) for k in range(3)]

    assert [len(share) for share in shares] == [4, 4, 4]
    for number, parts in enumerate(zip(*shares, strict=True)):
        counted = np.concatenate([part.inputs["last_track"][part.weights[:, -1] == 1, 0] for part in parts])
        assert sorted(counted) == sorted(order[number * 16 : number * 16 + 16])
    assert [len(parts.weights) for parts in (share[0] for share in shares)] == [6, 5, 5]
    assert [share[3].weights[:, -1].tolist() for share in shares] == [[1], [1], [0]]
    assert not shares[2][3].weights.any()


def test_an_epoch_that_is_left_early_leaves_no_thread_at_work(numbered: dict[str, np.ndarray]) -> None:
    made = batches(numbered, 16)
    next(made)
    assert isinstance(made, Generator)
    made.close()
    assert list(made) == []


def test_no_sessions_make_no_batches(numbered: dict[str, np.ndarray]) -> None:
    assert list(batches({name: array[:0] for name, array in numbered.items()}, 16)) == []
