"""Fitting of the four baselines and their predictions: the scores that a network has to beat.

    majority                the share of training sessions whose last track was played to its end
    last_outcome            the same share among sessions whose track before was played, or skipped
    logistic_regression     on hand-made features of the whole history (``baselines.features``)
    gradient_boosted_trees  on the same features and the regression's log-odds

They are fitted to training sessions; validation sessions decide the number of trees. Both models learn from
every track that has enough history (``features.training_examples``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skip_pipeline import schema
from skip_pipeline.baselines.features import Examples, feature_names, handmade_features, training_examples
from skip_pipeline.baselines.predictions import PREDICTED, BaselinePredictions
from skip_pipeline.errors import TrainingError
from skip_pipeline.metrics.scores import need_both_outcomes
from skip_pipeline.networks.listening import in_parts
from skip_pipeline.networks.tastes import Tastes
from skip_pipeline.settings import BASELINE_SEED, BASELINE_SESSIONS

Split = Mapping[str, Any]  # the arrays of a ``Bundle`` by name, or the bundle itself

# Chosen on 7,000 training sessions of the synthetic world by log-loss on 28,000 others. Ten times or a tenth
# of the penalty, or half the rate with twice the patience, changes log-loss by less than 0.002.

_REGRESSION: Final[Mapping[str, Any]] = {
    "C": 0.01,  # inverse of the penalty
    "solver": "newton-cholesky",  # few columns and many rows: 4 steps, half the time of lbfgs's 43
    "max_iter": 100,
}

_TREES: Final[Mapping[str, Any]] = {
    "learning_rate": 0.15,
    "max_iter": 500,  # trees at most; about 50 are kept
    "max_leaf_nodes": 8,
    "min_samples_leaf": 40,
    "l2_regularization": 5.0,
    "early_stopping": True,
    "n_iter_no_change": 10,  # trees without a better validation loss
}


def fit_baselines(
    bundles: Mapping[str, Split], *, seed: int = BASELINE_SEED, most_sessions: int = BASELINE_SESSIONS
) -> tuple[BaselinePredictions, ...]:
    """Fit all baselines and predict, in the order of ``schema.BASELINES``.

    Equal bundles and seeds give equal probabilities. Memory holds all labels and the drawn sessions.

    Args:
        bundles: every split of ``schema.SPLITS``.
        seed: of the draw of sessions, and of the rows from which trees make bins, if more than 200,000.
        most_sessions: training sessions that regression and trees are fitted to at most, drawn at random; of
            validation sessions, the trees use at most a fifth as many.
    """
    for split in schema.SPLITS:
        labels = np.asarray(bundles[split][schema.LABEL])
        if len(labels) == 0:
            raise TrainingError(f"the {split} split holds no session, expected some; deliver more sessions")
        if split != "test":
            need_both_outcomes(labels, f"the {split} split")
    return (*fit_rules(bundles), *_models(bundles, seed, most_sessions))


def fit_rules(bundles: Mapping[str, Split]) -> tuple[BaselinePredictions, BaselinePredictions]:
    """Fit the majority and the last outcome."""
    after = ("p_not_skipped_after_skipped", "p_not_skipped_after_played")
    return (
        _rule("majority", bundles, ("p_not_skipped",), lambda split: np.zeros(len(split[schema.LABEL]), int)),
        _rule("last_outcome", bundles, after, _outcomes_before),
    )


def _rule(
    name: str, bundles: Mapping[str, Split], groups: tuple[str, ...], group_of: Callable[[Split], np.ndarray]
) -> BaselinePredictions:
    """Share of training sessions of the same group whose last track was played; of all if there is none."""
    started = time.perf_counter()
    labels, own = np.asarray(bundles["train"][schema.LABEL], np.float64), group_of(bundles["train"])
    members = [labels[own == group] for group in range(len(groups))]
    shares = [float((some if len(some) else labels).mean()) for some in members]
    return BaselinePredictions(
        name,
        {split: np.array(shares)[group_of(bundles[split])] for split in PREDICTED},
        seconds=time.perf_counter() - started,
        parameters=len(shares),
        sessions=len(labels),
        settings=dict(zip(groups, shares, strict=True)),
    )


def _outcomes_before(split: Split) -> np.ndarray:
    """Outcome of the track before the predicted one, int64 (n,): the last step, padding is in front."""
    parts = [part["skip_sequence"][:, -1, 0] for part in in_parts(split, ("skip_sequence",))]
    return np.concatenate(parts).astype(np.int64)


def _models(
    bundles: Mapping[str, Split], seed: int, most_sessions: int
) -> tuple[BaselinePredictions, BaselinePredictions]:
    """Regression and trees, which share their features.

    Trees get the regression's log-odds as a feature, so they need not approximate what is linear: on
    synthetic data log-loss is 0.003 to 0.004 lower, with fewer trees. Features of two values add nothing to
    the log-odds: leaving them out changes log-loss by less than 0.0001 and saves a third of the time.
    """
    started = time.perf_counter()
    sample = _sample(bundles["train"], most_sessions, seed)
    sessions = len(sample[schema.LABEL])
    tastes = Tastes.fit(sample)
    names = feature_names(tastes)
    if sessions < len(names):
        raise TrainingError(
            f"{sessions} training sessions for {len(names)} hand-made features, expected at least as many "
            "sessions as features; deliver more sessions"
        )
    training = training_examples(sample, tastes)
    del sample
    regression = make_pipeline(StandardScaler(), LogisticRegression(**_REGRESSION))
    regression.fit(training.features, training.not_skipped)
    by_regression = time.perf_counter() - started

    lowest, highest = training.features.min(axis=0), training.features.max(axis=0)
    between = (training.features != lowest) & (training.features != highest)  # (rows, F)
    columns = np.flatnonzero(between.any(axis=0))  # those of more than two values

    def with_log_odds(features: np.ndarray) -> np.ndarray:
        log_odds = regression.decision_function(features).astype(np.float32)
        return np.column_stack([features[:, columns], log_odds])

    validation = training_examples(_sample(bundles["validation"], max(most_sessions // 5, 1), seed), tastes)
    training, validation = (
        Examples(with_log_odds(each.features), each.not_skipped) for each in (training, validation)
    )
    trees = _fit_trees(training, validation, seed)
    by_trees = time.perf_counter() - started
    del training, validation

    started = time.perf_counter()
    p: dict[str, np.ndarray] = {}  # float64 (n, 2), of regression and trees, by split
    for split in PREDICTED:
        parts = []
        for part in in_parts(bundles[split]):
            rows = handmade_features(part, tastes)
            by_both = (regression.predict_proba(rows), trees.predict_proba(with_log_odds(rows)))
            parts.append(np.column_stack([each[:, 1] for each in by_both]))
        p[split] = np.concatenate(parts)
    predicting = time.perf_counter() - started
    limits = {"seed": seed, "most_sessions": most_sessions}
    leaves = sum(int(tree.get_n_leaf_nodes()) for of_one in trees._predictors for tree in of_one)
    coefficients = len(names) + 1
    return (
        BaselinePredictions(
            "logistic_regression",
            {split: p[split][:, 0] for split in PREDICTED},
            seconds=by_regression + predicting,
            parameters=coefficients,
            sessions=sessions,
            settings={**_REGRESSION, **limits},
            features=names,
        ),
        BaselinePredictions(
            "gradient_boosted_trees",
            {split: p[split][:, 1] for split in PREDICTED},
            seconds=by_trees + predicting,
            parameters=2 * leaves - int(trees.n_iter_) + coefficients,  # thresholds and values of leaves
            sessions=sessions,
            settings={**_TREES, **limits, "trees": int(trees.n_iter_)},
            features=(*(names[column] for column in columns), "log_odds_of_logistic_regression"),
        ),
    )


def _sample(split: Split, most: int, seed: int) -> dict[str, np.ndarray]:
    """At most so many sessions of a split, drawn at random, in the split's order, in memory."""
    n = len(split[schema.LABEL])
    chosen: Any = slice(None)
    if n > most:
        chosen = np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
    return {name: np.asarray(split[name][chosen]) for name in (*schema.BRANCH_SHAPES, schema.LABEL)}


def _fit_trees(training: Examples, validation: Examples, seed: int) -> HistGradientBoostingClassifier:
    """Fit trees until the validation loss stops falling.

    One thread is used: several would sum in another order and give other trees, and wait for one another
    while other processes use their cores.
    """
    trees = HistGradientBoostingClassifier(**_TREES, random_state=seed)
    with threadpool_limits(1, user_api="openmp"):
        return trees.fit(
            training.features, training.not_skipped, X_val=validation.features, y_val=validation.not_skipped
        )
