"""A night's data beside what the champion was trained on: what is new, and what has moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np

from skip_pipeline import schema
from skip_pipeline.bundles.gather import Bundle, open_bundles
from skip_pipeline.bundles.parts import Part, plays
from skip_pipeline.errors import ContractError
from skip_pipeline.nightly.drift import Drift, find_drift
from skip_pipeline.nightly.profile import Distribution, Profile, profile
from skip_pipeline.nightly.reference import SCORES, Reference, delivered_shards, scores_in_bins
from skip_pipeline.serving import ServedModel
from skip_pipeline.serving.tracks import sorted_ids
from skip_pipeline.settings import (
    SCORED_SESSIONS,
    TRACK_TABLE,
    UNKNOWN_TRACK_LIMIT,
    VOLUME_LIMIT,
    DataLayout,
)
from skip_pipeline.storage import read_table

FEATURES: Final = "features_as_in_training"
KNOWN_TRACKS: Final = "tracks_known_to_champion"
VOLUME: Final = "volume_as_in_training"
FRESHNESS: Final = "data_not_older_than_training"
SCORE_SIGNAL: Final = "scores_as_in_training"
SIGNALS: Final[Mapping[str, str]] = {
    FEATURES: "No feature of the new sessions, and no outcome's rate, has moved beyond its limit and chance.",
    KNOWN_TRACKS: "The champion knows the tracks that the new sessions play.",
    VOLUME: "A new log holds about as many sessions as those of the champion's training.",
    FRESHNESS: "The newest log is of no earlier day than the newest known to the champion's training.",
    SCORE_SIGNAL: "The champion's probabilities are distributed as on its own test sessions.",
}
"""What is looked at each night, and what is so where all is well."""

DRIFT_FILE: Final = "drift.json"


@dataclass(frozen=True)
class Signal:
    """One question put to the night's data; an alarm is a warning, not a failure.

    Attributes:
        name: one of ``SIGNALS``.
        alarm: whether somebody should look.
        says: in words, naming what has moved.
        facts: numbers behind it.
    """

    name: str
    alarm: bool
    says: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Night:
    """What was looked at, and what came of it.

    Attributes:
        new_shards: that were not there when the champion was trained; where there are none, all data was
            looked at.
        sessions: looked at.
        signals: one for each of ``SIGNALS``.
        drifts: of every feature, and of the scores; none where nothing could be compared.
    """

    new_shards: tuple[str, ...]
    sessions: int
    signals: tuple[Signal, ...]
    drifts: tuple[Drift, ...]

    @property
    def alarms(self) -> tuple[str, ...]:
        """What the alarming signals say, each text once."""
        return tuple(dict.fromkeys(signal.says for signal in self.signals if signal.alarm))

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "new_shards": list(self.new_shards),
            "sessions": self.sessions,
            "alarms": list(self.alarms),
            "signals": [
                {"name": s.name, "alarm": s.alarm, "says": s.says, "facts": dict(s.facts)}
                for s in self.signals
            ],
            "features": [
                {
                    "feature": d.feature,
                    "index": d.index,
                    "limit": d.limit,
                    "alarm": d.alarm,
                    "change": d.change,
                }
                for d in self.drifts
            ],
        }


def not_compared(why: str, *, alarm: bool) -> Night:
    """The night of a champion that cannot be compared with, or of none."""
    return Night((), 0, tuple(Signal(name, alarm, f"not judged: {why}", {}) for name in SIGNALS), ())


def look_at(layout: DataLayout, reference: Reference, champion: ServedModel, *, today: date) -> Night:
    """Compare the shards that have come since the champion was trained with what it was trained on.

    Args:
        reference: of the champion's training.
        champion: scores the newest sessions.
        today: to say how old the newest data is.

    Raises:
        MissingInputError, ContractError: a stage is not there, not readable, or of other features.
        TrainingError: there is no session.
    """
    shards = delivered_shards(layout)
    new = tuple(
        name
        for name, shard in shards.items()
        if getattr(reference.shards.get(name), "sha256", "") != shard.sha256
    )
    wanted = set(new) or set(shards)
    bundles = open_bundles(layout.bundles)
    parts = [part for bundle in bundles.values() for part in bundle.parts if part.name in wanted]
    tracks = read_table(layout.merged / TRACK_TABLE, schema.TRACK_FEATURES)
    track_ids = sorted_ids(tracks[schema.TRACK_ID])
    observed = profile(parts, tracks, like=reference.profile)
    drifts = find_drift(reference.profile, observed)
    scored = parts if new else list(bundles["test"].parts)
    scores = _scores(reference, champion, scored, track_ids)
    signals = (
        _features(drifts),
        _known_tracks(parts, champion, track_ids),
        _volume(reference, [shards[name].sessions for name in wanted if name in shards]),
        _freshness(
            reference, max((shards[name].day for name in wanted if name in shards), default=""), today
        ),
        Signal(
            SCORE_SIGNAL,
            scores.alarm,
            f"the champion's probabilities {'have moved' if scores.alarm else 'are as before'} "
            f"({scores.change})",
            {"index": scores.index, "limit": scores.limit},
        ),
    )
    return Night(new, observed.sessions, signals, (*drifts, scores))


def _features(drifts: tuple[Drift, ...]) -> Signal:
    moved = [drift for drift in drifts if drift.alarm]
    named = "; ".join(f"{drift.feature} ({drift.change})" for drift in moved)
    return Signal(
        FEATURES,
        bool(moved),
        f"moved since training: {named}" if moved else f"all {len(drifts)} features are as in training",
        {drift.feature: drift.index for drift in (moved or drifts[:1])},
    )


def _known_tracks(parts: list[Part], champion: ServedModel, track_ids: np.ndarray) -> Signal:
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


def _volume(reference: Reference, sessions: list[int]) -> Signal:
    """Sessions a shard, for a shard is a day or a fixed part of one, and a date may lie in two of them."""
    before = np.mean([shard.sessions for shard in reference.shards.values()])
    now = np.mean(sessions)
    ratio = float(now / before)
    return Signal(
        VOLUME,
        not 1 / VOLUME_LIMIT <= ratio <= VOLUME_LIMIT,
        f"{now:,.0f} sessions a shard, {ratio:.2f} times those of training "
        f"(limit {VOLUME_LIMIT:g} either way)",
        {"ratio": ratio, "shards": len(sessions)},
    )


def _freshness(reference: Reference, newest: str, today: date) -> Signal:
    """Data may be old, as the published set is; it may not be older than what the champion has seen."""
    if not newest:
        return Signal(FRESHNESS, True, "no plausible date in the logs", {})
    age = (today - date.fromisoformat(newest)).days
    older = newest < reference.newest_day
    return Signal(
        FRESHNESS,
        older,
        f"newest log of {newest}, {age} days ago; "
        f"the newest known to the champion's training of {reference.newest_day or 'no day'}",
        {"newest_day": newest, "age_days": age},
    )


def _scores(reference: Reference, champion: ServedModel, parts: list[Part], track_ids: np.ndarray) -> Drift:
    if reference.scores.edges is None:
        raise ContractError("the champion's scores have no bins; train and promote a model again")
    sessions = Bundle(np.empty((len(track_ids), len(schema.TRACK_BRANCH)), np.float32), parts)
    n = min(sessions.sessions, SCORED_SESSIONS)
    chosen = np.sort(np.random.default_rng(0).choice(sessions.sessions, n, replace=False))
    found = scores_in_bins(champion.predict_bundle(sessions, track_ids, chosen), reference.scores)
    before = reference.scores
    (drift,) = find_drift(_alone(before, int(before.counts.sum())), _alone(found, n))
    return drift


def _alone(scores: Distribution, sessions: int) -> Profile:
    return Profile(sessions, sessions, {SCORES: scores})
