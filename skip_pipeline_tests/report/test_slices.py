"""Slices of the test sessions: their members, and scores equal to those of the slice alone."""

from dataclasses import replace

import numpy as np
import pytest

from skip_pipeline.errors import ContractError, TrainingError
from skip_pipeline.metrics.scores import Slicing, losses, score
from skip_pipeline.report.session_attributes import SessionAttributes
from skip_pipeline.report.slices import score_slices, slicings
from skip_pipeline_tests.builders import refusal

SESSIONS = SessionAttributes(
    length=np.array([10, 12, 13, 19, 20, 20]),
    hour=np.array([0, 3, 4, 12, 20, 23], np.int8),
    premium=np.array([True, False, True, True, False, True]),
    context_type=np.array(["radio", "charts", "radio", "from another world", "catalog", "user_collection"]),
    popularity=np.array([0.1, 0.9, 0.5, 0.2, 0.7, 0.3], np.float32),
    known_track=np.array([True, True, False, True, True, False]),
)
UNKNOWN = "a context unknown to the vocabulary"
LEAST, MOST = "least popular fifth", "most popular fifth"
KNOWN, NEW = "played in a training session", "not played in any training session"
NIGHT, EVENING = "00:00 to 03:59", "20:00 to 23:59"
EXPECTED = {
    "session_length": ["10 to 12", "10 to 12", "13 to 15", "16 to 19", "20", "20"],
    "context_type": ["radio", "charts", "radio", UNKNOWN, "catalog", "user collection"],
    "premium": ["premium", "free", "premium", "premium", "free", "premium"],
    "track_popularity": [LEAST, MOST, "third fifth", LEAST, "fourth fifth", "second fifth"],
    "track_in_training": [KNOWN, KNOWN, NEW, KNOWN, KNOWN, NEW],
    "hour_of_day": [NIGHT, NIGHT, "04:00 to 07:59", "12:00 to 15:59", EVENING, EVENING],
}


def test_every_session_is_in_one_slice_of_each_way() -> None:
    ways = slicings(SESSIONS)
    assert {way.name: [way.labels[at] for at in way.slice_of] for way in ways} == EXPECTED


def test_sessions_of_which_something_is_unknown_are_a_slice_of_their_own() -> None:
    context = np.array(["radio", "", "from another world", "", "catalog", ""])
    unknown = replace(SESSIONS, premium=np.array([1, -1, 0, -1, -1, 1]), context_type=context)
    ways = {way.name: [way.labels[at] for at in way.slice_of] for way in slicings(unknown)}
    assert ways["premium"] == ["premium", "unknown", "free", "unknown", "unknown", "premium"]
    assert ways["context_type"] == ["radio", "unknown", UNKNOWN, "unknown", "catalog", "unknown"]


def test_tracks_of_one_popularity_have_no_fifths() -> None:
    same = replace(SESSIONS, popularity=np.full(6, 0.5, np.float32))
    assert [way.name for way in slicings(same)] == [name for name in EXPECTED if name != "track_popularity"]


RANDOM = np.random.default_rng(3)
P = RANDOM.random(600)
LABELS = (RANDOM.random(600) < P).astype(np.float32)
WAY = Slicing("half", "Half", ("first", "empty", "last"), np.where(np.arange(600) < 90, 0, 2))
OTHER = Slicing("all", "All", ("everything",), np.zeros(600, np.int64))


def test_a_slice_is_scored_as_if_it_were_alone() -> None:
    halves, whole = score_slices(LABELS, P, (WAY, OTHER), 0.4)
    first, last = halves.slices
    for part, own in ((first, slice(None, 90)), (last, slice(90, None)), (whole.slices[0], slice(None))):
        alone = score(LABELS[own], P[own], 0.4)
        assert part.sessions == alone.sessions
        assert part.accuracy.value == pytest.approx(alone.accuracy)
        assert part.log_loss.value == pytest.approx(alone.log_loss)
        assert part.share_not_skipped == pytest.approx(LABELS[own].mean())
        assert part.accuracy.low < part.accuracy.value < part.accuracy.high
    assert first.accuracy.high - first.accuracy.low > last.accuracy.high - last.accuracy.low


def test_a_slice_without_sessions_is_left_out_and_one_with_few_is_marked() -> None:
    (halves,) = score_slices(LABELS, P, (WAY,), 0.5)
    assert [(part.label, part.few) for part in halves.slices] == [("first", True), ("last", False)]
    assert [part["few_sessions"] for part in halves.metrics()["slices"]] == [True, False]


def test_a_slice_that_some_resamples_miss_has_the_interval_of_the_others() -> None:
    lonely = Slicing("one", "One", ("one", "the others"), np.minimum(np.arange(600), 1))
    alone = score_slices(LABELS, P, (lonely,), 0.5)[0].slices[0]
    assert alone.sessions == 1
    assert [alone.log_loss.low, alone.log_loss.high] == pytest.approx([losses(LABELS, P)[0]] * 2)


def test_what_cannot_be_scored_is_refused() -> None:
    assert "not in [0, 1]" in refusal(ContractError, lambda: score_slices(LABELS, P + 1, (WAY,), 0.5))
    assert "both outcomes" in refusal(TrainingError, lambda: score_slices(np.ones(600), P, (WAY,), 0.5))
