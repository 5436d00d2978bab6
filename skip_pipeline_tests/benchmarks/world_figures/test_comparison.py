"""Judging figures: what passes at the tolerance, what fails beyond it, and the reasons given."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any

import pytest

from benchmarks.world_figures import deviations
from benchmarks.world_figures.comparison import (
    Comparison,
    Record,
    compare,
    judge,
    sampling_error,
)
from benchmarks.world_figures.deviations import DEVIATIONS, Deviation
from benchmarks.world_figures.published import Figure, Group, Kind, figures


def group(kind: Kind, *, judged: bool = True, name: str = "g") -> Group:
    return Group(name, "A group", kind, judged, "mini", "printed", (), "", MappingProxyType({}))


def perfect() -> dict[str, dict[str, float]]:
    return {name: {key: figure.value for key, figure in of.figures.items()} for name, of in figures().items()}


@pytest.mark.parametrize(
    ("kind", "published", "world_at_tolerance", "spread"),
    [
        ("exact", 10_000.0, 10_000.0, None),
        ("share", 0.50, 0.51, None),
        ("conditional_share", 0.30, 0.28, None),
        ("sequence", 0.72, 0.74, None),
        ("spread", 222.0, 225.5, 70.0),  # 5% of 70
        ("correlation", -0.25, -0.35, None),
        ("count", 60.0, 66.0, None),
    ],
)
def test_a_figure_passes_at_its_tolerance_and_fails_beyond(
    kind: Kind, published: float, world_at_tolerance: float, spread: float | None
) -> None:
    figure = Figure("k", published, spread=spread)
    step = 1e-6 if world_at_tolerance >= published else -1e-6
    assert judge(group(kind), figure, world_at_tolerance).passed
    assert judge(group(kind), figure, world_at_tolerance + step).passed is False


def test_a_figure_the_world_does_not_have_fails() -> None:
    record = judge(group("correlation"), Figure("k", 0.0), None)
    assert record.passed is False
    assert math.isinf(record.difference)
    assert record.reason == ""


def test_what_is_not_judged_neither_passes_nor_fails() -> None:
    record = judge(group("share", judged=False), Figure("k", 0.2), 0.9)
    assert record.passed is None
    assert record.reason == ""


def test_few_rows_explain_a_failure() -> None:
    # 96 rows and 4 added, a share of one half: 2 sqrt(0.25 / 100) = 0.1.
    figure = Figure("k", 0.5, rows=96)
    assert sampling_error(figure) == pytest.approx(0.1)
    assert judge(group("conditional_share"), figure, 0.6).reason == "96 rows: sampling error 0.100"


def test_few_rows_do_not_explain_a_difference_larger_than_two_samples_show() -> None:
    figure = Figure("k", 0.5, rows=96)
    at_most = 0.1 * math.sqrt(2)
    assert judge(group("conditional_share"), figure, 0.5 + at_most - 1e-9).reason
    assert judge(group("conditional_share"), figure, 0.5 + at_most + 1e-9).reason == ""


def test_likeness_of_rows_of_one_session_widens_the_error() -> None:
    apart, alike = Figure("k", 0.5, rows=96), Figure("k", 0.5, rows=96, alikeness="actions")
    assert sampling_error(alike) == pytest.approx(sampling_error(apart) * math.sqrt(3.7))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_none_or_all_has_an_error(share: float) -> None:
    assert sampling_error(Figure("k", share, rows=8)) == pytest.approx(2 * math.sqrt(10 / 12 * 2 / 12 / 12))


def test_a_known_deviation_gives_its_reason_but_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    known = (Deviation("g", "tempo / *", "tempo is drawn"), Deviation("*", "*", "anything"))
    monkeypatch.setattr(deviations, "DEVIATIONS", known)
    record = judge(group("count"), Figure("tempo / max", 100.0), 200.0)
    assert (record.passed, record.reason) == (False, "tempo is drawn")
    assert judge(group("count"), Figure("tempo / max", 100.0), 101.0).reason == ""
    assert judge(group("count"), Figure("key / max", 100.0), 200.0).reason == "anything"


@pytest.mark.parametrize("deviation", DEVIATIONS, ids=lambda deviation: f"{deviation.group}:{deviation.key}")
def test_a_known_deviation_is_of_a_published_figure(deviation: Deviation) -> None:
    fitting = [
        key
        for name, of in figures().items()
        for key in of.figures
        if deviations.known_reason(name, key) == deviation.reason
    ]
    assert fitting


def test_a_world_that_repeats_the_published_figures_passes_throughout() -> None:
    comparison = compare(perfect())
    assert comparison.share_passed == 1
    assert comparison.failed == ()
    assert comparison.reached


def test_a_level_that_never_occurs_has_the_share_0_but_no_rate() -> None:
    measured: dict[str, dict[str, float]] = {"dates": {"2018-07-15": 0.71}, "skip_2_by_hour": {"3": 0.5}}
    records = {(r.group, r.key): r for r in compare(measured).records}
    assert records["dates", "2018-07-14"].world == 0
    assert records["dates", "2018-07-05"].passed  # 52 of 167,880 rows
    assert records["skip_2_by_hour", "4"].world is None
    assert records["hours", "4"].world is None  # a group that was not measured


def test_shares_passed_are_given_in_total_and_by_group() -> None:
    measured = perfect()
    measured["hours"] = {str(hour): 1.0 for hour in range(24)}
    comparison = compare(measured)
    by_group = comparison.shares_passed()
    assert by_group["hours"] == 0
    assert by_group["dates"] == 1
    assert "full_years" not in by_group
    assert comparison.share_passed == 1 - 24 / len(comparison.judged)
    assert {record.group for record in comparison.failed} == {"hours"}


@pytest.mark.parametrize(("passed", "reached"), [(9, True), (8, False)])
def test_nine_tenths_have_to_pass(passed: int, reached: bool) -> None:
    assert Comparison(tuple(record(passed=i < passed) for i in range(10))).reached is reached


def record(**fields: Any) -> Record:
    defaults: dict[str, Any] = {"group": "g", "key": "k", "published": 0.0, "world": 0.0, "tolerance": 0.0}
    return Record(**(defaults | fields))
