"""The published figures: names, shares and spreads, and that the world's constants are those figures."""

from __future__ import annotations

from benchmarks.world_figures.published import cell, extra_levels, figures, pair
from skip_pipeline.world import constants, track_constants


def values(name: str) -> dict[str, float]:
    return {key: figure.value for key, figure in figures()[name].figures.items()}


def test_the_constants_of_the_world_are_the_published_figures() -> None:
    lengths = values("sessions_by_length")
    assert {int(n): round(10_000 * share) for n, share in lengths.items()} == constants.SESSIONS_BY_LENGTH
    assert 1.0 - figures()["premium_by_session"]["no row"] == constants.PREMIUM_SHARE
    assert figures()["premium_by_session"]["some rows"] == constants.LAPSING_SHARE
    assert tuple(values("hours").values()) == constants.HOURS
    assert values("dates") == constants.DATES
    years = {int(year): share for year, share in values("full_years").items()}
    assert {year: share for year, share in years.items() if year != 2018} == constants.JUNK_YEARS
    assert figures()["seeks"]["hist_user_behavior_n_seekfwd / max"] == constants.SEEK_FORWARD_MOST
    assert figures()["seeks"]["hist_user_behavior_n_seekback / max"] == constants.SEEK_BACK_MOST
    assert constants.UNKNOWN_START in extra_levels()["hist_user_behavior_reason_start"]
    assert tuple(values("top_tracks").values()) == track_constants.TOP_TRACK_PLAYS
    features = figures()["features_per_track"]
    for name, moments in track_constants.MEAN_AND_DEVIATION.items():
        assert moments == (features[cell(name, "mean")], features[cell(name, "std")])


def test_a_total_may_be_one_for_each_figure() -> None:
    remote = figures()["not_skipped_by_level"].figures["hist_user_behavior_reason_start_remote"]
    assert (remote.value, remote.rows) == (15 / 136, 136)


def test_a_table_takes_rows_by_its_row_and_likeness_by_its_column() -> None:
    by_context = figures()["flags_by_context_type"]
    shuffle = by_context.figures["charts / hist_user_behavior_is_shuffle"]
    switch = by_context.figures["charts / context_switch"]
    assert (shuffle.rows, shuffle.alikeness) == (2441, "constant")
    assert (switch.rows, switch.alikeness) == (2441, "actions")


def test_a_pair_has_one_name_whatever_the_order() -> None:
    tracks = figures()["correlations_of_tracks"]
    assert tracks[pair("energy", "acousticness")] == tracks[pair("acousticness", "energy")] == -0.585


def test_the_spread_may_come_from_another_group() -> None:
    assert figures()["loudness_of_rows"].figures["loudness / 0.1%"].spread == 3.164024
