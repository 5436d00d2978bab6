"""The decision with the largest average accuracy, and the order of the scores on a small world."""

from __future__ import annotations

from itertools import product

import numpy as np

from benchmarks import challenge_bound, second_half_draws
from skip_pipeline.metrics.challenge import average_accuracy
from skip_pipeline.world.extent import Extent
from skip_pipeline.world.world import World


def test_the_best_string_is_the_best_of_all_tried_one_by_one() -> None:
    rng = np.random.default_rng(0)
    # Outcomes of one session that depend on one another, so that chances alone do not decide.
    skips = (rng.standard_normal((3, 500, 1)) + 0.7 * rng.standard_normal((3, 500, 5)) + 0.1) > 0
    tried = np.array(list(product([False, True], repeat=5)))
    for session, best in enumerate(second_half_draws.best_strings(skips)):
        scores = [average_accuracy(skips[session] == string).mean() for string in tried]
        assert (best == tried[int(np.argmax(scores))]).all()


def test_knowing_the_world_beats_repeating_the_last_action() -> None:
    last, _, best = challenge_bound.measure(World(Extent(600), 800, 0), 60, "past")
    assert (last.name, best.name) == ("last action", "best possible")
    assert 0 < last.maa + 2 * last.maa_error < best.maa < 1
    assert last.fpa < best.fpa < 1
