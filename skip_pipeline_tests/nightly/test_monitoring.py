"""Signals of a night: each alarm raised by its cause alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from skip_pipeline import schema
from skip_pipeline.bundles.gather import open_bundles
from skip_pipeline.errors import ContractError
from skip_pipeline.nightly.monitoring import (
    FEATURES,
    FRESHNESS,
    KNOWN_TRACKS,
    SCORE_SIGNAL,
    SIGNALS,
    VOLUME,
    MonitoringReport,
    Signal,
    monitor,
    not_compared,
)
from skip_pipeline.nightly.profile import Distribution, profile_sessions
from skip_pipeline.nightly.reference import (
    SCORES,
    SCORES_OF_TRACKS,
    DeliveredShard,
    Reference,
    bin_scores,
    delivered_shards,
)
from skip_pipeline.settings import TRACK_TABLE, DataLayout
from skip_pipeline.storage import read_table
from skip_pipeline_tests.builders import assert_says, refusal
from skip_pipeline_tests.nightly.conftest import SESSIONS


class Champion:
    """Knows the first tracks, and gives every session one probability."""

    def __init__(self, p: float = 0.5, known: int = 20, p_earlier: float = 0.5) -> None:
        self.p, self.known, self.p_earlier = p, known, p_earlier
        self.scored: list[int] = []

    @property
    def tracks(self) -> Champion:
        return self

    def rows_of_bytes(self, track_ids: np.ndarray) -> np.ndarray:
        rows = np.arange(len(track_ids))
        return np.where(rows < self.known, rows, -1)

    def predict_bundle_tracks(self, _sessions, _track_ids, chosen: np.ndarray) -> np.ndarray:
        self.scored = chosen.tolist()
        p = np.full((len(chosen), 20), self.p_earlier)
        p[:, -1] = self.p
        return p


Night = Callable[..., tuple[MonitoringReport, dict[str, Signal]]]


@pytest.fixture(scope="module")
def reference(layout) -> Reference:
    """Of a champion that was trained on all three shards."""
    parts = [part for bundle in open_bundles(layout.bundles).values() for part in bundle.parts]
    tracks = read_table(layout.merged / TRACK_TABLE, schema.TRACK_FEATURES)
    scores = bin_scores(np.full(1000, 0.5), np.array([0.4, 0.6]))
    both = {SCORES: scores, SCORES_OF_TRACKS: scores}
    return Reference("real", profile_sessions(parts, tracks), delivered_shards(layout), both)


@pytest.fixture
def night(layout, reference) -> Night:
    """Monitors with a champion and a changed reference; gives the report, and its signals by name."""

    def compare(champion: Any = None, **changed: Any) -> tuple[MonitoringReport, dict[str, Signal]]:
        champion = champion or Champion()
        report = monitor(layout, replace(reference, **changed), champion, today=date(2018, 7, 27))
        return report, {signal.name: signal for signal in report.signals}

    return compare


def compared(layout: DataLayout, shards: set[str] | None = None) -> int:
    """Sessions of these shards that may be looked at: all but those of the test split."""
    return sum(bundle.of_shards(shards).sessions for bundle in open_bundles(layout.bundles).values())


def test_without_new_data_all_is_compared_and_nothing_alarms(layout, night: Night):
    champion = Champion()
    report, signals = night(champion)

    assert (report.new_shards, report.sessions, report.alarms) == ((), compared(layout), ())
    assert tuple(signals) == tuple(SIGNALS)
    assert signals[VOLUME].facts == {"ratio": 1.0, "shards": 3}
    assert signals[FRESHNESS].facts == {"newest_day": "2018-07-17", "age_days": 10}
    assert signals[KNOWN_TRACKS].facts == {"share_of_plays": 0.0, "tracks": 0}
    names = ["champion's p_not_skipped", "champion's p_not_skipped at any position"]
    assert [drift.feature for drift in report.drifts[-2:]] == names
    assert report.to_json()["features"][-1].keys() == {"feature", "index", "limit", "alarm", "change"}
    assert len(champion.scored) == open_bundles(layout.bundles)["gate"].sessions


def test_only_new_and_changed_shards_are_compared(layout, night: Night, reference):
    champion = Champion()
    known = dict(reference.shards)
    changed = known | {"log_0": replace(known["log_0"], sha256="other")}
    assert night(shards=changed)[0].new_shards == ("log_0",)

    del known["log_1"]
    report, _ = night(champion, shards=known)
    assert (report.new_shards, report.alarms) == (("log_1",), ())
    assert report.sessions == compared(layout, {"log_1"})
    assert champion.scored == list(range(report.sessions))


@pytest.mark.parametrize(("sessions", "alarm"), [(9, True), (10, False), (40, False), (41, True)])
def test_volume_alarms_beyond_half_and_twice_the_sessions_of_training(
    night: Night, reference, sessions, alarm
):
    shards = {name: replace(shard, sessions=sessions) for name, shard in reference.shards.items()}
    found = night(shards=shards)[1][VOLUME]

    assert found.alarm is alarm
    assert found.facts["ratio"] == pytest.approx(SESSIONS / sessions)


def test_freshness_alarms_if_the_new_data_are_older_than_those_of_training(night: Night, reference):
    log_0, log_1, log_2 = ({name: shard} for name, shard in sorted(reference.shards.items()))
    older = night(shards=log_1)[1][FRESHNESS]
    assert older.alarm  # log_0 is new, and of an earlier day than log_1
    assert_says(older.message, "2018-07-15", "2018-07-17", "12 days ago")

    undated = night(shards=log_0 | log_1)[1][FRESHNESS]
    assert undated.alarm
    assert "no plausible date" in undated.message

    first = night(shards=log_2 | {"gone": DeliveredShard("", SESSIONS, "")})[1][FRESHNESS]
    assert not first.alarm
    assert "no day" in first.message


@pytest.mark.parametrize(("known", "tracks"), [(9, 1), (5, 5)])
def test_unknown_tracks_alarm_by_their_share_of_plays(night: Night, known, tracks):
    # Every session plays the first ten tracks once.
    found = night(Champion(known=known))[1][KNOWN_TRACKS]

    assert found.alarm
    assert found.facts == {"share_of_plays": pytest.approx((10 - known) / 10), "tracks": tracks}
    assert_says(found.message, f"{10 * (10 - known)}.0%", "limit 5%")


def test_scores_alarm_if_they_have_moved(night: Night):
    report, signals = night(Champion(p=0.9))
    found = signals[SCORE_SIGNAL]

    assert found.alarm
    assert found.facts["index"] > found.facts["limit"]
    assert_says(found.message, "have moved", "0.600 to 1.000: 0.0% before, 100.0% now")
    assert report.alarms == (found.message,)


def test_scores_of_earlier_tracks_alone_alarm_too(night: Night):
    _, signals = night(Champion(p_earlier=0.9))
    found = signals[SCORE_SIGNAL]

    assert found.alarm
    assert found.facts["feature"] == SCORES_OF_TRACKS
    assert_says(found.message, "p_not_skipped at any position: 0.600 to 1.000: 0.0% before")
    assert "p_not_skipped: " not in found.message


def test_a_champion_of_last_tracks_alone_is_compared_on_these(night: Night, reference):
    report, signals = night(Champion(p_earlier=np.nan), scores={SCORES: reference.scores[SCORES]})

    assert not signals[SCORE_SIGNAL].alarm
    assert report.drifts[-1].feature == SCORES


def test_features_that_have_moved_are_named(night: Night, reference):
    context = reference.profile.features["context_type"]
    other = {"context_type": replace(context, counts=np.roll(context.counts, 1))}
    report, signals = night(profile=replace(reference.profile, features=reference.profile.features | other))
    found = signals[FEATURES]

    assert found.alarm
    assert list(found.facts) == ["context_type"] == [d.feature for d in report.drifts if d.alarm]
    assert_says(found.message, "moved since training", "context_type (radio: 0.0% before, 100.0% now)")


def test_scores_without_bins_are_refused(night: Night):
    whole = {SCORES: Distribution(("all",), np.array([3]))}
    message = refusal(ContractError, lambda: night(scores=whole))
    assert_says(
        message, "reference has no bins of", SCORES, SCORES_OF_TRACKS, "train and promote a model again"
    )


def test_a_report_is_json_with_one_alarm_for_equal_messages():
    says = "not judged: there is no champion yet"
    report = not_compared("there is no champion yet", alarm=True).to_json()

    assert report["alarms"] == [says]
    assert [signal["name"] for signal in report["signals"]] == list(SIGNALS)
    assert report["signals"][0] == {"name": FEATURES, "alarm": True, "says": says, "facts": {}}
    assert not_compared("there is no champion yet", alarm=False).alarms == ()
