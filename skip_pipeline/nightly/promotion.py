"""The promotion rules: whether a challenger replaces the champion, and every reason.

The opponents are the champion, the best version, and the best of the night's baselines. The best version is
remembered, because a comparison with the champion alone allows the margin every night anew: the alias moves
only to a promoted version that is significantly better. ``nightly.evidence`` has the questions and what
is measured.
"""

from collections.abc import Mapping, Sequence

from skip_pipeline.metrics.intervals import Estimate
from skip_pipeline.nightly.decision import Decision, Reason, SliceChange, Who
from skip_pipeline.nightly.evidence import LAST_TRACK, NEXT_TRACK, Absent, Comparison, Difference, Evidence
from skip_pipeline.nightly.limits import GATE_CONFIDENCE, LEAST_GATE_SESSIONS, PROMOTION_MARGIN
from skip_pipeline.nightly.power import power_of


def decide(evidence: Evidence, *, margin: float = PROMOTION_MARGIN) -> Decision:
    """Judge a challenger.

    It always has to answer both questions, and to beat the last outcome on each, on all gate sessions and on
    the newest day. If there is an opponent, it must not be worse than the margin allows: on all gate sessions
    the upper end of its interval counts, and what is measured against the best version is within half of the
    margin; on the newest day, against the baselines and in slices a worsening counts that is beyond its
    limit and significant. If it is refused and the champion is worse than the best version on the newest day
    in the same sense, the best version serves again.

    Args:
        evidence: of the night (``evidence.measure``).
        margin: log-loss in nats by which the challenger may be worse, on either question.
    """
    opponent = evidence.opponent
    slices = _slice_changes(evidence)
    reasons = [
        *_not_compared(evidence),
        _answers_both(evidence),
        *_beats_last_outcome(evidence),
        *_enough_sessions(evidence),
        *_within_margin(evidence, "champion", evidence.champion, margin),
        *_within_margin(evidence, "best version", evidence.best, margin),
        *_newest_day(evidence, "champion", evidence.champion, margin),
        *_newest_day(evidence, "best version", evidence.best, margin),
        *_rivals(evidence, margin),
        *_no_slice_falls(slices),
    ]
    promoted = all(reason.passed for reason in reasons)
    refused_as_synthetic = any(
        isinstance(r, Absent) and r.refuses for r in (evidence.champion, evidence.best)
    )
    stands_in = opponent is not None and opponent is evidence.best and not refused_as_synthetic
    fails = [] if promoted else _champion_fails(evidence, margin)
    best = evidence.best
    return Decision(
        tuple(reasons),
        opponent=opponent.opponent if opponent else None,
        differences=_intervals(opponent.pool) if opponent else {},
        newest_day=_intervals(opponent.newest_day) if opponent else {},
        to_best=_intervals(best.pool) if isinstance(best, Comparison) and best is not opponent else {},
        slices=slices,
        small_slices=len(evidence.slices) - len(evidence.judged_slices),
        power=power_of(evidence, margin=margin),
        alarms=(*_alarms(evidence), *fails),
        serves="challenger" if promoted else "best" if stands_in or fails else "champion",
        best=_best(evidence, promoted=promoted),
    )


def _best(evidence: Evidence, *, promoted: bool) -> Who:
    """Which version is the best from now on.

    A best version that cannot be compared with is given up for the champion. One that answers the last track
    alone is given up for a promoted challenger.
    """
    reference = evidence.reference
    if promoted and (reference is None or NEXT_TRACK not in reference.pool or _is_better(reference.pool)):
        return "challenger"
    return "champion" if reference is not None and reference is evidence.champion else "best"


def _is_better(pool: Mapping[str, Difference]) -> bool:
    """Significantly better in the sum of both questions, and measured as worse on none.

    The errors are added up, as if they were of one sign. A version that is better on one question alone by
    chance would take the place of a better one, and the margin would begin anew.
    """
    found = pool.values()
    both = Difference(sum(each.value for each in found), sum(each.error for each in found))
    return both.interval().high < 0 and all(each.value <= 0 for each in found)


def _intervals(differences: Mapping[str, Difference]) -> dict[str, Estimate]:
    return {question: found.interval() for question, found in differences.items()}


# --- Rules --------------------------------------------------------------------------------------------


def _not_compared(evidence: Evidence) -> list[Reason]:
    absent = {
        "a champion to compare with": evidence.champion,
        "a best version to compare with": evidence.best,
    }
    return [
        Reason(rule, not other.refuses, other.why)
        for rule, other in absent.items()
        if isinstance(other, Absent)
    ]


def _answers_both(evidence: Evidence) -> Reason:
    answers = evidence.answers_every_track
    facts = "answers both questions" if answers else "answers only the last track; train the preset fast"
    return Reason("answers both questions", answers, f"{evidence.challenger} {facts}")


def _beats_last_outcome(evidence: Evidence) -> list[Reason]:
    found = []
    places = (("", evidence.losses), (f" on the newest day, {evidence.newest_day}", evidence.newest_losses))
    for place, losses in places:
        rule = "beats the last outcome" + (" on the newest day" if place else "")
        for question, of in losses.items():
            facts = (
                f"{question}{place}: log-loss {of.challenger:.4f}, and {of.last_outcome:.4f} by going by the "
                "last outcome"
            )
            found.append(Reason(f"{rule}: {question}", of.challenger < of.last_outcome, facts))
    return found


def _enough_sessions(evidence: Evidence) -> list[Reason]:
    if evidence.opponent is None or evidence.sessions >= LEAST_GATE_SESSIONS:
        return []
    facts = (
        f"the gate has {evidence.sessions} sessions, and compares models from {LEAST_GATE_SESSIONS} on; "
        "deliver more sessions"
    )
    return [Reason("enough gate sessions", False, facts)]


def _within_margin(
    evidence: Evidence, role: str, other: Comparison | Absent | None, margin: float
) -> list[Reason]:
    """Whether a worsening beyond the margin is excluded, and none beyond half of it is measured.

    The second condition is for the best version. Without it, night after night, the interval of a version
    beyond the margin has a chance to end within it. Where intervals are wide, the first one is stricter.
    """
    if not isinstance(other, Comparison):
        return []
    found = []
    for question in (LAST_TRACK, NEXT_TRACK):
        rule = f"not worse than the {role}: {question}"
        if question in other.pool:
            interval = other.pool[question].interval()
            allowed = f"it may end at {margin:+.4f}"
            facts = f"{question}: {_facts(evidence.challenger, other.opponent, interval, allowed)}"
            near = other is not evidence.reference or interval.value <= margin / 2
            facts += "" if near else f", which is beyond half of the margin, {margin / 2:+.4f}"
            found.append(Reason(rule, interval.high <= margin and near, facts))
        else:
            facts = f"{question}: not compared, since {other.opponent} answers only the last track"
            found.append(Reason(rule, True, facts))
    return found


def _newest_day(
    evidence: Evidence, role: str, other: Comparison | Absent | None, margin: float
) -> list[Reason]:
    if not isinstance(other, Comparison):
        return []
    found = []
    for question, difference in other.newest_day.items():
        interval = difference.interval()
        facts = _facts(evidence.challenger, other.opponent, interval, _by_chance(margin))
        rule = f"not worse than the {role} on the newest day: {question}"
        where = f"{question} on the newest day, {evidence.newest_day}"
        found.append(Reason(rule, not _is_worse(interval, margin), f"{where}: {facts}"))
    return found


def _rivals(evidence: Evidence, margin: float) -> list[Reason]:
    found = []
    for question, rival in evidence.rivals.items():
        interval = rival.pool[question].interval()
        facts = _facts(evidence.challenger, rival.opponent, interval, _by_chance(margin))
        rule = f"not worse than the night's baselines: {question}"
        found.append(Reason(rule, not _is_worse(interval, margin), f"{question}: {facts}"))
    return found


def _is_worse(interval: Estimate, margin: float) -> bool:
    """By more than the margin, and significantly."""
    return interval.value > margin and interval.low > 0


def _facts(name: str, opponent: str, interval: Estimate, allowed: str) -> str:
    return (
        f"log-loss of {name} minus {opponent}: {interval.value:+.4f} ({GATE_CONFIDENCE:.0%} interval "
        f"{interval.low:+.4f} to {interval.high:+.4f}; {allowed})"
    )


def _by_chance(margin: float) -> str:
    return f"allowed {margin:+.4f}, and more by chance"


def _slice_changes(evidence: Evidence) -> tuple[SliceChange, ...]:
    return tuple(
        SliceChange(
            part.slicing,
            part.label,
            part.sessions,
            part.accuracy.interval(evidence.slice_confidence),
            part.limit,
        )
        for part in evidence.judged_slices
    )


def _no_slice_falls(changes: Sequence[SliceChange]) -> list[Reason]:
    """A reason for each slicing."""
    found = []
    for name in dict.fromkeys(change.slicing for change in changes):
        of = [change for change in changes if change.slicing == name]
        limit = of[0].limit
        fallen = [f"{c.label} by {-c.accuracy.value:.1%} of {c.sessions} sessions" for c in of if c.fallen]
        where = f"for {', '.join(fallen)} (allowed {limit:.0%})" if fallen else f"nowhere beyond {limit:.0%}"
        found.append(Reason(f"no fall in a slice of {name}", not fallen, f"accuracy by {name} falls {where}"))
    return found


# --- Alarms -------------------------------------------------------------------------------------------


def _alarms(evidence: Evidence) -> tuple[str, ...]:
    absent = [other for other in (evidence.champion, evidence.best) if isinstance(other, Absent)]
    return (*_all_is_bad(evidence), *(other.why for other in absent if other.alarm))


def _champion_fails(evidence: Evidence, margin: float) -> list[str]:
    """The champion is worse than the best version on the newest day, so that the best version serves."""
    found = []
    if isinstance(evidence.champion, Comparison) and isinstance(evidence.best, Comparison):
        champion, best = evidence.champion.opponent, evidence.best.opponent
        for question, difference in evidence.setback.items():
            interval = difference.interval()
            if _is_worse(interval, margin):
                facts = _facts(champion, best, interval, _by_chance(margin))
                found.append(
                    f"the champion, {champion}, fails on the newest day, {evidence.newest_day}, and the best "
                    f"version, {best}, serves again; {question}: {facts}"
                )
    return found


def _all_is_bad(evidence: Evidence) -> list[str]:
    """Challenger and opponent are both worse than the last outcome on the newest day."""
    found = []
    for question, of in evidence.newest_losses.items():
        models = {evidence.challenger: of.challenger}
        if evidence.opponent and of.opponent is not None:
            models[evidence.opponent.opponent] = of.opponent
        if all(loss >= of.last_outcome for loss in models.values()):
            listed = " and ".join(f"{name} {loss:.4f}" for name, loss in models.items())
            found.append(
                f"no model beats the last outcome on the newest day, {evidence.newest_day}; {question}: "
                f"log-loss of {listed}, of the last outcome {of.last_outcome:.4f}. Nothing is promoted: look "
                "at data_drift and at the delivery of that day"
            )
    return found
