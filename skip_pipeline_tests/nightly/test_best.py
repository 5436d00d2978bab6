"""The choice of the best of the night, on literal probabilities and on published stages."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from skip_pipeline import schema, serving
from skip_pipeline.baselines.fit import fit_and_export
from skip_pipeline.baselines.handmade import MODELS
from skip_pipeline.baselines.predictions import write_baselines
from skip_pipeline.bundles import gather
from skip_pipeline.bundles.gather import Bundle, open_bundles
from skip_pipeline.bundles.track_memory import TrackMemory, write_memory
from skip_pipeline.errors import ContractError, MissingInputError
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.metrics.decision_rule import THRESHOLD
from skip_pipeline.networks.listening import all_played
from skip_pipeline.nightly.best import KINDS, LEAST_GAIN, Choice, choose, make_best
from skip_pipeline.serving.model_folder import track_table_ids
from skip_pipeline.settings import (
    CALIBRATION_FILE,
    DECISION_RULE_FILE,
    HANDMADE_FILE,
    ONNX_FILE,
    PRESETS,
    TRAINING_FILE,
    DataLayout,
    Preset,
)
from skip_pipeline.storage import Manifest, publish, read_json, read_manifest, write_json
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.serving.small_models import copied, data_directory, network, network_of_last_tracks

SESSIONS, TRACKS = 400, 20


def choice_of(
    *, network: float, regression: float = 1.0, trees: float = 1.0, sessions: int = SESSIONS, seed: int = 0
) -> Choice:
    """A choice among models that each know the true log-odds, with errors of these standard deviations."""
    random = np.random.default_rng(seed)
    true = random.normal(0, 1.5, (sessions, TRACKS))
    played = (random.random(true.shape) < expit(true)).astype(np.float32)
    errors = random.normal(size=(3, *true.shape)) * np.array([network, regression, trees])[:, None, None]
    log_odds = true + errors
    return choose(played, expit(log_odds[0]), np.moveaxis(log_odds[1:], 0, 2))[0]


def test_the_candidate_with_the_lowest_log_loss_is_chosen() -> None:
    choice = choice_of(network=2.0, regression=2.0, trees=0.0)

    assert choice.chosen == "gradient_boosted_trees"
    assert [each.kind for each in choice.candidates] == list(KINDS)
    assert [each.weights.keys() for each in choice.candidates[:3]] == [{"network"}, {MODELS[0]}, {MODELS[1]}]


def test_models_that_err_independently_are_stacked() -> None:
    choice = choice_of(network=1.0, regression=1.0, trees=1.0)
    stack = choice.candidates[-1]

    assert choice.chosen == stack.kind == "stack"
    assert stack.behind == 0
    assert min(stack.weights.values()) > 0.2
    assert min(each.behind for each in choice.candidates[:-1]) > 0.01


def test_a_perfect_network_stays_alone() -> None:
    choice = choice_of(network=0.0)

    assert choice.chosen == "network"
    assert choice.candidates[0].behind <= LEAST_GAIN


def test_a_simpler_candidate_is_taken_within_one_standard_error() -> None:
    """The stack is a little better than the network, which few sessions cannot tell."""
    few, many = (choice_of(network=0.25, regression=9.0, trees=0.25, sessions=n, seed=2) for n in (30, 4_000))
    stack = many.candidates[-1]

    assert few.chosen == "network"
    assert LEAST_GAIN < few.candidates[0].behind < few.candidates[0].error
    assert many.chosen == "stack"
    assert many.candidates[0].behind > many.candidates[0].error > stack.error


def test_a_difference_below_the_least_gain_changes_nothing() -> None:
    choice = choice_of(network=0.05, regression=9.0, trees=0.0, sessions=40_000)
    own = choice.candidates[0]

    assert own.error < own.behind < LEAST_GAIN
    assert choice.chosen == "network"


def test_the_standard_error_counts_sessions() -> None:
    """Twenty equal tracks a session tell as much as one."""
    random = np.random.default_rng(0)
    played = np.repeat(random.integers(0, 2, (300, 1)), TRACKS, axis=1).astype(np.float32)
    others = np.repeat(random.normal(size=(300, 1, 2)), TRACKS, axis=1)
    p_network = np.repeat(random.uniform(0.2, 0.8, (300, 1)), TRACKS, axis=1)
    every = choose(played, p_network, others)[0]
    alone = np.full(played.shape, np.nan)
    alone[:, -1] = played[:, -1]
    last = choose(alone, p_network, others)[0]

    for one, other in zip(every.candidates, last.candidates, strict=True):
        assert one.error == pytest.approx(other.error, rel=1e-3)
        assert one.log_loss == pytest.approx(one.log_loss_of_last)


def test_what_the_network_adds_is_the_gain_over_the_best_without_it() -> None:
    much = choice_of(network=0.0, trees=1.0).network_adds
    nothing = choice_of(network=5.0, trees=0.0).network_adds

    assert much is not None
    assert nothing is not None
    assert much.nats > 0.05 > 10 * much.error
    assert nothing.nats == pytest.approx(0, abs=0.001)


def test_a_network_without_rivals_is_chosen() -> None:
    played = np.array([[np.nan, 1.0, 0.0]])
    choice, fitted = choose(played, np.array([[np.nan, np.nan, 0.25]]), None)

    assert (choice.chosen, fitted, choice.tracks, choice.network_adds) == ("network", None, 1, None)
    assert choice.candidates[0].log_loss == pytest.approx(-np.log(0.75))
    assert "there is no other candidate" in choice.sentence


def test_the_choice_in_words() -> None:
    words = choice_of(network=1.0).sentence

    assert_says(
        words,
        "Best of the night on 8,000 tracks",
        "the stack of the network, the regression and the trees (log-loss",
        "the best without the network differs by +0.",
    )


# --- On published stages -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> DataLayout:
    """A data directory with a network and the other models; to be copied."""
    layout = data_directory(tmp_path_factory.mktemp("best"))
    publish_network(layout)
    publish_others(layout)
    return layout


def publish_network(layout: DataLayout, preset: Preset = "fast", train_days: int | None = None) -> None:
    """Publish a small network as ``trained_model`` does."""
    before = read_manifest(layout.bundles, made_by="tensor_bundles")
    train = open_bundles(before)["train"]
    with publish(layout.model, stage="trained_model", data_source=before.data_source) as staging:
        own = network() if preset == "fast" else network_of_last_tracks()
        staging.path(ONNX_FILE).write_bytes(own)
        write_json(staging.path(CALIBRATION_FILE), Calibration(0.7, 0.0, 0.45, 9).to_json())
        write_json(staging.path(DECISION_RULE_FILE), THRESHOLD.to_json())
        write_json(staging.path(TRAINING_FILE), asdict(PRESETS[preset]))
        write_memory(staging.folder, TrackMemory.fit(train, train.tracks))
        staging.details |= {"bundles": before.fingerprint, "train_days": train_days}


def publish_others(layout: DataLayout) -> None:
    """Publish the other models as ``baseline_models`` does."""
    before = read_manifest(layout.bundles, made_by="tensor_bundles")
    bundles = open_bundles(before, schema.SPLITS)
    predictions, exported = fit_and_export(bundles)
    with publish(layout.baselines, stage="baseline_models", data_source=before.data_source) as staging:
        write_baselines(staging.folder, predictions, bundles, data_source=before.data_source)
        staging.path(HANDMADE_FILE).write_bytes(exported)
        staging.details |= {"bundles": before.fingerprint, "train_days": None}


def test_what_is_chosen_is_what_is_served(made: DataLayout, tmp_path: Path) -> None:
    layout = copied(made, tmp_path)
    choice, described = make_best(layout, layout.best)
    model = serving.load(layout.best / "served_model")
    validation = open_bundles(layout.bundles)["validation"]
    played = all_played(validation)
    p = model.predict_bundle_tracks(validation, track_table_ids(layout))[~np.isnan(played)]
    labels = played[~np.isnan(played)]
    found = -np.mean(np.log(np.where(labels > 0, p, 1 - p)))
    by_kind = {each.kind: each for each in choice.candidates}

    assert choice.chosen == described.kind == model.kind != "network"  # which has learnt nothing here
    assert found == pytest.approx(by_kind[choice.chosen].log_loss, abs=1e-5)
    assert read_json(layout.best / "decision_rule.json").keys() == {"joint", "correlations"}


def test_the_validation_sessions_alone_are_read(
    made: DataLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, opened = copied(made, tmp_path), []

    def watched(bundles: Manifest, splits: Sequence[str]) -> dict[str, Bundle]:
        opened.append(tuple(splits))
        return open_bundles(bundles, splits)

    monkeypatch.setattr(gather, "open_bundles", watched)
    make_best(layout, layout.best)

    assert opened == [("validation",)]


def test_a_network_of_last_tracks_is_the_only_candidate(made: DataLayout, tmp_path: Path) -> None:
    layout = copied(made, tmp_path)
    publish_network(layout, "published")
    choice, described = make_best(layout, layout.best)

    assert (choice.chosen, len(choice.candidates)) == ("network", 1)
    assert (described.kind, described.preset) == ("network", "published")
    assert serving.load(layout.best / "served_model").threshold == 0.45


def test_models_of_other_bundles_are_refused(made: DataLayout, tmp_path: Path) -> None:
    layout = copied(made, tmp_path)
    for stage, folder in (("baseline_models", layout.baselines), ("trained_model", layout.model)):
        with publish(folder, stage=stage, data_source="real") as staging:
            staging.details |= {"bundles": "of another night", "train_days": None}
        message = refusal(ContractError, lambda: make_best(layout, layout.best))
        assert_says(message, str(folder), "from other bundles", f"Materialize {stage} again")


def test_models_of_other_days_are_refused(made: DataLayout, tmp_path: Path) -> None:
    layout = copied(made, tmp_path)
    publish_network(layout, train_days=7)

    message = refusal(ContractError, lambda: make_best(layout, layout.best))
    assert_says(message, "train_days 7", "None", "with the same train_days")


def test_without_the_other_models_there_is_no_choice(made: DataLayout, tmp_path: Path) -> None:
    layout = copied(made, tmp_path)
    shutil.rmtree(layout.baselines)

    assert_says(refusal(MissingInputError, lambda: make_best(layout, layout.best)), "baseline_models")
