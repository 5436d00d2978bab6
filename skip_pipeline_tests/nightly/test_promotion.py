from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from skip_pipeline.errors import ContractError, TrainingError
from skip_pipeline.metrics.intervals import Estimate
from skip_pipeline.metrics.scores import Slicing
from skip_pipeline.nightly.decision import Decision, SliceChange
from skip_pipeline.nightly.evidence import Candidate, Gate, Unusable, measure
from skip_pipeline.nightly.limits import PROMOTION_MARGIN, PROMOTION_SLICE_LIMITS
from skip_pipeline.nightly.promotion import decide
from skip_pipeline.settings import DataSource
from skip_pipeline_tests.builders import assert_says, refusal

N = 400
LABELS = np.arange(N) % 2
LAST = np.where(LABELS == 1, 0.55, 0.45)  # log-loss 0.598
HALVES = Slicing("half", "Half", ("first", "empty", "second"), np.where(np.arange(N) < N // 2, 0, 2))


def tracks(last: np.ndarray) -> np.ndarray:
    """Sessions of three tracks, padded, whose earlier tracks are as the last one: (n, 5)."""
    return np.column_stack([np.full((len(last), 2), np.nan), last, last, last])


def sure(
    p: float | np.ndarray,
    name: str = "version 2",
    source: DataSource = "real",
    earlier: float | np.ndarray | None = None,
) -> Candidate:
    """A model that gives p to every outcome of a last track, and p or ``earlier`` to those before it."""
    before = p if earlier is None else earlier
    given = [np.where(LABELS == 1, value, 1 - np.asarray(value)) for value in (before, before, p)]
    return Candidate(name, source, np.column_stack([np.zeros((N, 2)), *given]))


def gone(source: DataSource | None) -> Unusable:
    return Unusable("version 1", source, "files gone")


OLD = sure(0.7, "version 1")


def judged(
    challenger: Candidate,
    champion: Candidate | Unusable | None,
    best: Candidate | Unusable | None = None,
    *,
    margin: float = PROMOTION_MARGIN,
    slice_limits: Mapping[str, float] = {},
    **gate: Any,
) -> Decision:
    sessions = Gate(tracks(LABELS), gate.pop("last_outcome", tracks(LAST)), **gate)
    return decide(measure(sessions, challenger, champion, best, slice_limits=slice_limits), margin=margin)


def by_half(challenger: Candidate, champion: Candidate, limit: float) -> Decision:
    """Judged by the accuracy of each half alone."""
    return judged(challenger, champion, margin=9.0, slicings=[HALVES], slice_limits={"half": limit})


@pytest.mark.parametrize(
    ("p", "promoted", "summary"),
    [
        (
            0.7,
            True,
            "Promoted: there is no champion yet; last track: log-",
        ),
        (0.52, False, "Refused: last track: log-loss 0.6539, and 0.5978 by"),
        (0.55, False, "Refused: last track: log-loss 0.5978, and 0.5978 by"),  # as good is not better
    ],
)
def test_the_first_model_is_promoted_if_it_beats_the_baseline(p, promoted, summary):
    decision = judged(sure(p), None)

    assert decision.promoted is promoted
    assert decision.summary.startswith(summary)
    rules = [reason.rule for reason in decision.reasons]
    assert rules == [
        "a champion to compare with",
        "answers both questions",
        "beats the last outcome: last track",
        "beats the last outcome: next track at any position",
    ]
    assert (decision.log_loss_difference, decision.next_track_difference, decision.slices) == (None, None, ())


def test_a_model_worse_than_the_baseline_is_refused_however_bad_the_champion():
    assert not judged(sure(0.54), sure(0.52, "version 1")).promoted


def test_a_better_model_is_promoted():
    decision = judged(sure(0.75), OLD)

    assert decision.promoted
    assert decision.log_loss_difference is not None
    assert decision.log_loss_difference.value == pytest.approx(np.log(0.7) - np.log(0.75))
    shown = "version 2 minus version 1: -0.0690 (99% interval -0.0690 to -0.0690"
    assert_says(decision.summary, shown, "+0.0100")


@pytest.mark.parametrize(
    ("p", "rules", "promoted"),
    [
        (0.65, {"margin": 0.15}, True),
        (0.65, {"margin": 0.1}, False),  # worse by 0.0741, more than half of the margin
        (0.65, {"margin": 0.01}, False),
        (0.7, {"margin": 0.0}, True),
        (0.7, {"margin": -0.001}, False),
        (0.6967, {}, True),  # worse by 0.0047, and the default margin is 0.01
        (0.6963, {}, False),  # by 0.0053
    ],
)
def test_a_model_may_be_worse_by_the_margin(p, rules, promoted):
    decision = judged(sure(p), OLD, **rules)

    assert decision.promoted is decision.reasons[-1].passed is decision.reasons[-2].passed is promoted
    assert [reason.rule for reason in decision.reasons[-2:]] == [
        "not worse than the champion: last track",
        "not worse than the champion: next track at any position",
    ]
    start = "Promoted: " if promoted else "Refused: last track: log-loss of version 2 minus version 1"
    assert decision.summary.startswith(start)


@pytest.mark.parametrize(
    ("challenger", "worse"),
    [
        (sure(0.7, earlier=0.65), "next track at any position"),
        (sure(0.65, earlier=0.8), "last track"),
    ],
)
def test_a_model_may_be_worse_on_neither_question(challenger, worse):
    decision = judged(challenger, OLD)

    assert not decision.promoted
    assert decision.summary.startswith(f"Refused: {worse}: log-loss of version 2 minus version 1: +")
    assert [r.rule for r in decision.reasons if not r.passed] == [f"not worse than the champion: {worse}"]


def test_the_next_track_is_compared_over_all_tracks():
    decision = judged(sure(0.7, earlier=0.8), OLD)

    assert decision.log_loss_difference == Estimate(0, 0, 0)
    assert decision.next_track_difference is not None
    assert decision.next_track_difference.value == pytest.approx(2 / 3 * (np.log(0.7) - np.log(0.8)))


def test_a_model_beats_the_baseline_on_both_questions_or_is_refused():
    decision = judged(sure(0.7, earlier=0.4), None)
    assert decision.summary.startswith("Refused: next track at any position: log-loss 0.7298")


LAST_ALONE = sure(0.9, earlier=np.nan)


def test_a_challenger_of_last_tracks_alone_is_refused():
    for champion in (None, OLD, replace(LAST_ALONE, name="version 1")):
        decision = judged(LAST_ALONE, champion)
        assert not decision.promoted
        assert decision.summary == "Refused: version 2 answers only the last track; train the preset fast"
        assert decision.next_track_difference is None


def test_a_champion_of_last_tracks_alone_is_compared_on_these():
    champion = replace(LAST_ALONE, name="version 1", p_not_skipped=sure(0.7, earlier=np.nan).p_not_skipped)
    decision = judged(sure(0.71), champion)

    assert decision.promoted
    assert decision.log_loss_difference is not None
    assert decision.next_track_difference is None
    assert "not compared, since version 1 answers only the last track" in decision.summary
    assert not judged(sure(0.6, earlier=0.9), champion).promoted


def test_uncertainty_counts_against_the_challenger():
    given = np.where(np.arange(N) < 20, 0.05, 0.807)  # of each outcome: 20 sessions wrong, the others better
    decision = judged(sure(given), OLD, margin=0.01)

    assert decision.log_loss_difference is not None
    assert decision.log_loss_difference.value < 0.01 < decision.log_loss_difference.high
    assert not decision.promoted


def test_a_slice_may_not_pay_for_the_others():
    given = np.full(N, 0.9)
    given[N // 2 :: 5] = 0.1  # a fifth of the second half is wrong now
    decision = by_half(sure(given), OLD, 0.05)

    assert not decision.promoted
    assert decision.reasons[-1].rule == "no fall in a slice of half"
    assert_says(decision.summary, "Refused: accuracy by half falls for second by 20.0% of 200 sessions", "5%")
    first, second = decision.slices  # the empty one is left out
    assert first == SliceChange("half", "first", 200, Estimate(0, 0, 0), 0.05)
    assert not first.fallen
    assert second.accuracy.value == pytest.approx(-0.2)
    assert second.accuracy.low < -0.2 < second.accuracy.high < 0
    assert by_half(sure(given), OLD, 0.21).promoted


@pytest.mark.parametrize(
    ("value", "high", "limit", "fallen"),
    [
        (-0.06, -0.01, 0.05, True),
        (-0.0625, -0.01, 0.0625, False),  # by the limit is allowed
        (-0.06, 0.0, 0.05, False),  # may be chance
        (0.06, 0.07, 0.05, False),
    ],
)
def test_a_fall_is_beyond_the_limit_and_beyond_chance(value, high, limit, fallen):
    assert SliceChange("half", "first", 100, Estimate(value, -0.2, high), limit).fallen is fallen


def test_a_fall_within_chance_is_no_fall():
    few = Slicing("few", "Few", ("most", "some"), (np.arange(N) >= N - 100).astype(int))
    given = np.append(np.full(N - 4, 0.9), [0.1] * 4)  # four of a hundred are wrong
    decision = judged(sure(given), OLD, slicings=[few], slice_limits={"few": 0.01})

    assert decision.promoted
    assert "nowhere beyond 1%" in decision.reasons[-1].facts


def test_each_model_is_right_or_wrong_at_its_own_threshold():
    low = Candidate("version 2", "real", tracks(np.where(LABELS == 1, 0.4, 0.1)), threshold=0.3)
    for challenger, champion in ((low, OLD), (OLD, low)):
        changes = by_half(challenger, champion, 0.0).slices
        assert [change.accuracy.value for change in changes] == [0, 0]


def test_by_default_slices_of_context_and_account_are_compared():
    ways = [Slicing(name, name, ("all",), np.zeros(N, int)) for name in ("premium", "context_type")]
    decision = judged(sure(0.75), OLD, slicings=ways, slice_limits=PROMOTION_SLICE_LIMITS)
    limits = [(change.slicing, change.limit) for change in decision.slices]
    assert limits == [("context_type", 0.05), ("premium", 0.03)]


NO_MODEL = "version 1, cannot be used: files gone"


@pytest.mark.parametrize(
    ("source", "champion", "promoted", "compared", "fact"),
    [
        ("synthetic", sure(0.6, "version 1"), False, False, "on real data, version 2 on synthetic data"),
        ("real", sure(0.9, "version 1", "synthetic"), True, False, "is no measure for real data"),
        ("synthetic", sure(0.6, "version 1", "synthetic"), True, True, "version 2 minus version 1"),
        *(("real", gone(source), True, False, NO_MODEL) for source in ("real", "synthetic", None)),
        ("synthetic", gone("synthetic"), True, False, NO_MODEL),
        ("synthetic", gone("real"), False, False, "version 1, was trained on real data"),
        ("synthetic", gone(None), False, False, "on data of unknown source"),
    ],
)
def test_synthetic_and_real_are_never_compared(source, champion, promoted, compared, fact):
    decision = judged(sure(0.7, source=source), champion)

    assert decision.promoted is promoted
    assert (decision.log_loss_difference is not None) is compared
    assert fact in decision.summary
    if not compared:
        assert decision.reasons[0].rule == "a champion to compare with"


def test_every_slice_that_falls_is_named():
    summary = by_half(sure(0.3), OLD, 0.05).summary
    assert "first by 100.0% of 200 sessions, second by 100.0% of 200 sessions" in summary


def test_a_decision_is_json():
    decision = by_half(sure(0.75), OLD, 0.05)
    content = json.loads(json.dumps(decision.to_json()))

    assert content.keys() == {
        *("promoted", "summary", "reasons", "log_loss_difference", "next_track_difference", "slices"),
        *("newest_day", "to_best_version", "small_slices", "power", "alarms", "because"),
    }
    assert (content["promoted"], content["summary"]) == (True, decision.summary)
    assert content["reasons"][0].keys() == {"rule", "passed", "facts"}
    for name in ("log_loss_difference", "next_track_difference"):
        assert content[name].keys() == {"value", "low", "high"}
    accuracy = {"value": 0.0, "low": 0.0, "high": 0.0}
    first = {"way": "half", "label": "first", "sessions": 200, "accuracy": accuracy, "limit": 0.05}
    assert content["slices"][0] == first | {"fallen": False}
    assert judged(sure(0.75), None).to_json()["log_loss_difference"] is None


SHORT = np.full((3, 5), 0.5)


@pytest.mark.parametrize(
    ("challenger", "champion", "last_outcome", "who"),
    [
        (replace(OLD, name="version 2", p_not_skipped=SHORT), None, tracks(LAST), "version 2"),
        (sure(0.7), replace(OLD, p_not_skipped=SHORT), tracks(LAST), "version 1"),
        (sure(0.7), None, SHORT, "the last outcome"),
    ],
)
def test_predictions_of_other_sessions_are_refused(challenger, champion, last_outcome, who):
    message = refusal(ContractError, lambda: judged(challenger, champion, last_outcome=last_outcome))
    assert_says(message, f"{who} has probabilities of shape (3, 5)", "(400, 5)", "same gate sessions")


def test_a_champion_that_is_not_compared_may_have_other_sessions():
    assert judged(sure(0.7), replace(OLD, data_source="synthetic", p_not_skipped=SHORT)).promoted


def test_a_slicing_that_is_not_given_is_refused():
    rules: dict[str, Any] = {"slicings": [HALVES], "slice_limits": {"nonsense": 0.1}}
    message = refusal(ContractError, lambda: judged(sure(0.7), OLD, **rules))
    assert_says(message, "no slicing ['nonsense']", "choose of ['half']")


def test_one_outcome_is_refused():
    ones = np.ones((3, 5))
    one = Candidate("v", "real", ones)
    message = refusal(TrainingError, lambda: measure(Gate(ones, ones), one, None))
    assert_says(message, "the gate sessions: 3 of 3", "both outcomes")


def test_half_of_the_margin_counts_from_the_best_version_alone():
    worse = sure(0.6963)

    from_the_champion = judged(worse, OLD, best=sure(0.6964, "version 0"))
    from_the_best = judged(worse, sure(0.6964, "version 0"), best=OLD)

    assert from_the_champion.promoted
    assert not from_the_best.promoted
    assert_says(from_the_best.summary, "minus version 1: +0.0053", "beyond half of the margin, +0.0050")


def test_the_reasons_of_a_decision_are_what_failed_or_the_comparison_with_the_champion():
    first, better, worse = judged(sure(0.75), None), judged(sure(0.75), OLD), judged(sure(0.6), OLD)

    assert [fact.partition(":")[0] for fact in first.because] == ["last track", "next track at any position"]
    assert all("by going by the last outcome" in fact for fact in first.because)
    assert len(better.because) == len(worse.because) == 2
    assert all("version 2 minus version 1" in fact for fact in (*better.because, *worse.because))
    assert better.to_json()["because"] == list(better.because)
