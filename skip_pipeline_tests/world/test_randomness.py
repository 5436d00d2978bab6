"""Shares as whole numbers, categories, evenly spread draws, and ids ordered by number."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from skip_pipeline.world.randomness import (
    apportion,
    choose,
    cumulative,
    even_uniforms,
    ordered_uuid_strings,
    uuid_strings,
)

SPELLING = re.compile(r"t_[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@given(st.integers(0, 10_000), st.lists(st.floats(0.01, 100), min_size=1, max_size=12))
def test_parts_sum_to_the_whole_and_lie_within_one_of_their_quota(total: int, weights: list[float]) -> None:
    parts = apportion(total, np.array(weights))
    assert parts.sum() == total
    assert np.abs(parts - total * np.array(weights) / sum(weights)).max() < 1


def test_remainders_go_to_the_largest_then_the_first() -> None:
    assert apportion(10, np.array([1.0, 1.0, 1.0])).tolist() == [4, 3, 3]
    assert apportion(3, np.array([0.2, 0.7, 0.1])).tolist() == [1, 2, 0]


def test_categories_are_where_uniforms_fall() -> None:
    shares = cumulative(np.array([[1.0, 0.0, 3.0], [2.0, 2.0, 0.0]]))
    assert shares.tolist() == [[0.25, 0.25, 1.0], [0.5, 1.0, 1.0]]
    assert choose(shares, np.array([0.24, 0.5])).tolist() == [0, 1]
    assert choose(shares, np.array([0.25, 0.49])).tolist() == [2, 0]


@given(st.integers(1, 400), st.integers(0, 2**32 - 1), st.data())
def test_any_stretch_of_the_order_gets_every_part_of_the_range(
    count: int, seed: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    order = rng.permutation(count)
    numbers = even_uniforms(rng, order)
    assert ((numbers >= 0) & (numbers < 1)).all()
    first = data.draw(st.integers(0, count - 1))
    stretch = numbers[order[first:]]
    # The discrepancy of golden ratio multiples grows with the logarithm of their number only.
    below_half = (stretch < 0.5).sum()
    assert abs(below_half - len(stretch) / 2) <= 1 + np.log2(len(stretch) + 1) / 2


def test_ids_are_version_4_uuids_behind_a_prefix() -> None:
    ids = uuid_strings(np.random.default_rng(0), 300, prefix="t_")
    assert ids.type == pa.string()
    assert all(SPELLING.fullmatch(text) for text in ids.to_pylist())
    assert len(set(ids.to_pylist())) == 300


def test_ordered_ids_ascend_over_stretches_drawn_apart() -> None:
    stretches = [range(3), range(3, 500), range(500, 501)]
    ids = [
        ordered_uuid_strings(np.random.default_rng(i), numbers, of=501, prefix="t_").to_pylist()
        for i, numbers in enumerate(stretches)
    ]
    together = [text for part in ids for text in part]
    assert all(SPELLING.fullmatch(text) for text in together)
    assert together == sorted(together)
    assert len(set(together)) == 501
    assert (together[0][:3], together[-1][:3]) == ("t_0", "t_f")
