"""Figures of the track features: over tracks, and over the rows that play them."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from benchmarks.world_figures.published import cell

QUANTILES: Final = {"25%": 0.25, "50%": 0.5, "75%": 0.75}
OUTER_LOUDNESS: Final = {"0.1%": 0.001, "99.98%": 0.9998}
"""Quantiles that Puspha22/spotify-skip-prediction, EDA-PCA.ipynb, prints."""

HOUR_BANDS: Final = {
    "early morning, 5-9": (5, 9),
    "late morning to early afternoon, 10-15": (10, 15),
    "evening, 16-19": (16, 19),
    "late evening, 20-23": (20, 23),
    "night, 0-4": (0, 4),
}
"""First and last hour of the bands of rachaelmmccue/Capstone, notebooks/data_exploration.ipynb."""

BAND_FEATURES: Final = ("danceability", "energy", "valence")

BINS: Final = 10
CLUSTERS: Final = 6
CLUSTER_STARTS: Final = 10
"""Starts of k-means, of which the best counts; scikit-learn's default when the figure was published."""

Numbers = npt.NDArray[np.float64]
Features = Mapping[str, Numbers]


def describe(features: Features) -> dict[str, float]:
    """Mean, standard deviation, extremes and quartiles of each column, as pandas' ``describe``."""
    figures = {}
    for name, values in features.items():
        quantiles = np.quantile(values, list(QUANTILES.values()))
        columns = {
            "mean": values.mean(),
            "std": values.std(ddof=1) if len(values) > 1 else 0.0,
            "min": values.min(),
            **dict(zip(QUANTILES, quantiles, strict=True)),
            "max": values.max(),
        }
        figures.update({cell(name, column): float(value) for column, value in columns.items()})
    return figures


def track_figures(
    features: Features, mode_major: npt.NDArray[np.bool_], plays: npt.NDArray[np.intp]
) -> dict[str, Mapping[str, float]]:
    """Figures that count every track once.

    Args:
        features: the 28 numeric columns of the track table, each (tracks,).
        mode_major: whether the track is in a major key, (tracks,).
        plays: rows of the log that play the track, (tracks,).
    """
    described = describe(features)
    top = np.sort(plays)[::-1][:5]
    major = float(mode_major.mean())
    return {
        "features_per_track": described,
        "full_features_per_track": described,
        "full_mode": {"major": major, "minor": 1 - major},
        "full_release_years": shares(features["release_year"]),
        "distinct_values": {name: float(len(np.unique(values))) for name, values in features.items()},
        "histograms": histograms(features),
        "clusters": cluster_sizes(features),
        "top_tracks": {str(rank): float(count) for rank, count in enumerate(top, start=1)},
    }


def row_figures(
    features: Features, played: npt.NDArray[np.intp], hours: npt.NDArray[np.integer]
) -> dict[str, Mapping[str, float]]:
    """Figures that count a track as often as it is played.

    Args:
        features: the 28 numeric columns of the track table, each (tracks,).
        played: row of the track table that each log row plays, (rows,).
        hours: hour of the day of each log row, (rows,).
    """
    outer = np.quantile(features["loudness"][played], list(OUTER_LOUDNESS.values()))
    bands = {band: (hours >= first) & (hours <= last) for band, (first, last) in HOUR_BANDS.items()}
    return {
        "features_per_row": describe({name: values[played] for name, values in features.items()}),
        "loudness_of_rows": {
            cell("loudness", column): float(value)
            for column, value in zip(OUTER_LOUDNESS, outer, strict=True)
        },
        "key_of_rows": shares(features["key"][played]),
        "time_signature_of_rows": shares(features["time_signature"][played]),
        "years_of_rows": shares(features["release_year"][played]),
        "features_by_hour_band": {
            cell(name, band): float(features[name][played[rows]].mean())
            for name in BAND_FEATURES
            for band, rows in bands.items()
            if rows.any()
        },
        "hour_bands": {band: float(rows.mean()) for band, rows in bands.items()},
    }


def shares(values: npt.NDArray[np.number]) -> dict[str, float]:
    """Share of each whole number that occurs."""
    levels, counts = np.unique(values, return_counts=True)
    return dict(zip((str(int(level)) for level in levels), (counts / len(values)).tolist(), strict=True))


def histograms(features: Features) -> dict[str, float]:
    """Shares of tracks in ten equal bins between a column's minimum and maximum."""
    figures = {}
    for name, values in features.items():
        counts, _ = np.histogram(values, bins=BINS)
        of_tracks = (counts / len(values)).tolist()
        figures.update({cell(name, f"bin {i}"): share for i, share in enumerate(of_tracks, start=1)})
    return figures


def cluster_sizes(features: Features) -> dict[str, float]:
    """Shares of tracks in six k-means clusters of the standardized acoustic vectors, largest first."""
    vectors = np.column_stack([values for name, values in features.items() if name.startswith("acoustic_")])
    if len(np.unique(vectors, axis=0)) < CLUSTERS:
        return {}
    scaled = StandardScaler().fit_transform(vectors)
    labels = KMeans(n_clusters=CLUSTERS, n_init=CLUSTER_STARTS, random_state=0).fit(scaled).labels_
    sizes = np.sort(np.bincount(labels))[::-1] / len(labels)
    return {str(rank): float(size) for rank, size in enumerate(sizes, start=1)}
