from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import log_loss

from skip_pipeline import schema
from skip_pipeline.baselines import fit as baselines
from skip_pipeline.baselines.fit import fit_baselines, fit_rules
from skip_pipeline.baselines.predictions import BaselinePredictions, read_baselines, write_baselines
from skip_pipeline.bundles.track_memory import TrackMemory
from skip_pipeline.errors import ContractError, MissingInputError, TrainingError
from skip_pipeline.networks import listening
from skip_pipeline.networks.listening import all_played
from skip_pipeline_tests.builders import assert_says, refusal, required
from skip_pipeline_tests.networks.literal_sessions import bundle, listeners_with_a_taste, with_memory
from skip_pipeline_tests.tiny_bundle import tiny_bundle

Bundles = dict[str, dict[str, Any]]

FEATURES = 218
FILES = ("baselines.parquet", "baseline_tracks.parquet", "baselines.json")


def with_ids(arrays: dict[str, np.ndarray], split: str) -> dict[str, Any]:
    n = len(arrays["last_track"])
    return arrays | {schema.SESSION_ID: np.array([f"{split}-{i}" for i in range(n)])}


@pytest.fixture(scope="module")
def bundles() -> Bundles:
    sizes = {"train": 160, "validation": 40, "test": 60, "gate": 20}
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
def test_every_session_that_is_not_for_training_gets_a_probability(
    fitted: dict[str, BaselinePredictions], name: str
) -> None:
    baseline = fitted[name]

    assert {split: p.shape for split, p in baseline.p_not_skipped.items()} == {
        "validation": (40,),
        "gate": (20,),
        "test": (60,),
    }
    for p in baseline.p_not_skipped.values():
        assert p.dtype == np.float64
        assert ((p > 0) & (p < 1)).all()
    for split, p_tracks in baseline.p_tracks.items():
        assert p_tracks.dtype == np.float32
        assert p_tracks.shape == (len(baseline.p_not_skipped[split]), 20)
        assert ((p_tracks > 0) & (p_tracks < 1)).all()  # every session has 20 tracks
    assert baseline.title != baseline.description
    assert baseline.sessions == 160


def test_the_majority_is_the_share_of_last_tracks_and_of_all() -> None:
    split = bundle(["pppp", "ppp1", "ppp2", "ppp", "3p"])
    majority, _ = fit_rules({"train": split, "validation": split, "test": split})

    assert majority.p_not_skipped["test"].tolist() == [0.6] * 5
    assert majority.p_tracks["test"][4].tolist() == pytest.approx([np.nan] * 18 + [14 / 17] * 2, nan_ok=True)
    assert majority.settings == {"p_not_skipped": 0.6, "p_not_skipped_of_every_track": 14 / 17}
    assert majority.parameters == 2


def test_the_last_outcome_has_a_share_for_each_learnt_in_training() -> None:
    train = bundle(["pp", "pp", "pp", "p1", "1p", "11", "11", "11", "11"])
    other = bundle(["1p", "p1", "2p1"])
    _, rule = fit_rules({"train": train, "validation": other, "test": other})

    assert rule.p_not_skipped["test"].tolist() == [0.2, 0.75, 0.75]
    first = np.float32(4 / 9)
    assert rule.p_tracks["test"][:2, -2:].tolist() == [[first, np.float32(0.2)], [first, 0.75]]
    assert rule.p_tracks["test"][2, -3:].tolist() == [first, np.float32(0.2), 0.75]
    shares = {"after_skipped": 0.2, "after_played": 0.75}
    of_last = {f"p_not_skipped_{after}": share for after, share in shares.items()}
    of_every = {f"{name}_of_every_track": share for name, share in of_last.items()}
    assert {name: rule.settings[name] for name in of_last | of_every} == of_last | of_every


def test_a_rule_learns_both_questions_apart() -> None:
    split = bundle(["ppp1", "pp1", "p1"])  # a last track is always skipped, another one never
    _, rule = fit_rules({"train": split, "validation": split, "test": split})

    assert rule.p_not_skipped["test"].tolist() == [0, 0, 0]
    assert rule.p_tracks["test"][0, -4:].tolist() == [1, 0.5, 0.5, 0.5]


def test_an_outcome_that_never_comes_before_gets_the_share_of_all() -> None:
    train, other = bundle(["pp", "pp", "p1", "pp"]), bundle(["1p"])
    _, rule = fit_rules({"train": train, "validation": other, "test": other})

    assert rule.p_not_skipped["validation"].tolist() == [0.75]
    assert rule.p_tracks["validation"][0, -1] == 7 / 8


def test_models_learn_what_rules_cannot_see(bundles: Bundles, fitted: dict[str, BaselinePredictions]) -> None:
    losses = {
        name: log_loss(bundles["test"][schema.LABEL], baseline.p_not_skipped["test"])
        for name, baseline in fitted.items()
    }

    # Only each listener's taste tells outcomes apart in these sessions.
    assert max(losses["logistic_regression"], losses["gradient_boosted_trees"]) < losses["majority"] - 0.03


@pytest.mark.parametrize("name", ["logistic_regression", "gradient_boosted_trees"])
def test_models_give_the_last_track_one_probability_whatever_the_question(
    fitted: dict[str, BaselinePredictions], name: str
) -> None:
    for split, p in fitted[name].p_not_skipped.items():
        assert np.array_equal(fitted[name].p_tracks[split][:, -1], p.astype(np.float32))


def test_models_answer_for_every_track(bundles: Bundles, fitted: dict[str, BaselinePredictions]) -> None:
    played = all_played(bundles["test"])
    losses = {
        name: log_loss(played[:, 10:].ravel(), baseline.p_tracks["test"][:, 10:].ravel().astype(float))
        for name, baseline in fitted.items()
    }

    assert max(losses["logistic_regression"], losses["gradient_boosted_trees"]) < losses["majority"] - 0.03


def test_padding_has_no_probability() -> None:
    splits = {split: with_ids(tiny_bundle(60, seed), split) for seed, split in enumerate(schema.SPLITS)}
    padding = np.isnan(all_played(splits["test"]))

    assert padding.any()
    for baseline in fit_baselines(splits):
        assert np.array_equal(np.isnan(baseline.p_tracks["test"]), padding)
        assert np.isfinite(baseline.p_not_skipped["test"]).all()


def test_appeal_of_tracks_is_learnt_from_other_sessions() -> None:
    random = np.random.default_rng(0)
    splits = {}
    for split, n in (("train", 300), ("validation", 60), ("test", 60)):
        numbers = random.integers(0, 10, (n, 12))
        texts = [
            "".join("p" if (number < 5) ^ (random.random() < 0.1) else "1" for number in row)
            for row in numbers
        ]
        splits[split] = with_ids(bundle(texts, numbers=numbers.tolist()), split)
    majority, _, regression, trees = fit_baselines(splits)
    loss = {
        b.name: log_loss(splits["test"][schema.LABEL], b.p_not_skipped["test"])
        for b in (majority, regression, trees)
    }

    assert max(loss["logistic_regression"], loss["gradient_boosted_trees"]) < loss["majority"] - 0.2


def test_fitting_again_without_the_labels_of_test_sessions_gives_the_same(
    bundles: Bundles, fitted: dict[str, BaselinePredictions]
) -> None:
    turned = bundles | {"test": bundles["test"] | {schema.LABEL: 1 - bundles["test"][schema.LABEL]}}

    for baseline in fit_baselines(turned):
        for split, p in baseline.p_not_skipped.items():
            assert np.array_equal(p, fitted[baseline.name].p_not_skipped[split]), baseline.name
            assert np.array_equal(baseline.p_tracks[split], fitted[baseline.name].p_tracks[split])


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


def test_trees_see_features_of_more_than_two_values_and_whether_a_track_is_the_last(
    fitted: dict[str, BaselinePredictions],
) -> None:
    seen = fitted["gradient_boosted_trees"].features

    assert {"position", "energy", "balance", "like_1.0_balance", "depth_1_ago", "is_last"} <= set(seen)
    # Every session has 20 tracks; hour and premium are not known; an outcome is of a kind or not.
    assert not {"session_length", "listener_leaves", "premium", "skip_1_1_ago", "agreement_energy"} & set(
        seen
    )


def test_models_know_the_groups_of_tracks(bundles: Bundles, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[TrackMemory] = []
    fit = TrackMemory.fit

    def watched(*of: Any) -> TrackMemory:
        fitted.append(fit(*of))
        return fitted[-1]

    monkeypatch.setattr(TrackMemory, "fit", watched)
    tracks = int(max(split["track_numbers"].max() for split in bundles.values())) + 1
    groups = np.zeros((tracks + 2, 2), np.int32)  # two tracks are in no session
    fit_baselines(bundles, groups=groups)
    np.testing.assert_array_equal(fitted[0].values, fit(bundles["train"], tracks + 2, groups).values)


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
    train = with_memory(bundles["train"]) | {"last_track": np.repeat(np.arange(160.0)[:, None], 31, axis=1)}
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


def test_fewer_tracks_than_features_are_refused(bundles: Bundles) -> None:
    few = without(bundles["train"], np.arange(10))

    message = refusal(TrainingError, lambda: fit_baselines(bundles | {"train": few}))
    assert_says(message, f"200 tracks of training sessions for {FEATURES} hand-made features", "deliver more")


# --- Files --------------------------------------------------------------------------------------------


def test_what_is_written_is_read_back(
    tmp_path: Path, bundles: Bundles, fitted: dict[str, BaselinePredictions]
) -> None:
    rows = write_baselines(tmp_path, tuple(fitted.values()), bundles, data_source="synthetic")

    assert rows == 120
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)
    for read in read_baselines(tmp_path.joinpath, bundles):
        wrote = fitted[read.name]
        for split, p in wrote.p_not_skipped.items():
            assert np.array_equal(read.p_not_skipped[split], p)
            assert np.array_equal(read.p_tracks[split], wrote.p_tracks[split])
        assert read.seconds == pytest.approx(wrote.seconds, abs=1e-3)
        plain: dict[str, Any] = {"p_not_skipped": {}, "p_tracks": {}, "seconds": 0.0}
        assert dataclasses.replace(read, **plain) == dataclasses.replace(wrote, **plain)
    table = pq.read_table(tmp_path / "baselines.parquet")
    assert table.schema.equals(required(schema.BASELINE_PREDICTIONS))
    assert table["split"].to_pylist() == ["validation"] * 40 + ["gate"] * 20 + ["test"] * 60
    assert table["session_id"].to_pylist()[39:41] == ["validation-39", "gate-0"]


def test_the_file_of_tracks_has_a_row_for_every_track(tmp_path: Path) -> None:
    texts = {"validation": ["ppp", "1p"], "gate": ["pp"], "test": ["p1"]}
    bundles = {split: with_ids(bundle(of_split), split) for split, of_split in texts.items()}
    p_tracks = {
        "validation": np.full((2, 20), np.nan, np.float32),
        "gate": np.full((1, 20), 0.875, np.float32),
        "test": np.full((1, 20), 0.75, np.float32),
    }
    p_tracks["validation"][0, -3:], p_tracks["validation"][1, -2:] = (0.125, 0.25, 0.375), (0.5, 0.625)
    p = {split: of_split[:, -1].astype(float) for split, of_split in p_tracks.items()}
    made = [BaselinePredictions(name, p, 0.0, 1, p_tracks=p_tracks) for name in schema.BASELINES]
    write_baselines(tmp_path, made, bundles, data_source="synthetic")
    table = pq.read_table(tmp_path / "baseline_tracks.parquet")

    assert table.schema.equals(required(schema.BASELINE_TRACK_PREDICTIONS))
    assert table["session_id"].to_pylist() == [
        *["validation-0"] * 3,
        *["validation-1"] * 2,
        *["gate-0"] * 2,
        *["test-0"] * 2,
    ]
    assert table["split"].to_pylist() == ["validation"] * 5 + ["gate"] * 2 + ["test"] * 2
    assert table["session_position"].to_pylist() == [1, 2, 3, 1, 2, 1, 2, 1, 2]
    assert table["majority"].to_pylist() == [0.125, 0.25, 0.375, 0.5, 0.625, 0.875, 0.875, 0.75, 0.75]
    read = read_baselines(tmp_path.joinpath, bundles)[0]
    assert np.array_equal(read.p_tracks["validation"], p_tracks["validation"], equal_nan=True)
    assert np.isnan(read.p_tracks["test"][:, :-2]).all()  # whatever stood in padding


def test_baselines_of_other_sessions_are_refused(written: Path, bundles: Bundles) -> None:
    ids = bundles["test"][schema.SESSION_ID].copy()
    ids[3] = "else-3"

    changed = bundles | {"test": bundles["test"] | {schema.SESSION_ID: ids}}
    message = refusal(ContractError, lambda: read_baselines(written.joinpath, changed))
    assert_says(
        message,
        "baselines.parquet",
        "session_id of row 63 is 'test-3', not 'else-3'",
        "materialize baseline_models again",
    )


def test_sessions_that_changed_sides_are_refused(written: Path, bundles: Bundles) -> None:
    validation = without(bundles["validation"], np.arange(39))
    moved = {
        name: np.concatenate([bundles["validation"][name][39:], array])
        for name, array in bundles["gate"].items()
    }

    message = refusal(
        ContractError,
        lambda: read_baselines(written.joinpath, bundles | {"validation": validation, "gate": moved}),
    )
    assert_says(message, "split of row 39 is 'validation', not 'gate'", "materialize baseline_models again")


def test_some_splits_can_be_read_alone(
    written: Path, bundles: Bundles, fitted: dict[str, BaselinePredictions]
) -> None:
    some = {split: bundles[split] for split in ("train", "validation", "gate")}

    for read in read_baselines(written.joinpath, some):
        assert list(read.p_not_skipped) == list(read.p_tracks) == ["validation", "gate"]
        for split in ("validation", "gate"):
            assert np.array_equal(read.p_not_skipped[split], fitted[read.name].p_not_skipped[split])
            assert np.array_equal(read.p_tracks[split], fitted[read.name].p_tracks[split])


def test_another_number_of_sessions_is_refused(written: Path, bundles: Bundles) -> None:
    fewer = bundles | {"test": without(bundles["test"], np.arange(59))}

    message = refusal(ContractError, lambda: read_baselines(written.joinpath, fewer))
    assert_says(message, "predictions for 120 sessions, and the bundles have 119")


def test_tracks_of_other_sessions_are_refused(written: Path, bundles: Bundles) -> None:
    path = written / "baseline_tracks.parquet"
    table = pq.read_table(path)
    position = table.column_names.index(schema.POSITION)
    other = pa.array(
        [9 if i == 25 else p for i, p in enumerate(table[schema.POSITION].to_pylist())], pa.int8()
    )
    pq.write_table(table.set_column(position, table.schema.field(position), other), path)

    message = refusal(ContractError, lambda: read_baselines(written.joinpath, bundles))
    assert_says(
        message,
        "baseline_tracks.parquet is of other sessions",
        "session_position of row 25 is '9', not '6'",
        "materialize baseline_models again",
    )


def test_sessions_of_other_lengths_are_refused(written: Path, bundles: Bundles) -> None:
    skips = bundles["test"]["skip_sequence"].copy()
    skips[0, 0] = schema.SKIP_PADDING
    shorter = bundles | {"test": bundles["test"] | {"skip_sequence": skips}}

    message = refusal(ContractError, lambda: read_baselines(written.joinpath, shorter))
    assert_says(message, "predictions for 2400 tracks, and the bundles have 2399")


@pytest.mark.parametrize("name", FILES)
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
    assert_says(message, "majority predicts 120 sessions, expected 65")
    assert not list(tmp_path.iterdir())
