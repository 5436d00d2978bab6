"""Decisions on second halves in the report: literal sessions, rivals, choices and refusals."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from skip_pipeline.bundles.second_half import skips
from skip_pipeline.errors import ContractError
from skip_pipeline.metrics.calibration import Calibration
from skip_pipeline.metrics.decision_rule import THRESHOLD, DecisionRule, best_constant_strings
from skip_pipeline.networks.listening import log_column
from skip_pipeline.report import second_half
from skip_pipeline.report.second_half import SecondHalf, judge_second_half, measure_second_half
from skip_pipeline.training.second_half import SecondHalves
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.tiny_bundle import tiny_bundle

STRINGS = {10: np.array([1, 1, 1, 1, 1], np.uint8), 13: np.array([0, 0, 0, 0, 0, 0, 1], np.uint8)}


def digits(*lines: str) -> np.ndarray:
    return np.array([int(digit) for line in lines for digit in line], np.uint8)


HEARD = digits("00011", "110000")  # last action 1, 0; majority 0, 0
SKIPPED = digits("11110", "0000011")
P = np.array([0.9, 0.9, 0.9, 0.45, 0.45, 0.1, 0.1, 0.1, 0.1, 0.1, 0.4, 0.4])
HALVES = SecondHalves(np.array([10, 13]), SKIPPED, P, np.ones(12))


def judge(rule: DecisionRule = THRESHOLD, **changed: Any) -> SecondHalf:
    arguments: dict[str, Any] = {"halves": HALVES, "heard": HEARD, "strings": STRINGS, "rule": rule}
    return judge_second_half(**arguments | changed)


@pytest.fixture(scope="module")
def found() -> SecondHalf:
    return judge()


def test_every_way_to_decide_is_scored(found: SecondHalf) -> None:
    assert (found.sessions, found.tracks, found.share_skipped) == (2, 12, 0.5)
    names = {"threshold", "whole_strings", "random", "last_action", "majority", "constant_string"}
    assert {entry.name for entry in found.decisions} == names
    values = [entry.maa.value for entry in found.decisions]
    assert values == sorted(values, reverse=True)
    # By hand: 11100 against 11110 is 1 + 1 + 1 + 0 + 4/5, of 5 tracks; 0000000 against 0000011 is 5, of 7.
    assert found.named("threshold").maa.value == pytest.approx((3.8 / 5 + 5 / 7) / 2)
    assert found.named("last_action").maa.value == pytest.approx((4 / 5 + 5 / 7) / 2)
    assert found.named("majority").maa.value == pytest.approx((1 / 5 / 5 + 5 / 7) / 2)
    assert found.named("constant_string").maa.value == pytest.approx((4 / 5 + (5 + 6 / 7) / 7) / 2)
    first = {"threshold": 1.0, "last_action": 1.0, "majority": 0.5, "constant_string": 1.0}
    assert {name: found.named(name).fpa.value for name in first} == first


def test_differences_are_to_what_decides(found: SecondHalf) -> None:
    decided, majority = found.decided, found.named("majority")
    assert decided.name == "threshold"
    assert decided.maa_difference is None
    assert decided.fpa_difference is None
    assert majority.maa_difference is not None
    assert majority.maa_difference.value == pytest.approx(majority.maa.value - decided.maa.value)
    assert majority.fpa_difference is not None
    assert majority.fpa_difference.value == -0.5


def test_whole_strings_decide_where_the_rule_says_so() -> None:
    table = np.where(np.eye(5, dtype=bool), 1.0, 0.9)
    found = judge(DecisionRule({10: table}, joint=True))
    assert found.decided_by == "whole_strings"
    # Correlated outcomes: 11111 is expected to score higher than 11100, and it does.
    assert found.decided.maa.value == pytest.approx((4 / 5 + 5 / 7) / 2)
    by_threshold = found.named("threshold").maa_difference
    assert by_threshold is not None
    assert by_threshold.value == pytest.approx((3.8 - 4) / 5 / 2)
    kept_back = judge(DecisionRule({10: table}, joint=False))
    assert kept_back.decided_by == "threshold"
    assert kept_back.named("whole_strings").maa == found.decided.maa


def test_random_digits_are_the_same_again(found: SecondHalf) -> None:
    assert judge().named("random") == found.named("random")


def test_tracks_are_scored_by_position_in_the_second_half(found: SecondHalf) -> None:
    positions = found.positions
    assert [at.position for at in positions] == [1, 2, 3, 4, 5, 6, 7]
    assert [at.tracks for at in positions] == [2, 2, 2, 2, 2, 1, 1]
    assert [at.share_skipped for at in positions] == [0.5, 0.5, 0.5, 0.5, 0.0, 1.0, 1.0]
    assert [at.accuracy.value for at in positions] == [1.0, 1.0, 1.0, 0.5, 1.0, 0.0, 0.0]
    assert [at.last_action.value for at in positions] == [1.0, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0]
    gaps = [at.calibration_gap.value for at in positions]
    assert gaps == pytest.approx([0.0, 0.0, 0.0, -0.225, 0.275, -0.6, -0.6])
    assert positions[3].accuracy.low == 0.0
    assert positions[3].accuracy.high == 1.0


def test_probabilities_are_judged_too(found: SecondHalf) -> None:
    given = np.where(SKIPPED == 1, P, 1 - P)
    assert found.log_loss.value == pytest.approx(-np.log(given).mean())
    assert found.calibration_gap.value == pytest.approx(P.mean() - 0.5)
    assert found.calibration_gap.low <= found.calibration_gap.value <= found.calibration_gap.high
    assert 0 < found.ece < 0.5
    assert judge(halves=HALVES._replace(p_skip_2=SKIPPED.astype(np.float64))).ece == 0.0


def test_metrics_are_json_with_plain_names(found: SecondHalf) -> None:
    metrics = json.loads(json.dumps(found.metrics(), allow_nan=False))
    assert metrics["decided_by"] == "threshold"
    assert len(metrics["decisions"]) == 6
    assert metrics["decisions"][-1]["maa_difference"].keys() == {"value", "low", "high"}
    of_position = {"position", "tracks", "share_skipped", "accuracy", "last_action", "calibration_gap"}
    assert metrics["positions"][0].keys() == of_position
    assert found.headline_metrics() == {
        "second_half_maa": found.decided.maa.value,
        "second_half_fpa": 1.0,
        "second_half_log_loss": found.log_loss.value,
        "second_half_ece": found.ece,
    }
    assert found.comparison_metrics()["maa/last_action"] == found.named("last_action").maa.value
    assert len(found.comparison_metrics()) == 12


def test_outcomes_of_other_first_halves_are_refused() -> None:
    message = refusal(ContractError, lambda: judge(heard=HEARD[1:]))
    assert_says(message, "(10,)", "one for each of 11 tracks")


def test_no_session_is_refused() -> None:
    empty = np.empty(0)
    halves = SecondHalves(empty.astype(np.int64), empty.astype(np.uint8), empty, empty)
    assert_says(refusal(ContractError, lambda: judge(halves=halves, heard=empty)), "no session")


def test_probabilities_outside_of_0_and_1_are_refused() -> None:
    assert_says(
        refusal(ContractError, lambda: judge(halves=HALVES._replace(p_skip_2=P * 2))),
        "3 of 12",
        "not in [0, 1]",
    )


def test_strings_come_from_training_sessions_and_first_halves_from_test_sessions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training, test = tiny_bundle(40, seed=1), tiny_bundle(30, seed=2)
    lengths = test["session_log"][:, -1, log_column("session_length")].astype(np.int64)
    of_test = skips(test)
    halves = SecondHalves(lengths, of_test, np.full(len(of_test), 0.4), np.ones(len(of_test)))
    calibration = Calibration(slope=1.0, offset=0.0, threshold=0.5, tracks=1)

    served = np.full((len(lengths), 20), 0.5)

    def predict(network: object, split: object, correction: object, *, p_next: object) -> SecondHalves:
        assert network == "network"
        assert split is test
        assert correction is calibration
        assert p_next is served
        return halves

    monkeypatch.setattr(second_half, "predict_second_half", predict)
    found = measure_second_half("network", training, test, calibration, THRESHOLD, p_next=served)

    trained = training["session_log"][:, -1, log_column("session_length")].astype(np.int64)
    strings = best_constant_strings(skips(training), trained)
    log = test["session_log"][:, :, log_column("skip_2")]
    heard = [log[i, 20 - n : 20 - n + n // 2] for i, n in enumerate(lengths.tolist())]
    assert found == judge(THRESHOLD, halves=halves, heard=np.concatenate(heard), strings=strings)
