"""The scenarios of the simulation as properties, on fewer nights."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from benchmarks.night_scenarios import EVENT, SCENARIOS, Scenario, slow_decay
from benchmarks.nights_by_hundred import HEAD, Outcome, play, row

NAMES = [scenario.name for scenario in SCENARIOS]
NIGHTS = EVENT + 25
BREAKS = [
    name
    for name in NAMES
    if "break" in name or "the last track" in name or "bad" in name or "change" in name or "late" in name
]


@cache
def outcome(name: str) -> Outcome:
    return play(SCENARIOS[NAMES.index(name)], 0, nights=NIGHTS)


@pytest.mark.parametrize("name", NAMES)
def test_equal_models_are_refused_at_most_one_time_in_twenty(name):
    found = outcome(name)
    assert found.wrong_refusals <= found.good / 20


@pytest.mark.parametrize("rate", [0.0001, 0.0005, 0.002, 0.01])
def test_slow_decay_adds_up_to_no_more_than_the_margin(rate):
    assert play(Scenario("", slow_decay(rate)), 0).worst <= 0.01


def test_without_a_best_version_slow_decay_adds_up():
    forgetful = Scenario("", slow_decay(0.002), memory=False)
    assert play(forgetful, 0).worst > 0.02


@pytest.mark.parametrize("name", [name for name in BREAKS if "late" not in name])
def test_a_break_is_refused_at_least_nine_times_of_ten(name):
    found = outcome(name)
    assert found.wrong_promotions <= found.bad / 10


@pytest.mark.parametrize("name", BREAKS)
def test_a_good_version_serves_within_two_nights_of_the_first_good_challenger(name):
    assert outcome(name).recovery <= 2


def test_outcomes_that_arrive_late_are_noticed_late():
    found = outcome("outcomes arrive 3 days late, 3 broken nights")
    assert found.wrong_promotions == 3
    assert found.worst == pytest.approx(0.116)


def test_only_bad_days_of_all_models_are_alarms():
    for name in [name for name in NAMES if "alike" in name or "day" in name]:
        by_chance = NIGHTS / 100  # an equal champion is significantly worse than the best version
        assert ("alike" in name) <= outcome(name).alarms <= ("alike" in name) + by_chance, name


def test_a_night_is_the_same_each_time():
    equal = replace(SCENARIOS[0])
    assert play(equal, 3, nights=20) == play(equal, 3, nights=20)


def test_a_row_adds_up_repetitions():
    one = Outcome(bad=4, wrong_promotions=1, good=10, wrong_refusals=0, worst=0.012, recovery=1, alarms=2)
    cells = row(SCENARIOS[0], [one, replace(one, worst=0.002, recovery=0)]).strip("| ").split(" | ")

    assert cells == [
        *("equal models", "2 of 8 (25.0%)", "0 of 20 (0.0%)", "0.0070; 0.0120", "50.0%", "0; 1", "2.0"),
    ]
    assert len(cells) == len(HEAD)
