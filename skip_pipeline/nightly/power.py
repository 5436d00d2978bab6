"""What the gate can tell with the sessions at hand, by formula from the night's paired standard errors.

A challenger whose log-loss is worse by d is measured as worse by d + error * z, with z standard normal. It is
refused for the pool if d + error * (z + reach) exceeds the margin, where reach is half the interval in
standard errors, or if d + error * z, from the best version, exceeds half of the margin; for the newest day if
d + error * z exceeds both the margin and reach * error. Solved for d, that gives the smallest worsening that
is caught with probability ``POWER``; with d = 0, how often an equal model is refused. Probabilities of
several rules are added up, which overstates that of any.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from skip_pipeline.nightly.evidence import NORMAL, Comparison, Difference, Evidence, quantile
from skip_pipeline.nightly.limits import (
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
    # By question, the smallest worsening of log-loss on all gate sessions; 0 for any.
    caught: Mapping[str, float]
    caught_on_newest_day: Mapping[str, float]  # the same on the newest day; empty if that is not judged
    equal_refused: float  # at most, as a share of nights
    warnings: tuple[str, ...]  # where the gate is too weak, each with what to do


def power_of(evidence: Evidence, *, margin: float = PROMOTION_MARGIN) -> Power | None:
    """The power of a gate; None if nothing is compared."""
    opponent, best = evidence.opponent, evidence.reference
    if opponent is None or best is None:
        return None
    compared = [c for c in (evidence.champion, evidence.best) if isinstance(c, Comparison)]
    pools = [difference for other in compared for difference in other.pool.values()]
    newest_days = [difference for other in compared for difference in other.newest_day.values()]
    by_pool = sum(_beyond(of.error, _allowed(of, margin), -math.inf) for of in pools)
    others = sum(_beyond(difference.error, margin, _REACH) for difference in newest_days)
    slice_reach = quantile(evidence.slice_confidence)
    others += sum(_beyond(p.accuracy.error, p.limit, slice_reach) for p in evidence.judged_slices)
    equal_refused = min(by_pool + others, 1.0)
    newest = {
        q: max(margin, _REACH * of.error) + _TO_BE_CAUGHT * of.error for q, of in opponent.newest_day.items()
    }
    return Power(
        evidence.sessions,
        evidence.newest_sessions,
        {q: max(_allowed(of, margin) + _TO_BE_CAUGHT * of.error, 0.0) for q, of in best.pool.items()},
        newest,
        equal_refused,
        (
            *_of_equal_models(evidence.sessions, equal_refused, others, pools, margin),
            *_of_newest_day(evidence, newest),
        ),
    )


def _allowed(difference: Difference, margin: float) -> float:
    """The worsening that may be measured on all gate sessions; for the champion that is an understatement."""
    return min(margin - _REACH * difference.error, margin / 2)


def _beyond(error: float, limit: float, reach: float) -> float:
    """How often a difference that is 0 is measured above a limit, and above some standard errors."""
    if error == 0:
        return float(limit < 0)
    return 1 - NORMAL.cdf(max(limit / error, reach))


def _of_equal_models(
    sessions: int, equal_refused: float, others: float, pools: list[Difference], margin: float
) -> list[str]:
    # A challenger whose whole interval is beyond the margin is far from equal, and its errors are wider.
    told_apart = any(of.value - _REACH * of.error > margin for of in pools)
    if equal_refused <= EQUAL_REFUSED_LIMIT or told_apart:
        return []
    # What the other rules leave of the limit, in equal shares: error * z of a share is what is allowed.
    z = NORMAL.inv_cdf(1 - (EQUAL_REFUSED_LIMIT - others) / len(pools))
    error = margin / (z + max(_REACH, z))
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
