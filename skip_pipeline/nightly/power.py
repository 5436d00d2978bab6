"""What the gate can tell with the sessions at hand, by formula from the night's paired standard errors.

A challenger whose log-loss is worse by d is measured as worse by d + error * z, with z standard normal. It is
refused for the pool if d + error * (z + reach) exceeds the margin, where reach is half the interval in
standard errors; for the newest day if d + error * z exceeds both the margin and reach * error. Solved for d,
that gives the smallest worsening that is caught with probability ``POWER``; with d = 0, how often an equal
model is refused. Probabilities of several rules are added up, which overstates that of any.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from skip_pipeline.nightly.evidence import NORMAL, Comparison, Difference, Evidence, quantile
from skip_pipeline.settings import (
    EQUAL_REFUSED_LIMIT,
    GATE_CONFIDENCE,
    LEAST_GATE_SESSIONS,
    NEWEST_DAY_CAUGHT_LIMIT,
    POWER,
    PROMOTION_MARGIN,
)

_REACH: Final = quantile(GATE_CONFIDENCE)
_TO_BE_CAUGHT: Final = NORMAL.inv_cdf(POWER)


@dataclass(frozen=True)
class Power:
    """Of one night's gate."""

    sessions: int
    newest_sessions: int
    caught: Mapping[str, float]  # by question, the smallest worsening of log-loss on all gate sessions
    caught_on_newest_day: Mapping[str, float]  # the same on the newest day; empty if that is not judged
    equal_refused: float  # at most, as a share of nights
    warnings: tuple[str, ...]  # where the gate is too weak, each with what to do

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


def power_of(evidence: Evidence, *, margin: float = PROMOTION_MARGIN) -> Power | None:
    """The power of a gate; None if nothing is compared."""
    opponent = evidence.opponent
    if opponent is None:
        return None
    pools = [
        difference
        for other in (evidence.champion, evidence.best)
        if isinstance(other, Comparison)
        for difference in other.pool.values()
    ]
    by_pool = sum(_refused_by_pool(difference, margin) for difference in pools)
    others = sum(_beyond(of.error, margin, _REACH) for of in opponent.newest_day.values())
    slice_reach = quantile(evidence.slice_confidence)
    others += sum(_beyond(p.accuracy.error, p.limit, slice_reach) for p in evidence.judged_slices)
    equal_refused = min(by_pool + others, 1.0)
    newest = {
        q: max(margin, _REACH * of.error) + _TO_BE_CAUGHT * of.error for q, of in opponent.newest_day.items()
    }
    return Power(
        evidence.sessions,
        evidence.newest_sessions,
        {q: margin - (_REACH - _TO_BE_CAUGHT) * of.error for q, of in opponent.pool.items()},
        newest,
        equal_refused,
        (
            *_of_equal_models(evidence.sessions, equal_refused, others, pools, margin),
            *_of_newest_day(evidence, newest),
        ),
    )


def _refused_by_pool(difference: Difference, margin: float) -> float:
    """How often the upper end of an equal model's interval exceeds the margin."""
    return _beyond(difference.error, margin - _REACH * difference.error, -math.inf)


def _beyond(error: float, limit: float, reach: float) -> float:
    """How often a difference that is 0 is measured above a limit, and above some standard errors."""
    if error == 0:
        return float(limit < 0)
    return 1 - NORMAL.cdf(max(limit / error, reach))


def _of_equal_models(
    sessions: int, equal_refused: float, others: float, pools: list[Difference], margin: float
) -> list[str]:
    if equal_refused <= EQUAL_REFUSED_LIMIT:
        return []
    # What the other rules leave of the limit, in equal shares: margin = error * (reach + z of a share).
    share = (EQUAL_REFUSED_LIMIT - others) / len(pools)
    error = margin / (_REACH + NORMAL.inv_cdf(1 - share))
    widest = max(difference.error for difference in pools)
    needed = math.ceil(sessions * (widest / error) ** 2)
    return [
        f"with {sessions:,} gate sessions a model as good as the champion is refused in up to "
        f"{equal_refused:.0%} of the nights, expected at most {EQUAL_REFUSED_LIMIT:.0%}; about {needed:,} "
        "are needed: keep the logs of more days"
    ]


def _of_newest_day(evidence: Evidence, caught: Mapping[str, float]) -> list[str]:
    if not evidence.newest_day:
        return [
            "no session log has a plausible date, so no newest day is judged; check the dates of the logs"
        ]
    if evidence.newest_sessions < LEAST_GATE_SESSIONS:
        return [
            f"the newest day, {evidence.newest_day}, has {evidence.newest_sessions} gate sessions, and is "
            f"judged from {LEAST_GATE_SESSIONS} on: a model that fails on that day alone is not noticed; "
            "deliver whole days, and look at the checks of data_drift"
        ]
    worst = max(caught.values(), default=0.0)
    if worst <= NEWEST_DAY_CAUGHT_LIMIT:
        return []
    return [
        f"on the newest day, {evidence.newest_day}, with {evidence.newest_sessions} gate sessions, the "
        f"smallest worsening that is caught {POWER:.0%} of the time is {worst:.3f} nats, expected at most "
        f"{NEWEST_DAY_CAUGHT_LIMIT:.3f}; deliver more sessions a day, or look at the checks of data_drift"
    ]
