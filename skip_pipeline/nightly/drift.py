"""Drift between two profiles, feature by feature, and whether it is more than chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.special import chdtri

from skip_pipeline.errors import ContractError
from skip_pipeline.nightly.profile import (
    EARLIER_OUTCOME,
    PREDICTED_OUTCOME,
    UNKNOWN_LEVEL,
    Distribution,
    Profile,
)
from skip_pipeline.settings import DRIFT_FALSE_ALARMS, DRIFT_LIMIT, LABEL_RATE_LIMIT, UNKNOWN_LEVEL_LIMIT


@dataclass(frozen=True)
class Drift:
    """The drift of one feature.

    Attributes:
        feature: its name.
        index: population stability index; 0 for equal shares.
        limit: the index must exceed it for an alarm.
        alarm: whether the feature has drifted.
        change: the level that adds most to the index, with its two shares.
        reference, observed: the two distributions, of the same levels.
    """

    feature: str
    index: float
    limit: float
    alarm: bool
    change: str
    reference: Distribution
    observed: Distribution

    def to_json(self) -> dict[str, Any]:
        """JSON values, without the distributions."""
        names = ("feature", "index", "limit", "alarm", "change")
        return {name: getattr(self, name) for name in names}


def find_drift(reference: Profile, observed: Profile) -> tuple[Drift, ...]:
    """Compare every feature: alarms first, then by index relative to the limit, the largest first.

    An index is an alarm if it exceeds ``settings.DRIFT_LIMIT`` and what chance gives. Under equal populations
    the index is distributed like ``(1/n + 1/m)`` times a chi-squared variable with one degree of freedom less
    than there are bins (Yurdakul, Statistical Properties of Population Stability Index, 2018). n and m are
    sessions, since the plays of one session are not independent. Outcomes and unknown levels have limits in
    percentage points, since small changes of them matter and give small indices.

    Raises:
        ContractError: the profiles are not of the same features and levels.
    """
    if reference.features.keys() != observed.features.keys():
        raise ContractError("the two profiles are of different features; train and promote a model again")
    sampling = 1 / reference.sessions + 1 / observed.sessions
    found = [
        compare(name, before, observed.features[name], sampling)
        for name, before in reference.features.items()
    ]
    return tuple(sorted(found, key=lambda drift: (not drift.alarm, -drift.index / drift.limit)))


def stability_index(reference: np.ndarray, observed: np.ndarray) -> float:
    """Population stability index of two vectors of counts: sum of (q - p) ln(q / p) over shares p and q.

    Half a count is added to each bin, so that an empty bin does not make it infinite.

    >>> stability_index(np.array([3, 7]), np.array([30, 70])) < 0.01
    True
    """
    return float(np.sum(_terms(reference, observed)))


def _terms(reference: np.ndarray, observed: np.ndarray) -> np.ndarray:
    p, q = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (reference, observed))
    terms: np.ndarray = (q - p) * np.log(q / p)
    return terms


_OUTCOMES: Final = (PREDICTED_OUTCOME, EARLIER_OUTCOME)


def compare(name: str, before: Distribution, now: Distribution, sampling: float) -> Drift:
    """Compare one feature; ``sampling`` is 1/n + 1/m of the numbers of sessions.

    Raises:
        ContractError: the levels differ.
    """
    if before.levels != now.levels:
        raise ContractError(f"{name} has other levels than in training; train and promote a model again")
    terms = _terms(before.counts, now.counts)
    index = float(np.sum(terms))
    chance = float(chdtri(max(1, len(before.levels) - 1), DRIFT_FALSE_ALARMS)) * sampling
    limit = max(chance, _outcome_limit(before.shares[1]) if name in _OUTCOMES else DRIFT_LIMIT)
    alarm = index > limit or _has_new_levels(before, now)
    at = int(np.argmax(terms))
    change = f"{before.levels[at]}: {before.shares[at]:.1%} before, {now.shares[at]:.1%} now"
    return Drift(name, index, limit, alarm, change, before, now)


def _outcome_limit(rate: float) -> float:
    """The index of an outcome whose rate moves by ``LABEL_RATE_LIMIT`` towards one half."""
    moved = rate + LABEL_RATE_LIMIT if rate < 0.5 else rate - LABEL_RATE_LIMIT
    return float((moved - rate) * (np.log(moved / rate) - np.log((1 - moved) / (1 - rate))))


def _has_new_levels(before: Distribution, now: Distribution) -> bool:
    if UNKNOWN_LEVEL not in before.levels:
        return False
    at = before.levels.index(UNKNOWN_LEVEL)
    return bool(now.shares[at] > before.shares[at] + UNKNOWN_LEVEL_LIMIT)
