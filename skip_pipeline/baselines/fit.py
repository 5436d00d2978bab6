"""Fitting of the four baselines and their predictions: the scores that a network has to beat.

    majority                the share of training tracks that were played to their end
    last_outcome            the same share among tracks after one that was played, or skipped, or after none
    logistic_regression     on hand-made features of what was known before a track (``baselines.features``)
    gradient_boosted_trees  on the same features and the regression's log-odds

They are fitted to training sessions; validation sessions decide the number of trees. Both models learn from
every track of a session and answer for each. The rules learn shares for the last track and for every track
separately.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from skip_pipeline import schema
from skip_pipeline.baselines.export import Scaling, check_export, to_onnx
from skip_pipeline.baselines.features import (
    FEATURES,
    INPUTS,
    Examples,
    Standard,
    examples_of,
    feature_names,
    features_of,
)
from skip_pipeline.baselines.predictions import BaselinePredictions
from skip_pipeline.bundles.track_memory import TrackMemory, remember
from skip_pipeline.errors import TrainingError
from skip_pipeline.metrics.scores import need_both_outcomes
from skip_pipeline.networks.listening import all_played, in_parts
from skip_pipeline.settings import BASELINE_SEED, BASELINE_SESSIONS

_NUMBERS: Final = ("track_numbers",)
_ROWS_AT_ONCE: Final = 16_384  # 29 MB of features as float64

Split = Mapping[str, Any]  # the arrays of a ``Bundle`` by name, or the bundle itself

_REGRESSION: Final[Mapping[str, Any]] = {
    "C": 0.01,  # inverse of the penalty; over all tracks, ten times or a tenth changes log-loss by < 0.001
    "solver": "newton-cholesky",  # few columns and many rows: few steps, each one product of matrices
    "max_iter": 100,
}

_TREES: Final[Mapping[str, Any]] = {
    # Over all tracks, 8 to 16 leaves and rates from 0.12 to 0.2 differ by 0.0013 in log-loss at most.
    "learning_rate": 0.15,
    "max_iter": 500,  # trees at most; 40 to 110 are kept
    "max_leaf_nodes": 12,
    "min_samples_leaf": 40,
    "l2_regularization": 5.0,
    "max_bins": 63,  # 255 are slower, and log-loss is the same within 0.001
    "early_stopping": True,
    "n_iter_no_change": 7,  # trees without a better validation loss
}

_FOR_REGRESSION_ALONE: Final = tuple(f"agreement_{name}" for name in FEATURES)
"""Trees get these through the regression's log-odds: with them log-loss is the same within 0.0005."""

_TWO_VALUES: Final = ("is_last", "listener_leaves", "premium")
"""Features of two values that trees get. Without the first two, log-loss of last tracks of one real listener
is 0.003 higher. All the others take a third of the time, and their gain is below 0.0005."""


def fit_baselines(
    bundles: Mapping[str, Split],
    *,
    groups: np.ndarray | None = None,
    seed: int = BASELINE_SEED,
    most_sessions: int = BASELINE_SESSIONS,
) -> tuple[BaselinePredictions, ...]:
    """Fit all baselines and predict, in the order of ``schema.BASELINES``.

    Equal bundles and seeds give equal probabilities. Memory holds all outcomes, the memory of tracks, and the
    features of the drawn sessions.

    Args:
        bundles: train, validation, and other splits to predict; validation is predicted too.
        groups: of tracks, see ``TrackMemory.fit``.
        seed: of the draw of sessions, and of the rows from which trees make bins, if more than 200,000.
        most_sessions: training sessions that regression and trees are fitted to at most, drawn at random; of
            validation sessions, the trees use at most a fifth as many. The rules and the memory of tracks are
            fitted to all training sessions.
    """
    return fit_and_export(bundles, groups=groups, seed=seed, most_sessions=most_sessions)[0]


def fit_and_export(
    bundles: Mapping[str, Split],
    *,
    groups: np.ndarray | None = None,
    seed: int = BASELINE_SEED,
    most_sessions: int = BASELINE_SESSIONS,
) -> tuple[tuple[BaselinePredictions, ...], bytes]:
    """``fit_baselines``, and regression and trees as ONNX (``baselines.export``)."""
    for split, arrays in bundles.items():
        labels = np.asarray(arrays[schema.LABEL])
        if len(labels) == 0:
            raise TrainingError(f"the {split} split holds no session, expected some; deliver more sessions")
        if split in ("train", "validation"):
            need_both_outcomes(labels, f"the {split} split")
    with threadpool_limits(1):
        models, exported = _models(bundles, groups, seed, most_sessions)
        return (*fit_rules(bundles), *models), exported


def fit_rules(bundles: Mapping[str, Split]) -> tuple[BaselinePredictions, BaselinePredictions]:
    """Fit the majority and the last outcome."""
    started = time.perf_counter()
    played = {split: all_played(arrays) for split, arrays in bundles.items()}
    after = ("p_not_skipped_after_skipped", "p_not_skipped_after_played", "p_not_skipped_of_first_track")
    return (
        _rule("majority", played, ("p_not_skipped",), lambda of: np.zeros(of.shape, np.int8), started),
        _rule("last_outcome", played, after, _outcomes_before, started),
    )


def _rule(
    name: str,
    played: Mapping[str, np.ndarray],
    groups: tuple[str, ...],
    group_of: Callable[[np.ndarray], np.ndarray],
    started: float,
) -> BaselinePredictions:
    """Share of training tracks of the same group that were played, among last tracks and among all tracks.

    Args:
        name: of the baseline.
        played: ``all_played`` of each split, float32 (n, 20).
        groups: names of the groups.
        group_of: gives each track's group, int8 (n, 20), from the same.
        started: ``time.perf_counter()`` at which reading began.
    """
    group = {split: group_of(of_split) for split, of_split in played.items()}
    predicted = [split for split in played if split != "train"]
    train, real = played["train"], ~np.isnan(played["train"])
    last = _shares(train[:, -1], group["train"][:, -1], len(groups))
    every = _shares(train[real], group["train"][real], len(groups))
    shares = dict(zip(groups, last.tolist(), strict=True))
    shares |= {f"{each}_of_every_track": float(share) for each, share in zip(groups, every, strict=True)}
    return BaselinePredictions(
        name,
        {split: last[group[split][:, -1]] for split in predicted},
        p_tracks={
            split: np.where(np.isnan(played[split]), np.nan, every[group[split]]).astype(np.float32)
            for split in predicted
        },
        seconds=time.perf_counter() - started,
        parameters=len(shares),
        sessions=len(train),
        settings=shares,
    )


def _shares(played: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """Share of tracks that were played, by group: float64 (groups,); of all tracks where a group has none."""
    count = np.bincount(group, minlength=groups)
    return np.where(count, np.bincount(group, played, groups) / np.maximum(count, 1), played.mean())


def _outcomes_before(played: np.ndarray) -> np.ndarray:
    """Outcome of the track before each, int8 (n, 20): 0 skipped, 1 played, 2 if there is none."""
    before = np.pad(played, ((0, 0), (1, 0)), constant_values=np.nan)[:, :-1]
    return np.where(np.isnan(before), 2, before).astype(np.int8)


def _tracks(bundles: Mapping[str, Split]) -> int:
    """The least number above the numbers of all tracks."""
    numbers = (
        part["track_numbers"].max() for split in bundles.values() for part in in_parts(split, _NUMBERS)
    )
    return int(max(numbers)) + 1


def _models(
    bundles: Mapping[str, Split], groups: np.ndarray | None, seed: int, most_sessions: int
) -> tuple[tuple[BaselinePredictions, BaselinePredictions], bytes]:
    """Regression and trees, which share their features, and their export.

    Trees get the regression's log-odds as a feature, so they need not approximate what is linear: on the
    default synthetic world log-loss is 0.002 lower over all tracks and 0.006 lower on last tracks, with half
    as many trees. On other data it differs by 0.0015 at most.

    One thread is used: several would sum in another order and give other trees, and wait for one another
    while other processes use their cores.
    """
    started = time.perf_counter()
    tracks = _tracks(bundles) if groups is None else len(groups)
    splits = remember(bundles, TrackMemory.fit(bundles["train"], tracks, groups))
    sample = _sample(splits["train"], most_sessions, seed)
    sessions, names = len(sample[schema.LABEL]), feature_names()
    standard = Standard.fit(sample)
    training = examples_of(sample, standard)
    del sample
    if len(training.features) < len(names):
        raise TrainingError(
            f"{len(training.features)} tracks of training sessions for {len(names)} hand-made features, "
            "expected at least as many tracks as features; deliver more sessions"
        )
    rows, scaling = training.features, Scaling.fit(training.features)
    scaling.apply(rows)  # in place, since the rows are most of the memory
    regression = LogisticRegression(**_REGRESSION).fit(rows, training.not_skipped)
    by_regression = time.perf_counter() - started
    columns = _columns_of_trees(rows, names)

    def with_log_odds(rows: np.ndarray) -> np.ndarray:
        """Rows of the trees, float32 (rows, columns + 1), from those of the regression, (rows, F)."""
        of_trees = np.empty((len(rows), len(columns) + 1), np.float32)
        np.take(rows, columns, axis=1, out=of_trees[:, :-1])
        of_trees[:, -1] = _log_odds(regression, rows)
        return of_trees

    of_trees = Examples(with_log_odds(rows), training.not_skipped)
    del training, rows
    validation = examples_of(_sample(splits["validation"], max(most_sessions // 5, 1), seed), standard)
    scaling.apply(validation.features)
    validation = Examples(with_log_odds(validation.features), validation.not_skipped)
    trees = _fit_trees(of_trees, validation, seed)
    del of_trees, validation
    by_trees = time.perf_counter() - started

    exported = to_onnx(standard, scaling, regression, columns, trees)
    started = time.perf_counter()
    p: dict[str, np.ndarray] = {}  # float64 (n, 20, 2), of regression and trees, by split; NaN in padding
    for split in (name for name in bundles if name != "train"):
        parts = []
        for part in in_parts(splits[split], (*INPUTS, schema.LABEL)):
            real = ~np.isnan(all_played(part))
            features = features_of(part, standard)[real]
            scaling.apply(rows := features.copy())
            rows = with_log_odds(rows)
            log_odds = np.column_stack([rows[:, -1], trees.decision_function(rows)])
            check_export(exported, features, log_odds)
            both = np.full((*real.shape, 2), np.nan)
            both[real] = expit(log_odds.astype(np.float64))
            parts.append(both)
        p[split] = np.concatenate(parts)
    predicting = time.perf_counter() - started
    limits = {"seed": seed, "most_sessions": most_sessions}
    leaves = sum(int(tree.get_n_leaf_nodes()) for of_one in trees._predictors for tree in of_one)
    coefficients = len(names) + 1

    def predictions(name: str, model: int, **fit: Any) -> BaselinePredictions:
        return BaselinePredictions(
            name,
            {split: both[:, -1, model] for split, both in p.items()},
            p_tracks={split: both[:, :, model].astype(np.float32) for split, both in p.items()},
            sessions=sessions,
            **fit,
        )

    made = (
        predictions(
            "logistic_regression",
            0,
            seconds=by_regression + predicting,
            parameters=coefficients,
            settings={**_REGRESSION, **limits},
            features=names,
        ),
        predictions(
            "gradient_boosted_trees",
            1,
            seconds=by_trees + predicting,
            parameters=2 * leaves - int(trees.n_iter_) + coefficients,  # thresholds and values of leaves
            settings={**_TREES, **limits, "trees": int(trees.n_iter_)},
            features=(*(names[column] for column in columns), "log_odds_of_logistic_regression"),
        ),
    )
    return made, exported


def _log_odds(regression: LogisticRegression, rows: np.ndarray) -> np.ndarray:
    """Log-odds of rows, float64 (rows,), summed in float64.

    The exported regression sums in another order. In float64 both round to the same float32, so that the
    trees, which get the log-odds as a feature, take the same branches.
    """
    weights, offset = regression.coef_[0].astype(np.float64), float(regression.intercept_[0])
    starts = range(0, max(len(rows), 1), _ROWS_AT_ONCE)
    parts = [rows[at : at + _ROWS_AT_ONCE].astype(np.float64) @ weights for at in starts]
    return np.concatenate(parts) + offset


def _columns_of_trees(features: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Indices of the features that trees get, from training rows (rows, F)."""
    lowest, highest = features.min(axis=0), features.max(axis=0)
    between = (features != lowest) & (features != highest)  # (rows, F)
    two_values = np.isin(names, _TWO_VALUES) & (lowest < highest)
    return np.flatnonzero((between.any(axis=0) | two_values) & ~np.isin(names, _FOR_REGRESSION_ALONE))


def _sample(split: Split, most: int, seed: int) -> dict[str, np.ndarray]:
    """At most so many sessions of a split, drawn at random, in the split's order, in memory."""
    n = len(split[schema.LABEL])
    chosen: Any = slice(None)
    if n > most:
        chosen = np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
    return {name: np.asarray(split[name][chosen]) for name in (*INPUTS, schema.LABEL)}


def _fit_trees(training: Examples, validation: Examples, seed: int) -> HistGradientBoostingClassifier:
    """Fit trees until the validation loss stops falling."""
    return HistGradientBoostingClassifier(**_TREES, random_state=seed).fit(
        training.features, training.not_skipped, X_val=validation.features, y_val=validation.not_skipped
    )
