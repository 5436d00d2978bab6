"""Two hundred nights of each scenario, judged by the promotion rules; candidates are distributions of losses.

    python -m benchmarks.nights_by_hundred

A version has a true log-loss for each day and question. On the gate sessions of a day it has a measured one:
the true one plus a normal error, which stays the same in all later nights. The standard deviations are those
of paired losses of real models (see ``PAIRED_SD``). Each night the evidence is computed from the measured
losses of the days in the window and given to ``nightly.promotion.decide``. Aliases move as in a night, and a
withdrawal is ``nightly.champion.roll_back``. Printed as Markdown: wrong promotions and refusals, the worst
served loss, and how long it lasts.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.night_scenarios import A_DAY, NIGHTS, SCENARIOS, SLICES, WINDOW, Plan, Scenario
from skip_pipeline.nightly.champion import move_aliases, roll_back
from skip_pipeline.nightly.evidence import (
    QUESTIONS,
    Absent,
    Comparison,
    Difference,
    Evidence,
    Losses,
    SliceDifference,
)
from skip_pipeline.nightly.limits import LEAST_GATE_SESSIONS, PROMOTION_MARGIN, PROMOTION_SLICE_LIMITS
from skip_pipeline.nightly.promotion import decide
from skip_pipeline.nightly.promotion_record import BEST, CHAMPION

# Of each question. Measured on the default synthetic world, 30,000 sessions, preset fast, two seeds, on 5,907
# sessions outside training: paired standard deviations 0.076 and 0.015 per session, correlation 0.37.
# Twice the measured ones are used. Versions of different single days of 3,500 training sessions differ more,
# by 0.19 on last tracks (``benchmarks.nights``).
PAIRED_SD: Final = np.array([0.15, 0.03])
CORRELATION: Final = 0.37
LOSS: Final = np.array([0.454, 0.467])
LAST_OUTCOME: Final = np.array([0.642, 0.543])
TREES: Final = np.array([0.475, 0.479])
TREES_SD: Final = np.array([0.22, 0.05])
BROKEN_SD: Final = np.array([0.56, 0.21])
# Paired standard deviation of being right on the last track, if a tenth of the answers differ (measured: 3%).
RIGHT_SD: Final = 0.3

_MIXING: Final = np.linalg.cholesky(np.array([[1, CORRELATION], [CORRELATION, 1]])).T


@dataclass(frozen=True)
class Version:
    """A version and its measurements."""

    number: str
    plan: Plan
    measured: np.ndarray  # the excess on the gate sessions (days, 2)
    variance: np.ndarray  # of its own share of a paired difference, per session (days, 2)
    right: np.ndarray  # accuracy in the slices, as a deviation (slices,)


@dataclass(frozen=True)
class Outcome:
    """What 200 nights came to."""

    bad: int  # nights whose challenger is beyond the margin, or fails a slice
    wrong_promotions: int  # among them
    good: int  # nights whose challenger is as good as any version
    wrong_refusals: int  # among them
    worst: float  # log-loss of what is served minus that of the best version that there is, at most
    recovery: int  # nights from the event on until that is within the margin for good
    alarms: int  # nights with an alarm


class Aliases:
    """A registry in memory, of aliases only."""

    def __init__(self) -> None:
        """Start without any."""
        self._of: dict[str, str] = {}

    def aliases(self) -> Mapping[str, str]:
        """Version by alias."""
        return dict(self._of)

    def point(self, alias: str, version: str) -> None:
        """Set an alias."""
        self._of[alias] = version

    def drop(self, alias: str) -> None:
        """Remove an alias."""
        del self._of[alias]


def _version(number: str, plan: Plan, a_day: int, random: np.random.Generator) -> Version:
    days = len(plan.excess)
    own = PAIRED_SD**2 / 2
    variance = np.where(plan.broken, BROKEN_SD**2 - own, own)
    error = random.standard_normal((days, 2)) @ _MIXING * np.sqrt(variance / a_day)
    sizes = np.array([share for *_, share in SLICES]) * WINDOW * a_day
    right = random.standard_normal(len(SLICES)) * RIGHT_SD / np.sqrt(2 * sizes)
    for which, fall in plan.falls.items():
        right[which] -= fall
    return Version(number, plan, plan.excess + error, variance, right)


def _compared(challenger: Version, other: Version, window: slice, a_day: int) -> Comparison:
    newest = slice(window.stop - 1, window.stop)
    found = []
    for days in (window, newest):
        value = (challenger.measured[days] - other.measured[days]).mean(axis=0)
        variance = (challenger.variance[days] + other.variance[days]).mean(axis=0)
        error = np.sqrt(variance / (a_day * (days.stop - days.start)))
        found.append({q: Difference(float(value[i]), float(error[i])) for i, q in enumerate(QUESTIONS)})
    return Comparison(f"version {other.number}", found[0], found[1] if a_day >= LEAST_GATE_SESSIONS else {})


def evidence_of(
    challenger: Version,
    champion: Version | None,
    best: Version | None,
    trees: np.ndarray,
    window: slice,
    a_day: int,
) -> Evidence:
    """What the gate measures in one night; ``trees`` is the excess of the trees on the gate sessions (2,)."""
    newest = window.stop - 1
    one = _compared(challenger, champion, window, a_day) if champion else Absent("there is no champion yet")

    def losses(days: slice) -> dict[str, Losses]:
        own = LOSS + challenger.measured[days].mean(axis=0)
        other = LOSS + champion.measured[days].mean(axis=0) if champion else np.full(2, np.nan)
        return {
            q: Losses(float(own[i]), float(LAST_OUTCOME[i]), float(other[i]) if champion else None)
            for i, q in enumerate(QUESTIONS)
        }

    sessions = a_day * (window.stop - window.start)
    rival = challenger.measured[window].mean(axis=0) - trees
    error = TREES_SD / np.sqrt(sessions)
    sizes = [max(1, round(share * A_DAY * WINDOW)) for *_, share in SLICES] if champion else []
    return Evidence(
        challenger=f"version {challenger.number}",
        answers_every_track=True,
        sessions=sessions,
        losses=losses(window),
        champion=one,
        best=_compared(challenger, best, window, a_day) if best and best is not champion else None,
        setback=_compared(champion, best, window, a_day).newest_day if champion and best else {},
        newest_day=f"day {newest}",
        newest_sessions=a_day,
        newest_losses=losses(slice(newest, newest + 1)) if a_day >= LEAST_GATE_SESSIONS else {},
        rivals={
            q: Comparison("trees", {q: Difference(float(rival[i]), float(error[i]))})
            for i, q in enumerate(QUESTIONS)
        },
        slices=tuple(
            SliceDifference(
                slicing,
                label,
                size,
                Difference(float(challenger.right[i] - champion.right[i]), RIGHT_SD / size**0.5),
                PROMOTION_SLICE_LIMITS[slicing],
            )
            for i, ((slicing, label, _), size) in enumerate(zip(SLICES, sizes, strict=False))
            if champion
        ),
    )


def play(
    scenario: Scenario, seed: int, *, nights: int = NIGHTS, window: int = WINDOW, a_day: int = A_DAY
) -> Outcome:
    """Play one scenario: ``nights`` nights with a window of so many days and gate sessions a day."""
    random = np.random.default_rng(seed)
    versions: dict[str, Version] = {}
    registry = Aliases()
    judged = []
    excesses = []
    for night in range(nights):
        tomorrow = window + night  # whose sessions the champion of this night serves
        if night not in scenario.missed:
            challenger = _version(str(night), scenario.plan(night, nights + window), a_day, random)
            champion, best = (versions.get(registry.aliases().get(alias, "")) for alias in (CHAMPION, BEST))
            end = tomorrow - scenario.delay
            decision = decide(
                evidence_of(
                    challenger,
                    champion,
                    best if scenario.memory else None,
                    TREES - LOSS + random.standard_normal(2) * TREES_SD / np.sqrt(2 * a_day * window),
                    slice(max(end - window, 0), end),
                    a_day,
                )
            )
            versions[challenger.number] = challenger
            numbers = {
                "challenger": challenger.number,
                "champion": champion.number if champion else None,
                "best": best.number if best else None,
            }
            move_aliases(registry, numbers["champion"], numbers[decision.serves], numbers[decision.best])
            if champion:
                above = _above_best(challenger, versions, tomorrow)
                fails = challenger.plan.fails_a_slice and not champion.plan.fails_a_slice
                bad, good = above > PROMOTION_MARGIN or fails, above == 0 and not fails
                judged.append((decision.promoted, bad, good, bool(decision.alarms)))
            if night in scenario.withdrawn:
                withdrawn, _ = roll_back(registry)
                versions.pop(str(withdrawn))
        excesses.append(_above_best(versions[registry.aliases()[CHAMPION]], versions, tomorrow))
    promoted, bad_ones, good_ones, alarms = np.array(judged).T
    late = [n for n, excess in enumerate(excesses) if excess > PROMOTION_MARGIN and n >= scenario.event]
    return Outcome(
        bad=int(bad_ones.sum()),
        wrong_promotions=int((promoted & bad_ones).sum()),
        good=int(good_ones.sum()),
        wrong_refusals=int((~promoted & good_ones).sum()),
        worst=max(excesses),
        recovery=max(late, default=scenario.event - 1) + 1 - scenario.event,
        alarms=int(alarms.sum()),
    )


def _above_best(version: Version, versions: Mapping[str, Version], day: int) -> float:
    """True log-loss minus that of the best version that there is, on the worse question."""
    best = np.min([each.plan.excess[day] for each in versions.values()], axis=0)
    return float((version.plan.excess[day] - best).max())


def row(scenario: Scenario, outcomes: Sequence[Outcome]) -> str:
    """A row of the table, over repetitions."""

    def of(name: str, among: str) -> str:
        found, all_of = (sum(getattr(outcome, each) for outcome in outcomes) for each in (name, among))
        return f"{found:,} of {all_of:,} ({found / all_of:.1%})" if all_of else "–"

    worst = np.array([outcome.worst for outcome in outcomes])
    beyond = float(np.mean(worst > PROMOTION_MARGIN))
    recovery = max(outcome.recovery for outcome in outcomes)
    cells = (
        scenario.name,
        of("wrong_promotions", "bad"),
        of("wrong_refusals", "good"),
        f"{np.median(worst):.4f}; {worst.max():.4f}",
        f"{beyond:.1%}",
        f"{np.median([outcome.recovery for outcome in outcomes]):.0f}; {recovery}",
        f"{np.mean([outcome.alarms for outcome in outcomes]):.1f}",
    )
    return _row(cells)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


HEAD: Final = (
    "scenario",
    "wrong promotions",
    "wrong refusals",
    "worst served loss, nats above the best (median; maximum)",
    "repetitions beyond the margin",
    "nights until recovery (median; maximum)",
    "nights with an alarm",
)


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=200)
    options = parser.parse_args()
    print(_row(HEAD), _row(["---"] * len(HEAD)), sep="\n")
    for scenario in SCENARIOS:
        outcomes = [play(scenario, seed) for seed in range(options.repetitions)]
        print(row(scenario, outcomes), flush=True)


if __name__ == "__main__":
    main()
