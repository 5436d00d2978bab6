from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import log_loss

from skip_pipeline import schema
from skip_pipeline.baselines import fit as baselines
from skip_pipeline.baselines.fit import fit_baselines, fit_rules
from skip_pipeline.baselines.predictions import BaselinePredictions, read_baselines, write_baselines
from skip_pipeline.errors import ContractError, MissingInputError, TrainingError
from skip_pipeline.networks import listening
from skip_pipeline_tests.builders import assert_says, refusal, required
from skip_pipeline_tests.networks.literal_sessions import bundle, listeners_with_a_taste

Bundles = dict[str, dict[str, Any]]

FEATURES = 136


def with_ids(arrays: dict[str, np.ndarray], split: str) -> dict[str, Any]:
    n = len(arrays["last_track"])
    return arrays | {schema.SESSION_ID: np.array([f"{split}-{i}" for i in range(n)])}


@pytest.fixture(scope="module")
def bundles() -> Bundles:
    sizes = {"train": 160, "validation": 40, "test": 60}
    return {
        split: with_ids(listeners_with_a_taste(n, seed=seed)[0], split)
        for seed, (split, n) in enumerate(sizes.items())
    }


@pytest.fixture(scope="module")
def fitted(bundles: Bundles) -> dict[str, BaselinePredictions]:
    found = fit_baselines(bundles)
    assert tuple(baseline.name for baseline in found) == schema.BASELINES
    return {baseline.name: baseline for baseline in found}


@pytest.fixture
def written(tmp_path: Path, bundles: Bundles, fitted: dict[str, BaselinePredictions]) -> Path:
    write_baselines(tmp_path, tuple(fitted.values()), bundles, data_source="synthetic")
    return tmp_path


def without(arrays: dict[str, Any], chosen: np.ndarray) -> dict[str, Any]:
    return {name: array[chosen] for name, array in arrays.items()}


# --- Fitting ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", schema.BASELINES)
def test_every_validation_and_test_session_gets_a_probability(
    fitted: dict[str, BaselinePredictions], name: str
) -> None:
    baseline = fitted[name]

    assert {split: p.shape for split, p in baseline.p_not_skipped.items()} == {
        "validation": (40,),
        "test": (60,),
    }
    for p in baseline.p_not_skipped.values():
        assert p.dtype == np.float64
        assert ((p > 0) & (p < 1)).all()
    assert baseline.title != baseline.description
    assert baseline.sessions == 160


def test_the_majority_is_the_share_of_training_sessions() -> None:
    split = bundle(["pppp", "ppp1", "ppp2", "pppp", "pppp"])
    majority, _ = fit_rules({"train": split, "validation": split, "test": split})

    assert majority.p_not_skipped["test"].tolist() == [0.6] * 5
    assert majority.parameters == 1


def test_the_last_outcome_has_a_share_for_each_learnt_in_training() -> None:
    train = bundle(["pp", "pp", "pp", "p1", "1p", "11", "11", "11", "11"])
    other = bundle(["1p", "p1", "21"])
    _, rule = fit_rules({"train": train, "validation": other, "test": other})

    assert rule.p_not_skipped["test"].tolist() == [0.2, 0.75, 0.2]
    assert rule.settings == {"p_not_skipped_after_skipped": 0.2, "p_not_skipped_after_played": 0.75}


def test_an_outcome_that_never_comes_before_the_last_track_gets_the_share_of_all() -> None:
    train, other = bundle(["pp", "pp", "p1", "pp"]), bundle(["1p"])
    _, rule = fit_rules({"train": train, "validation": other, "test": other})

    assert rule.p_not_skipped["validation"].tolist() == [0.75]


def test_models_learn_what_rules_cannot_see(bundles: Bundles, fitted: dict[str, BaselinePredictions]) -> None:
    losses = {
        name: log_loss(bundles["test"][schema.LABEL], baseline.p_not_skipped["test"])
        for name, baseline in fitted.items()
    }

    # Only each listener's taste tells outcomes apart in these sessions.
    assert max(losses["logistic_regression"], losses["gradient_boosted_trees"]) < losses["majority"] - 0.03


def test_fitting_again_without_the_labels_of_test_sessions_gives_the_same(
    bundles: Bundles, fitted: dict[str, BaselinePredictions]
) -> None:
    turned = bundles | {"test": bundles["test"] | {schema.LABEL: 1 - bundles["test"][schema.LABEL]}}

    for baseline in fit_baselines(turned):
        for split, p in baseline.p_not_skipped.items():
            assert np.array_equal(p, fitted[baseline.name].p_not_skipped[split]), baseline.name


def test_models_say_how_they_were_made(fitted: dict[str, BaselinePredictions]) -> None:
    regression, trees = fitted["logistic_regression"], fitted["gradient_boosted_trees"]

    assert len(regression.features) == FEATURES
    assert regression.parameters == FEATURES + 1
    assert regression.settings["C"] == 0.01
    assert trees.features[-1] == "log_odds_of_logistic_regression"
    assert set(trees.features[:-1]) < set(regression.features)
    assert 1 <= trees.settings["trees"] < 500  # the validation loss stopped falling
    assert trees.parameters is not None
    assert trees.parameters >= FEATURES + 1 + 3 * trees.settings["trees"]  # a threshold and two leaves each


def test_trees_see_the_features_of_more_than_two_values(fitted: dict[str, BaselinePredictions]) -> None:
    seen = fitted["gradient_boosted_trees"].features

    assert {"position", "energy", "taste", "depth_1_ago"} <= set(seen)
    # Every session has 20 tracks; an outcome is played or not.
    assert not {"session_length", "is_last", "played_1_ago", "skip_1_1_ago"} & set(seen)


def test_models_see_no_more_training_sessions_than_they_may(bundles: Bundles) -> None:
    several = fit_baselines(bundles, most_sessions=140)

    assert {baseline.name: baseline.sessions for baseline in several} == {
        "majority": 160,
        "last_outcome": 160,
        "logistic_regression": 140,
        "gradient_boosted_trees": 140,
    }
    assert several[2].settings["most_sessions"] == 140


def test_the_draw_of_sessions_keeps_their_order_and_depends_on_the_seed(bundles: Bundles) -> None:
    train = bundles["train"] | {"last_track": np.repeat(np.arange(160.0)[:, None], 31, axis=1)}
    drawn, again, other = (
        baselines._sample(train, 50, seed)["last_track"][:, 0].tolist() for seed in (0, 0, 1)
    )

    assert drawn == sorted(set(drawn))
    assert len(drawn) == 50
    assert drawn == again != other


def test_sessions_taken_in_several_parts_give_the_same(
    bundles: Bundles, fitted: dict[str, BaselinePredictions], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_SESSIONS_AT_ONCE", 33)

    for baseline in fit_baselines(bundles):
        np.testing.assert_allclose(
            baseline.p_not_skipped["test"], fitted[baseline.name].p_not_skipped["test"], atol=1e-5
        )


# --- Refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", schema.SPLITS)
def test_a_split_without_sessions_is_refused(bundles: Bundles, split: str) -> None:
    nobody = without(bundles[split], np.zeros(0, int))

    message = refusal(TrainingError, lambda: fit_baselines(bundles | {split: nobody}))
    assert_says(message, f"the {split} split holds no session", "deliver more sessions")


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("label", [0, 1])
def test_one_outcome_alone_is_refused(bundles: Bundles, split: str, label: int) -> None:
    alike = without(bundles[split], bundles[split][schema.LABEL] == label)
    n = len(alike[schema.LABEL])

    message = refusal(TrainingError, lambda: fit_baselines(bundles | {split: alike}))
    assert_says(
        message, f"the {split} split: {label * n} of {n} tracks", "both outcomes", "Deliver more sessions"
    )


def test_fewer_training_sessions_than_features_are_refused(bundles: Bundles) -> None:
    few = without(bundles["train"], np.arange(FEATURES - 1))

    message = refusal(TrainingError, lambda: fit_baselines(bundles | {"train": few}))
    assert_says(
        message, f"{FEATURES - 1} training sessions for {FEATURES} hand-made features", "deliver more"
    )


# --- Files --------------------------------------------------------------------------------------------


def test_what_is_written_is_read_back(
    tmp_path: Path, bundles: Bundles, fitted: dict[str, BaselinePredictions]
) -> None:
    rows = write_baselines(tmp_path, tuple(fitted.values()), bundles, data_source="synthetic")

    assert rows == 100
    assert {path.name for path in tmp_path.iterdir()} == {"baselines.parquet", "baselines.json"}
    for read in read_baselines(tmp_path.joinpath, bundles):
        wrote = fitted[read.name]
        for split, p in wrote.p_not_skipped.items():
            assert np.array_equal(read.p_not_skipped[split], p)
        assert read.seconds == pytest.approx(wrote.seconds, abs=1e-3)
        plain: dict[str, Any] = {"p_not_skipped": {}, "seconds": 0.0}
        assert dataclasses.replace(read, **plain) == dataclasses.replace(wrote, **plain)
    table = pq.read_table(tmp_path / "baselines.parquet")
    assert table.schema.equals(required(schema.BASELINE_PREDICTIONS))
    assert table["split"].to_pylist() == ["validation"] * 40 + ["test"] * 60
    assert table["session_id"].to_pylist()[39:41] == ["validation-39", "test-0"]


def test_baselines_of_other_sessions_are_refused(written: Path, bundles: Bundles) -> None:
    ids = bundles["test"][schema.SESSION_ID].copy()
    ids[3] = "else-3"

    changed = bundles | {"test": bundles["test"] | {schema.SESSION_ID: ids}}
    message = refusal(ContractError, lambda: read_baselines(written.joinpath, changed))
    assert_says(
        message,
        "baselines.parquet",
        "row 43 is 'test-3', not 'else-3'",
        "materialize baseline_models again",
    )


def test_sessions_that_changed_sides_are_refused(written: Path, bundles: Bundles) -> None:
    validation = without(bundles["validation"], np.arange(39))
    moved = {
        name: np.concatenate([bundles["validation"][name][39:], array])
        for name, array in bundles["test"].items()
    }

    message = refusal(
        ContractError,
        lambda: read_baselines(written.joinpath, bundles | {"validation": validation, "test": moved}),
    )
    assert_says(message, "row 39 is 'validation', not 'test'", "materialize baseline_models again")


def test_another_number_of_sessions_is_refused(written: Path, bundles: Bundles) -> None:
    fewer = bundles | {"test": without(bundles["test"], np.arange(59))}

    message = refusal(ContractError, lambda: read_baselines(written.joinpath, fewer))
    assert_says(message, "predictions for 100 sessions, and the bundles have 99")


@pytest.mark.parametrize("name", ["baselines.parquet", "baselines.json"])
def test_a_missing_file_is_missed(written: Path, bundles: Bundles, name: str) -> None:
    (written / name).unlink()

    assert_says(
        refusal(MissingInputError, lambda: read_baselines(written.joinpath, bundles)), name, "materialize"
    )


@pytest.mark.parametrize("damage", ["{", "[]", json.dumps({"majority": {}})])
def test_damaged_facts_are_refused(written: Path, bundles: Bundles, damage: str) -> None:
    (written / "baselines.json").write_text(damage)

    message = refusal(ContractError, lambda: read_baselines(written.joinpath, bundles))
    assert_says(message, "baselines.json is damaged", "materialize baseline_models again")


def test_baselines_that_are_not_all_or_not_of_these_sessions_are_not_written(
    tmp_path: Path, bundles: Bundles, fitted: dict[str, BaselinePredictions]
) -> None:
    three = tuple(fitted.values())[:3]
    fewer = bundles | {"test": without(bundles["test"], np.arange(5))}

    message = refusal(
        ContractError, lambda: write_baselines(tmp_path, three, bundles, data_source="synthetic")
    )
    assert_says(message, "expected ('majority',")
    message = refusal(
        ContractError,
        lambda: write_baselines(tmp_path, tuple(fitted.values()), fewer, data_source="synthetic"),
    )
    assert_says(message, "majority predicts 100 sessions, expected 45")
    assert not list(tmp_path.iterdir())
