"""What a comparison with the last champion alone does not notice, and what is done about lost versions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from skip_pipeline.metrics.scores import Slicing
from skip_pipeline.nightly.decision import Decision
from skip_pipeline.nightly.evidence import (
    LAST_TRACK,
    NEXT_TRACK,
    QUESTIONS,
    Candidate,
    Gate,
    Unusable,
    measure,
)
from skip_pipeline.nightly.promotion import decide
from skip_pipeline_tests.builders import assert_says

DAYS, A_DAY = 10, 120
N = DAYS * A_DAY
LABELS = np.arange(N) % 2
DAY = np.arange(N) // A_DAY
NEWEST = DAY == DAYS - 1
LAST = 0.55  # what going by the last outcome gives to every outcome: log-loss 0.598


def tracks(given: float | np.ndarray, earlier: float | np.ndarray | None = None) -> np.ndarray:
    """P of sessions of three tracks, padded, for what is given to each outcome: (n, 5)."""
    columns = [np.broadcast_to(p, N) for p in ((given if earlier is None else earlier),) * 2 + (given,)]
    return np.column_stack([np.zeros((N, 2)), *(np.where(LABELS == 1, p, 1 - p) for p in columns)])


def model(version: int, given: float | np.ndarray, earlier: float | np.ndarray | None = None) -> Candidate:
    return Candidate(f"version {version}", "real", tracks(given, earlier))


def of_log_loss(nats: float) -> float:
    """What is given to every outcome by a model of this log-loss."""
    return float(np.exp(-nats))


NOT_SKIPPED = np.column_stack([np.full((N, 2), np.nan), LABELS, LABELS, LABELS])
SESSIONS = Gate(NOT_SKIPPED, tracks(LAST), newest_day="2018-07-24", is_newest=NEWEST)
CHAMPION = model(1, 0.7)
LAST_ALONE = model(1, 0.7, np.nan)


def judged(
    challenger: Candidate,
    champion: Candidate | Unusable | None = CHAMPION,
    best: Candidate | Unusable | None = None,
    slice_limits: dict[str, float] | None = None,
    **gate: Any,
) -> Decision:
    sessions = replace(SESSIONS, **gate)
    return decide(measure(sessions, challenger, champion, best, slice_limits=slice_limits or {}))


def failed(decision: Decision) -> list[str]:
    return [reason.rule for reason in decision.reasons if not reason.passed]


# --- Many nights --------------------------------------------------------------------------------------


def test_sixty_slightly_worse_nights_never_add_up_to_more_than_the_margin():
    first = champion = best = model(1, of_log_loss(0.477))
    for night in range(2, 62):
        challenger = model(night, of_log_loss(0.477 + 0.0016 * (night - 1)))
        decision = judged(challenger, champion, best)
        champion = challenger if decision.serves == "challenger" else champion
        best = challenger if decision.best == "challenger" else best

    assert champion.name == "version 4"  # worse by 0.0048
    assert best is first
    assert failed(judged(model(8, of_log_loss(0.477 + 0.0112)), champion, best, is_newest=None)) == [
        f"not worse than the best version: {question}" for question in (LAST_TRACK, NEXT_TRACK)
    ]


@pytest.mark.parametrize(
    ("last", "earlier", "best"),
    [
        (0.71, 0.71, "challenger"),
        (0.71, 0.7, "challenger"),
        (0.71, 0.692, "best"),  # better on one question, worse on the other
        (0.7, 0.7, "best"),
        (0.699, 0.699, "best"),
    ],
)
def test_the_best_version_moves_to_a_promoted_version_that_is_better(last, earlier, best):
    decision = judged(model(3, last, earlier), model(2, 0.7), CHAMPION)

    assert decision.promoted
    assert decision.best == best


def test_the_best_version_does_not_move_to_a_lucky_one():
    given = np.where(np.arange(N) % 5 == 0, 0.6, 0.73)
    decision = judged(model(3, given), model(2, 0.7), CHAMPION)

    assert decision.promoted
    assert decision.to_best[LAST_TRACK].value < 0
    assert (decision.serves, decision.best) == ("challenger", "best")


def test_a_refused_version_is_never_the_best():
    assert judged(model(3, 0.9, 0.6), model(2, 0.7), CHAMPION).best == "best"


# --- The newest day -----------------------------------------------------------------------------------

BROKEN_TODAY = model(2, np.where(NEWEST, 0.65, 0.71))
BROKEN_TODAY_BEFORE = replace(BROKEN_TODAY, name="version 3")


def test_a_model_that_is_broken_on_the_newest_day_is_refused_although_the_pool_is_fine():
    decision = judged(BROKEN_TODAY)

    assert decision.differences[LAST_TRACK].high < 0.01
    assert failed(decision) == [
        f"not worse than the champion on the newest day: {q}" for q in (LAST_TRACK, NEXT_TRACK)
    ]
    assert_says(
        decision.summary, "on the newest day, 2018-07-24: log-loss of version 2 minus version 1: +0.0741"
    )
    assert judged(BROKEN_TODAY, is_newest=None).promoted


def test_the_newest_day_alone_may_be_worse_by_the_margin_or_by_chance():
    noisy = np.where(np.arange(N) % 12 == 0, 0.4, 0.74)
    assert judged(model(2, np.where(NEWEST, 0.695, 0.71))).promoted
    assert judged(model(2, np.where(NEWEST, noisy, 0.71))).promoted


def test_a_break_on_the_newest_day_is_refused_even_if_the_champion_has_the_same():
    decision = judged(BROKEN_TODAY, BROKEN_TODAY_BEFORE, CHAMPION)

    assert failed(decision) == [f"not worse than the best version on the newest day: {q}" for q in QUESTIONS]


def test_the_best_version_serves_again_if_the_champion_fails_on_the_newest_day():
    refused = judged(BROKEN_TODAY, BROKEN_TODAY_BEFORE, CHAMPION)
    promoted = judged(model(4, 0.7), BROKEN_TODAY_BEFORE, CHAMPION)
    within = judged(model(4, 0.6), model(3, np.where(NEWEST, 0.694, 0.71)), CHAMPION)

    assert (refused.serves, refused.best) == ("best", "best")
    for alarm in refused.alarms:
        assert_says(
            alarm, "the champion, version 3, fails on the newest day, 2018-07-24", "version 1, serves again"
        )
    assert len(refused.alarms) == len(QUESTIONS)
    assert (promoted.serves, promoted.alarms) == ("challenger", ())
    assert (within.serves, within.alarms) == ("champion", ())


def test_a_newest_day_of_few_sessions_is_not_judged():
    few = NEWEST & (np.arange(N) % A_DAY < 99)
    decision = judged(BROKEN_TODAY, is_newest=few)

    assert decision.promoted
    assert decision.newest_day == {}
    assert decision.power is not None
    assert_says(decision.power.warnings[0], "2018-07-24, has 99 gate sessions, and is judged from 100 on")


# --- The floor ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "earlier", "worse"),
    [
        (0.72, 0.72, []),
        (0.735, 0.72, [LAST_TRACK]),
        (0.72, 0.74, [NEXT_TRACK]),
        (0.75, 0.75, [LAST_TRACK, NEXT_TRACK]),
    ],
)
def test_no_version_is_worse_than_the_best_of_the_nights_baselines(last, earlier, worse):
    rivals = {"trees": tracks(last, earlier), "regression": tracks(0.6)}
    for champion in (None, CHAMPION):
        decision = judged(model(2, 0.72), champion, rivals=rivals)
        assert failed(decision) == [f"not worse than the night's baselines: {question}" for question in worse]


# --- Slices -------------------------------------------------------------------------------------------


def by_slice(size: int, wrong: int, slices: int = 1) -> Decision:
    """One slice of this size has so many sessions wrong; there may be more slices of 100 without a change."""
    given = np.full(N, 0.7)
    given[:wrong] = 0.3
    number = np.minimum(np.maximum(np.arange(N) - size + 100, 0) // 100, slices)
    return judged(
        model(2, given),
        replace(CHAMPION, p_not_skipped=tracks(0.69)),
        slicings=[Slicing("way", "Way", tuple(map(str, range(slices + 1))), number)],
        slice_limits={"way": 0.05},
        is_newest=None,
    )


def test_one_session_is_no_slice_and_vetoes_nothing():
    decision = by_slice(1, 1)

    assert decision.promoted
    assert [part.label for part in decision.slices] == ["1"]
    assert decision.small_slices == 1


def test_a_slice_is_judged_from_a_hundred_sessions_on():
    assert "no fall in a slice of way" not in failed(by_slice(99, 20))
    assert "no fall in a slice of way" in failed(by_slice(100, 20))


def test_many_slices_are_corrected_for():
    assert "no fall in a slice of way" in failed(by_slice(100, 9, slices=1))
    many = by_slice(100, 9, slices=11)
    assert "no fall in a slice of way" not in failed(many)
    assert many.slices[0].accuracy.value == pytest.approx(-0.09)


# --- All is bad ---------------------------------------------------------------------------------------

BAD_TODAY = np.where(NEWEST, 0.5, 0.72)


def test_when_no_model_beats_the_last_outcome_on_the_newest_day_nothing_is_promoted_and_an_alarm_says_so():
    decision = judged(model(2, BAD_TODAY), model(1, np.where(NEWEST, 0.5, 0.7)))

    assert (decision.promoted, decision.serves) == (False, "champion")
    assert failed(decision) == [
        f"beats the last outcome on the newest day: {q}" for q in (LAST_TRACK, NEXT_TRACK)
    ]
    assert len(decision.alarms) == 2
    assert_says(
        decision.alarms[0], "last track", "version 2 0.6931 and version 1 0.6931", "0.5978", "data_drift"
    )
    assert decision.to_json()["alarms"] == list(decision.alarms)


def test_one_good_model_on_the_newest_day_is_no_alarm():
    assert judged(model(2, BAD_TODAY)).alarms == ()
    assert judged(model(2, 0.72), model(1, np.where(NEWEST, 0.5, 0.7))).promoted
    assert len(judged(model(2, BAD_TODAY), None).alarms) == 2


# --- Lost versions ------------------------------------------------------------------------------------

LOST = Unusable("version 1", "real", "files gone")


def test_a_best_version_that_cannot_be_loaded_gives_way_to_the_champion_and_is_an_alarm():
    champion = model(2, 0.7)
    promoted, refused = judged(model(3, 0.7), champion, LOST), judged(model(3, 0.6), champion, LOST)

    assert (promoted.serves, promoted.best) == ("challenger", "champion")
    assert (refused.serves, refused.best) == ("champion", "champion")
    assert promoted.alarms == refused.alarms == ("the best version, version 1, cannot be used: files gone",)
    assert judged(model(3, 0.72), champion, LOST).best == "challenger"


def test_the_best_version_takes_the_place_of_a_champion_that_cannot_be_loaded():
    best = model(2, 0.7)
    refused, promoted = judged(model(3, 0.65), LOST, best), judged(model(3, 0.7), LOST, best)

    assert (refused.word, refused.opponent, refused.serves, refused.best) == (
        "refused",
        "version 2",
        "best",
        "best",
    )
    assert (promoted.serves, promoted.best) == ("challenger", "best")
    assert promoted.alarms == ("the champion, version 1, cannot be used: files gone",)


@pytest.mark.parametrize(
    ("source", "best", "word", "remembered"),
    [
        ("real", replace(CHAMPION, data_source="synthetic"), "promoted", "champion"),
        ("synthetic", CHAMPION, "refused", "champion"),
        ("synthetic", replace(LOST, data_source=None), "refused", "champion"),
    ],
)
def test_a_best_version_of_other_data_is_no_measure(source, best, word, remembered):
    challenger, champion = (replace(model(n, 0.7), data_source=source) for n in (3, 2))
    decision = judged(challenger, champion, best)

    assert (decision.word, decision.best) == (word, remembered)
    assert decision.to_best == {}


def test_a_best_version_of_last_tracks_alone_is_compared_on_these_and_gives_way():
    assert judged(model(3, 0.7), model(2, 0.7), LAST_ALONE).best == "challenger"
    refused = judged(model(3, 0.68), model(2, 0.68), LAST_ALONE, is_newest=None)
    assert failed(refused) == ["not worse than the best version: last track"]


def test_the_first_version_is_the_best():
    assert judged(model(1, 0.7), None).best == "challenger"
    assert judged(model(1, 0.5), None).best == "best"  # refused: there is none


# --- Few sessions -------------------------------------------------------------------------------------


def test_fewer_sessions_than_the_gate_can_judge_by_refuse_a_challenger_unless_nothing_serves():
    def first(sessions: int, champion: Candidate | None) -> Decision:
        cut = [
            replace(m, p_not_skipped=m.p_not_skipped[:sessions]) if m else None
            for m in (model(2, 0.9), champion)
        ]
        assert cut[0] is not None
        gate = Gate(NOT_SKIPPED[:sessions], tracks(LAST)[:sessions])
        return decide(measure(gate, cut[0], cut[1], slice_limits={}))

    assert failed(first(98, CHAMPION)) == ["enough gate sessions"]
    assert_says(first(98, CHAMPION).summary, "the gate has 98 sessions, and compares models from 100 on")
    assert first(100, CHAMPION).promoted
    assert first(98, None).promoted
