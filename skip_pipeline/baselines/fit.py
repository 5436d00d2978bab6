"""Fitting of the four baselines and their predictions: the scores that a network has to beat.

    majority                the share of training sessions whose last track was played to its end
    last_outcome            the same share among sessions whose track before was played, or skipped
    logistic_regression     on hand-made features of the whole history (``baselines.features``)
    gradient_boosted_trees  on the same features and the regression's log-odds (``baselines.predictors``)

They are fitted to training sessions; validation sessions decide the number of trees.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from skip_pipeline import schema
from skip_pipeline.baselines.features import feature_names, handmade_features, training_examples
from skip_pipeline.baselines.predictions import PREDICTED, BaselinePredictions
from skip_pipeline.baselines.predictors import (
    REGRESSION,
    TREES,
    coefficients,
    fit_boosted_trees,
    fit_regression,
)
from skip_pipeline.errors import TrainingError
from skip_pipeline.metrics.scores import need_both_outcomes
from skip_pipeline.networks.listening import in_parts
from skip_pipeline.networks.tastes import Tastes
from skip_pipeline.settings import BASELINE_SEED, BASELINE_SESSIONS

Split = Mapping[str, Any]
"""The arrays of a ``Bundle`` by name, or the bundle itself."""


def fit_baselines(
    bundles: Mapping[str, Split], *, seed: int = BASELINE_SEED, most_sessions: int = BASELINE_SESSIONS
) -> tuple[BaselinePredictions, ...]:
    """Fit all baselines and predict, in the order of ``schema.BASELINES``.

    Equal bundles and seeds give equal probabilities. Memory holds all labels and at most ``most_sessions``
    training sessions; predictions are made for 4,096 sessions at a time.

    Args:
        bundles: every split of ``schema.SPLITS``.
        seed: of the draw of training sessions, and of the trees' bins.
        most_sessions: training sessions that regression and trees are fitted to at most, drawn at random; of
            validation sessions, the trees use at most a fifth as many.

    Raises:
        TrainingError: a split has no session, training or validation sessions have one outcome, or there are
            fewer training sessions than features.
    """
    for split in schema.SPLITS:
        labels = np.asarray(bundles[split][schema.LABEL])
        if len(labels) == 0:
            raise TrainingError(f"the {split} split holds no session, expected some; deliver more sessions")
        if split != "test":
            need_both_outcomes(labels, f"the {split} split")
    return (_majority(bundles), _last_outcome(bundles), *_models(bundles, seed, most_sessions))


# --- Rules --------------------------------------------------------------------------------------------


def _majority(bundles: Mapping[str, Split]) -> BaselinePredictions:
    started = time.perf_counter()
    labels = np.asarray(bundles["train"][schema.LABEL])
    share = float(labels.mean(dtype=np.float64))
    return BaselinePredictions(
        "majority",
        {split: np.full(len(bundles[split][schema.LABEL]), share) for split in PREDICTED},
        seconds=time.perf_counter() - started,
        parameters=1,
        sessions=len(labels),
        settings={"p_not_skipped": share},
    )


def _last_outcome(bundles: Mapping[str, Split]) -> BaselinePredictions:
    """An outcome that never comes before the last track of training sessions gets the share of all."""
    started = time.perf_counter()
    labels = np.asarray(bundles["train"][schema.LABEL], np.float64)
    before = _outcomes_before(bundles["train"])
    skipped, played = (
        float(labels[before == outcome].mean() if (before == outcome).any() else labels.mean())
        for outcome in (0, 1)
    )
    return BaselinePredictions(
        "last_outcome",
        {split: np.where(_outcomes_before(bundles[split]) == 1, played, skipped) for split in PREDICTED},
        seconds=time.perf_counter() - started,
        parameters=2,
        sessions=len(labels),
        settings={"p_not_skipped_after_skipped": skipped, "p_not_skipped_after_played": played},
    )


def _outcomes_before(split: Split) -> np.ndarray:
    """Outcome of the track before the predicted one, float32 (n,): the last step, padding is in front."""
    return np.concatenate([part["skip_sequence"][:, -1, 0] for part in in_parts(split, ("skip_sequence",))])


# --- Models -------------------------------------------------------------------------------------------


def _models(
    bundles: Mapping[str, Split], seed: int, most_sessions: int
) -> tuple[BaselinePredictions, BaselinePredictions]:
    """Regression and trees, which share their features."""
    started = time.perf_counter()
    sample = _sample(bundles["train"], most_sessions, seed)
    sessions = len(sample[schema.LABEL])
    tastes = Tastes.fit(sample)
    training = training_examples(sample, tastes)
    features = feature_names(tastes)
    if sessions < len(features):
        raise TrainingError(
            f"{sessions} training sessions for {len(features)} hand-made features, expected at least as many "
            "sessions as features; deliver more sessions"
        )
    del sample
    regression = fit_regression(training)
    by_regression = time.perf_counter() - started

    validation = training_examples(_sample(bundles["validation"], max(most_sessions // 5, 1), seed), tastes)
    trees = fit_boosted_trees(training, validation, regression, seed=seed)
    by_trees = time.perf_counter() - started
    del training, validation

    started = time.perf_counter()
    predicted: tuple[dict[str, np.ndarray], dict[str, np.ndarray]] = ({}, {})
    for split in PREDICTED:
        rows = (handmade_features(part, tastes)[0] for part in in_parts(bundles[split]))
        answers = [
            (regression.predict_proba(part)[:, 1].astype(np.float64), trees.p_not_skipped(part))
            for part in rows
        ]
        for of_model, p in zip(predicted, zip(*answers, strict=True), strict=True):
            of_model[split] = np.concatenate(p)
    predicting = time.perf_counter() - started
    limits = {"seed": seed, "most_sessions": most_sessions}
    return (
        BaselinePredictions(
            "logistic_regression",
            predicted[0],
            seconds=by_regression + predicting,
            parameters=coefficients(regression),
            sessions=sessions,
            settings={**REGRESSION, **limits},
            features=features,
        ),
        BaselinePredictions(
            "gradient_boosted_trees",
            predicted[1],
            seconds=by_trees + predicting,
            parameters=trees.parameters,
            sessions=sessions,
            settings={**TREES, **limits, "trees": trees.size},
            features=(*(features[column] for column in trees.columns), "log_odds_of_logistic_regression"),
        ),
    )


def _sample(split: Split, most: int, seed: int) -> dict[str, np.ndarray]:
    """At most so many sessions of a split, drawn at random, in the split's order, in memory."""
    n = len(split[schema.LABEL])
    chosen: Any = slice(None)
    if n > most:
        chosen = np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
    return {name: np.asarray(split[name][chosen]) for name in (*schema.BRANCH_SHAPES, schema.LABEL)}
