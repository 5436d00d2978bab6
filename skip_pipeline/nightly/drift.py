"""How far new sessions are from those of a profile, feature by feature, and what of it is beyond chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
from skip_pipeline.settings import (
    DRIFT_FALSE_ALARMS,
    DRIFT_LIMIT,
    LABEL_RATE_LIMIT,
    UNKNOWN_LEVEL_LIMIT,
)


@dataclass(frozen=True)
class Drift:
    """One feature of the new sessions beside the reference.

    Attributes:
        feature: its name.
        index: the population stability index; 0 where nothing differs.
        limit: index from which it is an alarm.
        alarm: whether it is one.
        change: the level that adds most to the index, in words.
        reference, observed: the two distributions, of the same levels.
    """

    feature: str
    index: float
    limit: float
    alarm: bool
    change: str
    reference: Distribution
    observed: Distribution


def find_drift(reference: Profile, observed: Profile) -> tuple[Drift, ...]:
    """Compare every feature; the largest index, relative to its limit, first.

    An index is an alarm when it is above ``settings.DRIFT_LIMIT`` and above what chance would give: under
    equal populations it is distributed like ``(1/n + 1/m)`` times a chi-squared variable with one degree of
    freedom less than there are bins (Yurdakul, Statistical Properties of Population Stability Index, 2018).
    n and m are sessions, not plays: the plays of one session are no independent draws. The rate of an
    outcome has a limit of its own, in percentage points, since a small change of it matters and makes a small
    index; so has the share of unknown levels.

    Raises:
        ContractError: the profiles are not of the same features and levels.
    """
    if reference.features.keys() != observed.features.keys():
        raise ContractError("the two profiles are of different features; train and promote a model again")
    found = [
        _compare(
            name, reference.features[name], observed.features[name], reference.sessions, observed.sessions
        )
        for name in reference.features
    ]
    return tuple(sorted(found, key=lambda drift: (not drift.alarm, -drift.index / drift.limit)))


def stability_index(reference: np.ndarray, observed: np.ndarray) -> float:
    """Population stability index of two vectors of counts: sum of (q - p) ln(q / p) over shares p and q.

    Half a count is added to each bin, so that an empty one is not infinitely far.
    """
    return float(np.sum(_terms(reference, observed)))


def _terms(reference: np.ndarray, observed: np.ndarray) -> np.ndarray:
    p, q = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (reference, observed))
    terms: np.ndarray = (q - p) * np.log(q / p)
    return terms


_OUTCOMES: Final = (PREDICTED_OUTCOME, EARLIER_OUTCOME)


def _compare(name: str, before: Distribution, now: Distribution, n: int, m: int) -> Drift:
    if before.levels != now.levels:
        raise ContractError(f"{name} has other levels than in training; train and promote a model again")
    index = stability_index(before.counts, now.counts)
    chance = float(chdtri(max(1, len(before.levels) - 1), DRIFT_FALSE_ALARMS)) * (1 / n + 1 / m)
    limit = max(chance, _smallest_index(name, before))
    alarm = index > limit or _has_new_levels(before, now)
    return Drift(name, index, limit, alarm, _largest_change(before, now), before, now)


def _smallest_index(name: str, before: Distribution) -> float:
    """Index below which a change does not matter, however certain it is."""
    if name not in _OUTCOMES:
        return DRIFT_LIMIT
    rate = before.shares[1]
    moved = rate + LABEL_RATE_LIMIT if rate < 0.5 else rate - LABEL_RATE_LIMIT
    return float((moved - rate) * (np.log(moved / rate) - np.log((1 - moved) / (1 - rate))))


def _has_new_levels(before: Distribution, now: Distribution) -> bool:
    if UNKNOWN_LEVEL not in before.levels:
        return False
    at = before.levels.index(UNKNOWN_LEVEL)
    return bool(now.shares[at] > before.shares[at] + UNKNOWN_LEVEL_LIMIT)


def _largest_change(before: Distribution, now: Distribution) -> str:
    at = int(np.argmax(_terms(before.counts, now.counts)))
    return f"{before.levels[at]}: {before.shares[at]:.1%} before, {now.shares[at]:.1%} now"
