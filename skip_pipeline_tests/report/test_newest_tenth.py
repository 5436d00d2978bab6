"""The split by time, and the scores of models on it."""

import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.bundles.gather import Bundle
from skip_pipeline.metrics.scores import score
from skip_pipeline.report.newest_tenth import (
    ByTime,
    Judged,
    Prediction,
    first_of_newest,
    judge,
    judged_by_hash,
    one_outcome,
    split_by_time,
)
from skip_pipeline_tests.stages.shard_builders import TRACKS, Shard, shard

SPLITS = [
    "train",
    "validation",
    "test",
    "train",
    "train",
    "validation",
    "test",
    "train",
    "validation",
    "gate",
]


def of_days(days: list[int], seed: int = 0) -> Shard:
    ids = [f"1_202401{day:02}T080000_000" for day in days]
    return shard([10 + day % 3 for day in days], SPLITS[: len(days)], seed=seed, ids=ids)


def bundles(*shards: Shard) -> dict[str, Bundle]:
    parts = [made.parts(f"log_{i}") for i, made in enumerate(shards)]
    return {split: Bundle(TRACKS, [each[split] for each in parts]) for split in schema.SPLITS}


def days_of(bundle: Bundle) -> list[int]:
    return sorted(int(each[8:10]) for each in bundle.session_id.tolist())


def test_the_newest_tenth_is_judged_and_the_past_keeps_its_validation_sessions():
    first, second = list(range(1, 11)), list(range(11, 21))
    found, start = split_by_time(bundles(of_days(first), of_days(second, seed=1)))

    assert start == "20240119T080000"
    assert days_of(found["test"]) == [19, 20]
    assert days_of(found["validation"]) == [2, 6, 9, 12, 16]
    assert days_of(found["train"]) == [1, 3, 4, 5, 7, 8, 10, 11, 13, 14, 15, 17, 18]


def test_a_session_keeps_its_contents_in_another_split():
    made = of_days(list(range(1, 11)))
    found, _ = split_by_time(bundles(made))
    whole = {day: arrays for split in made.wide().values() for day, arrays in _by_id(split).items()}

    for bundle in found.values():
        for session, arrays in _by_id(bundle).items():
            for name, values in arrays.items():
                assert np.array_equal(values, whole[session][name]), name


def _by_id(arrays) -> dict[str, dict[str, np.ndarray]]:
    names = (*schema.BRANCH_SHAPES, "circumstances", "track_numbers", schema.LABEL, "last_flags")
    return {
        session: {name: np.asarray(arrays[name])[i] for name in names}
        for i, session in enumerate(np.asarray(arrays[schema.SESSION_ID]).tolist())
    }


def test_a_sitting_is_not_divided():
    starts = np.array(["20240101T000000"] * 8 + ["20240102T000000"] * 12)

    assert first_of_newest(starts) == "20240102T000000"
    assert first_of_newest(starts, 0.61) == "20240101T000000"


def test_sessions_of_one_outcome_are_named_and_those_of_both_are_not():
    found, _ = split_by_time(bundles(of_days(list(range(1, 11))), of_days(list(range(11, 21)), seed=4)))
    labels = found["test"].not_skipped
    assert set(labels.tolist()) == {0.0, 1.0}

    assert one_outcome(found) == ""
    alone = found | {"test": found["test"].of_sessions(labels == 1)}
    assert one_outcome(alone).startswith("the last tracks of the 1 newest sessions all ended the same way")


RANDOM = np.random.default_rng(0)
LABELS = np.where(RANDOM.random((300, 20)) < 0.6, 1.0, 0.0)
LABELS[:100, :5] = np.nan
GOOD = np.clip(0.5 + 0.3 * (LABELS - 0.5) + RANDOM.normal(0, 0.1, LABELS.shape), 0.01, 0.99)
POOR = np.full(LABELS.shape, 0.6)


def judged(network: np.ndarray | None = GOOD, threshold: float = 0.5) -> Judged:
    of_network = Prediction("fast", GOOD[:, -1], network, is_network=True, threshold=threshold)
    return judge(LABELS, (Prediction("majority", POOR[:, -1], POOR), of_network))


def test_both_questions_have_the_scores_that_scikit_learn_gives():
    found = judged()
    real = ~np.isnan(LABELS)

    assert found.every is not None
    assert (found.sessions, found.last.tracks, found.every.tracks) == (300, 300, 5500)
    for question, labels, p in (
        (found.last, LABELS[:, -1], GOOD[:, -1]),
        (found.every, LABELS[real], GOOD[real]),
    ):
        expected = score(labels, p)
        for name in ("log_loss", "accuracy", "roc_auc"):
            estimate = getattr(question.network, name)
            assert estimate.value == pytest.approx(getattr(expected, name))
            assert estimate.low <= estimate.value <= estimate.high


def test_models_are_ranked_and_a_difference_is_the_rivals_minus_the_networks():
    every = judged().every
    assert every is not None
    network, rival = every.models

    assert [model.name for model in every.models] == ["fast", "majority"]
    assert (every.network, every.best_rival) == (network, rival)
    assert network.log_loss_difference is None
    assert rival.log_loss_difference is not None
    assert rival.log_loss_difference.value == pytest.approx(rival.log_loss.value - network.log_loss.value)
    assert rival.log_loss_difference.low > 0
    assert rival.accuracy_difference is not None
    assert rival.accuracy_difference.high < 0


def test_the_networks_threshold_decides_its_accuracy():
    assert judged(threshold=0.99).last.network.accuracy.value == pytest.approx(np.mean(LABELS[:, -1] == 0))


def test_a_network_that_answers_the_last_track_alone_is_judged_on_that_alone():
    found = judged(network=None)

    assert found.every is None
    assert found.last == judged().last


def test_scores_by_hash_are_those_of_the_evaluation_report():
    estimate = {"value": 0.5, "low": 0.4, "high": 0.6}
    rival = {"log_loss_difference": estimate | {"beyond_chance": True}, "accuracy_difference": estimate}
    scores = {"log_loss": estimate, "accuracy": estimate, "roc_auc": estimate}
    network = {"name": "fast", "kind": "network", "log_loss_difference": None, "accuracy_difference": None}
    models = [scores | rival | {"name": "majority", "kind": "baseline", "brier": estimate}, scores | network]
    metrics = {
        "leaderboard": {"sessions": 1381, "models": models},
        "next_track": {"tracks": 24_000, "models": models},
    }

    found = judged_by_hash(metrics)
    assert found.every is not None
    assert (found.sessions, found.last.tracks, found.every.tracks) == (1381, 1381, 24_000)
    assert found.last.network.name == "fast"
    assert found.last.best_rival.log_loss_difference is not None
    assert found.last.best_rival.log_loss_difference.high == 0.6
    assert judged_by_hash(metrics | {"next_track": None}).every is None


def test_metrics_for_mlflow_are_the_networks():
    found = ByTime("2024-01-19", 13, 5, judged())
    assert found.judged.every is not None

    values = found.headline_metrics()
    assert values["newest_tenth_every_track_log_loss"] == found.judged.every.network.log_loss.value
    assert values["newest_tenth_last_track_accuracy"] == found.judged.last.network.accuracy.value
    assert len(values) == 6
    assert len(ByTime("2024-01-19", 13, 5, judged(network=None)).headline_metrics()) == 3
    assert found.to_json()["judged"]["every"]["models"][0]["name"] == "fast"
