"""Scenarios of many nights: what each night's challenger is like, and what is missed or withdrawn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from skip_pipeline.nightly.limits import LEAST_GATE_SESSIONS, PROMOTION_SLICE_LIMITS

NIGHTS: Final = 200
WINDOW: Final = 30  # days whose gate sessions are pooled
A_DAY: Final = 400  # gate sessions of a day
EVENT: Final = 100  # night on which something happens

BROKEN: Final = np.array([0.116, 0.070])
"""Excess of a broken version, of each question. Measured on the model of ``nights_by_hundred.PAIRED_SD``, a
fifth of whose sessions got the probabilities of other sessions."""

SLICES: Final = (  # slicing, slice, share of the sessions
    *(("context_type", f"context {i}", share) for i, share in enumerate((0.4, 0.25, 0.15, 0.1, 0.08, 0.02))),
    ("context_type", "rare context", 0.0005),  # 6 sessions of the window
    *(("premium", f"account {i}", share) for i, share in enumerate((0.8, 0.2))),
)
SMALL: Final = 5  # 240 sessions of the window
TINY: Final = 6


@dataclass(frozen=True)
class Plan:
    """What a version is like, against a good version of the time."""

    excess: np.ndarray  # nats (days, 2)
    broken: np.ndarray  # bool (days, 2)
    falls: Mapping[int, float] = field(default_factory=dict)  # of accuracy, by index into ``SLICES``

    @property
    def fails_a_slice(self) -> bool:
        """Whether accuracy falls too far in a slice that the gate can judge."""
        return any(
            fall > PROMOTION_SLICE_LIMITS[SLICES[i][0]]
            and SLICES[i][2] * WINDOW * A_DAY >= LEAST_GATE_SESSIONS
            for i, fall in self.falls.items()
        )


@dataclass(frozen=True)
class Scenario:
    """What is delivered and trained."""

    name: str
    plan: Callable[[int, int], Plan]  # of the challenger of a night; given also the number of days
    event: int = EVENT  # first night with a good challenger after what happens
    delay: int = 0  # days until the outcomes of a day arrive
    missed: frozenset[int] = frozenset()
    withdrawn: frozenset[int] = frozenset()  # nights after which the operator rolls back
    memory: bool = True  # whether there is a best version


def _plan(days: int, excess: float = 0.0, broken: slice | None = None, questions: int = 2) -> Plan:
    """Log-loss is higher by ``excess`` on the last track, and broken on some days, on one question or two."""
    of_days, is_broken = np.zeros((days, 2)), np.zeros((days, 2), bool)
    of_days[:, 0] += excess
    if broken:
        is_broken[broken, :questions] = True
    return Plan(of_days + is_broken * BROKEN, is_broken)


def _equal(_night: int, days: int) -> Plan:
    return _plan(days)


def slow_decay(a_night: float) -> Callable[[int, int], Plan]:
    """Each challenger is worse than the one before."""
    return lambda night, days: _plan(days, a_night * night)


def _sudden(night: int, days: int) -> Plan:
    return _plan(days, broken=slice(None) if EVENT <= night < EVENT + 5 else None)


def _world(night: int, days: int) -> Plan:
    """The world changes on a day: older versions are broken from then on, the first one after it half."""
    since = WINDOW + EVENT
    plan = _plan(days, broken=slice(since, None) if night <= EVENT else None)
    if night == EVENT + 1:
        plan.excess[since:] += BROKEN / 2
    return plan


def _newest(questions: int) -> Callable[[int, int], Plan]:
    def plan(night: int, days: int) -> Plan:
        newest = night + WINDOW - 1
        return _plan(days, 0.0, slice(newest, None) if EVENT <= night < EVENT + 20 else None, questions)

    return plan


def _slice(which: int, fall: float) -> Callable[[int, int], Plan]:
    """Challengers fail in one slice from the event on."""
    return lambda night, days: replace(_plan(days), falls={which: fall} if night >= EVENT else {})


def _all_bad(night: int, days: int) -> Plan:
    """On one day champion and challenger alike are far worse than the last outcome."""
    since = WINDOW + EVENT - 1
    plan = _plan(days, broken=slice(since, None) if night <= EVENT else None)
    plan.excess[plan.broken] *= 3
    return plan


def _late(night: int, days: int) -> Plan:
    """Broken on the day of the training and after it, which the gate sees three days later."""
    return _plan(days, broken=slice(WINDOW + EVENT, None) if EVENT <= night < EVENT + 3 else None)


def _after_gap(night: int, days: int) -> Plan:
    return _plan(days, broken=slice(night + WINDOW - 1, None) if night == EVENT + 2 else None)


def _gains(night: int, days: int) -> Plan:
    return _plan(days, -0.0005 * night)


SLOW: Final = (0.00005, 0.00007, 0.0001, 0.0005, 0.002)

SCENARIOS: Final = (
    Scenario("equal models", _equal),
    *(Scenario(f"slow decay, {rate:.5f} nats a night", slow_decay(rate), event=NIGHTS) for rate in SLOW),
    Scenario("the same, without a best version", slow_decay(SLOW[-1]), event=NIGHTS, memory=False),
    Scenario("sudden break of the training, 5 nights", _sudden, event=EVENT + 5),
    Scenario("sudden change of the world", _world, event=EVENT + 1),
    Scenario("break on the newest day only, 20 nights", _newest(2), event=EVENT + 20),
    Scenario("the same, of the last track alone", _newest(1), event=EVENT + 20),
    Scenario("a tiny slice gone bad (6 sessions, all wrong)", _slice(TINY, 1.0)),
    Scenario("a small slice gone bad (240 sessions, 25% wrong)", _slice(SMALL, 0.25)),
    Scenario("steady gains, 0.0005 nats a night", _gains),
    Scenario("drift that hits champion and challenger alike", _all_bad, event=EVENT + 1),
    Scenario("outcomes arrive 3 days late, 3 broken nights", _late, event=EVENT + 3, delay=3),
    Scenario(
        "two nights missed, then a break on the newest day",
        _after_gap,
        event=EVENT + 3,
        missed=frozenset({EVENT, EVENT + 1}),
    ),
    Scenario("a champion withdrawn, with steady gains", _gains, withdrawn=frozenset({EVENT})),
)
