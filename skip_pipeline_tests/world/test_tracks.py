from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from skip_pipeline.schema import TRACK_FEATURES
from skip_pipeline.world import track_figures as figures
from skip_pipeline.world.tracks import Catalogue, draw_catalogue, play_counts, styles_of

TRACKS = 12_000
ROWS = 39_731  # published rows per track

Values = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return draw_catalogue(np.random.default_rng(4), TRACKS)


def _column(catalogue: Catalogue, name: str) -> Values:
    return catalogue.table.column(name).to_numpy().astype(np.float64)


def _on_rows(catalogue: Catalogue, values: Values) -> Values:
    return np.repeat(values, play_counts(catalogue.play_rank, ROWS))


# --- Plays -------------------------------------------------------------------------------------------


def test_the_most_played_tracks_of_the_mini_set_have_their_published_rows() -> None:
    counts = play_counts(np.arange(50_704), 167_880)
    assert counts[:5].tolist() == [1427, 915, 785, 730, 719]
    assert counts.sum() == 167_880
    assert counts.min() == 1
    assert (counts == 1).mean() > 0.7


def test_plays_fall_with_the_rank() -> None:
    counts = play_counts(np.arange(TRACKS), ROWS)
    assert (np.diff(counts) <= 0).all()


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


def test_play_rank_is_a_permutation_that_the_table_order_does_not_give_away(catalogue: Catalogue) -> None:
    assert sorted(catalogue.play_rank.tolist()) == list(range(TRACKS))
    latest = catalogue.play_rank[_column(catalogue, "release_year") == 2018]
    assert abs(np.corrcoef(latest, np.arange(len(latest)))[0, 1]) < 0.08


def test_levels_are_the_published_ones(catalogue: Catalogue) -> None:
    assert set(_column(catalogue, "key")) == set(range(12))
    assert set(_column(catalogue, "time_signature")) <= {0, 1, 3, 4, 5}
    assert set(_column(catalogue, "release_year")) <= set(range(1950, 2019))
    assert set(catalogue.table.column("mode").to_pylist()) == {"major", "minor"}


@pytest.mark.parametrize(
    ("feature", "mean", "deviation", "quartiles"),
    [
        ("duration", 222.268, 72.225, (183.933, 214.867, 250.427)),
        ("us_popularity_estimate", 99.4551, 1.1392, (99.5097, 99.8654, 99.9611)),
        ("danceability", 0.6117, 0.1661, (0.5025, 0.6251, 0.7362)),
        ("instrumentalness", 0.0706, 0.2142, (1.08e-8, 2.21e-6, 7.65e-4)),
        ("loudness", -7.5193, 3.9279, (-8.942, -6.688, -5.043)),
        ("acoustic_vector_0", -0.3323, 0.4163, (-0.7451, -0.3348, 0.0459)),
        ("release_year", 2010.325, 11.472, (2009, 2015, 2017)),
        ("key", 5.2691, 3.5976, (2, 5, 8)),
    ],
)
def test_feature_is_distributed_over_tracks_as_published(
    catalogue: Catalogue, feature: str, mean: float, deviation: float, quartiles: tuple[float, float, float]
) -> None:
    values = _column(catalogue, feature)
    assert values.mean() == pytest.approx(mean, abs=0.05 * deviation)
    assert values.std() == pytest.approx(deviation, rel=0.05)
    assert np.quantile(values, [0.25, 0.5, 0.75]) == pytest.approx(quartiles, abs=0.05 * deviation)


@pytest.mark.parametrize(
    ("feature", "mean", "deviation", "quartiles"),
    [
        ("duration", 215.893, 60.224, (183.503, 212.027, 240.800)),
        ("us_popularity_estimate", 99.7446, 0.8928, (99.9138, 99.9888, 99.9987)),
        ("danceability", 0.6690, 0.1595, (0.5624, 0.6874, 0.7866)),
        ("instrumentalness", 0.0317, 0.1427, (3.7e-9, 5.2e-7, 9.8e-5)),
        ("loudness", -7.0498, 3.1640, (-8.232, -6.506, -5.083)),
        ("acoustic_vector_0", -0.5163, 0.3855, (-0.8416, -0.6587, -0.2031)),
        ("acoustic_vector_3", -0.0164, 0.2664, (-0.1705, 0.0441, 0.1344)),
    ],
)
def test_feature_is_distributed_over_log_rows_as_published(
    catalogue: Catalogue, feature: str, mean: float, deviation: float, quartiles: tuple[float, float, float]
) -> None:
    values = _on_rows(catalogue, _column(catalogue, feature))
    # In a catalogue of this size the most played tracks are a larger part of the rows than in the mini set.
    assert values.mean() == pytest.approx(mean, abs=0.1 * deviation)
    assert values.std() == pytest.approx(deviation, rel=0.1)
    assert np.quantile(values, [0.25, 0.5, 0.75]) == pytest.approx(quartiles, abs=0.1 * deviation)


@pytest.mark.parametrize(
    ("feature", "level", "share"),
    [
        ("release_year", 2018, 0.3962),
        ("release_year", 2017, 0.1990),
        ("key", 1, 0.1546),
        ("key", 3, 0.0239),
        ("time_signature", 4, 0.9358),
    ],
)
def test_levels_have_the_published_share_of_log_rows(
    catalogue: Catalogue, feature: str, level: int, share: float
) -> None:
    assert (_on_rows(catalogue, _column(catalogue, feature)) == level).mean() == pytest.approx(
        share, abs=0.02
    )


def test_most_rows_are_in_a_major_mode(catalogue: Catalogue) -> None:
    major = np.array(catalogue.table.column("mode").to_pylist()) == "major"
    assert _on_rows(catalogue, major.astype(np.float64)).mean() == pytest.approx(0.6139, abs=0.02)


@pytest.mark.parametrize(
    ("one", "other", "per_track", "per_row"),
    [
        ("beat_strength", "bounciness", 0.969, 0.966),
        ("mechanism", "organism", -0.860, -0.864),
        ("energy", "loudness", 0.721, 0.696),
        ("beat_strength", "valence", 0.393, 0.201),
        ("acoustic_vector_5", "acoustic_vector_6", -0.168, 0.048),
        ("acoustic_vector_3", "acoustic_vector_6", 0.458, 0.267),
    ],
)
def test_features_correlate_as_published(
    catalogue: Catalogue, one: str, other: str, per_track: float, per_row: float
) -> None:
    values = _column(catalogue, one), _column(catalogue, other)
    assert np.corrcoef(*values)[0, 1] == pytest.approx(per_track, abs=0.05)
    on_rows = [_on_rows(catalogue, feature) for feature in values]
    assert np.corrcoef(on_rows)[0, 1] == pytest.approx(per_row, abs=0.1)


def test_loudness_and_tempo_have_three_decimals_and_durations_repeat(catalogue: Catalogue) -> None:
    for name in ("loudness", "tempo"):
        values = _column(catalogue, name)
        assert np.abs(values - np.round(values, 3)).max() < 1e-5
    frames = _column(catalogue, "duration") * 75
    assert (np.abs(frames - np.round(frames)) < 0.002).mean() == pytest.approx(0.65, abs=0.05)
    assert len(np.unique(_column(catalogue, "duration"))) < 0.95 * TRACKS


# --- Styles --------------------------------------------------------------------------------------------


def test_styles_follow_from_the_table_alone(catalogue: Catalogue) -> None:
    assert np.array_equal(catalogue.styles, styles_of(catalogue.table))
    assert catalogue.styles.shape == (TRACKS, figures.STYLES)


def test_styles_of_a_track_do_not_depend_on_other_tracks(catalogue: Catalogue) -> None:
    assert np.array_equal(styles_of(catalogue.table.slice(700, 2)), catalogue.styles[700:702])


def test_styles_are_standardised_and_uncorrelated_over_tracks(catalogue: Catalogue) -> None:
    assert np.abs(catalogue.styles.mean(axis=0)).max() < 0.05
    assert np.abs(np.cov(catalogue.styles.T) - np.eye(figures.STYLES)).max() < 0.05


@pytest.mark.parametrize(
    ("style", "feature", "sign"),
    [
        (0, "beat_strength", 1),
        (1, "organism", 1),
        (1, "mechanism", -1),
        (2, "loudness", 1),
        (2, "instrumentalness", -1),
        (3, "release_year", -1),
        (4, "energy", 1),
        (5, "acoustic_vector_6", 1),
    ],
)
def test_styles_mean_what_their_names_say(catalogue: Catalogue, style: int, feature: str, sign: int) -> None:
    correlation = np.corrcoef(catalogue.styles[:, style], _column(catalogue, feature))[0, 1]
    assert sign * correlation > 0.5


def _track(**changed: float) -> pa.Table:
    columns = {name: mean for name, (mean, _) in figures.MEAN_AND_DEVIATION.items()} | changed
    return pa.table({name: [value] for name, value in columns.items()})


def test_an_average_track_has_only_the_offsets() -> None:
    assert styles_of(_track())[0] == pytest.approx([-offset for offset in figures.STYLE_OFFSETS])


def test_a_feature_moves_the_styles_by_its_weights_but_an_outlier_no_further() -> None:
    mean, deviation = figures.MEAN_AND_DEVIATION["loudness"]
    moved = [
        styles_of(_track(loudness=mean + steps * deviation))[0] - styles_of(_track())[0]
        for steps in (1.0, -3.0, -13.0)
    ]
    weights = np.array(figures.STYLE_WEIGHTS["loudness"])
    assert moved[0] == pytest.approx(weights)
    assert moved[1] == pytest.approx(-3.0 * weights)
    assert moved[2] == pytest.approx(moved[1])


# --- Sizes and seeds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("tracks", [1, 2, 3, 7, 30])
def test_small_catalogues_are_complete(tracks: int) -> None:
    drawn = draw_catalogue(np.random.default_rng(0), tracks)
    assert drawn.table.num_rows == tracks
    assert sorted(drawn.play_rank.tolist()) == list(range(tracks))
    assert np.isfinite(drawn.styles).all()
    for name in TRACK_FEATURES.names:
        assert drawn.table.column(name).null_count == 0
    for name in figures.MEAN_AND_DEVIATION:
        assert np.isfinite(_column(drawn, name)).all()


def test_a_seed_gives_one_catalogue_and_another_seed_another() -> None:
    first, again, other = (draw_catalogue(np.random.default_rng(seed), 50) for seed in (1, 1, 2))
    assert first.table.equals(again.table)
    assert np.array_equal(first.play_rank, again.play_rank)
    assert not first.table.drop(["track_id"]).equals(other.table.drop(["track_id"]))
    assert not np.array_equal(first.play_rank, other.play_rank)
