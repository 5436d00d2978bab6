"""The catalogue: tracks with correlated features, and how often each is played.

A track has six latent styles; its published features follow from them. Which listener likes which style is
in ``listeners.py``, which session plays which track in ``plays.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skip_pipeline.schema import LEVELS, TRACK_FEATURES, TRACK_ID
from skip_pipeline.world import track_figures as figures
from skip_pipeline.world.apportion import apportion, cumulative, draw_categories
from skip_pipeline.world.identifiers import uuid_strings

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Catalogue:
    """All tracks of a world, in ascending release year.

    Attributes:
        table: (tracks, 30) in the order and dtypes of ``schema.TRACK_FEATURES``.
        styles: float64 (tracks, 6), each of mean 0 and variance 1 over many tracks, no unit.
        play_rank: int64 (tracks,), a permutation; 0 is the track that is played most.
    """

    table: pa.Table
    styles: FloatArray
    play_rank: IntArray

    @property
    def ids(self) -> pa.Array:
        """Text ids in table order, string (tracks,)."""
        return self.table.column(TRACK_ID).combine_chunks()


def draw_catalogue(rng: np.random.Generator, tracks: int) -> Catalogue:
    """Draw ``tracks`` tracks.

    Every continuous feature is its published quantile function applied to the ranks of a score that follows
    the styles: its distribution is the published one at any size, its correlations follow the loadings.
    """
    styles = _draw_styles(rng, tracks)
    own = {name: rng.standard_normal(tracks) for name in figures.STYLE_LOADINGS}  # what no style explains
    values: dict[str, FloatArray | IntArray] = dict(_draw_discrete(rng, tracks))
    for name in figures.STYLE_LOADINGS:
        values[name] = _feature_values(name, styles, own[name])
    play_rank = _ranks(-_play_score(rng, styles, own))
    order = np.argsort(values["release_year"], kind="stable")
    arrays = {name: pa.array(column[order]) for name, column in values.items()}
    arrays["mode"] = pa.array(LEVELS["mode"]).take(arrays["mode"])
    arrays[TRACK_ID] = uuid_strings(rng, tracks, prefix="t_")
    columns = [arrays[field.name].cast(field.type, safe=False) for field in TRACK_FEATURES]
    table = pa.Table.from_arrays(columns, schema=TRACK_FEATURES)
    return Catalogue(table=table, styles=styles[order], play_rank=play_rank[order])


def play_counts(play_rank: IntArray, rows: int) -> IntArray:
    """Log rows of each track: int64 (tracks,), of sum ``rows``.

    With at least as many rows as tracks every track is played, as in the published mini set; with fewer,
    only the most played ones are.
    """
    tracks = len(play_rank)
    each = 1 if rows >= tracks else 0
    rank = np.arange(1, tracks + 1, dtype=np.float64)
    weights = (rank + figures.PLAY_RANK_OFFSET) ** -figures.PLAY_RANK_EXPONENT
    top = np.array(figures.TOP_TRACK_PLAYS, dtype=np.float64) - 1.0  # the first play comes from ``each``
    if tracks >= len(top):
        weights *= top[-1] / weights[len(top) - 1]  # so the law goes on where the published counts end
        weights[: len(top)] = top
    by_rank = each + apportion(rows - each * tracks, weights)
    return by_rank[play_rank]


def _draw_styles(rng: np.random.Generator, tracks: int) -> FloatArray:
    """Styles (tracks, 6) of covariance 1: a cloud around each genre's centre."""
    shares = np.array(figures.GENRE_SHARES) / sum(figures.GENRE_SHARES)
    contrasts = rng.standard_normal((len(shares), len(shares)))
    contrasts[:, 0] = np.sqrt(shares)
    # Columns after the first are orthogonal to sqrt(shares): divided by it, they have mean 0 and variance 1.
    centres = np.linalg.qr(contrasts)[0][:, 1:] / np.sqrt(shares)[:, None]  # (genres, genres - 1)
    directions = np.linalg.qr(rng.standard_normal((figures.STYLES, figures.STYLES)))[0][:, : len(shares) - 1]
    genre = rng.choice(len(shares), size=tracks, p=shares)
    within = rng.standard_normal((tracks, figures.STYLES))
    # Genres lie in a subspace; there the cloud is narrower, so that the sum has variance 1 everywhere.
    narrowing = 1.0 - np.sqrt(1.0 - figures.GENRE_WEIGHT)
    within -= narrowing * (within @ directions) @ directions.T
    between = np.sqrt(figures.GENRE_WEIGHT) * centres[genre] @ directions.T
    return np.asarray(within + between, dtype=np.float64)


def _feature_values(name: str, styles: FloatArray, own: FloatArray) -> FloatArray:
    loadings = np.array(figures.STYLE_LOADINGS[name])
    score = styles @ loadings + np.sqrt(1.0 - loadings @ loadings) * own
    level = (_ranks(score) + 0.5) / len(score)
    values = np.interp(level, figures.QUANTILE_LEVELS, figures.QUANTILES[name])
    if name == "release_year":
        return np.round(values)
    return np.round(values, 3) if name in figures.THOUSANDTHS else values


def _draw_discrete(rng: np.random.Generator, tracks: int) -> dict[str, IntArray]:
    signatures = np.array(list(figures.TIME_SIGNATURE_SHARES))
    shares = np.array(list(figures.TIME_SIGNATURE_SHARES.values()))
    codes = {
        "key": np.array(figures.KEY_SHARES),
        "time_signature": shares,
        "mode": np.array([figures.MAJOR_SHARE, 1.0 - figures.MAJOR_SHARE]),
    }
    drawn = {
        name: draw_categories(rng, np.broadcast_to(cumulative(weights), (tracks, len(weights))))
        for name, weights in codes.items()
    }
    drawn["time_signature"] = signatures[drawn["time_signature"]]
    return drawn


def _play_score(rng: np.random.Generator, styles: FloatArray, own: dict[str, FloatArray]) -> FloatArray:
    loadings = np.array(figures.PLAY_LOADINGS)
    year, popularity = figures.PLAY_YEAR_LOADING, figures.PLAY_POPULARITY_LOADING
    explained = styles @ loadings + year * own["release_year"] + popularity * own["us_popularity_estimate"]
    rest = 1.0 - loadings @ loadings - year**2 - popularity**2
    return np.asarray(explained + np.sqrt(rest) * rng.standard_normal(len(styles)), dtype=np.float64)


def _ranks(values: FloatArray) -> IntArray:
    """0 for the smallest value; equal values in their order."""
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return ranks
