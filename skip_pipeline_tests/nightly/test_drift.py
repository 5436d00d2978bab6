from __future__ import annotations

import math

import numpy as np
import pytest

from skip_pipeline.errors import ContractError
from skip_pipeline.nightly.drift import find_drift, stability_index
from skip_pipeline.nightly.profile import EARLIER_OUTCOME, PREDICTED_OUTCOME, Distribution, Profile
from skip_pipeline_tests.builders import assert_says, refusal


def of(sessions: int = 100_000, **features: tuple[tuple[str, ...], list[int]]) -> Profile:
    return Profile(
        sessions,
        sessions,
        {name: Distribution(levels, np.array(counts)) for name, (levels, counts) in features.items()},
    )


def test_index_of_equal_shares_is_nothing_and_of_others_is_the_published_sum():
    assert stability_index(np.array([5, 5]), np.array([5, 5])) == 0
    before, now = np.array([9_999_999, 9_999_999]), np.array([2_499_999, 7_499_999])
    assert stability_index(before, now) == pytest.approx(0.25 * math.log(3), rel=1e-6)


def test_an_empty_bin_is_far_and_not_infinitely_far():
    assert 1 < stability_index(np.array([100, 100]), np.array([200, 0])) < 10


def test_a_moved_feature_is_named_with_what_moved():
    levels = ("catalog", "radio", "unknown")
    found = find_drift(
        of(context=(levels, [90_000, 10_000, 0]), still=(levels, [50_000, 50_000, 0])),
        of(context=(levels, [60_000, 40_000, 0]), still=(levels, [50_000, 50_000, 0])),
    )

    assert [(drift.feature, drift.alarm) for drift in found] == [("context", True), ("still", False)]
    assert found[0].change == "radio: 10.0% before, 40.0% now"


def test_few_sessions_make_no_alarm_of_what_chance_gives():
    levels = ("a", "b")
    before = of(tempo=(levels, [50_000, 50_000]))

    assert find_drift(before, of(100_000, tempo=(levels, [35_000, 65_000])))[0].limit == pytest.approx(0.1)
    few = find_drift(before, of(20, tempo=(levels, [7, 13])))[0]
    assert few.index < few.limit
    assert not few.alarm


@pytest.mark.parametrize("name", [PREDICTED_OUTCOME, EARLIER_OUTCOME])
@pytest.mark.parametrize(
    ("played", "alarm"), [(42_500, False), (41_000, True), (47_500, False), (49_000, True)]
)
def test_the_rate_of_an_outcome_may_move_by_three_points(name, played, alarm):
    levels = ("skipped", "not skipped")
    found = find_drift(
        of(**{name: (levels, [55_000, 45_000])}), of(**{name: (levels, [100_000 - played, played])})
    )

    assert found[0].alarm is alarm


def test_unknown_levels_are_an_alarm_at_one_in_a_thousand():
    levels = ("catalog", "unknown")
    before = of(context=(levels, [100_000, 0]))

    assert find_drift(before, of(context=(levels, [99_800, 200])))[0].alarm
    assert not find_drift(before, of(context=(levels, [99_950, 50])))[0].alarm


def test_alarms_come_first_then_the_largest_index_relative_to_its_limit():
    levels, outcomes = ("a", "b", "unknown"), ("skipped", "not skipped")
    before = of(
        new=(levels, [50, 50, 0]), still=(levels, [50, 50, 0]), **{PREDICTED_OUTCOME: (outcomes, [50, 50])}
    )
    now = of(
        new=(levels, [50, 50, 1]), still=(levels, [45, 55, 0]), **{PREDICTED_OUTCOME: (outcomes, [51, 49])}
    )

    assert [drift.feature for drift in find_drift(before, now)] == ["new", PREDICTED_OUTCOME, "still"]


def test_the_limit_of_chance_is_a_quantile_of_chi_squared_over_the_sessions():
    levels = ("a", "b", "c")
    found = find_drift(of(100, tempo=(levels, [1, 1, 1])), of(50, tempo=(levels, [1, 1, 1])))
    # Of 2 degrees of freedom, the quantile that is exceeded with probability q is -2 ln q.
    assert found[0].limit == pytest.approx(-2 * math.log(1e-5) * (1 / 100 + 1 / 50))


@pytest.mark.parametrize(
    ("other", "fact"),
    [(of(key=(("a",), [1])), "different features"), (of(tempo=(("b",), [1])), "tempo has other levels")],
)
def test_profiles_of_other_features_or_levels_are_refused(other, fact):
    message = refusal(ContractError, lambda: find_drift(of(tempo=(("a",), [1])), other))
    assert_says(message, fact, "train and promote a model again")
