from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from skip_pipeline.schema import TRACK_FEATURES
from skip_pipeline.world import track_constants as constants
from skip_pipeline.world.catalogue import Catalogue, draw_catalogue, play_counts, styles_of
from skip_pipeline.world.track_model import FeatureModel

TRACKS = 3_000

Values = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return draw_catalogue(np.random.default_rng(4), TRACKS)


def _column(catalogue: Catalogue, name: str) -> Values:
    return np.asarray(catalogue.table.column(name).to_numpy(), dtype=np.float64)


# --- Plays -------------------------------------------------------------------------------------------


def test_the_most_played_tracks_of_the_mini_set_have_their_published_rows() -> None:
    counts = play_counts(np.arange(50_704), 167_880)
    assert counts[:5].tolist() == [1427, 915, 785, 730, 719]
    assert counts.sum() == 167_880
    assert counts.min() == 1
    assert (counts == 1).mean() > 0.7


def test_plays_follow_the_rank_of_each_track() -> None:
    by_rank = play_counts(np.arange(7), 100)
    assert (
        play_counts(np.array([3, 0, 6, 1, 2, 5, 4]), 100).tolist() == by_rank[[3, 0, 6, 1, 2, 5, 4]].tolist()
    )


@pytest.mark.parametrize(("tracks", "rows"), [(1, 1), (1, 20), (4, 9), (5, 5), (6, 400), (300, 301)])
def test_every_track_is_played_when_rows_suffice(tracks: int, rows: int) -> None:
    counts = play_counts(np.arange(tracks), rows)
    assert counts.sum() == rows
    assert counts.min() >= 1


def test_with_fewer_rows_than_tracks_only_the_first_ranks_are_played() -> None:
    counts = play_counts(np.arange(1000), 30)
    assert counts.sum() == 30
    played = np.flatnonzero(counts)
    assert played.tolist() == list(range(len(played)))


# --- The table -----------------------------------------------------------------------------------------


def test_table_has_the_published_columns_and_ascending_years(catalogue: Catalogue) -> None:
    assert catalogue.table.schema.equals(TRACK_FEATURES)
    assert catalogue.table.num_rows == TRACKS
    assert (np.diff(_column(catalogue, "release_year")) >= 0).all()
    assert len(set(catalogue.ids.to_pylist())) == TRACKS


def test_levels_are_the_published_ones(catalogue: Catalogue) -> None:
    assert set(_column(catalogue, "key")) == set(range(12))
    assert set(_column(catalogue, "time_signature")) <= {0, 1, 3, 4, 5}
    assert set(_column(catalogue, "release_year")) <= set(range(1950, 2019))
    assert set(catalogue.table.column("mode").to_pylist()) == {"major", "minor"}


def test_loudness_and_tempo_have_three_decimals_and_durations_are_frames(catalogue: Catalogue) -> None:
    for name in ("loudness", "tempo"):
        values = _column(catalogue, name)
        assert np.abs(values - np.round(values, 3)).max() < 1e-5
    frames = _column(catalogue, "duration") * 75
    assert (np.abs(frames - np.round(frames)) < 0.002).mean() == pytest.approx(0.65, abs=0.05)


# --- Styles --------------------------------------------------------------------------------------------


def test_styles_of_a_track_do_not_depend_on_other_tracks(catalogue: Catalogue) -> None:
    assert np.array_equal(styles_of(catalogue.table.slice(700, 2)), catalogue.styles[700:702])


def _track(**changed: float) -> pa.Table:
    columns = {name: mean for name, (mean, _) in constants.MEAN_AND_DEVIATION.items()} | changed
    return pa.table({name: [value] for name, value in columns.items()})


def test_an_average_track_has_only_the_offsets() -> None:
    assert styles_of(_track())[0] == pytest.approx([-offset for offset in constants.STYLE_OFFSETS])


def test_a_feature_moves_the_styles_by_its_weights_but_an_outlier_no_further() -> None:
    mean, deviation = constants.MEAN_AND_DEVIATION["loudness"]
    moved = [
        styles_of(_track(loudness=mean + steps * deviation))[0] - styles_of(_track())[0]
        for steps in (1.0, -3.0, -13.0)
    ]
    weights = np.array(constants.STYLE_WEIGHTS["loudness"])
    assert moved[0] == pytest.approx(weights)
    assert moved[1] == pytest.approx(-3.0 * weights)
    assert moved[2] == pytest.approx(moved[1])


# --- Distributions ---------------------------------------------------------------------------------------


def test_levels_between_two_values_are_interpolated() -> None:
    feature = FeatureModel(
        values=np.array([0.0, 10.0, 30.0]),
        cumulative=np.array([[0.0, 0.5, 1.0], [0.0, 0.1, 1.0]]),
        stepped=False,
    )
    assert feature.at(0, np.array([0.0, 0.25, 0.5, 0.75, 1.0])).tolist() == [0, 5, 10, 20, 30]
    assert feature.at(1, np.array([0.05, 0.55])) == pytest.approx([5, 20])


def test_stepped_features_take_their_levels_only() -> None:
    feature = FeatureModel(
        values=np.array([0.0, 3.0, 4.0]), cumulative=np.array([[0.2, 0.2, 1.0]]), stepped=True
    )
    assert feature.at(0, np.array([0.0, 0.19, 0.2, 0.9, 1.0])).tolist() == [0, 0, 4, 4, 4]


# --- Sizes and seeds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("tracks", [1, 2, 3, 7, 30])
def test_small_catalogues_are_complete(tracks: int) -> None:
    drawn = draw_catalogue(np.random.default_rng(0), tracks)
    assert drawn.table.num_rows == tracks
    assert sorted(drawn.play_rank.tolist()) == list(range(tracks))
    assert np.isfinite(drawn.styles).all()
    for name in TRACK_FEATURES.names:
        assert drawn.table.column(name).null_count == 0
    for name in constants.MEAN_AND_DEVIATION:
        assert np.isfinite(_column(drawn, name)).all()
