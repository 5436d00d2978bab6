"""Drift between two profiles, feature by feature, and whether it is more than chance."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.special import chdtri

from skip_pipeline.errors import ContractError
from skip_pipeline.nightly.limits import (
    DRIFT_FALSE_ALARMS,
    DRIFT_LIMIT,
    LABEL_RATE_LIMIT,
    UNKNOWN_LEVEL_LIMIT,
)
from skip_pipeline.nightly.profile import (
    EARLIER_OUTCOME,
    PREDICTED_OUTCOME,
    UNKNOWN_LEVEL,
    Distribution,
    Profile,
)

_OUTCOMES: Final = (PREDICTED_OUTCOME, EARLIER_OUTCOME)


@dataclass(frozen=True)
class Drift:
    """The drift of one feature."""

    feature: str
    index: float  # population stability index; 0 for equal shares
    limit: float  # the index must exceed it for an alarm
    alarm: bool
    change: str  # the level that adds most to the index, with its two shares
    reference: Distribution
    observed: Distribution  # of the same levels

    def to_json(self) -> dict[str, Any]:
        """JSON values, without the distributions."""
        return {name: getattr(self, name) for name in ("feature", "index", "limit", "alarm", "change")}


def find_drift(reference: Profile, observed: Profile) -> tuple[Drift, ...]:
    """Compare every feature: alarms first, then by index relative to the limit, the largest first.

    An index is an alarm if it exceeds ``limits.DRIFT_LIMIT`` and what chance gives. Under equal populations
    the index is distributed like ``(1/n + 1/m)`` times a chi-squared variable with one degree of freedom less
    than there are bins (Yurdakul, Statistical Properties of Population Stability Index, 2018). n and m are
    sessions, since the plays of one session are not independent. Outcomes and unknown levels have limits in
    percentage points, since small changes of them matter and give small indices; an unknown level that was
    there before must also rise by more than chance gives its share.

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


def stability_terms(reference: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Terms whose sum is the population stability index: (q - p) ln(q / p) over shares p and q of counts.

    Half a count is added to each bin, so that an empty bin does not make the index infinite.

    >>> bool(stability_terms(np.array([3, 7]), np.array([30, 70])).sum() < 0.01)
    True
    """
    p, q = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (reference, observed))
    return np.asarray((q - p) * np.log(q / p))


def compare(name: str, before: Distribution, now: Distribution, sampling: float) -> Drift:
    """Compare one feature; ``sampling`` is 1/n + 1/m of the numbers of sessions.

    A number that was known of every play, and is not any more, drifts to ``UNKNOWN_LEVEL``.
    """
    if now.levels == (*before.levels, UNKNOWN_LEVEL):
        before = Distribution(now.levels, np.append(before.counts, 0), before.edges)
    if before.levels != now.levels:
        raise ContractError(f"{name} has other levels than in training; train and promote a model again")
    terms = stability_terms(before.counts, now.counts)
    index = float(np.sum(terms))
    chance = float(chdtri(max(1, len(before.levels) - 1), DRIFT_FALSE_ALARMS)) * sampling
    limit = max(chance, _outcome_limit(before) if name in _OUTCOMES else DRIFT_LIMIT)
    new = np.array(before.levels) == UNKNOWN_LEVEL
    p = before.shares[new]
    by_chance = np.sqrt(chdtri(1, DRIFT_FALSE_ALARMS) * p * (1 - p) * sampling)
    alarm = index > limit or bool(np.any(now.shares[new] - p > UNKNOWN_LEVEL_LIMIT + by_chance))
    at = int(np.argmax(terms))
    change = f"{before.levels[at]}: {before.shares[at]:.1%} before, {now.shares[at]:.1%} now"
    return Drift(name, index, limit, alarm, change, before, now)


def _outcome_limit(before: Distribution) -> float:
    """The index of an outcome whose rate moves by ``LABEL_RATE_LIMIT`` towards one half.

    A rate of 0 or 1 would make the limit infinite, so half a count is added to it, as to the index.
    """
    half = 0.5 / (before.counts.sum() + 1)
    rate = np.clip(before.shares[1], half, 1 - half)
    moved = rate + LABEL_RATE_LIMIT if rate < 0.5 else rate - LABEL_RATE_LIMIT
    return float((moved - rate) * (np.log(moved / rate) - np.log((1 - moved) / (1 - rate))))
