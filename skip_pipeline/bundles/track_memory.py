"""What the training sessions did with each track: its appeal, its plays and its company.

- Appeal: how much more often than expected the track is played to its end, in log-odds. A logistic regression
  on the session's other outcomes gives the expectation. Each track adds one effect with a normal prior, whose
  variance a method of moments estimates, so that effects vanish where tracks do not differ. Where artists and
  albums are known, the prior's mean is the effect of the track's album, the mean of whose prior is the effect
  of its artist: a track with few plays or none has nearly the appeal of its album, an album likewise.
- Plays: log(1 + training sessions' plays).
- Company: coordinates of the track by the tracks it occurs with, from the singular vectors of the matrix of
  sessions and tracks; no outcome is read. A direction shrinks by the square of the largest singular value of
  a shuffled matrix over its own, to 0 where chance explains it (parallel analysis: Horn, Psychometrika 30,
  1965).

A training session gets appeal and plays from the sessions of other folds, so that its own outcomes are not
among its inputs; the expectation and the variance, eight numbers in all, are fitted on every session. A
session's fold is the sum of its track numbers, modulo the number of folds. A track that no training session
played has zeros, but for the appeal of its album or artist. Values are float16: 196 bytes a track.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import svds
from scipy.special import expit

from skip_pipeline import schema
from skip_pipeline.bundles.parts import Find, open_array
from skip_pipeline.errors import ContractError, TrainingError
from skip_pipeline.storage import write_array

FOLDS: Final = 5
COMPANY: Final = schema.TRACK_MEMORY - 2
"""Coordinates of a track's company. On one real listener 8, 16 and 32 differed by 0.002 in log-loss. Of
70,000 synthetic sessions, 16, 48 and 96 gave log-losses of 0.554, 0.550 and 0.542 on second halves; of 7,000
sessions they differed by 0.001, because most directions are shrunk to 0."""

MEMORY_FILES: Final = ("track_memory.npy", "track_memory_folds.npy")
"""Files of ``TrackMemory.values``, which is served, and of ``without_fold``, for training sessions."""

_LEAST_VARIANCE: Final = 1e-3  # of appeals
_NEWTON_STEPS: Final = 4
_ROWS_OF_REGRESSION: Final = 200_000  # at most, to fit six coefficients
_SESSIONS_OF_COMPANY: Final = 200_000  # at most, evenly spread over the split
_SHRINKAGE: Final = 10.0
"""Sessions added to each track's number in the matrix, so that rare tracks stay near 0. On one real listener,
10 gave a log-loss of 0.3462 over all tracks, 2 gave 0.3479, and no company 0.3505."""
_CLIP: Final = 4.0  # of coordinates, whose usual length is 1
_TOLERANCE: Final = 0.01
"""Of singular values. The vectors are those of full precision to three digits, in a quarter of the time:
2.1 s in place of 8.3 for 70,000 sessions."""

_SESSIONS_AT_ONCE: Final = 16_384
_ARRAYS: Final = ("track_numbers", "skip_sequence", schema.LABEL)


class _Rows(NamedTuple):
    """Every track of some sessions."""

    session: np.ndarray  # int64 (rows,), number within the part
    fold: np.ndarray  # int64 (rows,)
    track: np.ndarray  # int64 (rows,)
    played: np.ndarray  # float64 (rows,)
    reasons: np.ndarray  # float64 (rows, 6), what the expectation depends on


@dataclass(frozen=True)
class TrackMemory:
    """The memory of all tracks."""

    values: np.ndarray  # float16 (tracks, TRACK_MEMORY): appeal, plays, company
    without_fold: np.ndarray  # float16 (FOLDS, tracks, 2): appeal and plays without the sessions of a fold

    @classmethod
    def fit(cls, training: Mapping[str, Any], tracks: int, groups: np.ndarray | None = None) -> TrackMemory:
        """Fit on every track of the training sessions; memory is bounded by the number of tracks.

        Args:
            training: ``track_numbers`` (n, 20), ``skip_sequence`` and the label.
            tracks: number of tracks; numbers of tracks are below it.
            groups: numbers of each track's artist and album, int (tracks, 2), where they are known.

        Raises:
            TrainingError: all tracks have the same outcome, or there is none.
        """
        expectation = _fit_expectation(training)
        parents = _parents(groups)
        variances = _variances(training, expectation, tracks, parents)
        appeals = np.zeros((FOLDS + 1, tracks))  # without the sessions of each fold, then of all sessions
        for _ in range(_NEWTON_STEPS):
            gradient, curvature, plays = _sums(training, expectation, appeals)
            means = _means(gradient + curvature * appeals, curvature, variances, parents)
            appeals += (gradient - (appeals - means) / variances[0]) / (curvature + 1.0 / variances[0])
        *without_fold, of_all = np.stack([appeals, np.log1p(plays)], axis=2).astype(np.float16)
        company = _company(training, tracks).astype(np.float16)
        return cls(np.column_stack([of_all, company]), np.stack(without_fold))

    def of(self, numbers: np.ndarray, *, training: bool = False) -> np.ndarray:
        """Memory of some tracks, float32 (m, 20, TRACK_MEMORY), zeros for negative numbers.

        Args:
            numbers: of tracks, (m, 20).
            training: whether the memory was fitted on these sessions.
        """
        rows = np.maximum(numbers, 0).astype(np.int64)
        memory: np.ndarray = self.values[rows].astype(np.float32)
        if training:
            memory[:, :, :2] = self.without_fold[_fold(numbers)[:, None], rows]
        memory[numbers < 0] = 0.0
        return memory


def write_memory(folder: Path, memory: TrackMemory) -> None:
    """Write the two arrays of a memory."""
    for name, array in zip(MEMORY_FILES, (memory.values, memory.without_fold), strict=True):
        write_array(folder / name, array)


def read_memory(find: Find, tracks: int) -> TrackMemory:
    """Map a memory's arrays, which must be of so many tracks.

    Args:
        find: gives the file of a plain name.
        tracks: number of tracks.

    Raises:
        MissingInputError: a file is not there.
        ContractError: a file is not readable, or of other tracks.
    """
    shapes = (tracks, schema.TRACK_MEMORY), (FOLDS, tracks, 2)
    paths = [find(name) for name in MEMORY_FILES]
    return TrackMemory(*(open_memory(path, shape) for path, shape in zip(paths, shapes, strict=True)))


def open_memory(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Map one array of a memory; raises as ``read_memory``."""
    array = open_array(path, made_by="trained_model")
    if array.dtype != np.float16 or array.shape != shape:
        raise ContractError(
            f"{path} is {array.dtype} {array.shape}, expected float16 {shape}; it is of another table of "
            "tracks or of another version. Materialize trained_model again"
        )
    return array


class Remembered(Mapping[str, Any]):
    """A split with ``track_memory``, float32 (n, 20, TRACK_MEMORY), which is looked up when indexed."""

    def __init__(self, split: Mapping[str, Any], memory: TrackMemory, *, training: bool = False) -> None:
        """Join a split and a memory; ``training`` if the memory was fitted on this split."""
        self.split, self.memory, self.training = split, memory, training

    def __getitem__(self, name: str) -> Any:
        return _Lookup(self) if name == "track_memory" else self.split[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*self.split, "track_memory"))

    def __len__(self) -> int:
        return len(self.split) + 1

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """Memory of the tracks (m, 20) of some sessions of the split."""
        return self.memory.of(numbers, training=self.training)


class _Lookup:
    """``track_memory`` of a split, by sessions."""

    def __init__(self, remembered: Remembered) -> None:
        self._remembered = remembered
        self.shape = (len(remembered.split[schema.LABEL]), *schema.INPUT_SHAPES["track_memory"])

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, index: Any) -> np.ndarray:
        return self._remembered.of(np.asarray(self._remembered.split["track_numbers"][index]))


def remember(splits: Mapping[str, Any], memory: TrackMemory) -> dict[str, Remembered]:
    """Each split with the memory that was fitted on the training split."""
    return {name: Remembered(split, memory, training=name == "train") for name, split in splits.items()}


def _fit_expectation(training: Mapping[str, Any]) -> np.ndarray:
    """Coefficients of the reasons, then the intercept: float64 (7,)."""
    from sklearn.linear_model import LogisticRegression  # here, because serving only reads a memory

    for rows in _rows(training, _ROWS_OF_REGRESSION // schema.MAX_SESSION_LENGTH):
        if 0.0 < rows.played.mean() < 1.0:
            fitted = LogisticRegression().fit(rows.reasons, rows.played)
            return np.append(fitted.coef_[0], fitted.intercept_)
    raise TrainingError(
        "no track of the training sessions was played to its end, or none was skipped; expected both. "
        "Deliver more sessions"
    )


def _rows(training: Mapping[str, Any], at_once: int = _SESSIONS_AT_ONCE) -> Iterator[_Rows]:
    """Every track of every session, by parts."""
    for start in range(0, len(training[schema.LABEL]), at_once):
        numbers, outcomes, label = (np.asarray(training[name][start : start + at_once]) for name in _ARRAYS)
        outcomes = np.column_stack([outcomes[:, :, 0], label])  # (m, 20)
        real = outcomes != schema.SKIP_PADDING
        sign = np.where(real, 2.0 * outcomes - 1.0, 0.0)
        count = real.sum(axis=1, keepdims=True)
        others = (sign.sum(axis=1, keepdims=True) - sign) / np.maximum(count - 1, 1)
        one_ago, two_ago = (np.pad(sign, ((0, 0), (lag, 0)))[:, : sign.shape[1]] for lag in (1, 2))
        position = np.cumsum(real, axis=1)
        last = position == count
        reasons = [others, one_ago, two_ago, position == 1, last, last & (count < schema.MAX_SESSION_LENGTH)]
        session = np.nonzero(real)[0]
        yield _Rows(
            session,
            _fold(numbers)[session],
            numbers[real].astype(np.int64),
            outcomes[real].astype(np.float64),
            np.stack(reasons, axis=2)[real].astype(np.float64),
        )


def _fold(numbers: np.ndarray) -> np.ndarray:
    """Fold of each session, int64 (m,), from the numbers of its tracks (m, 20)."""
    return np.asarray(numbers.astype(np.int64).sum(axis=1) % FOLDS)


def _residual(rows: _Rows, expectation: np.ndarray, appeal: Any) -> tuple[np.ndarray, np.ndarray]:
    """Outcome less its probability, and the outcome's variance: (rows,) each."""
    p = expit(rows.reasons @ expectation[:-1] + expectation[-1] + appeal)
    return rows.played - p, p * (1.0 - p)


def _parents(groups: np.ndarray | None) -> list[np.ndarray]:
    """The album of each track, then the artist of each album, numbered without gaps; none without groups."""
    if groups is None:
        return []
    albums, album = np.unique(groups, axis=0, return_inverse=True)  # two artists share no album
    return [album, np.unique(albums[:, 0], return_inverse=True)[1]]


def _variances(
    training: Mapping[str, Any], expectation: np.ndarray, tracks: int, parents: list[np.ndarray]
) -> list[float]:
    """Variance of each level's effects around the level above: of tracks, then of albums and of artists.

    Products of residuals of two tracks of one album estimate what these share, the variances of album and
    artist together; those of two albums of an artist that of the artist, those of one track all three.
    """
    units = [np.arange(tracks)]
    for parent in parents:
        units.append(parent[units[-1]])
    products = [_products(training, expectation, unit) for unit in units]
    variances: list[float] = []
    for own, below in zip(reversed(products), [*reversed(products[:-1]), np.zeros(2)], strict=True):
        shared, weight = own - below
        beyond = float(shared / weight) - sum(variances) if weight > 0 else 0.0
        variances.append(max(beyond, _LEAST_VARIANCE))
    return variances[::-1]


def _products(training: Mapping[str, Any], expectation: np.ndarray, unit: np.ndarray) -> np.ndarray:
    """Products of a unit's residuals in two sessions, whose noise is independent, and weights: sums (2,).

    Their ratio is the variance of what a unit's residuals share. The logistic curve is taken as straight, so
    that large variances are underestimated: 1.0 as 0.6.

    Args:
        training: see ``TrackMemory.fit``.
        expectation: ``_fit_expectation``.
        unit: of each track, int (tracks,): the track itself, or a group.
    """
    units = int(unit.max(initial=-1)) + 1
    total = np.zeros((2, units))
    within = np.zeros(2)
    for rows in _rows(training):
        of_row = unit[rows.track]
        pairs, pair_of = np.unique(rows.session * units + of_row, return_inverse=True)
        for i, values in enumerate(_residual(rows, expectation, 0.0)):
            total[i] += np.bincount(of_row, values, units)
            within[i] += np.square(np.bincount(pair_of, values, len(pairs))).sum()
    return np.asarray(np.square(total).sum(axis=1) - within)


def _means(
    information: np.ndarray, precision: np.ndarray, variances: list[float], parents: list[np.ndarray]
) -> np.ndarray | float:
    """Mean of the prior of each unit: the effect of its group, given all data; 0 where there are no groups.

    Given the effect of its group, a unit is normal, so the group's effect has a closed form (belief
    propagation on a tree).

    Args:
        information: float64 (FOLDS + 1, units), ``precision`` times the effect that the unit's data favour.
        precision: of that effect, likewise.
        variances: of the units around their groups, of these around theirs, and so on.
        parents: group of each unit, then of each group, and so on.
    """
    if not parents:
        return 0.0
    kept = 1.0 / (1.0 + precision * variances[0])
    summed, precisions = (
        np.stack([np.bincount(parents[0], of_fold) for of_fold in values])
        for values in (information * kept, precision * kept)
    )
    means = _means(summed, precisions, variances[1:], parents[1:])
    effects = (summed + means / variances[1]) / (precisions + 1.0 / variances[1])
    return np.asarray(effects[:, parents[0]])


def _sums(training: Mapping[str, Any], expectation: np.ndarray, appeals: np.ndarray) -> np.ndarray:
    """Gradient and curvature of the log-likelihood by appeal, and plays: (3, FOLDS + 1, tracks).

    Row f of ``appeals`` (FOLDS + 1, tracks) and of the sums is without the sessions of fold f.
    """
    sums = np.zeros((3, *appeals.shape))
    for rows in _rows(training):
        for fold, appeal in enumerate(appeals):
            others = rows.fold != fold
            for i, values in enumerate((*_residual(rows, expectation, appeal[rows.track]), None)):
                sums[i, fold] += np.bincount(
                    rows.track, others if values is None else values * others, len(appeal)
                )
    return sums


def _company(training: Mapping[str, Any], tracks: int) -> np.ndarray:
    """Coordinates of each track by the tracks that it occurs with: float64 (tracks, COMPANY)."""
    from threadpoolctl import threadpool_limits  # here, because serving only reads a memory

    company = np.zeros((tracks, COMPANY))
    n = len(training[schema.LABEL])
    chosen = np.unique(np.linspace(0, n - 1, min(n, _SESSIONS_OF_COMPANY)).astype(np.int64))
    numbers = np.asarray(training["track_numbers"][chosen]).astype(np.int64)
    session, place = np.nonzero(numbers >= 0)
    pairs = np.unique(np.column_stack([session, numbers[session, place]]), axis=0)
    played, number_of, sessions_of = np.unique(pairs[:, 1], return_inverse=True, return_counts=True)
    repeated = np.flatnonzero(sessions_of >= 2)  # a track of one session has no company beyond it
    if len(repeated) <= COMPANY + 1 or len(chosen) <= COMPANY + 1:
        return company
    renumbered = np.full(len(played), -1)
    renumbered[repeated] = np.arange(len(repeated))
    kept = renumbered[number_of] >= 0
    session, track = pairs[kept, 0], renumbered[number_of[kept]]
    weight = 1.0 / np.sqrt(sessions_of[repeated] + _SHRINKAGE)
    shuffled = np.random.default_rng(0).permutation(track)
    with threadpool_limits(1, user_api="blas"):  # several threads wait for one another on such thin matrices
        values, vectors = _spectrum(session, track, weight, len(chosen), COMPANY + 1)
        (_, by_chance), _ = _spectrum(session, shuffled, weight, len(chosen), 2)
    # The first vector is the number of sessions, which plays give already.
    coordinates = vectors[:, 1:] * weight[:, None]
    usual = np.sqrt(sessions_of[repeated] @ np.square(coordinates) / sessions_of[repeated].sum())
    ratio = np.divide(by_chance, values[1:], out=np.ones(COMPANY), where=values[1:] > by_chance)
    coordinates *= (1.0 - ratio**2) / usual
    company[played[repeated]] = np.clip(coordinates, -_CLIP, _CLIP)
    return company


def _spectrum(
    session: np.ndarray, track: np.ndarray, weight: np.ndarray, sessions: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The largest singular values (count,) and their vectors (tracks, count) of the weighted matrix."""
    share = 1.0 / np.sqrt(np.bincount(session, minlength=sessions))[session]
    matrix = sp.csr_matrix((share * weight[track], (session, track)), (sessions, len(weight)))
    start = np.random.default_rng(0).standard_normal(min(matrix.shape))  # equal data give equal vectors
    _, values, vectors = svds(matrix, k=count, v0=start, tol=_TOLERANCE)
    order = np.argsort(-values)
    vectors = vectors[order].T
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(count)])
    return values[order], vectors * signs
