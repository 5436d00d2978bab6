"""What a network has to beat: logistic regression and gradient-boosted trees on hand-made features.

Both learn from every track of the training sessions that has enough history (``handmade.training_examples``)
and give the probability that a track is played to its end. Arrays in, a fitted rival out; nothing is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skip_pipeline.errors import TrainingError
from skip_pipeline.networks.handmade import Examples

# Chosen on 7,000 training sessions of the synthetic world by log-loss on 29,000 others. None matters
# much: a tenth or ten times the penalty, half or twice the rate and leaves change log-loss by under 0.002.
_INVERSE_PENALTY: Final = 0.01
_REGRESSION_STEPS: Final = 2_000  # it converges in fewer than 200
_LEARNING_RATE: Final = 0.08
_MOST_TREES: Final = 500
_LEAVES: Final = 8
_LEAST_IN_LEAF: Final = 40
_LEAF_PENALTY: Final = 5.0
_STOPPING_PATIENCE: Final = 20  # trees without a better validation loss


@dataclass(frozen=True)
class Regression:
    """Logistic regression on standardised features.

    Attributes:
        pipeline: a fitted scikit-learn pipeline.
    """

    pipeline: Any

    def p_not_skipped(self, features: np.ndarray) -> np.ndarray:
        """Probability that each track is played to its end: (n, F) to float64 (n,)."""
        return np.asarray(self.pipeline.predict_proba(features)[:, 1], dtype=np.float64)

    def log_odds(self, features: np.ndarray) -> np.ndarray:
        """The same as log-odds, float64 (n,)."""
        return np.asarray(self.pipeline.decision_function(features), dtype=np.float64)


@dataclass(frozen=True)
class BoostedTrees:
    """Gradient-boosted trees on the features and on a regression's log-odds.

    Most of what there is to know is nearly linear, and trees build a slope from many steps. With the
    regression's answer among their features they start from it: on synthetic data log-loss is 0.003 to 0.004
    lower, with fewer trees.

    Attributes:
        regression: fitted on the same examples.
        trees: a fitted ``HistGradientBoostingClassifier``.
    """

    regression: Regression
    trees: Any

    def p_not_skipped(self, features: np.ndarray) -> np.ndarray:
        """Probability that each track is played to its end: (n, F) to float64 (n,)."""
        return np.asarray(
            self.trees.predict_proba(_with_log_odds(self.regression, features))[:, 1], dtype=np.float64
        )


def fit_regression(training: Examples) -> Regression:
    """Fit the logistic regression; nothing about it is random.

    Raises:
        TrainingError: the examples do not show both outcomes.
    """
    _need_both_outcomes(training, "training")
    classifier = LogisticRegression(C=_INVERSE_PENALTY, max_iter=_REGRESSION_STEPS)
    return Regression(
        make_pipeline(StandardScaler(), classifier).fit(training.features, training.not_skipped)
    )


def fit_boosted_trees(
    training: Examples, validation: Examples, regression: Regression, *, seed: int
) -> BoostedTrees:
    """Fit the trees, as many as lower the validation loss.

    On one thread: with several, sums are rounded in another order and other trees come out, and threads that
    share their cores with other processes wait for one another many times as long as they compute.

    Args:
        training: what they learn from.
        validation: of other sessions; decides when to stop.
        regression: fitted on ``training``.
        seed: of the sample of rows from which bins are made, where there are more than 200,000.

    Raises:
        TrainingError: training or validation examples do not show both outcomes.
    """
    _need_both_outcomes(training, "training")
    _need_both_outcomes(validation, "validation")
    trees = HistGradientBoostingClassifier(
        learning_rate=_LEARNING_RATE,
        max_iter=_MOST_TREES,
        max_leaf_nodes=_LEAVES,
        min_samples_leaf=_LEAST_IN_LEAF,
        l2_regularization=_LEAF_PENALTY,
        early_stopping=True,
        n_iter_no_change=_STOPPING_PATIENCE,
        random_state=seed,
    )
    with threadpool_limits(1, user_api="openmp"):
        trees.fit(
            _with_log_odds(regression, training.features),
            training.not_skipped,
            X_val=_with_log_odds(regression, validation.features),
            y_val=validation.not_skipped,
        )
    return BoostedTrees(regression, trees)


def _with_log_odds(regression: Regression, features: np.ndarray) -> np.ndarray:
    return np.column_stack([features, regression.log_odds(features).astype(np.float32)])


def _need_both_outcomes(examples: Examples, what: str) -> None:
    played, rows = int(np.count_nonzero(examples.not_skipped)), len(examples.not_skipped)
    if not 0 < played < rows:
        raise TrainingError(
            f"of {rows} {what} examples, {played} are of a track played to its end; expected both outcomes. "
            "Deliver more sessions"
        )
