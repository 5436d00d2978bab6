"""The published figures: typed, named, and in agreement with one another."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest

from benchmarks.world_figures.comparison import DESIGN_EFFECTS, TOLERANCES
from skip_pipeline import schema
from skip_pipeline.world.published import Group, cell, extra_levels, figures, pair

STORED: dict[str, Any] = json.loads(
    resources.files("skip_pipeline.world").joinpath("published.json").read_text(encoding="utf-8")
)


def values(name: str) -> dict[str, float]:
    return {key: figure.value for key, figure in figures()[name].figures.items()}


def test_counts_of_a_known_total_are_given_as_shares() -> None:
    skip_flags = figures()["skip_flags"]
    assert skip_flags["skip_1"] == 70_762 / 167_880
    assert skip_flags.figures["skip_1"].rows == 167_880


def test_a_total_may_be_one_for_each_figure() -> None:
    remote = figures()["not_skipped_by_level"].figures["hist_user_behavior_reason_start_remote"]
    assert (remote.value, remote.rows) == (15 / 136, 136)


def test_a_table_names_its_figures_by_row_and_column() -> None:
    described = figures()["features_per_track"]
    assert described.is_table
    assert described[cell("danceability", "75%")] == 0.736241
    assert len(described.figures) == 28 * 7


def test_a_table_takes_rows_by_its_row_and_likeness_by_its_column() -> None:
    by_context = figures()["flags_by_context_type"]
    shuffle = by_context.figures["charts / hist_user_behavior_is_shuffle"]
    switch = by_context.figures["charts / context_switch"]
    assert (shuffle.rows, shuffle.alikeness) == (2441, "constant")
    assert (switch.rows, switch.alikeness) == (2441, "actions")


@pytest.mark.parametrize(("name", "columns"), [("correlations_of_rows", 63), ("correlations_of_tracks", 28)])
def test_a_matrix_gives_every_pair_once(name: str, columns: int) -> None:
    group = figures()[name]
    assert len(group.figures) == columns * (columns - 1) // 2
    assert not group.is_table


def test_a_pair_has_one_name_whatever_the_order() -> None:
    tracks = figures()["correlations_of_tracks"]
    assert tracks[pair("energy", "acousticness")] == tracks[pair("acousticness", "energy")] == -0.585


@pytest.mark.parametrize("group", [g for g in STORED["groups"] if "matrix" in g], ids=lambda g: g["name"])
def test_a_stored_matrix_is_symmetric_with_ones_on_its_diagonal(group: dict[str, Any]) -> None:
    rows = group["matrix"]["rows"]
    assert [list(column) for column in zip(*rows, strict=True)] == rows
    assert {rows[i][i] for i in range(len(rows))} == {1.0}


def test_the_spread_of_a_figure_is_the_standard_deviation_of_its_row() -> None:
    assert figures()["features_per_track"].figures["key / min"].spread == 3.597578


def test_the_spread_may_come_from_another_group() -> None:
    assert figures()["loudness_of_rows"].figures["loudness / 0.1%"].spread == 3.164024


def test_every_figure_in_spreads_has_one() -> None:
    of_spreads = [group for group in figures().values() if group.kind == "spread"]
    assert of_spreads
    assert all(figure.spread for group in of_spreads for figure in group.figures.values())


@pytest.mark.parametrize("group", figures().values(), ids=lambda group: group.name)
def test_a_group_says_what_it_is_and_where_it_comes_from(group: Group) -> None:
    assert group.kind in TOLERANCES
    assert group.scope in STORED["about"]["scope"]
    assert group.how in STORED["about"]["how"]
    assert all(figure.alikeness in DESIGN_EFFECTS for figure in group.figures.values())
    assert group.sources
    assert all(source.repo.count("/") == 1 and source.file for source in group.sources)
    assert group.title
    assert group.figures


def test_what_is_judged_is_the_mini_set() -> None:
    assert {group.scope for group in figures().values() if group.judged} == {"mini", "mini_filtered"}


def test_figures_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        figures()["skip_flags"].figures["skip_1"] = 0  # type: ignore[index]


def test_extra_levels_are_levels_that_the_mini_set_lacks() -> None:
    assert set(extra_levels()) == {"hist_user_behavior_reason_start", "hist_user_behavior_reason_end"}
    for column, levels in extra_levels().items():
        assert not set(levels) & set(schema.LEVELS[column])


@pytest.mark.parametrize(
    "name",
    [
        "sessions_by_length",
        "rows_by_length",
        "rows_by_position",
        "context_type",
        "hist_user_behavior_reason_start",
        "hist_user_behavior_reason_end",
        "premium_by_session",
        "mode_of_rows",
        "hours",
        "hour_bands",
        "dates",
        "skip_2_pairs",
        "skip_flags_joint",
        "key_of_rows",
        "time_signature_of_rows",
        "clusters",
        "full_sessions_by_length",
        "full_mode",
    ],
)
def test_shares_of_a_whole_make_it_up(name: str) -> None:
    assert sum(values(name).values()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", ["context_type", "hist_user_behavior_reason_start"])
def test_published_levels_are_those_of_the_schema(name: str) -> None:
    assert set(values(name)) == set(schema.LEVELS[name])


@pytest.mark.parametrize(
    ("rates", "weights"),
    [
        ("skip_2_by_position", "rows_by_position"),
        ("skip_2_by_hour", "hours"),
        ("skip_2_by_context_type", "context_type"),
    ],
)
def test_published_skip_rates_average_to_the_published_share(rates: str, weights: str) -> None:
    shares = values(weights)
    average = sum(rate * shares[key] for key, rate in values(rates).items())
    assert average == pytest.approx(figures()["skip_flags"]["skip_2"], abs=1e-5)


@pytest.mark.parametrize("feature", ["danceability", "energy", "valence"])
def test_means_by_band_of_hours_average_to_the_mean_over_all_rows(feature: str) -> None:
    bands = values("hour_bands")
    average = sum(figures()["features_by_hour_band"][cell(feature, band)] * bands[band] for band in bands)
    assert average == pytest.approx(figures()["features_per_row"][cell(feature, "mean")], abs=1e-6)
