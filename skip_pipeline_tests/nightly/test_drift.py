from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from skip_pipeline.errors import ContractError
from skip_pipeline.nightly.drift import find_drift, stability_terms
from skip_pipeline.nightly.profile import EARLIER_OUTCOME, PREDICTED_OUTCOME, Distribution, Profile
from skip_pipeline_tests.builders import assert_says, refusal

OUTCOMES = ("skipped", "not skipped")
LEVELS = ("catalog", "radio", "unknown")


def profile(sessions: Any = 100_000, **counts: list[int]) -> Profile:
    """Of features with as many levels as counts."""
    return Profile(
        sessions,
        sessions,
        {
            name: Distribution(LEVELS if len(of) > 2 else OUTCOMES, np.array(of))
            for name, of in counts.items()
        },
    )


def test_index_of_equal_shares_is_nothing_and_of_others_is_the_published_sum():
    assert stability_terms(np.array([5, 5]), np.array([5, 5])).tolist() == [0, 0]
    before, now = np.array([9_999_999, 9_999_999]), np.array([2_499_999, 7_499_999])
    assert stability_terms(before, now).sum() == pytest.approx(0.25 * math.log(3), rel=1e-6)


def test_an_empty_bin_is_far_and_not_infinitely_far():
    assert 1 < stability_terms(np.array([100, 100]), np.array([200, 0])).sum() < 10


def test_a_moved_feature_is_named_with_what_moved():
    found = find_drift(
        profile(context=[90_000, 10_000, 0], still=[50_000, 50_000, 0]),
        profile(context=[60_000, 40_000, 0], still=[50_000, 50_000, 0]),
    )

    assert [(drift.feature, drift.alarm) for drift in found] == [("context", True), ("still", False)]
    assert found[0].change == "radio: 10.0% before, 40.0% now"


def test_few_sessions_make_no_alarm_of_what_chance_gives():
    before = profile(tempo=[50_000, 50_000])

    assert find_drift(before, profile(tempo=[35_000, 65_000]))[0].limit == pytest.approx(0.1)
    few = find_drift(before, profile(20, tempo=[7, 13]))[0]
    assert few.index < few.limit
    assert not few.alarm


@pytest.mark.parametrize("name", [PREDICTED_OUTCOME, EARLIER_OUTCOME])
@pytest.mark.parametrize(
    ("before", "now", "alarm"),
    [
        *((45_000, now, alarm) for now, alarm in ((42_500, 0), (41_000, 1), (47_500, 0), (49_000, 1))),
        *((0, now, alarm) for now, alarm in ((0, 0), (2_500, 0), (3_500, 1))),
        *((100_000, now, alarm) for now, alarm in ((100_000, 0), (97_500, 0), (96_500, 1))),
    ],
)
def test_the_rate_of_an_outcome_may_move_by_three_points(name, before, now, alarm):
    profiles = (
        Profile(100_000, 0, {name: Distribution(OUTCOMES, np.array([100_000 - k, k]))}) for k in (before, now)
    )
    (found,) = find_drift(*profiles)

    assert math.isfinite(found.limit)
    assert found.alarm is bool(alarm)


def test_unknown_levels_are_an_alarm_at_one_in_a_thousand():
    before = profile(context=[100_000, 0, 0])

    assert find_drift(before, profile(context=[99_800, 0, 200]))[0].alarm
    assert not find_drift(before, profile(context=[99_950, 0, 50]))[0].alarm


def test_alarms_come_first_then_the_largest_index_relative_to_its_limit():
    before = profile(still=[50, 50, 0], new=[50, 50, 0], **{PREDICTED_OUTCOME: [50, 50]})
    now = profile(still=[45, 55, 0], new=[500, 500, 2], **{PREDICTED_OUTCOME: [51, 49]})
    new, outcome, still = find_drift(before, now)

    assert [drift.feature for drift in (new, outcome, still)] == ["new", PREDICTED_OUTCOME, "still"]
    assert [drift.alarm for drift in (new, outcome, still)] == [True, False, False]
    assert still.index > max(new.index, outcome.index)


def test_the_limit_of_chance_is_a_quantile_of_chi_squared_over_the_sessions():
    found = find_drift(profile(100, tempo=[1, 1, 1]), profile(50, tempo=[1, 1, 1]))
    # Of 2 degrees of freedom, the quantile that is exceeded with probability q is -2 ln q.
    assert found[0].limit == pytest.approx(-2 * math.log(1e-5) * (1 / 100 + 1 / 50))


@pytest.mark.parametrize(
    ("other", "fact"),
    [({"key": [1, 1]}, "different features"), ({"tempo": [1, 1, 1]}, "tempo has other levels")],
)
def test_profiles_of_other_features_or_levels_are_refused(other, fact):
    message = refusal(ContractError, lambda: find_drift(profile(tempo=[1, 1]), profile(**other)))
    assert_says(message, fact, "train and promote a model again")


def test_a_number_that_is_not_known_any_more_is_an_alarm():
    before = Profile(10_000, 0, {"tempo": Distribution(OUTCOMES, np.array([500, 500]), np.array([1.0]))})
    levels = (*OUTCOMES, "unknown")
    now = Profile(10_000, 0, {"tempo": Distribution(levels, np.array([495, 495, 10]), np.array([1.0]))})

    (found,) = find_drift(before, now)

    assert found.alarm
    assert found.change == "unknown: 0.0% before, 1.0% now"
    assert found.reference.levels == found.observed.levels


@pytest.mark.parametrize(("now", "alarm"), [(34_000, False), (35_500, True)])
def test_a_share_of_unknown_values_may_move_by_chance(now, alarm):
    before = profile(context=[60_000, 7_000, 33_000])  # chance gives 0.9 points with so many sessions
    (found,) = find_drift(before, profile(context=[93_000 - now, 7_000, now]))
    assert found.index < found.limit
    assert found.alarm is alarm
