import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline

from skip_pipeline.baselines import predictors
from skip_pipeline.baselines.features import Examples, handmade_features, training_examples
from skip_pipeline.baselines.predictors import BoostedTrees, coefficients, fit_boosted_trees, fit_regression
from skip_pipeline.errors import TrainingError
from skip_pipeline.networks.tastes import Tastes
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.networks.literal_sessions import listeners_with_a_taste

ONE_OUTCOME = Examples(np.zeros((3, 2), np.float32), np.ones(3, np.float32))


@pytest.fixture(scope="module")
def tastes() -> Tastes:
    return Tastes.fit(listeners_with_a_taste(150)[0])


@pytest.fixture(scope="module")
def training(tastes: Tastes) -> Examples:
    return training_examples(listeners_with_a_taste(150)[0], tastes)


@pytest.fixture(scope="module")
def validation(tastes: Tastes) -> Examples:
    return training_examples(listeners_with_a_taste(40, seed=1)[0], tastes)


@pytest.fixture(scope="module")
def regression(training: Examples) -> Pipeline:
    return fit_regression(training)


@pytest.fixture(scope="module")
def trees(training: Examples, validation: Examples, regression: Pipeline) -> BoostedTrees:
    return fit_boosted_trees(training, validation, regression, seed=0)


def test_models_learn_what_each_listener_likes(
    tastes: Tastes, regression: Pipeline, trees: BoostedTrees
) -> None:
    test, _ = listeners_with_a_taste(200, seed=2)
    features, _ = handmade_features(test, tastes)
    p = trees.p_not_skipped(features)

    assert p.shape == (200,)
    assert p.dtype == np.float64
    # Only the taste separates the outcomes here: without it the area would be about a half.
    assert roc_auc_score(test["not_skipped"], p) > 0.75
    assert roc_auc_score(test["not_skipped"], regression.predict_proba(features)[:, 1]) > 0.75


def test_fitting_again_gives_the_same_probabilities(
    training: Examples, validation: Examples, regression: Pipeline, trees: BoostedTrees
) -> None:
    again = fit_boosted_trees(training, validation, fit_regression(training), seed=0)

    features = validation.features
    assert np.array_equal(again.regression.predict_proba(features), regression.predict_proba(features))
    assert np.array_equal(again.p_not_skipped(features), trees.p_not_skipped(features))


def test_trees_stop_when_the_validation_loss_does(trees: BoostedTrees) -> None:
    losses = -trees.trees.validation_score_

    assert len(losses) < 500
    assert losses.min() < min(losses[0], losses[-1])


@pytest.mark.parametrize("what", ["training", "validation"])
def test_examples_of_one_outcome_are_refused(
    what: str, training: Examples, validation: Examples, regression: Pipeline
) -> None:
    given = {"training": training, "validation": validation} | {what: ONE_OUTCOME}

    message = refusal(
        TrainingError,
        lambda: fit_boosted_trees(given["training"], given["validation"], regression, seed=0),
    )
    assert_says(message, f"the {what} examples: 3 of 3 tracks", "both outcomes", "Deliver more sessions")


def test_a_regression_on_one_outcome_is_refused() -> None:
    assert_says(refusal(TrainingError, lambda: fit_regression(ONE_OUTCOME)), "the training examples: 3 of 3")


def test_parameters_are_counted(regression: Pipeline, trees: BoostedTrees, training: Examples) -> None:
    assert coefficients(regression) == training.features.shape[1] + 1
    assert (
        trees.parameters >= coefficients(regression) + 3 * trees.size
    )  # a threshold and two leaves at least
    assert trees.size == trees.trees.n_iter_ >= 1


def test_trees_see_features_of_more_than_two_values(training: Examples, validation: Examples) -> None:
    features = training.features[:, :3].copy()
    features[:, 0], features[:, 1] = 0.0, features[:, 0] > 12
    few = Examples(features, training.not_skipped)
    regression = fit_regression(few)
    trees = fit_boosted_trees(
        few, Examples(validation.features[:, :3], validation.not_skipped), regression, seed=0
    )

    assert len(np.unique(features[:, 2])) <= 2
    assert trees.columns.tolist() == []
    assert trees.p_not_skipped(features).shape == (len(features),)


def test_the_columns_that_trees_see_are_those_of_many_values() -> None:
    features = np.array([[0, 0, 1, 5], [0, 1, 2, 5], [0, 0, 3, 6], [0, 1, 2, 7]], np.float32)

    assert predictors._of_many_values(features).tolist() == [2, 3]
