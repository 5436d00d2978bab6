"""The catalogue: tracks with correlated features, and how often each is played.

A Gaussian copula: the ranks of correlated normal scores give each feature its published distribution.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skip_pipeline.schema import LEVELS, TRACK_FEATURES, TRACK_ID
from skip_pipeline.world import track_constants as constants
from skip_pipeline.world.arrays import FloatArray, IntArray
from skip_pipeline.world.randomness import apportion, uuid_strings
from skip_pipeline.world.track_model import track_model


@dataclass(frozen=True)
class Catalogue:
    """All tracks of a world, in ascending release year."""

    table: pa.Table  # (tracks, 30) in the order and dtypes of schema.TRACK_FEATURES
    styles: FloatArray  # (tracks, 6), styles_of(table)
    play_rank: IntArray  # (tracks,), a permutation; 0 is the track that is played most

    @property
    def ids(self) -> pa.Array:
        """Text ids in table order, string (tracks,)."""
        return self.table.column(TRACK_ID).combine_chunks()


def draw_catalogue(rng: np.random.Generator, tracks: int) -> Catalogue:
    """Draw ``tracks`` tracks.

    Within a band of play rank, a feature is its published quantile function at the rank of its score, where
    each track counts by its plays. So the distributions per track and per log row are the published ones,
    whatever features the few most played tracks get.
    """
    features, loadings = track_model()
    # Tracks are in the order of their plays here; the table has another order.
    ends = [int(share * tracks) for share in constants.BAND_ENDS]  # in a small catalogue some bands are empty
    bands = [slice(first, last) for first, last in pairwise([0, *ends])]
    plays = 1.0 + (constants.PLAYS_PER_TRACK - 1.0) * tracks * _play_shares(tracks)
    scores = rng.standard_normal((len(features), tracks))
    for band, factor in zip(bands, loadings, strict=True):
        scores[:, band] = factor @ scores[:, band]
    scores[:, : len(constants.TOP_TRACK_PLAYS)] *= constants.TOP_TRACK_SPREAD
    place = rng.random(tracks)
    place[: bands[-1].start] = 0.5  # the middle of its part, for tracks with many plays
    values: dict[str, npt.NDArray[np.float32]] = {}
    for (name, feature), score in zip(features.items(), scores, strict=True):
        exact = np.empty(tracks)
        for number, band in enumerate(bands):
            order = np.argsort(score[band])  # scores never tie, so any sort gives the same order
            part = plays[band][order]
            level = (np.cumsum(part) - part * place[band]) / part.sum()  # ascending
            exact[band][order] = feature.at(number, level)
        values[name] = _as_published(rng, name, exact).astype(np.float32)
    shuffled = rng.permutation(tracks)
    play_rank = shuffled[np.argsort(values["release_year"][shuffled], kind="stable")]
    arrays = {name: pa.array(column[play_rank]) for name, column in values.items()}
    arrays["mode"] = pa.array(LEVELS["mode"]).take(arrays["mode"].cast(pa.int8()))
    arrays[TRACK_ID] = uuid_strings(rng, tracks, prefix="t_")
    columns = [arrays[field.name].cast(field.type) for field in TRACK_FEATURES]
    table = pa.Table.from_arrays(columns, schema=TRACK_FEATURES)
    return Catalogue(table=table, styles=styles_of(table), play_rank=play_rank)


def styles_of(table: pa.Table) -> FloatArray:
    """Styles of tracks: a fixed linear function of each track's features.

    A feature is standardised by its published mean and standard deviation and clipped to ``STYLE_LIMIT``
    deviations, so that outliers do not dominate a style.

    Returns:
        (tracks, 6): beat, organic against electronic, vocal and loud, old against recent, energy, mellow
        timbre; over many tracks uncorrelated, of mean 0 and variance 1.
    """
    styles = np.tile(-np.array(constants.STYLE_OFFSETS), (table.num_rows, 1))
    for name, weights in constants.STYLE_WEIGHTS.items():
        mean, deviation = constants.MEAN_AND_DEVIATION[name]
        standard = (table.column(name).to_numpy().astype(np.float64) - mean) / deviation
        # Column by column: a matrix product may round differently on another machine.
        styles += np.outer(np.clip(standard, -constants.STYLE_LIMIT, constants.STYLE_LIMIT), weights)
    return np.asarray(styles, dtype=np.float64)


def play_counts(play_rank: IntArray, rows: int) -> IntArray:
    """Log rows of each track, (tracks,), of sum ``rows``.

    At ``PLAYS_PER_TRACK`` rows per track, as in the published mini set, every track is played at least once;
    with more rows, proportionally more often, so that popular tracks keep their share of the rows. With fewer
    rows than tracks, only the most played tracks are played.
    """
    tracks = len(play_rank)
    each = rows / (constants.PLAYS_PER_TRACK * tracks)
    if each < 1.0:
        each = float(rows >= tracks)
    by_rank = apportion(rows, each + (rows - each * tracks) * _play_shares(tracks))
    return by_rank[play_rank]


def _play_shares(tracks: int) -> FloatArray:
    """Share of each rank in the plays beyond the first of every track: (tracks,), of sum 1."""
    rank = np.arange(1, tracks + 1, dtype=np.float64)
    weights = (rank + constants.PLAY_RANK_OFFSET) ** -constants.PLAY_RANK_EXPONENT
    weights *= np.exp(-rank / (constants.PLAY_RANK_DECAY * tracks))
    top = np.array(constants.TOP_TRACK_PLAYS, dtype=np.float64) - 1.0
    if tracks >= len(top):
        weights *= top[-1] / weights[len(top) - 1]  # the law continues the published counts
        weights[: len(top)] = top
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _as_published(rng: np.random.Generator, name: str, exact: FloatArray) -> FloatArray:
    """Round values as the published ones are, so that they have as many distinct values."""
    if name == "loudness":
        return np.round(exact, 3)
    if name == "mechanism":
        return np.round(exact * constants.MECHANISM_STEPS) / constants.MECHANISM_STEPS
    if name == "duration":
        framed = rng.random(len(exact)) < constants.FRAMED_SHARE
        frames = np.round(exact * constants.FRAMES_PER_SECOND) / constants.FRAMES_PER_SECOND
        return np.where(framed, frames, np.round(exact, 3))
    if name == "tempo":
        steady = rng.random(len(exact)) < constants.STEADY_SHARE
        whole = np.round(exact)
        nearer = whole + constants.STEADY_SPREAD * (exact - whole)
        return np.asarray(np.round(np.where(steady, nearer, exact), 3), dtype=np.float64)
    return exact
