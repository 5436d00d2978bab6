"""Monitoring of the new data: differences from the data that the champion was trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.gather import Bundle, open_bundles
from skip_pipeline.bundles.parts import Part, plays
from skip_pipeline.errors import ContractError
from skip_pipeline.nightly.drift import Drift, compare, find_drift
from skip_pipeline.nightly.limits import SCORED_SESSIONS, UNKNOWN_TRACK_LIMIT, VOLUME_LIMIT
from skip_pipeline.nightly.profile import profile_sessions
from skip_pipeline.nightly.reference import (
    SCORES,
    DeliveredShard,
    Reference,
    answers,
    bin_scores,
    delivered_shards,
)
from skip_pipeline.serving import ServedModel
from skip_pipeline.serving.tracks import sorted_ids
from skip_pipeline.settings import TRACK_TABLE, DataLayout
from skip_pipeline.storage import read_manifest, read_table

FEATURES: Final = "features_as_in_training"
KNOWN_TRACKS: Final = "tracks_known_to_champion"
VOLUME: Final = "volume_as_in_training"
FRESHNESS: Final = "data_not_older_than_training"
SCORE_SIGNAL: Final = "scores_as_in_training"
SIGNALS: Final[Mapping[str, str]] = {
    FEATURES: "No feature and no outcome's rate of the new sessions has moved beyond its limit and chance.",
    KNOWN_TRACKS: "The champion knows the tracks that the new sessions play.",
    VOLUME: "A new log holds about as many sessions as those of the champion's training.",
    FRESHNESS: "The newest log is of no earlier day than the newest known to the champion's training.",
    SCORE_SIGNAL: "The champion's probabilities are distributed as on its own gate sessions.",
}
"""Every signal of a night, and the condition that holds without an alarm."""

DRIFT_FILE: Final = "drift.json"


@dataclass(frozen=True)
class Signal:
    """The result of one test of the new data; an alarm is a warning, not a failure."""

    name: str  # one of ``SIGNALS``
    alarm: bool  # whether a person should look at the data
    message: str  # the finding in words
    facts: Mapping[str, Any]  # its numbers


@dataclass(frozen=True)
class MonitoringReport:
    """The signals of one night."""

    new_shards: tuple[str, ...]  # delivered since the champion was trained; without any, all were compared
    sessions: int  # number compared
    signals: tuple[Signal, ...]  # one for each of ``SIGNALS``
    drifts: tuple[Drift, ...]  # of every feature, then of the scores; empty if nothing was compared

    @property
    def alarms(self) -> tuple[str, ...]:
        """Messages of the signals that are alarms, without repetitions."""
        return tuple(dict.fromkeys(signal.message for signal in self.signals if signal.alarm))

    def to_json(self) -> dict[str, Any]:
        """JSON values; a signal's message has the key "says"."""
        return {
            "new_shards": list(self.new_shards),
            "sessions": self.sessions,
            "alarms": list(self.alarms),
            "signals": [
                {"name": s.name, "alarm": s.alarm, "says": s.message, "facts": dict(s.facts)}
                for s in self.signals
            ],
            "features": [drift.to_json() for drift in self.drifts],
        }


def not_compared(reason: str, *, alarm: bool) -> MonitoringReport:
    """The report if there is no champion, or one that cannot be compared with."""
    signals = tuple(Signal(name, alarm, f"not judged: {reason}", {}) for name in SIGNALS)
    return MonitoringReport((), 0, signals, ())


def monitor(
    layout: DataLayout, reference: Reference, champion: ServedModel, *, today: date
) -> MonitoringReport:
    """Compare the shards delivered since the champion was trained with its training data.

    Test sessions are left out.
    """
    shards = delivered_shards(layout)
    before = {name: shard.sha256 for name, shard in reference.shards.items()}
    new = tuple(name for name, shard in shards.items() if before.get(name) != shard.sha256)
    compared = {name: shards[name] for name in new or shards}
    bundles = open_bundles(layout.bundles)
    parts = [part for bundle in bundles.values() for part in bundle.parts if part.name in compared]
    merged = read_manifest(layout.merged, made_by="merged_table")
    tracks = read_table(merged.path(TRACK_TABLE), schema.TRACK_FEATURES)
    track_ids = sorted_ids(tracks[schema.TRACK_ID])
    observed = profile_sessions(parts, tracks, bins_of=reference.profile)
    drifts = find_drift(reference.profile, observed)
    scores = _score_drift(reference, champion, parts if new else bundles["gate"].parts, track_ids)
    signals = (
        _features(drifts),
        _known_tracks(parts, champion, track_ids),
        _volume(reference, list(compared.values())),
        _freshness(reference, max((shard.day for shard in compared.values()), default=""), today),
        _scores(scores),
    )
    return MonitoringReport(new, observed.sessions, signals, (*drifts, *scores))


def _features(drifts: tuple[Drift, ...]) -> Signal:
    moved = [drift for drift in drifts if drift.alarm]
    named = "; ".join(f"{drift.feature} ({drift.change})" for drift in moved)
    return Signal(
        FEATURES,
        bool(moved),
        f"moved since training: {named}" if moved else f"all {len(drifts)} features are as in training",
        {drift.feature: drift.index for drift in (moved or drifts[:1])},
    )


def _scores(drifts: Sequence[Drift]) -> Signal:
    moved = [drift for drift in drifts if drift.alarm]
    named = "; ".join(f"{drift.feature}: {drift.change}" for drift in moved or drifts)
    most = max(drifts, key=lambda drift: drift.index / drift.limit)
    return Signal(
        SCORE_SIGNAL,
        bool(moved),
        f"the champion's probabilities {'have moved' if moved else 'are as before'} ({named})",
        {"feature": most.feature, "index": most.index, "limit": most.limit},
    )


def _known_tracks(parts: Sequence[Part], champion: ServedModel, track_ids: np.ndarray) -> Signal:
    played = plays(parts, len(track_ids))
    unknown = champion.tracks.rows_of_bytes(track_ids) < 0
    share = float(played[unknown].sum() / max(1, played.sum()))
    return Signal(
        KNOWN_TRACKS,
        share > UNKNOWN_TRACK_LIMIT,
        f"{share:.1%} of plays are of tracks that the champion does not know "
        f"(limit {UNKNOWN_TRACK_LIMIT:.0%})",
        {"share_of_plays": share, "tracks": int(np.count_nonzero(unknown & (played > 0)))},
    )


def _volume(reference: Reference, shards: Sequence[DeliveredShard]) -> Signal:
    """Compare sessions per shard: a shard is a day or a fixed part of one, and may hold two dates."""
    before = np.mean([shard.sessions for shard in reference.shards.values()])
    now = np.mean([shard.sessions for shard in shards])
    ratio = float(now / before)
    return Signal(
        VOLUME,
        not 1 / VOLUME_LIMIT <= ratio <= VOLUME_LIMIT,
        f"{now:,.0f} sessions a shard, {ratio:.2f} times those of training "
        f"(limit {VOLUME_LIMIT:g} either way)",
        {"ratio": ratio, "shards": len(shards)},
    )


def _freshness(reference: Reference, newest: str, today: date) -> Signal:
    """Old data is no alarm, since the published set is old; data older than the training data is one."""
    if not newest:
        return Signal(FRESHNESS, True, "no plausible date in the logs", {})
    age = (today - date.fromisoformat(newest)).days
    return Signal(
        FRESHNESS,
        newest < reference.newest_day,
        f"newest log of {newest}, {age} days ago; "
        f"the newest known to the champion's training of {reference.newest_day or 'no day'}",
        {"newest_day": newest, "age_days": age},
    )


def _score_drift(
    reference: Reference, champion: ServedModel, parts: Sequence[Part], track_ids: np.ndarray
) -> list[Drift]:
    """Drift of the last track's probabilities, and of every track's if the champion answers these.

    Tracks of one session are not independent, so chance is that of the numbers of sessions for both.
    """
    # The champion reads tracks from its own matrix, so this one may be empty.
    sessions = Bundle(np.empty((len(track_ids), len(schema.TRACK_BRANCH)), np.float32), list(parts))
    n = min(sessions.sessions, SCORED_SESSIONS)
    chosen = np.sort(np.random.default_rng(0).choice(sessions.sessions, n, replace=False))
    now = answers(champion, sessions, track_ids, chosen)
    if lacking := [
        name for name in now if name not in reference.scores or reference.scores[name].edges is None
    ]:
        raise ContractError(f"the reference has no bins of {lacking}; train and promote a model again")
    sampling = 1 / int(reference.scores[SCORES].counts.sum()) + 1 / n
    return [
        compare(name, reference.scores[name], bin_scores(p, reference.scores[name].edges), sampling)
        for name, p in now.items()
    ]
