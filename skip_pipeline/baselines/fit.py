"""What predictors without a network say of the same sessions: the scores that a network has to beat.

    majority                the share of training sessions whose last track was played to its end
    last_outcome            the same share among sessions whose track before was played, or skipped
    logistic_regression     on hand-made features of the whole history (``baselines.features``)
    gradient_boosted_trees  on the same features and the regression's answer (``baselines.predictors``)

Everything is learnt from training sessions; validation sessions say when the trees have grown enough.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from skip_pipeline import schema
from skip_pipeline.baselines.features import feature_names, handmade_features, training_examples
from skip_pipeline.baselines.predictions import (
    PREDICTED,
    WORDS,
    BaselinePredictions,
    read_baselines,
    write_baselines,
)
from skip_pipeline.baselines.predictors import (
    REGRESSION,
    TREES,
    BoostedTrees,
    Regression,
    fit_boosted_trees,
    fit_regression,
)
from skip_pipeline.errors import TrainingError
from skip_pipeline.networks.listening import in_parts
from skip_pipeline.networks.tastes import Tastes
from skip_pipeline.settings import BASELINE_SEED, BASELINE_SESSIONS

__all__ = ["BaselinePredictions", "fit_baselines", "read_baselines", "write_baselines"]

Split = Mapping[str, Any]
"""The arrays of a ``Bundle`` by name, or the bundle itself."""


def fit_baselines(
    bundles: Mapping[str, Split], *, seed: int = BASELINE_SEED, most_sessions: int = BASELINE_SESSIONS
) -> tuple[BaselinePredictions, ...]:
    """Fit all baselines and let them predict, in the order of ``schema.BASELINES``.

    Equal bundles and seeds give equal probabilities. No more than ``most_sessions`` training sessions are in
    memory at once, beside all labels; predictions are made some thousand sessions at a time.

    Args:
        bundles: every split of ``schema.SPLITS``.
        seed: of the draw of training sessions, and of the trees' bins.
        most_sessions: training sessions that regression and trees see at most, drawn at random; of validation
            sessions, which only say when to stop, the trees see a fifth as many.

    Raises:
        TrainingError: a split has no session, training or validation sessions all end alike, or there are
            fewer training sessions than features.
    """
    for split in schema.SPLITS:
        _check_split(bundles[split], split)
    return (_majority(bundles), _last_outcome(bundles), *_models(bundles, seed, most_sessions))


def _check_split(split: Split, name: str) -> None:
    labels = np.asarray(split[schema.LABEL])
    played = int(np.count_nonzero(labels))
    if len(labels) == 0:
        raise TrainingError(f"the {name} split holds no session, expected some; deliver more sessions")
    if name != "test" and played in (0, len(labels)):
        raise TrainingError(
            f"all {len(labels)} {name} sessions end with a track that was "
            f"{'played to its end' if played else 'skipped'}, expected both outcomes; deliver more sessions"
        )


def _baseline(
    name: str,
    p_not_skipped: Mapping[str, np.ndarray],
    *,
    seconds: float,
    parameters: int,
    sessions: int,
    settings: Mapping[str, Any],
    features: tuple[str, ...] = (),
) -> BaselinePredictions:
    title, description = WORDS[name]
    return BaselinePredictions(
        name, title, description, p_not_skipped, seconds, parameters, sessions, settings, features
    )


# --- Rules --------------------------------------------------------------------------------------------


def _majority(bundles: Mapping[str, Split]) -> BaselinePredictions:
    started = time.perf_counter()
    labels = np.asarray(bundles["train"][schema.LABEL])
    share = float(labels.mean(dtype=np.float64))
    return _baseline(
        "majority",
        {split: np.full(len(bundles[split][schema.LABEL]), share) for split in PREDICTED},
        seconds=time.perf_counter() - started,
        parameters=1,
        sessions=len(labels),
        settings={"p_not_skipped": share},
    )


def _last_outcome(bundles: Mapping[str, Split]) -> BaselinePredictions:
    """One share for each outcome; for one that never comes before the last track, the share of all."""
    started = time.perf_counter()
    labels = np.asarray(bundles["train"][schema.LABEL], np.float64)
    before = _outcomes_before(bundles["train"])
    of_all = float(labels.mean())
    skipped, played = (
        float(labels[before == outcome].mean()) if (before == outcome).any() else of_all for outcome in (0, 1)
    )
    return _baseline(
        "last_outcome",
        {split: np.where(_outcomes_before(bundles[split]) == 1, played, skipped) for split in PREDICTED},
        seconds=time.perf_counter() - started,
        parameters=2,
        sessions=len(labels),
        settings={"p_not_skipped_after_skipped": skipped, "p_not_skipped_after_played": played},
    )


def _outcomes_before(split: Split) -> np.ndarray:
    """Outcome of the track before the predicted one, float32 (n,); padding is in front, so it is the last."""
    return np.concatenate([part["skip_sequence"][:, -1, 0] for part in in_parts(split, ("skip_sequence",))])


# --- Models -------------------------------------------------------------------------------------------


def _models(
    bundles: Mapping[str, Split], seed: int, most_sessions: int
) -> tuple[BaselinePredictions, BaselinePredictions]:
    """Regression and trees, which share their features."""
    started = time.perf_counter()
    sample = _some(bundles["train"], most_sessions, seed)
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

    watched = _some(bundles["validation"], max(most_sessions // 5, 1), seed)
    validation = training_examples(watched, tastes)
    del watched
    trees = fit_boosted_trees(training, validation, regression, seed=seed)
    by_trees = time.perf_counter() - started
    del training, validation

    started = time.perf_counter()
    predicted = {split: _predict(bundles[split], tastes, regression, trees) for split in PREDICTED}
    predicting = time.perf_counter() - started
    limits = {"seed": seed, "most_sessions": most_sessions}
    return (
        _baseline(
            "logistic_regression",
            {split: p for split, (p, _) in predicted.items()},
            seconds=by_regression + predicting,
            parameters=regression.parameters,
            sessions=sessions,
            settings={**REGRESSION, **limits},
            features=features,
        ),
        _baseline(
            "gradient_boosted_trees",
            {split: p for split, (_, p) in predicted.items()},
            seconds=by_trees + predicting,
            parameters=trees.parameters,
            sessions=sessions,
            settings={**TREES, **limits, "trees": trees.size},
            features=(*(features[column] for column in trees.columns), "log_odds_of_logistic_regression"),
        ),
    )


def _some(split: Split, most: int, seed: int) -> dict[str, np.ndarray]:
    """At most so many sessions of a split, in memory; drawn at random, in the split's order."""
    n = len(split[schema.LABEL])
    chosen: Any = slice(None)
    if n > most:
        chosen = np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
    return {name: np.asarray(split[name][chosen]) for name in (*schema.BRANCH_SHAPES, schema.LABEL)}


def _predict(
    split: Split, tastes: Tastes, regression: Regression, trees: BoostedTrees
) -> tuple[np.ndarray, np.ndarray]:
    """What regression and trees say of all sessions, some thousand at a time: float64 (n,) each."""
    answers = []
    for part in in_parts(split):
        features, _ = handmade_features(part, tastes)
        answers.append((regression.p_not_skipped(features), trees.p_not_skipped(features)))
    by_regression, by_trees = zip(*answers, strict=True)
    return np.concatenate(by_regression), np.concatenate(by_trees)
