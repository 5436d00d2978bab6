"""The worst predictions: which sessions, in which order, and what is shown of each."""

import json
from dataclasses import replace

import numpy as np

from skip_pipeline import schema
from skip_pipeline.report.mistakes import worst_mistakes
from skip_pipeline.report.session_attributes import SessionAttributes

SKIPS = np.full((4, schema.STEPS, 1), schema.SKIP_PADDING, np.float32)
SKIPS[:, -3:, 0] = [[1, 0, 0], [0, 1, 1], [1, 1, 1], [0, 0, 0]]
TEST = {
    schema.SESSION_ID: np.array(["a", "b", "<c>", "d"]),
    schema.LABEL: np.array([1, 1, 0, 0], np.float32),
    "skip_sequence": SKIPS,
}
SESSIONS = SessionAttributes(
    length=np.array([4, 4, 4, 4]),
    hour=np.array([1, 2, 3, 4], np.int8),
    premium=np.array([True, False, True, False]),
    context_type=np.array(["radio", "charts", "catalog", "radio"]),
    popularity=np.zeros(4, np.float32),
    known_track=np.array([True, True, False, True]),
)
P = np.array([0.2, 0.9, 0.95, 0.45])


def test_the_least_likely_outcomes_come_first_and_right_answers_not_at_all() -> None:
    worst, second = worst_mistakes(TEST, P, SESSIONS)

    assert (worst.session_id, worst.not_skipped, worst.p_not_skipped) == ("<c>", False, 0.95)
    assert worst.p_of_outcome == 1 - 0.95
    assert worst.outcomes == (True, True, True)
    assert (worst.context_type, worst.hour, worst.premium, worst.known_track) == ("catalog", 3, True, False)
    assert not worst.repeats_last_outcome
    assert (second.session_id, second.p_of_outcome) == ("a", 0.2)
    assert second.outcomes == (True, False, False)


def test_right_predictions_are_no_mistakes() -> None:
    assert worst_mistakes(TEST, TEST[schema.LABEL].astype(float), SESSIONS) == ()


def test_they_are_plain_values() -> None:
    metrics = worst_mistakes(TEST, P, SESSIONS)[0].metrics()
    assert metrics["outcomes"] == [1, 1, 1]
    assert json.loads(json.dumps(metrics)) == metrics


def test_what_is_not_known_of_a_session_is_none() -> None:
    unknown = replace(SESSIONS, premium=np.array([1, 0, -1, 0]), context_type=np.array([""] * 4))
    worst = worst_mistakes(TEST, P, unknown)[0]
    assert (worst.premium, worst.context_type) == (None, "")
    assert json.loads(json.dumps(worst.metrics()))["premium"] is None
